/* Our table. A hit takes a reference and gives it back; an insertion makes a session, adds it, and lets it go. */
#include "peer.h"
#include "sesstab.h"

static SESSTAB_MEMORY(memory, SESSIONS_MAX, 2, DATA_SIZE);
static sesstab_t *table;

static uint32_t clock_of(void *arg)
{
    (void)arg;
    return seconds;
}

static void init(uint32_t sessions)
{
    sesstab_config_t config = {.capacity = (uint16_t)sessions, .spare = 2, .data_size = DATA_SIZE, .timeout = 7200,
        .mode = SESSTAB_CACHE_SERVER, .seed = {0x12345678, 0x9abcdef0}, .clock = clock_of};
    table = sesstab_init(memory, sizeof memory, &config);
}

static int add(const uint8_t *id, const uint8_t *data, uint32_t timeout)
{
    sesstab_handle_t h = sesstab_new_session(table, id, ID_SIZE, data, DATA_SIZE, timeout, 0);
    int added = sesstab_add_session(table, h);
    sesstab_free(table, h);
    return added;
}

static int get(const uint8_t *id)
{
    return sesstab_free(table, sesstab_get_session(table, id, ID_SIZE, 0));
}

static int remove_one(const uint8_t *id)
{
    sesstab_handle_t h = sesstab_get_session(table, id, ID_SIZE, 0);
    int removed = sesstab_remove_session(table, h);
    sesstab_free(table, h);
    return removed;
}

static uint32_t number(void)
{
    return sesstab_sess_number(table);
}

const peer_t peer = {"sesstab", init, add, get, remove_one, 1, number};
