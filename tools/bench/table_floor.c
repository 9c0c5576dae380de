/*
 * The floor: what a table costs that does the least. Open addressing on the id's first word, which an attacker may
 * choose; the oldest goes first, hits renew nothing; no expiry, no references; what is gone is not overwritten; an id
 * must not be added twice.
 */
#include <string.h>

#include "table.h"

typedef struct {
    uint32_t id[TABLE_ID_SIZE / 4];
    uint8_t data[TABLE_DATA_SIZE];
} session_t;

static session_t sessions[TABLE_SESSIONS_MAX];
static uint16_t cells[4 * TABLE_SESSIONS_MAX]; /* a session's number plus 1, or 0 */
static uint32_t capacity, mask, oldest, used;

static uint32_t first_word(const void *id)
{
    uint32_t word;
    memcpy(&word, __builtin_assume_aligned(id, 4), 4);
    return word;
}

/* The cell of an id, or the empty one where it would go. */
static uint32_t cell_of(const uint8_t *id)
{
    uint32_t cell = first_word(id) & mask;
    while (cells[cell] && memcmp(sessions[cells[cell] - 1].id, id, TABLE_ID_SIZE) != 0)
        cell = (cell + 1) & mask;
    return cell;
}

static void empty_cell(uint32_t hole)
{
    for (uint32_t cell = (hole + 1) & mask; cells[cell]; cell = (cell + 1) & mask) {
        uint32_t home = sessions[cells[cell] - 1].id[0] & mask;
        if (((cell - home) & mask) >= ((cell - hole) & mask)) {
            cells[hole] = cells[cell];
            hole = cell;
        }
    }
    cells[hole] = 0;
}

/* At least two cells a session, and a power of two. */
static int init(uint32_t n)
{
    capacity = n;
    mask = 1;
    while (mask < 2 * n)
        mask *= 2;
    memset(cells, 0, mask * sizeof *cells);
    mask--;
    oldest = used = 0;
    return 1;
}

static int add(const uint8_t *id, const uint8_t *data, uint32_t timeout)
{
    (void)timeout;
    session_t *s = &sessions[oldest];
    if (used == capacity)
        empty_cell(cell_of((const uint8_t *)s->id));
    else
        used++;
    cells[cell_of(id)] = (uint16_t)(oldest + 1);
    memcpy(s->id, id, TABLE_ID_SIZE);
    memcpy(s->data, data, TABLE_DATA_SIZE);
    oldest = oldest + 1 == capacity ? 0 : oldest + 1;
    return 1;
}

static int get(const uint8_t *id)
{
    return cells[cell_of(id)] != 0;
}

static uint32_t number(void)
{
    return used;
}

static int read_secret(const uint8_t *id, uint8_t *secret)
{
    uint32_t cell = cell_of(id);
    if (!cells[cell])
        return 0;
    memcpy(secret, sessions[cells[cell] - 1].data, TABLE_SECRET_SIZE);
    return 1;
}

static size_t bytes(void)
{
    return capacity * sizeof *sessions + (mask + 1) * sizeof *cells;
}

const table_t table_floor = {"floor", init, add, get, NULL, number, read_secret, bytes, 0, 0, 1};
