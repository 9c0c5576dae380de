/* See model.h. The order of the functions is that of sesstab.h. */
#include "model.h"

#include <string.h>

#define IS(mode, flag) (((mode) & SESSTAB_CACHE_##flag) != 0)

void model_init(model_t *m, uint32_t capacity, uint32_t spare, uint32_t data_size, uint32_t timeout, uint32_t mode)
{
    memset(m, 0, sizeof(*m));
    m->capacity = m->cache_size = capacity;
    m->slots = capacity + spare;
    m->data_size = data_size;
    m->timeout = timeout;
    m->mode = mode;
}

void model_clear(model_t *m)
{
    if (!m->is_busy)
        memset(m->sessions, 0, sizeof(m->sessions));
}

/* ---- Sessions ---- */

session_t *model_session(model_t *m, uint32_t name)
{
    for (uint32_t i = 0; i < m->slots; i++)
        if (name != 0 && m->sessions[i].name == name)
            return &m->sessions[i];
    return NULL;
}

uint32_t model_refs(const session_t *s)
{
    return s->refs + (s->used != 0 || s->is_leaving);
}

static void let_go(session_t *s)
{
    if (model_refs(s) == 0)
        memset(s, 0, sizeof(*s));
}

uint32_t model_new_session(model_t *m, const uint8_t *id, size_t id_len, const uint8_t *data, size_t data_len,
    uint32_t timeout, uint8_t context)
{
    session_t *s = NULL;
    for (uint32_t i = 0; i < m->slots && s == NULL; i++)
        if (m->sessions[i].name == 0)
            s = &m->sessions[i];
    if (s == NULL || id_len < 1 || id_len > SESSTAB_ID_MAX || data_len > m->data_size)
        return 0;
    memcpy(s->id, id, id_len);
    memcpy(s->data, data, data_len);
    s->id_len = id_len;
    s->data_len = data_len;
    s->time = m->clock();
    s->timeout = timeout == SESSTAB_DEFAULT_TIMEOUT ? m->timeout : timeout;
    s->context = context;
    s->refs = 1;
    return s->name = ++m->names;
}

int model_up_ref(model_t *m, uint32_t name)
{
    session_t *s = model_session(m, name);
    if (s == NULL || s->refs == SESSTAB_REFS_MAX)
        return 0;
    s->refs++;
    return 1;
}

int model_free(model_t *m, uint32_t name)
{
    session_t *s = model_session(m, name);
    if (s == NULL || s->refs == 0)
        return 0;
    s->refs--;
    let_go(s);
    return 1;
}

/* ---- The table ---- */

static int is_id(const session_t *s, const uint8_t *id, size_t id_len)
{
    return s->id_len == id_len && memcmp(s->id, id, id_len) == 0;
}

/* The session in the table with this id, or NULL. */
static session_t *find(model_t *m, const uint8_t *id, size_t id_len)
{
    for (uint32_t i = 0; i < m->slots; i++)
        if (m->sessions[i].used != 0 && is_id(&m->sessions[i], id, id_len))
            return &m->sessions[i];
    return NULL;
}

static session_t *least_recently_used(model_t *m)
{
    session_t *least = NULL;
    for (uint32_t i = 0; i < m->slots; i++) {
        session_t *s = &m->sessions[i];
        if (s->used != 0 && (least == NULL || s->used < least->used))
            least = s;
    }
    return least;
}

static int is_expired(const session_t *s, uint32_t now)
{
    return now == 0 || s->time > now || now - s->time > s->timeout;
}

static void tell_removed(model_t *m, uint32_t name)
{
    if (m->on_remove == NULL)
        return;
    m->is_busy = 1;
    m->on_remove(name);
    m->is_busy = 0;
}

/* Takes `s` out of the table, on behalf of `name`. */
static void remove_from_table(model_t *m, session_t *s, uint32_t name)
{
    s->used = 0;
    s->is_leaving = 1;
    tell_removed(m, name);
    s->is_leaving = 0;
    let_go(s);
}

static session_t *any_expired(model_t *m, uint32_t now)
{
    session_t *hinted = model_session(m, m->hint());
    if (hinted != NULL && hinted->used != 0 && is_expired(hinted, now))
        return hinted;
    for (uint32_t i = 0; i < m->slots; i++)
        if (m->sessions[i].used != 0 && is_expired(&m->sessions[i], now))
            return &m->sessions[i];
    return NULL;
}

static uint32_t remove_expired(model_t *m, uint32_t now)
{
    uint32_t removed = 0;
    session_t *s;
    for (; (s = any_expired(m, now)) != NULL; removed++)
        remove_from_table(m, s, s->name);
    return removed;
}

static void make_room(model_t *m)
{
    if (model_number(m) >= m->cache_size)
        m->cache_full += remove_expired(m, m->clock());
    for (; model_number(m) >= m->cache_size; m->cache_full++) {
        session_t *s = least_recently_used(m);
        remove_from_table(m, s, s->name);
    }
}

int model_add_session(model_t *m, uint32_t name)
{
    session_t *s = model_session(m, name);
    if (m->is_busy || s == NULL)
        return 0;
    if (IS(m->mode, UPDATE_TIME))
        s->time = m->clock();
    if (s->used != 0)
        return 0;
    session_t *other = find(m, s->id, s->id_len);
    if (other != NULL) {
        other->used = 0;
        let_go(other);
    }
    make_room(m);
    s = model_session(m, name);
    if (s == NULL) /* on_remove has freed it */
        return 0;
    s->used = ++m->uses;
    return 1;
}

int model_remove_session(model_t *m, uint32_t name)
{
    session_t *s = model_session(m, name);
    if (m->is_busy || s == NULL)
        return 0;
    session_t *cached = find(m, s->id, s->id_len);
    if (cached == NULL) {
        tell_removed(m, name);
        return 0;
    }
    remove_from_table(m, cached, name);
    return 1;
}

/* What on_get gives, with the reference that came with it, or 0. */
static uint32_t ask(model_t *m, const uint8_t *id, size_t id_len)
{
    uint32_t name = m->on_get != NULL ? m->on_get(id, id_len) : 0;
    session_t *s = model_session(m, name);
    if (s == NULL || s->refs == 0)
        return 0;
    if (!is_id(s, id, id_len)) {
        model_free(m, name);
        return 0;
    }
    m->cb_hits++;
    int would_revive = IS(m->mode, UPDATE_TIME) && is_expired(s, m->clock());
    if (!IS(m->mode, NO_INTERNAL_STORE) && !would_revive)
        model_add_session(m, name);
    return name;
}

uint32_t model_get_session(model_t *m, const uint8_t *id, size_t id_len, uint8_t context)
{
    if (m->is_busy || id_len < 1 || id_len > SESSTAB_ID_MAX)
        return 0;
    session_t *s = IS(m->mode, NO_INTERNAL_LOOKUP) ? NULL : find(m, id, id_len);
    uint32_t name;
    if (s != NULL) {
        name = s->name;
        if (!model_up_ref(m, name))
            return 0;
    } else {
        m->misses += !IS(m->mode, NO_INTERNAL_LOOKUP);
        name = ask(m, id, id_len);
    }
    s = model_session(m, name);
    if (s == NULL)
        return 0;
    if (s->context == context && !is_expired(s, m->clock())) {
        m->hits++;
        if (s->used != 0)
            s->used = ++m->uses;
        if (IS(m->mode, UPDATE_TIME))
            s->time = m->clock();
        return name;
    }
    if (s->context == context) {
        m->timeouts++;
        model_remove_session(m, name);
    }
    model_free(m, name);
    return 0;
}

int model_has_session(model_t *m, const uint8_t *id, size_t id_len)
{
    return id_len >= 1 && id_len <= SESSTAB_ID_MAX && find(m, id, id_len) != NULL;
}

uint32_t model_flush_sessions(model_t *m, uint32_t now)
{
    return m->is_busy ? 0 : remove_expired(m, now);
}

int model_update_cache(model_t *m, uint32_t name, uint32_t side)
{
    uint32_t mode = m->mode;
    if (m->is_busy || side > SESSTAB_CACHE_BOTH || (mode & side) == 0 || model_session(m, name) == NULL)
        return 0;
    m->stored++;
    int added = !IS(mode, NO_INTERNAL_STORE) && model_add_session(m, name);
    if (m->on_new != NULL && model_up_ref(m, name) && !m->on_new(name))
        model_free(m, name);
    if (!IS(mode, NO_AUTO_CLEAR) && m->stored % 256 == 255)
        model_flush_sessions(m, m->clock());
    return added;
}

/* ---- Settings and statistics ---- */

void model_set_mode(model_t *m, uint32_t mode)
{
    m->mode = mode
              & (SESSTAB_CACHE_BOTH | SESSTAB_CACHE_NO_AUTO_CLEAR | SESSTAB_CACHE_NO_INTERNAL
                  | SESSTAB_CACHE_UPDATE_TIME);
}

void model_set_cache_size(model_t *m, uint32_t size)
{
    m->cache_size = size == 0 || size > m->capacity ? m->capacity : size;
}

uint32_t model_number(const model_t *m)
{
    uint32_t number = 0;
    for (uint32_t i = 0; i < m->slots; i++)
        number += m->sessions[i].used != 0;
    return number;
}

uint32_t model_next(model_t *m, uint32_t name)
{
    const session_t *s = model_session(m, name), *best = NULL;
    if (name != 0 && (s == NULL || s->used == 0))
        return 0;
    for (uint32_t i = 0; i < m->slots; i++) {
        const session_t *other = &m->sessions[i];
        if (other->used != 0 && (s == NULL || other->used < s->used) && (best == NULL || other->used > best->used))
            best = other;
    }
    return best != NULL ? best->name : 0;
}
