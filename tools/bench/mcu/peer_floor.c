/*
 * The floor: what a table costs that does the least. Open addressing on the id's first word, which an attacker may
 * choose; the oldest goes first, hits renew nothing; no expiry, no references; what is gone is not overwritten.
 */
#include <string.h>

#include "peer.h"

enum { CELLS = 2 * SESSIONS_MAX };

typedef struct {
    uint32_t id[ID_SIZE / 4];
    uint8_t data[DATA_SIZE];
} session_t;

static session_t sessions[SESSIONS_MAX];
static uint16_t cells[CELLS]; /* a session's number plus 1, or 0 */
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
    while (cells[cell] && memcmp(sessions[cells[cell] - 1].id, id, ID_SIZE) != 0)
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

static void init(uint32_t n)
{
    memset(cells, 0, sizeof cells);
    capacity = n;
    mask = 2 * n - 1;
    oldest = used = 0;
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
    memcpy(s->id, id, ID_SIZE);
    memcpy(s->data, data, DATA_SIZE);
    oldest = oldest + 1 == capacity ? 0 : oldest + 1;
    return 1;
}

static int get(const uint8_t *id)
{
    return cells[cell_of(id)] != 0;
}

const peer_t peer = {"floor", init, add, get, 0, 0, 0};
