/* Our table. A hit takes a reference and gives it back; an insertion makes a session, adds it, and lets it go. */
#include "sesstab.h"

#include <string.h>

#include "table.h"

enum { SPARE = TABLE_SESSIONS_MAX < SESSTAB_SLOTS_MAX ? 2 : 1 };

static SESSTAB_MEMORY(memory, TABLE_SESSIONS_MAX - SPARE + 2, SPARE, TABLE_DATA_SIZE);
static sesstab_t *table;
static size_t size;

static uint32_t clock_of(void *arg)
{
    (void)arg;
    return seconds;
}

/* A session on its way into a full table needs a slot beside it. The largest table has none to spare, so it keeps
 * one session fewer. */
static int init(uint32_t sessions)
{
    uint32_t capacity = sessions < SESSTAB_SLOTS_MAX - 1 ? sessions : SESSTAB_SLOTS_MAX - 1;
    uint32_t spare = capacity + 2 <= SESSTAB_SLOTS_MAX ? 2 : 1;
    sesstab_config_t config = {.capacity = (uint16_t)capacity, .spare = (uint16_t)spare, .data_size = TABLE_DATA_SIZE,
        .timeout = 7200, .mode = SESSTAB_CACHE_SERVER, .seed = {0x12345678, 0x9abcdef0}, .clock = clock_of};
    size = sesstab_size(capacity, spare, TABLE_DATA_SIZE);
    table = sesstab_init(memory, sizeof memory, &config);
    return table != NULL;
}

static int add(const uint8_t *id, const uint8_t *data, uint32_t timeout)
{
    sesstab_handle_t h = sesstab_new_session(table, id, TABLE_ID_SIZE, data, TABLE_DATA_SIZE, timeout, 0);
    int added = sesstab_add_session(table, h);
    sesstab_free(table, h);
    return added;
}

static int get(const uint8_t *id)
{
    return sesstab_free(table, sesstab_get_session(table, id, TABLE_ID_SIZE, 0));
}

static int remove_one(const uint8_t *id)
{
    sesstab_handle_t h = sesstab_get_session(table, id, TABLE_ID_SIZE, 0);
    int removed = sesstab_remove_session(table, h);
    sesstab_free(table, h);
    return removed;
}

static uint32_t number(void)
{
    return sesstab_sess_number(table);
}

static int read_secret(const uint8_t *id, uint8_t *secret)
{
    size_t length;
    sesstab_handle_t h = sesstab_get_session(table, id, TABLE_ID_SIZE, 0);
    const uint8_t *data = sesstab_session_data(table, h, &length);
    if (data)
        memcpy(secret, data, TABLE_SECRET_SIZE);
    return sesstab_free(table, h);
}

static size_t bytes(void)
{
    return size;
}

const table_t table_sesstab = {"sesstab", init, add, get, remove_one, number, read_secret, bytes, 1, 1, 1};
