/*
 * The session table as sesstab.h describes it, slow and obvious: an array that is searched from its start, an order
 * that is a number in each session. Nothing here is shared with the core.
 *
 * Sessions have names instead of handles: 1, 2, 3, ... as they are made. A name is never used again, so a stale one
 * is one that is not in the array.
 */
#ifndef MODEL_H
#define MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "sesstab.h"

#define MODEL_SLOTS 400
#define MODEL_DATA 64

typedef struct {
    uint32_t name; /* 0: the slot is free */
    uint8_t id[SESSTAB_ID_MAX];
    size_t id_len;
    uint8_t data[MODEL_DATA];
    size_t data_len;
    uint32_t time, timeout;
    uint32_t refs; /* of callers */
    uint64_t used; /* when it was used last; 0: it is not in the table */
    uint8_t context;
    int is_leaving; /* on_remove is told of it, the table has not given back its reference yet */
} session_t;

typedef struct {
    uint32_t capacity, slots, data_size;
    uint32_t mode, timeout, cache_size;
    uint32_t hits, misses, timeouts, cache_full, cb_hits, stored;
    int is_busy; /* on_remove is running */
    uint32_t names;
    uint64_t uses;
    session_t sessions[MODEL_SLOTS];

    uint32_t (*clock)(void);
    int (*on_new)(uint32_t name);
    uint32_t (*on_get)(const uint8_t *id, size_t id_len);
    void (*on_remove)(uint32_t name);
    /* Which of several expired sessions goes first is not specified: the one that the core has removed. */
    uint32_t (*hint)(void);
} model_t;

void model_init(model_t *m, uint32_t capacity, uint32_t spare, uint32_t data_size, uint32_t timeout, uint32_t mode);
void model_clear(model_t *m);
uint32_t model_new_session(model_t *m, const uint8_t *id, size_t id_len, const uint8_t *data, size_t data_len,
    uint32_t timeout, uint8_t context);
int model_up_ref(model_t *m, uint32_t name);
int model_free(model_t *m, uint32_t name);
int model_add_session(model_t *m, uint32_t name);
int model_remove_session(model_t *m, uint32_t name);
uint32_t model_get_session(model_t *m, const uint8_t *id, size_t id_len, uint8_t context);
int model_has_session(model_t *m, const uint8_t *id, size_t id_len);
uint32_t model_flush_sessions(model_t *m, uint32_t now);
int model_update_cache(model_t *m, uint32_t name, uint32_t side);
void model_set_mode(model_t *m, uint32_t mode);
void model_set_cache_size(model_t *m, uint32_t size);
uint32_t model_number(const model_t *m);
uint32_t model_next(model_t *m, uint32_t name);

/* The session of that name, or NULL. */
session_t *model_session(model_t *m, uint32_t name);
/* References, the table's own included. */
uint32_t model_refs(const session_t *s);

#endif
