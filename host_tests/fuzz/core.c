/*
 * Sequences of calls on the core and on a model (model.h); all that can be seen of them must be equal.
 *
 * The input is a table's shape and then operations, which callbacks take from it, too. It is played twice: on the
 * core, while all that is seen is written down, and on the model, which has to see the same. Sessions are named by
 * the order in which they were made, so it does not matter which slots and handles the core gives them.
 *
 * Ids and data are made of patterns that nothing else contains. So the table's memory shows what became of them:
 * after each operation, it has the patterns as often as there are sessions, and no more.
 */
#include "input.h"
#include "model.h"

#include <string.h>

#define NAMES 3000  /* sessions that one input may make */
#define CALLS 3000  /* operations of one input, those in callbacks included */
#define EVENTS 400000
#define SHOWN 24    /* of the latest names, stale ones included, all is compared */

/* ---- What was seen ---- */

typedef struct {
    const char *what;
    uint32_t value;
} event_t;

static event_t events[EVENTS];
static size_t seen, compared;
static int is_model; /* plays on the model now */

static void see(const char *what, uint32_t value)
{
    if (!is_model) {
        if (seen < EVENTS)
            events[seen++] = (event_t){what, value};
    } else if (compared < seen) {
        event_t core = events[compared++];
        if (core.what != what || core.value != value) {
            fprintf(stderr, "event %zu: core %s %u, model %s %u\n", compared, core.what, core.value, what, value);
            for (size_t i = compared > 12 ? compared - 12 : 0; i + 1 < compared; i++)
                fprintf(stderr, "    before: %s %u\n", events[i].what, events[i].value);
            abort();
        }
    }
}

/* Equal contents give equal events. They are compared as pointers: each is one literal. */
static const char ON_REMOVE[] = "on_remove";
static const char RAW_NAME[] = "raw handle names";

static uint32_t digest(const uint8_t *bytes, size_t n)
{
    uint32_t sum = 2166136261u;
    for (size_t i = 0; i < n; i++)
        sum = (sum ^ bytes[i]) * 16777619u;
    return sum;
}

/* ---- The table that is played on ---- */

static model_t model;
static sesstab_t *core;
static size_t core_size;
static sesstab_handle_t handles[NAMES]; /* by name; 0 is no session */
static uint32_t names;

static sesstab_handle_t handle_of(uint32_t name)
{
    return name < NAMES ? handles[name] : name;
}

static uint32_t name_of(sesstab_handle_t h)
{
    for (uint32_t name = names; name > 0; name--)
        if (handles[name] == h)
            return name;
    return h == 0 ? 0 : h | 1u << 31;
}

/* How many sessions have been made. */
static uint32_t latest(void)
{
    return is_model ? model.names : names;
}

static uint32_t named(sesstab_handle_t h)
{
    if (h == 0)
        return 0;
    MUST(h < 1u << 30);
    handles[++names] = h;
    return names;
}

#define PLAY(name, call, ...) (is_model ? model_##call(&model, name, ##__VA_ARGS__) \
                                        : sesstab_##call(core, handle_of(name), ##__VA_ARGS__))

/* ---- What is played ---- */

static input_t in;
static unsigned calls, depth, is_removing;
static uint32_t now, capacity;

static void call(void);

static void call_some(void)
{
    if (depth == 2)
        return;
    depth++;
    for (unsigned n = take(&in) % 4; n > 0; n--)
        call();
    depth--;
}

static uint32_t take_time(void)
{
    uint8_t kind = take(&in);
    if (kind < 128)
        return now + kind - 64;
    return kind < 192 ? now : take_number(&in);
}

static size_t take_id(uint8_t id[SESSTAB_ID_MAX + 3])
{
    uint8_t kind = take(&in);
    size_t len = kind >> 2 == 63 ? 0 : kind >> 2 > 34 ? 32 : kind >> 2;
    for (size_t i = 0; i < len; i++)
        id[i] = (uint8_t)"\351idx"[i % 4];
    if (len != 0)
        id[len - 1] = kind & 3;
    return len;
}

/* An id in memory of its own, at any alignment, so that a sanitizer sees where it ends. */
static const uint8_t *exact(uint8_t **memory, const uint8_t *id, size_t len)
{
    size_t offset = len != 0 ? id[len - 1] & 3u : 0;
    *memory = malloc(offset + len + (len == 0));
    MUST(*memory != NULL);
    return memcpy(*memory + offset, id, len);
}

static size_t patterns_in_id(size_t len)
{
    return (len - 1) / 4;
}

static void make_data(uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)"\327sec"[i % 4];
}

/* The name of a session: one of the latest, or none. */
static uint32_t take_name(void)
{
    uint8_t kind = take(&in);
    if (kind < 240)
        return latest() > kind ? latest() - kind : 0;
    if (kind < 248)
        return latest() / (kind - 238u);
    /* Any number. If it happens to be a handle, the log says of what. */
    uint32_t raw = take_word(&in) | (kind & 1 ? 1u << 31 : 0);
    if (is_model)
        raw = compared < seen ? events[compared].value : 0;
    else
        raw = name_of(raw);
    see(RAW_NAME, raw);
    return raw;
}

static uint32_t new_session(const uint8_t *id, size_t id_len)
{
    uint8_t data[MODEL_DATA + 1];
    uint8_t kind = take(&in);
    size_t data_len = (kind & 127u) % (MODEL_DATA + 2);
    uint32_t timeout = kind & 128 ? take_number(&in) : SESSTAB_DEFAULT_TIMEOUT;
    uint8_t context = take(&in) & 1;
    make_data(data, data_len);
    if (latest() == NAMES - 1)
        return 0;
    if (is_model)
        return model_new_session(&model, id, id_len, data, data_len, timeout, context);
    return named(sesstab_new_session(core, id, id_len, data, data_len, timeout, context));
}

static uint32_t new_any(void)
{
    uint8_t id[SESSTAB_ID_MAX + 3];
    size_t id_len = take_id(id);
    return new_session(id, id_len);
}

static uint32_t refs_of(uint32_t name)
{
    if (!is_model)
        return sesstab_session_refs(core, handle_of(name));
    const session_t *s = model_session(&model, name);
    return s != NULL ? model_refs(s) : 0;
}

/* ---- Callbacks ---- */

static int on_new(uint32_t name)
{
    see("on_new", name);
    see("on_new refs", refs_of(name));
    call_some();
    return take(&in) & 1;
}

static uint32_t on_get(const uint8_t *id, size_t id_len)
{
    see("on_get", digest(id, id_len));
    call_some();
    uint8_t kind = take(&in);
    if (kind < 100)
        return new_session(id, id_len);
    if (kind < 120)
        return new_any();
    uint32_t name = kind < 220 ? take_name() : 0;
    if (kind < 180)
        see("up_ref", (uint32_t)PLAY(name, up_ref));
    return name;
}

static void on_remove(uint32_t name)
{
    see(ON_REMOVE, name);
    see("on_remove refs", refs_of(name));
    is_removing++;
    call_some();
    is_removing--;
}

static uint32_t seconds(void)
{
    return now;
}

static uint32_t hint(void)
{
    return compared < seen && events[compared].what == ON_REMOVE ? events[compared].value : 0;
}

static uint32_t core_seconds(void *arg)
{
    MUST(arg == &now);
    return now;
}

static int core_on_new(void *arg, sesstab_handle_t h)
{
    (void)arg;
    return on_new(name_of(h));
}

static sesstab_handle_t core_on_get(void *arg, const uint8_t *id, size_t id_len)
{
    (void)arg;
    return handle_of(on_get(id, id_len));
}

static void core_on_remove(void *arg, sesstab_handle_t h)
{
    (void)arg;
    on_remove(name_of(h));
}

static void set_callbacks(uint8_t which)
{
    sesstab_config_t *settings = is_model ? NULL : sesstab_settings(core);
    if (is_model) {
        model.on_new = which & 1 ? on_new : NULL;
        model.on_get = which & 2 ? on_get : NULL;
        model.on_remove = which & 4 ? on_remove : NULL;
    } else {
        settings->on_new = which & 1 ? core_on_new : NULL;
        settings->on_get = which & 2 ? core_on_get : NULL;
        settings->on_remove = which & 4 ? core_on_remove : NULL;
    }
}

/* ---- What can be seen ---- */

/* Returns whether the session is there. */
static int see_session(uint32_t name)
{
    const uint8_t *id = NULL, *data = NULL;
    size_t id_len = 0, data_len = 0;
    const session_t *s = is_model ? model_session(&model, name) : NULL;
    if (!is_model) {
        sesstab_handle_t h = handle_of(name);
        id = sesstab_session_id(core, h, &id_len);
        data = sesstab_session_data(core, h, &data_len);
        MUST((id == NULL) == (data == NULL) && (id != NULL || (id_len == 0 && data_len == 0)));
        see("time", sesstab_session_time(core, h));
        see("timeout", sesstab_session_timeout(core, h));
        see("context", sesstab_session_context(core, h));
    } else {
        if (s != NULL) {
            id = s->id;
            data = s->data;
            id_len = s->id_len;
            data_len = s->data_len;
        }
        see("time", s != NULL ? s->time : 0);
        see("timeout", s != NULL ? s->timeout : 0);
        see("context", s != NULL ? s->context : 0);
    }
    see("id", digest(id, id_len));
    see("data", digest(data, data_len));
    see("refs", refs_of(name));
    return id != NULL;
}

static void see_counters(void)
{
#define SEE(name, of_model, of_core) see(name, is_model ? of_model : of_core)
    SEE("number", model_number(&model), sesstab_sess_number(core));
    SEE("hits", model.hits, sesstab_sess_hits(core));
    SEE("misses", model.misses, sesstab_sess_misses(core));
    SEE("timeouts", model.timeouts, sesstab_sess_timeouts(core));
    SEE("cache_full", model.cache_full, sesstab_sess_cache_full(core));
    SEE("cb_hits", model.cb_hits, sesstab_sess_cb_hits(core));
    SEE("stored", model.stored, sesstab_sess_stored(core));
    SEE("mode", model.mode, sesstab_get_mode(core));
    SEE("timeout of table", model.timeout, sesstab_get_timeout(core));
    SEE("cache_size", model.cache_size, sesstab_sess_get_cache_size(core));
    SEE("now", now, sesstab_now(core));
}

static uint32_t times_in_memory(const char *pattern)
{
    const uint8_t *at = (const uint8_t *)core, *end = at + core_size - 3;
    uint32_t count = 0;
    for (; (at = memchr(at, pattern[0], (size_t)(end - at))) != NULL; at++)
        count += memcmp(at, pattern, 4) == 0;
    return count;
}

static void see_secrets(void)
{
    uint32_t ids = 0, data = 0;
    for (uint32_t i = 0; i < model.slots && is_model; i++) {
        const session_t *s = &model.sessions[i];
        ids += s->name != 0 ? (uint32_t)patterns_in_id(s->id_len) : 0;
        data += s->name != 0 ? (uint32_t)s->data_len / 4 : 0;
    }
    see("ids in memory", is_model ? ids : times_in_memory("\351idx"));
    see("secrets in memory", is_model ? data : times_in_memory("\327sec"));
}

static void see_all(void)
{
    uint32_t name = 0, steps = 0;
    see_counters();
    see_secrets();
    do {
        name = is_model ? model_next(&model, name) : name_of(sesstab_next(core, handle_of(name)));
        see("next", name);
    } while (name != 0 && see_session(name) && ++steps <= capacity);
    for (uint32_t i = 0; i < SHOWN && i < latest(); i++)
        see_session(latest() - i);
}

/* ---- Operations ---- */

static uint32_t take_mode(void)
{
    static const uint16_t modes[] = {2, 2, 2, 0, 1, 3, 0x82, 0x102, 0x202, 0x302, 0x402, 0x502, 0x602, 0x702};
    uint8_t kind = take(&in);
    return kind < 224 ? modes[kind % 14] : (uint32_t)kind << 8 | take(&in);
}

static void set_time_or_timeout(void)
{
    uint32_t name = take_name(), value = take_time();
    uint8_t which = take(&in) & 1;
    /* What a flush does with sessions whose times change meanwhile is not specified. */
    if (is_removing)
        return;
    if (!is_model) {
        sesstab_handle_t h = handle_of(name);
        see("set", (uint32_t)(which ? sesstab_set_session_time(core, h, value)
                                    : sesstab_set_session_timeout(core, h, value)));
        return;
    }
    session_t *s = model_session(&model, name);
    if (s != NULL)
        *(which ? &s->time : &s->timeout) = value;
    see("set", s != NULL);
}

static void change_settings(void)
{
    uint8_t what = take(&in) % 6;
    uint32_t value;
    if (what == 0) {
        value = take_mode();
        is_model ? model_set_mode(&model, value) : sesstab_set_mode(core, value);
    } else if (what == 1) {
        value = take_number(&in);
        is_model ? (void)(model.timeout = value) : sesstab_set_timeout(core, value);
    } else if (what == 2) {
        value = take_number(&in);
        is_model ? model_set_cache_size(&model, value) : sesstab_sess_set_cache_size(core, value);
    } else if (what == 3) {
        set_callbacks(take(&in));
    } else if (what == 4) {
        is_model ? model_clear(&model) : sesstab_clear(core);
    } else {
        value = take_time();
        now = value;
    }
}

/* The next operation again and again, from the same bytes. */
static void repeat(void)
{
    unsigned times = take(&in) + 1u;
    size_t at = in.at;
    for (; times > 0 && calls < CALLS && !is_over(&in); times--) {
        in.at = at;
        call();
    }
}

/* Sessions with ids of their own, added and freed. */
static void fill(void)
{
    uint8_t id[8] = "\351idx", data[MODEL_DATA];
    unsigned n = take(&in), start = take(&in);
    make_data(data, sizeof(data));
    for (unsigned i = 0; i < n && latest() < NAMES - 1; i++) {
        id[4] = (uint8_t)(start + i);
        uint32_t name = is_model ? model_new_session(&model, id, sizeof(id), data, MODEL_DATA, 1000, 0)
                                 : named(sesstab_new_session(core, id, sizeof(id), data, MODEL_DATA, 1000, 0));
        see("add", (uint32_t)PLAY(name, add_session));
        see("free", (uint32_t)PLAY(name, free));
    }
}

static void call(void)
{
    uint8_t id[SESSTAB_ID_MAX + 3];
    const uint8_t *asked;
    uint8_t *memory;
    size_t id_len;
    uint32_t value;
    if (is_over(&in) || calls++ >= CALLS)
        return;
    switch (take(&in) % 24) {
    case 0: case 1: case 2:
        see("new", new_any());
        break;
    case 3:
        see("up_ref", (uint32_t)PLAY(take_name(), up_ref));
        break;
    case 4: case 5: case 6:
        see("free", (uint32_t)PLAY(take_name(), free));
        break;
    case 7: case 8: case 9:
        see("add", (uint32_t)PLAY(take_name(), add_session));
        break;
    case 10:
        see("remove", (uint32_t)PLAY(take_name(), remove_session));
        break;
    case 11: case 12: case 13: case 14:
        id_len = take_id(id);
        value = take(&in) & 1;
        asked = exact(&memory, id, id_len);
        see("get", is_model ? model_get_session(&model, asked, id_len, (uint8_t)value)
                            : name_of(sesstab_get_session(core, asked, id_len, (uint8_t)value)));
        free(memory);
        break;
    case 15:
        id_len = take_id(id);
        asked = exact(&memory, id, id_len);
        see("has", (uint32_t)(is_model ? model_has_session(&model, asked, id_len)
                                       : sesstab_has_session(core, asked, id_len)));
        free(memory);
        break;
    case 16:
        value = take(&in) & 1 ? now : take_time();
        see("flush", is_model ? model_flush_sessions(&model, value) : sesstab_flush_sessions(core, value));
        break;
    case 17: case 18:
        value = take(&in);
        value = value < 200 ? SESSTAB_CACHE_SERVER : value % 5;
        see("update", (uint32_t)PLAY(take_name(), update_cache, value));
        break;
    case 19:
        set_time_or_timeout();
        break;
    case 20:
        value = take_name();
        see("next of any", is_model ? model_next(&model, value) : name_of(sesstab_next(core, handle_of(value))));
        break;
    case 21:
        change_settings();
        break;
    case 22:
        repeat();
        break;
    default:
        take(&in) & 3 ? (void)(now += take(&in)) : fill();
    }
}

/* ---- Making a table ---- */

/* Few large ones: they are slow. Links are wider from 256 slots on. */
static const uint16_t shapes[32][2] = {{253, 2}, {250, 6}, {256, 1}, {300, 20}, {40, 10}, {1, 0}, {1, 1}, {2, 0},
    {2, 1}, {3, 0}, {3, 1}, {3, 2}, {4, 0}, {4, 1}, {4, 4}, {5, 0}, {5, 1}, {5, 3}, {6, 2}, {7, 2}, {7, 3}, {8, 0}, {8, 1},
    {8, 2}, {8, 4}, {9, 1}, {9, 3}, {10, 2}, {12, 4}, {3, 8}, {2, 6}, {1, 5}};

/* What sesstab_init must refuse, it refuses. */
static void refuse(void)
{
    sesstab_config_t config = {.capacity = (uint16_t)take_number(&in), .spare = (uint16_t)take_number(&in),
        .data_size = (uint16_t)take_number(&in), .timeout = take_number(&in), .mode = (uint16_t)take_mode(),
        .clock = take(&in) & 7 ? core_seconds : NULL, .arg = &now};
    size_t slots = (size_t)config.capacity + config.spare, shift = take(&in) % 16 == 1, less = take(&in) % 4 == 1;
    int fits = config.capacity >= 1 && slots <= SESSTAB_SLOTS_MAX && config.data_size >= 1
               && config.data_size <= SESSTAB_DATA_MAX;
    size_t size = sesstab_size(config.capacity, config.spare, config.data_size);
    MUST((size != 0) == fits);
    if (!fits)
        size = take(&in);
    if (size > 300000)
        return;
    uint8_t *memory = malloc(size + 8);
    MUST(memory != NULL);
    sesstab_t *t = sesstab_init(memory + 2 * shift, size - (less && size), &config);
    MUST((t != NULL)
         == (fits && !shift && !less && config.clock != NULL && config.timeout != UINT32_MAX
             && (config.mode & ~0x783u) == 0));
    MUST(t == NULL || ((uint8_t *)t == memory && sesstab_sess_number(t) == 0));
    free(memory);
}

static void play(const sesstab_config_t *config, size_t start)
{
    in.at = start;
    calls = depth = is_removing = 0;
    now = 1000;
    set_callbacks(take(&in));
    while (!is_over(&in) && calls < CALLS && (is_model ? compared < seen || seen == 0 : seen < EVENTS - 40000)) {
        call();
        if (config->capacity < 16 || calls % 32 == 0)
            see_all();
    }
    see_all();
    /* Nothing is left behind. */
    set_callbacks(0);
    for (uint32_t name = latest(); name > 0; name--)
        while (PLAY(name, free))
            ;
    see("flush", is_model ? model_flush_sessions(&model, 0) : sesstab_flush_sessions(core, 0));
    see_all();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    in = (input_t){bytes, size, 0};
    uint8_t shape = take(&in);
    if (shape >= 240) {
        refuse();
        return 0;
    }
    capacity = shapes[shape % 32][0];
    uint32_t spare = shapes[shape % 32][1], data_size = 1 + take(&in) % MODEL_DATA;
    uint32_t timeout = take(&in);
    sesstab_config_t config = {.capacity = (uint16_t)capacity, .spare = (uint16_t)spare,
        .data_size = (uint16_t)data_size, .timeout = timeout, .mode = SESSTAB_CACHE_SERVER,
        .clock = core_seconds, .arg = &now, .seed = {take(&in), 7}};
    core_size = sesstab_size(capacity, spare, data_size);
    void *memory = malloc(core_size);
    core = sesstab_init(memory, core_size, &config);
    MUST(core != NULL);
    model_init(&model, capacity, spare, data_size, timeout, SESSTAB_CACHE_SERVER);
    model.clock = seconds;
    model.hint = hint;
    size_t start = in.at;
    names = 0;
    seen = compared = 0;
    is_model = 0;
    play(&config, start);
    is_model = 1;
    play(&config, start);
    MUST(seen == 0 || compared == seen);
    free(memory);
    return 0;
}
