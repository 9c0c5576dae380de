/* A linear scan, which is what one writes first: the oldest goes first; no expiry; what is gone is not overwritten. */
#include <string.h>

#include "table.h"

typedef struct {
    uint8_t id[TABLE_ID_SIZE], data[TABLE_DATA_SIZE];
} session_t;

static session_t sessions[TABLE_SESSIONS_MAX];
static uint32_t capacity, oldest, used;

static int init(uint32_t n)
{
    capacity = n;
    oldest = used = 0;
    return 1;
}

static session_t *find(const uint8_t *id)
{
    for (session_t *s = sessions; s < sessions + used; s++)
        if (memcmp(s->id, id, TABLE_ID_SIZE) == 0)
            return s;
    return NULL;
}

/* Looks for a session with the same id, like the others; when there is none, takes the oldest's place. */
static int add(const uint8_t *id, const uint8_t *data, uint32_t timeout)
{
    (void)timeout;
    session_t *s = find(id);
    if (!s) {
        s = &sessions[oldest];
        oldest = oldest + 1 == capacity ? 0 : oldest + 1;
        used += used < capacity;
    }
    memcpy(s->id, id, TABLE_ID_SIZE);
    memcpy(s->data, data, TABLE_DATA_SIZE);
    return 1;
}

static int get(const uint8_t *id)
{
    return find(id) != NULL;
}

static uint32_t number(void)
{
    return used;
}

static int read_secret(const uint8_t *id, uint8_t *secret)
{
    const session_t *s = find(id);
    if (s)
        memcpy(secret, s->data, TABLE_SECRET_SIZE);
    return s != NULL;
}

static size_t bytes(void)
{
    return capacity * sizeof *sessions;
}

const table_t table_linear = {"linear scan", init, add, get, NULL, number, read_secret, bytes, 0, 0, 1};
