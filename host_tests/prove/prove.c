/*
 * What the model checker CBMC shows of the session table: any state that is in order, any one call with any
 * arguments at any time, and the state is in order again, with the promises of sesstab.h kept. Since a new table is
 * in order, that holds after every sequence of calls, of whatever length.
 *
 * The table is small (CAPACITY and SPARE slots), its contents are arbitrary. To keep the formulas small, three
 * functions of the core are replaced for this (prove.py does it), and each one's stand-in claims what its callers owe:
 *
 *     bucket_of        any function of the id: what is shown does not hang on how well the hash spreads
 *     slot_at          slots are separate objects, so that leaving one is seen
 *     get, put         links are an array of numbers
 *
 * layout() shows that the real ones stay within the table's memory. -DCALL=... chooses the call, so that each is a
 * proof of its own; with -DCALLBACKS there are callbacks, which make calls themselves.
 */
#include "sesstab.h"
#undef __x86_64__ /* copies byte by byte, as on boards */
#include "sesstab.c"

#define SLOTS (CAPACITY + SPARE)
#define DATA 2
#define LINKS SESSTAB_LINKS(CAPACITY, SLOTS)

uint32_t nondet_u32(void);
uint16_t nondet_u16(void);
uint8_t nondet_u8(void);
size_t nondet_size(void);
uint32_t __CPROVER_uninterpreted_bucket(
    uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t);

#define IMPLIES(a, b) (!(a) || (b))
#define CLAIM(claim) __CPROVER_assert(claim, #claim)

static struct sesstab table;
static sesstab_t *const t = &table;
static uint32_t slots[SLOTS][SESSTAB_SLOT_SIZE(DATA) / 4];
static uint8_t links[LINKS];
static uint32_t now;
static uint8_t id_argument[SESSTAB_ID_MAX + 1];
static uint8_t data_argument[DATA + 1];

static uint32_t seconds(void *arg)
{
    (void)arg;
    return now;
}

/* ---- Stand-ins ---- */

uint32_t any_bucket_of(const sesstab_t *of, const uint32_t *id)
{
    uint32_t bucket = __CPROVER_uninterpreted_bucket(id[0], id[1], id[2], id[3], id[4], id[5], id[6], id[7]);
    __CPROVER_assume(bucket < of->buckets);
    return AFTER + bucket;
}

/* A handle may name a slot that does not exist; then nothing may be read there. */
slot_t *separate_slot_at(const sesstab_t *of, uint32_t i)
{
    (void)of;
    for (uint32_t k = 0; k < SLOTS; k++)
        if (i == k)
            return (slot_t *)(void *)slots[k];
    return NULL;
}

uint32_t numbered_get(const sesstab_t *of, uint32_t i, uint32_t which)
{
    (void)of;
    CLAIM(3 * i + which < LINKS);
    return links[3 * i + which];
}

void numbered_put(const sesstab_t *of, uint32_t i, uint32_t which, uint32_t value)
{
    (void)of;
    CLAIM(3 * i + which < LINKS && value <= SLOTS);
    links[3 * i + which] = (uint8_t)value;
}

/* ---- A table that is in order ---- */

typedef struct {
    uint8_t in_ring[SLOTS];
    uint8_t in_free[SLOTS];
    uint8_t in_chain[SLOTS];
} places_t;

/* The ring: from end back to end, each slot once, both directions agree, and as many as number says. */
static int ring_is_right(places_t *p)
{
    uint32_t last = t->end, count = 0;
    uint32_t i = get(t, last, NEXT);
    for (uint32_t k = 0; k < SLOTS && i != t->end; k++) {
        if (i >= t->end || p->in_ring[i] || get(t, i, PREV) != last)
            return 0;
        p->in_ring[i] = 1;
        count++;
        last = i;
        i = get(t, i, NEXT);
    }
    return i == t->end && get(t, t->end, PREV) == last && count == t->number && count <= CAPACITY;
}

static int free_list_is_right(places_t *p)
{
    uint32_t i = t->free;
    for (uint32_t k = 0; k < SLOTS && i != t->end; k++) {
        if (i >= t->end || p->in_free[i])
            return 0;
        p->in_free[i] = 1;
        i = get(t, i, NEXT);
    }
    return i == t->end;
}

static int chains_are_right(places_t *p)
{
    for (uint32_t b = 0; b < SESSTAB_BUCKETS(CAPACITY); b++) {
        uint32_t i = get(t, t->end, AFTER + b);
        for (uint32_t k = 0; k < SLOTS && i != t->end; k++) {
            if (i >= t->end || p->in_chain[i] || bucket_of(t, slot_at(t, i)->id) != AFTER + b)
                return 0;
            p->in_chain[i] = 1;
            i = get(t, i, AFTER);
        }
        if (i != t->end)
            return 0;
    }
    return 1;
}

static int is_wiped(const slot_t *s)
{
    uint32_t bits = s->time | s->timeout | s->lengths | s->refs | s->context;
    for (uint32_t k = 0; k < WORDS; k++)
        bits |= s->id[k];
    for (uint32_t k = offsetof(slot_t, data); k < t->stride; k++)
        bits |= ((const uint8_t *)s)[k];
    return bits == 0;
}

static int session_is_right(const slot_t *s)
{
    const uint8_t *id = (const uint8_t *)s->id;
    for (uint32_t k = id_len_of(s); k < SESSTAB_ID_MAX; k++)
        if (id[k])
            return 0;
    return s->lengths >> 5 <= DATA && s->generation >= 1 && s->generation <= t->generation_max;
}

/* Each slot is in one place, and holds what belongs there. */
static int slots_are_right(const places_t *p)
{
    for (uint32_t i = 0; i < SLOTS; i++) {
        const slot_t *s = slot_at(t, i);
        if (p->in_ring[i] != p->in_chain[i] || p->in_ring[i] != (get(t, i, PREV) != i))
            return 0;
        if (p->in_free[i] ? p->in_ring[i] || !is_wiped(s) || s->generation > t->generation_max
                          : !(p->in_ring[i] || s->refs) || !session_is_right(s))
            return 0;
        if (p->in_ring[i] && (s->time > t->newest ||
                                 (s->timeout <= UINT32_MAX - s->time && s->time + s->timeout < t->soonest)))
            return 0;
        for (uint32_t j = 0; j < i; j++)
            if (p->in_ring[i] && p->in_ring[j] && same_id(s, slot_at(t, j)->id, id_len_of(slot_at(t, j))))
                return 0;
    }
    return 1;
}

static int in_order(void)
{
    places_t p = {{0}, {0}, {0}};
    return ring_is_right(&p) && free_list_is_right(&p) && chains_are_right(&p) && slots_are_right(&p) &&
           t->cache_size >= 1 && t->cache_size <= CAPACITY && t->leaving == t->end && !t->busy &&
           !(t->config.mode & ~MODES) && t->config.timeout != SESSTAB_DEFAULT_TIMEOUT;
}

/* What sesstab_init makes of these settings, but for the contents; new_table() compares. */
static void make_table(void)
{
    table.config.capacity = CAPACITY;
    table.config.spare = SPARE;
    table.config.data_size = DATA;
    table.config.clock = seconds;
    table.stride = sizeof slots[0];
    table.end = SLOTS;
    table.leaving = SLOTS;
    table.buckets = SESSTAB_BUCKETS(CAPACITY);
    while ((SLOTS - 1) >> table.slot_bits)
        table.slot_bits++;
    table.slot_mask = (uint16_t)((1u << table.slot_bits) - 1);
    table.generation_max = (uint16_t)(HANDLE_MAX >> table.slot_bits);
}

/* Any state that is in order. */
static void any_state(void)
{
    for (uint32_t i = 0; i < LINKS; i++)
        links[i] = nondet_u8();
    for (uint32_t i = 0; i < SLOTS; i++)
        for (uint32_t k = 0; k < sizeof slots[0] / 4; k++)
            slots[i][k] = nondet_u32();
    t->free = nondet_u16();
    t->number = nondet_u16();
    t->cache_size = nondet_u16();
    t->soonest = nondet_u32();
    t->newest = nondet_u32();
    t->hits = nondet_u32();
    t->misses = nondet_u32();
    t->timeouts = nondet_u32();
    t->cache_full = nondet_u32();
    t->cb_hits = nondet_u32();
    t->stored = nondet_u32();
    t->config.mode = nondet_u16();
    t->config.timeout = nondet_u32();
    __CPROVER_assume(in_order());
}

/* ---- Callbacks that make calls ---- */

#ifdef CALLBACKS
static int depth;

static void call_something(void)
{
    sesstab_handle_t h = nondet_u32();
    if (depth++)
        return;
    switch (nondet_u8() % 4) {
        case 0: sesstab_free(t, h); break;
        case 1: sesstab_up_ref(t, h); break;
        case 2: sesstab_new_session(t, id_argument, nondet_size(), data_argument, nondet_size(), nondet_u32(), nondet_u8()); break;
        default: sesstab_set_session_time(t, h, nondet_u32()); break;
    }
}

static int on_new(void *arg, sesstab_handle_t h)
{
    (void)arg, (void)h;
    call_something();
    return nondet_u8() & 1;
}

static sesstab_handle_t on_get(void *arg, const uint8_t *id, size_t id_len)
{
    (void)arg, (void)id, (void)id_len;
    call_something();
    return nondet_u32();
}

static void on_remove(void *arg, sesstab_handle_t h)
{
    (void)arg;
    CLAIM(session(t, h) != NULL);
    call_something();
}
#endif

/* ---- The calls, and what each promises ---- */

static uint32_t refs_before[SLOTS];

/* No count went below zero: one that was 0 is at most 1 now. No call takes or gives back two. */
static void check_references(void)
{
    for (uint32_t i = 0; i < SLOTS; i++)
        CLAIM(IMPLIES(refs_before[i] == 0, slot_at(t, i)->refs <= 1));
}

static void call_new_session(void)
{
    size_t id_len = nondet_size(), data_len = nondet_size();
    __CPROVER_assume(id_len <= sizeof id_argument && data_len <= sizeof data_argument);
    uint32_t timeout = nondet_u32();
    uint8_t context = nondet_u8();
    sesstab_handle_t h = sesstab_new_session(t, id_argument, id_len, data_argument, data_len, timeout, context);
    CLAIM(IMPLIES(id_len < 1 || id_len > SESSTAB_ID_MAX || data_len > DATA, h == 0));
    CLAIM(h <= HANDLE_MAX);
    CLAIM(IMPLIES(h, session(t, h) && session(t, h)->refs == 1 && !in_table(t, number_of(t, h))));
    CLAIM(IMPLIES(h, session(t, h)->time == now && session(t, h)->context == context));
}

static void call_up_ref(void)
{
    sesstab_handle_t h = nondet_u32();
    int live = session(t, h) != NULL;
    uint32_t refs = sesstab_session_refs(t, h);
    int done = sesstab_up_ref(t, h);
    CLAIM(IMPLIES(!live, !done));
    CLAIM(sesstab_session_refs(t, h) == refs + (uint32_t)done);
}

static void call_free(void)
{
    sesstab_handle_t h = nondet_u32();
    uint32_t refs = sesstab_session_refs(t, h);
    int done = sesstab_free(t, h);
    CLAIM(IMPLIES(refs == 0, !done));
    CLAIM(sesstab_session_refs(t, h) == refs - (uint32_t)done);
    CLAIM(IMPLIES(done && refs == 1, !session(t, h))); /* stale, and wiped: in_order() */
}

static void call_add_session(void)
{
    sesstab_handle_t h = nondet_u32();
    int was_in = session(t, h) && in_table(t, number_of(t, h));
    int done = sesstab_add_session(t, h);
    CLAIM(IMPLIES(was_in, !done));
    if (!done)
        return;
    uint32_t i = number_of(t, h);
    CLAIM(session(t, h) && in_table(t, i) && sesstab_next(t, 0) == h);
    CLAIM(t->number <= t->cache_size);
    /* What was added is found. */
    const slot_t *s = session(t, h);
    uint8_t id[SESSTAB_ID_MAX];
    copy(id, (const uint8_t *)s->id, SESSTAB_ID_MAX);
    int findable = !is_expired(s, now) && s->refs < SESSTAB_REFS_MAX &&
                   !(t->config.mode & SESSTAB_CACHE_NO_INTERNAL_LOOKUP);
    CLAIM(sesstab_has_session(t, id, id_len_of(s)));
    CLAIM(IMPLIES(findable, sesstab_get_session(t, id, id_len_of(s), s->context) == h));
}

static void call_remove_session(void)
{
    sesstab_handle_t h = nondet_u32();
    const slot_t *s = session(t, h);
    uint8_t id[SESSTAB_ID_MAX];
    uint32_t id_len = s ? id_len_of(s) : 0;
    if (s)
        copy(id, (const uint8_t *)s->id, SESSTAB_ID_MAX);
    int done = sesstab_remove_session(t, h);
    CLAIM(IMPLIES(!s, !done));
    CLAIM(IMPLIES(s, !sesstab_has_session(t, id, id_len)));
}

static void call_get_session(void)
{
    size_t id_len = nondet_size();
    __CPROVER_assume(id_len <= sizeof id_argument);
    uint8_t context = nondet_u8();
    sesstab_handle_t h = sesstab_get_session(t, id_argument, id_len, context);
    if (!h)
        return;
    const slot_t *s = session(t, h);
    CLAIM(s && s->refs && s->context == context && !is_expired(s, now));
    CLAIM(id_len_of(s) == id_len);
    for (size_t k = 0; k < SESSTAB_ID_MAX; k++)
        CLAIM(((const uint8_t *)s->id)[k] == (k < id_len ? id_argument[k] : 0));
}

static void call_flush_sessions(void)
{
    uint32_t at = nondet_u32();
    sesstab_flush_sessions(t, at);
    for (uint32_t i = 0; i < SLOTS; i++)
        CLAIM(IMPLIES(in_table(t, i), !is_expired(slot_at(t, i), at)));
}

static void call_update_cache(void)
{
    sesstab_update_cache(t, nondet_u32(), nondet_u32());
}

static void call_clear(void)
{
    sesstab_clear(t);
    CLAIM(t->number == 0 && !session(t, nondet_u32()));
}

static void call_setter(void)
{
    sesstab_handle_t h = nondet_u32();
    uint32_t value = nondet_u32();
    switch (nondet_u8() % 5) {
        case 0: sesstab_set_session_time(t, h, value); break;
        case 1: sesstab_set_session_timeout(t, h, value); break;
        case 2: sesstab_set_mode(t, value); break;
        case 3: sesstab_sess_set_cache_size(t, value); break;
        default:
            __CPROVER_assume(value != SESSTAB_DEFAULT_TIMEOUT);
            sesstab_set_timeout(t, value);
            break;
    }
}

static void call_reader(void)
{
    sesstab_handle_t h = nondet_u32();
    size_t len;
    const uint8_t *id = sesstab_session_id(t, h, &len);
    CLAIM(IMPLIES(id, len >= 1 && len <= SESSTAB_ID_MAX));
    CLAIM(IMPLIES(!id, len == 0 && !sesstab_session_time(t, h) && !sesstab_session_refs(t, h)));
    const uint8_t *data = sesstab_session_data(t, h, &len);
    CLAIM(!id == !data && len <= DATA);
    sesstab_handle_t next = sesstab_next(t, h);
    CLAIM(IMPLIES(next, session(t, next) && in_table(t, number_of(t, next))));
}

/* A new table is in order, and where make_table() says. */
void new_table(void)
{
    static SESSTAB_MEMORY(memory, CAPACITY, SPARE, DATA);
    sesstab_config_t config = {.capacity = CAPACITY, .spare = SPARE, .data_size = DATA, .clock = seconds};
    config.mode = SESSTAB_CACHE_SERVER;
    config.timeout = nondet_u32();
    config.seed[0] = nondet_u32();
    __CPROVER_assume(config.timeout != SESSTAB_DEFAULT_TIMEOUT);
    sesstab_t *made = sesstab_init(memory, sizeof memory, &config);
    make_table();
    CLAIM(made == (void *)memory);
    CLAIM(made->stride == t->stride && made->end == t->end && made->leaving == t->leaving);
    CLAIM(made->buckets == t->buckets && made->slot_bits == t->slot_bits && made->slot_mask == t->slot_mask);
    CLAIM(made->generation_max == t->generation_max && !made->wide && !made->busy);
    reset(t);
    t->cache_size = made->cache_size;
    CLAIM(in_order());
    CLAIM(t->number == 0);
}

/* The functions that the other proofs replace keep within the memory that sesstab_init asked for. */
void layout(void)
{
    static SESSTAB_MEMORY(memory, CAPACITY, SPARE, DATA);
    sesstab_config_t config = {.capacity = CAPACITY, .spare = SPARE, .data_size = DATA, .clock = seconds};
    sesstab_t *made = sesstab_init(memory, sizeof memory, &config);
    uint32_t i = nondet_u32(), which = nondet_u32(), j = nondet_u32();
    __CPROVER_assume(i <= SLOTS && 3 * i + which < LINKS && which < LINKS && j < SLOTS);
    uint32_t before = get(made, i, which);
    put(made, i, which, before);
    const uint8_t *slot = (const uint8_t *)slot_at(made, j);
    const uint8_t *link = (const uint8_t *)made->links + 3 * i + which;
    CLAIM(link >= (const uint8_t *)(made + 1) && link < made->slots);
    CLAIM(slot >= made->slots && slot + made->stride <= (const uint8_t *)memory + sizeof memory);
    CLAIM((uintptr_t)slot % 4 == 0);
    uint32_t id[WORDS];
    for (uint32_t k = 0; k < WORDS; k++)
        id[k] = nondet_u32();
    uint32_t bucket = bucket_of(made, id);
    CLAIM(bucket >= AFTER && bucket < AFTER + made->buckets);
}

void one_call(void)
{
    make_table();
#ifdef CALLBACKS
    t->config.on_new = on_new;
    t->config.on_get = on_get;
    t->config.on_remove = on_remove;
#endif
    for (unsigned k = 0; k < sizeof id_argument; k++)
        id_argument[k] = nondet_u8();
    for (unsigned k = 0; k < sizeof data_argument; k++)
        data_argument[k] = nondet_u8();
    now = nondet_u32();
    any_state();
    for (uint32_t i = 0; i < SLOTS; i++)
        refs_before[i] = slot_at(t, i)->refs;
    CALL();
    CLAIM(in_order());
    check_references();
}
