/*
 * The table lives in one block of memory that the caller supplies:
 *
 *     struct sesstab   settings, counters, the hash's key
 *     links            three per slot, two for the end of the list, and the buckets
 *     slots            one per session, spare ones included
 *
 * A slot (slot_t) is, in bytes:
 *
 *      0  id            32, padded with zeros
 *     32  time           4
 *     36  timeout        4
 *     40  generation     2, counts the sessions that the slot has held; never wiped
 *     42  lengths        2, 5 bits for the id's minus 1, 11 bits for the data's
 *     44  references     1, those of callers; the table's own shows in the links
 *     45  context        1
 *     46  data           data_size, then padding to a multiple of 4
 *
 * A slot is in the table, or held only by callers (references not 0), or free; then all its bytes but the
 * generation are 0. Its links are numbers of slots, in one byte each where 255 slots are enough, else in two:
 *
 *     prev, next       the ring of the slots in the table, in the order of use. "end", the number after the last
 *                      slot, closes it: end's next is the most recently used, end's prev the least. A slot that
 *                      is not in the table is its own prev. Free slots form a stack through next.
 *     after            the next slot in the same bucket, or end
 *
 * An id is looked up in its bucket. There are 7 buckets for 8 sessions, and who chooses ids does not choose
 * buckets: the hash (multilinear, Lemire and Kaser's MULTILINEAR-HM on 16-bit characters) is keyed with random
 * numbers, and puts any two ids of the same length into one bucket no more often than chance does. It takes 8
 * multiplications, which even the smallest machine has. Who could learn the key all the same, from response times
 * say, gains little: the work is bounded by the number of sessions, since a bucket cannot have more.
 *
 * Expired sessions go first, but a search for them at every insertion would cost the whole table each time. Hence
 * two bounds: no session in the table is made after `newest` or expires before `soonest`. While the clock is
 * between, there is nothing to look for. A search makes both exact, so that in normal use there is at most one
 * per tick of the clock.
 *
 * Callbacks may call the table. So nothing is kept across a callback but handles, which are looked up again.
 */
#include "sesstab.h"

#define WORDS (SESSTAB_ID_MAX / 4)
#define MODES                                                                                                    \
    (SESSTAB_CACHE_BOTH | SESSTAB_CACHE_NO_AUTO_CLEAR | SESSTAB_CACHE_NO_INTERNAL | SESSTAB_CACHE_UPDATE_TIME)
#define HANDLE_MAX 0x3fffffffu
#define COUNTER_MASK 0x3fffffffu

/* Keeps a compiler from dropping the stores before it, or from making a call of memset or memcpy out of a loop:
 * dynamic native modules have no libc. */
#if defined(__GNUC__)
#define BARRIER() __asm__ volatile("" : : : "memory")
#define LOOP() __asm__ volatile("")
#else
#define BARRIER()
#define LOOP()
#endif

typedef struct {
    uint32_t id[WORDS];
    uint32_t time;
    uint32_t timeout;
    uint16_t generation;
    uint16_t lengths;
    uint8_t refs;
    uint8_t context;
    uint8_t data[];
} slot_t;

/* Halfwords first, then words: where instructions of the Cortex-M0 reach. */
struct sesstab {
    sesstab_config_t config; /* mode and timeout are the current ones */
    uint16_t wide;
    uint16_t stride;
    uint16_t slot_bits; /* of a handle; the generation's are above them */
    uint16_t slot_mask;
    uint16_t generation_max;
    uint16_t end; /* how many slots there are; and "no slot" */
    uint16_t free;
    uint16_t leaving; /* the slot whose session on_remove is told of: the table's reference is not given back yet */
    uint16_t busy;    /* on_remove is running */
    uint16_t number;
    uint16_t cache_size;
    uint16_t buckets;
    uint32_t soonest;
    uint32_t newest;
    uint32_t hits;
    uint32_t misses;
    uint32_t timeouts;
    uint32_t cache_full;
    uint32_t cb_hits;
    uint32_t stored;
    void *links;
    uint8_t *slots;
    uint32_t key[2 * WORDS]; /* of the hash */
};

typedef char check_header_size[sizeof(struct sesstab) == SESSTAB_HEADER_SIZE ? 1 : -1];
typedef char check_slot_size[offsetof(slot_t, data) + 2 == SESSTAB_SLOT_SIZE(2) ? 1 : -1];

/* ---- Memory ---- */

static void copy(uint8_t *to, const uint8_t *from, size_t n)
{
#if defined(__x86_64__) || defined(__i386__) || defined(__aarch64__) /* any alignment will do */
    for (; n >= 8; n -= 8, to += 8, from += 8) {
        __builtin_memcpy(to, from, 8);
        LOOP();
    }
#endif
    for (size_t i = 0; i < n; i++) {
        to[i] = from[i];
        LOOP();
    }
}

/* `size` is a multiple of 4. */
static void zero(void *memory, size_t size)
{
    uint32_t *word = memory;
    for (size_t i = 0; i < size / 4; i++) {
        word[i] = 0;
        LOOP();
    }
    BARRIER();
}

size_t sesstab_size(size_t capacity, size_t spare, size_t data_size)
{
    if (capacity - 1 >= SESSTAB_SLOTS_MAX || spare > SESSTAB_SLOTS_MAX - capacity || data_size - 1 >= SESSTAB_DATA_MAX)
        return 0;
    return SESSTAB_SIZE(capacity, spare, data_size);
}

static slot_t *slot_at(const sesstab_t *t, uint32_t i)
{
    return (void *)(t->slots + (size_t)i * t->stride);
}

static uint32_t id_len_of(const slot_t *s)
{
    return (s->lengths & 31u) + 1;
}

/* ---- Links ---- */

enum { PREV, NEXT, AFTER };

/* A link of slot i: PREV, NEXT or AFTER. end has no after: in its place, and on, are the buckets. */
static uint32_t get(const sesstab_t *t, uint32_t i, uint32_t which)
{
    i = 3 * i + which;
    return t->wide ? ((const uint16_t *)t->links)[i] : ((const uint8_t *)t->links)[i];
}

static void put(const sesstab_t *t, uint32_t i, uint32_t which, uint32_t value)
{
    i = 3 * i + which;
    if (t->wide)
        ((uint16_t *)t->links)[i] = (uint16_t)value;
    else
        ((uint8_t *)t->links)[i] = (uint8_t)value;
}

static int in_table(const sesstab_t *t, uint32_t i)
{
    return get(t, i, PREV) != i;
}

/* Makes b follow a in the ring. */
static void join(const sesstab_t *t, uint32_t a, uint32_t b)
{
    put(t, a, NEXT, b);
    put(t, b, PREV, a);
}

static void ring_insert(const sesstab_t *t, uint32_t i)
{
    join(t, i, get(t, t->end, NEXT));
    join(t, t->end, i);
}

static void ring_delete(const sesstab_t *t, uint32_t i)
{
    join(t, get(t, i, PREV), get(t, i, NEXT));
}

/* ---- Finding ---- */

/* Which link of end is an id's bucket. */
static uint32_t bucket_of(const sesstab_t *t, const uint32_t *id)
{
    const uint32_t *key = t->key;
    uint32_t hash = 0;
    for (unsigned i = 0; i < WORDS; i++, key += 2) {
        hash += ((id[i] & 0xffff) + key[0]) * ((id[i] >> 16) + key[1]);
        LOOP();
    }
    return AFTER + ((hash >> 16) * t->buckets >> 16);
}

static int same_id(const slot_t *s, const uint32_t *id, uint32_t id_len)
{
    for (unsigned i = 0; i < WORDS; i++)
        if (s->id[i] != id[i])
            return 0;
    return id_len_of(s) == id_len;
}

/* The slot in the table that has this id (padded, aligned), or end. */
static uint32_t find(const sesstab_t *t, const uint32_t *id, uint32_t id_len)
{
    uint32_t i = get(t, t->end, bucket_of(t, id));
    while (i != t->end && !same_id(slot_at(t, i), id, id_len))
        i = get(t, i, AFTER);
    return i;
}

/* Finds an id as a caller has it, and leaves it padded and aligned. Its length must be right. */
static uint32_t find_id(const sesstab_t *t, uint32_t padded[WORDS], const uint8_t *id, size_t id_len)
{
    uint32_t len = (uint32_t)id_len;
    copy((uint8_t *)padded, id, id_len);
    for (; id_len < SESSTAB_ID_MAX; id_len++) {
        ((uint8_t *)padded)[id_len] = 0;
        LOOP();
    }
    return find(t, padded, len);
}

/* The number that a handle has for its slot, which may not exist. */
static uint32_t number_of(const sesstab_t *t, sesstab_handle_t h)
{
    return h & t->slot_mask;
}

static sesstab_handle_t handle_of(const sesstab_t *t, uint32_t i)
{
    return (uint32_t)slot_at(t, i)->generation << t->slot_bits | i;
}

/* Does the table hold a reference to slot i? */
static int is_held(const sesstab_t *t, uint32_t i)
{
    return in_table(t, i) || i == t->leaving;
}

/* The slot of a session, or NULL when the handle is stale. */
static slot_t *session(const sesstab_t *t, sesstab_handle_t h)
{
    uint32_t i = number_of(t, h);
    slot_t *s = slot_at(t, i);
    return i < t->end && h >> t->slot_bits == s->generation && (s->refs || is_held(t, i)) ? s : NULL;
}

/* ---- Time ---- */

uint32_t sesstab_now(const sesstab_t *t)
{
    return t->config.clock(t->config.arg);
}

static int is_expired(const slot_t *s, uint32_t now)
{
    return now == 0 || s->time > now || now - s->time > s->timeout;
}

/* Keeps the bounds true after a session's times have changed, or it came into the table. For a session that is not
 * in the table they become wider than needed, no more. */
static void note_times(sesstab_t *t, const slot_t *s)
{
    uint32_t end = s->time + s->timeout;
    if (end < s->time)
        end = UINT32_MAX;
    if (end < t->soonest)
        t->soonest = end;
    if (s->time > t->newest)
        t->newest = s->time;
}

static void forget_times(sesstab_t *t)
{
    t->soonest = UINT32_MAX;
    t->newest = 0;
}

/* ---- In and out of the table ---- */

static void free_slot(sesstab_t *t, uint32_t i)
{
    slot_t *s = slot_at(t, i);
    uint16_t generation = s->generation;
    zero(s, t->stride);
    s->generation = generation;
    put(t, i, NEXT, t->free);
    t->free = (uint16_t)i;
}

/* Frees the slot of a session that nobody needs any more. */
static void release(sesstab_t *t, uint32_t i)
{
    if (!slot_at(t, i)->refs && !is_held(t, i))
        free_slot(t, i);
}

static void enter(sesstab_t *t, uint32_t i)
{
    const slot_t *s = slot_at(t, i);
    uint32_t bucket = bucket_of(t, s->id);
    put(t, i, AFTER, get(t, t->end, bucket));
    put(t, t->end, bucket, i);
    ring_insert(t, i);
    note_times(t, s);
    t->number++;
}

static void leave(sesstab_t *t, uint32_t i)
{
    uint32_t other, before = t->end, which = bucket_of(t, slot_at(t, i)->id);
    while ((other = get(t, before, which)) != i) {
        before = other;
        which = AFTER;
    }
    put(t, before, which, get(t, i, AFTER));
    ring_delete(t, i);
    put(t, i, PREV, i);
    t->number--;
}

static void tell_removed(sesstab_t *t, sesstab_handle_t h)
{
    if (!t->config.on_remove)
        return;
    t->busy = 1;
    t->config.on_remove(t->config.arg, h);
    t->busy = 0;
}

/* Removes what is in slot i on behalf of `h`, which has the same id. As in libssl, the callback comes before the
 * table gives back its reference. */
static void remove_slot(sesstab_t *t, uint32_t i, sesstab_handle_t h)
{
    leave(t, i);
    t->leaving = (uint16_t)i;
    tell_removed(t, h);
    t->leaving = t->end;
    release(t, i);
}

static void evict(sesstab_t *t, uint32_t i)
{
    remove_slot(t, i, handle_of(t, i));
}

static uint32_t remove_expired(sesstab_t *t, uint32_t now)
{
    uint32_t removed = 0;
    if (now && now >= t->newest && now <= t->soonest)
        return 0;
    forget_times(t);
    for (uint32_t i = 0; i < t->end; i++) {
        const slot_t *s = slot_at(t, i);
        if (!in_table(t, i))
            continue;
        if (is_expired(s, now)) {
            evict(t, i);
            removed++;
        } else {
            note_times(t, s);
        }
    }
    return removed;
}

static void make_room(sesstab_t *t)
{
    if (t->number >= t->cache_size)
        t->cache_full += remove_expired(t, sesstab_now(t));
    for (; t->number >= t->cache_size; t->cache_full++)
        evict(t, get(t, t->end, PREV));
}

/* ---- Making a table ---- */

/* Every slot free, so that they are given out in the order 0, 1, 2, ... */
static void reset(sesstab_t *t)
{
    for (uint32_t i = AFTER + t->buckets; i-- > 0;)
        put(t, t->end, i, t->end);
    t->free = t->end;
    for (uint32_t i = t->end; i-- > 0;) {
        free_slot(t, i);
        put(t, i, PREV, i);
    }
    t->number = 0;
    t->leaving = t->end;
    forget_times(t);
}

/* Makes the hash's key of the seed, by a permutation of 64 bits that is run over and over. The first pass makes up
 * for a poor seed. */
static void make_key(sesstab_t *t)
{
    uint32_t x = t->config.seed[0], y = t->config.seed[1];
    for (unsigned i = 0; i < 4 * WORDS; i++) {
        x = (x ^ x >> 15) * 0x9e3779b1u + y;
        y = (y ^ y >> 13) * 0x85ebca6bu + x;
        t->key[i % (2 * WORDS)] = y;
    }
}

sesstab_t *sesstab_init(void *memory, size_t size, const sesstab_config_t *c)
{
    size_t needed = sesstab_size(c->capacity, c->spare, c->data_size);
    uint32_t slots = (uint32_t)c->capacity + c->spare;
    sesstab_t *t = memory;
    if (!memory || needed == 0 || size < needed || (uintptr_t)memory % sizeof(void *) || !c->clock ||
        c->timeout == SESSTAB_DEFAULT_TIMEOUT || (c->mode & ~MODES))
        return NULL;
    zero(memory, needed);
    copy((uint8_t *)&t->config, (const uint8_t *)c, sizeof *c);
    t->wide = SESSTAB_IS_WIDE(slots);
    t->stride = (uint16_t)SESSTAB_SLOT_SIZE((uint32_t)c->data_size);
    t->end = (uint16_t)slots;
    t->cache_size = c->capacity;
    t->buckets = (uint16_t)SESSTAB_BUCKETS(c->capacity);
    t->links = t + 1;
    t->slots = (uint8_t *)memory + needed - (size_t)slots * t->stride;
    while ((slots - 1) >> t->slot_bits)
        t->slot_bits++;
    t->slot_mask = (uint16_t)((1u << t->slot_bits) - 1);
    t->generation_max = (uint16_t)(HANDLE_MAX >> t->slot_bits); /* all 16 bits, or what the slot's bits leave */
    make_key(t);
    reset(t);
    return t;
}

void sesstab_clear(sesstab_t *t)
{
    if (!t->busy)
        reset(t);
}

/* ---- Sessions ---- */

sesstab_handle_t sesstab_new_session(sesstab_t *t, const uint8_t *id, size_t id_len, const uint8_t *data,
    size_t data_len, uint32_t timeout, uint8_t context)
{
    uint32_t now = sesstab_now(t);
    uint32_t i = t->free;
    if (i == t->end || id_len - 1 >= SESSTAB_ID_MAX || data_len > t->config.data_size)
        return 0;
    slot_t *s = slot_at(t, i);
    t->free = (uint16_t)get(t, i, NEXT);
    copy((uint8_t *)s->id, id, id_len);
    copy(s->data, data, data_len);
    s->time = now;
    s->timeout = timeout == SESSTAB_DEFAULT_TIMEOUT ? t->config.timeout : timeout;
    s->generation = (uint16_t)(s->generation < t->generation_max ? s->generation + 1 : 1);
    s->lengths = (uint16_t)(data_len << 5 | (id_len - 1));
    s->refs = 1;
    s->context = context;
    return handle_of(t, i);
}

int sesstab_up_ref(sesstab_t *t, sesstab_handle_t h)
{
    slot_t *s = session(t, h);
    if (!s || s->refs == SESSTAB_REFS_MAX)
        return 0;
    s->refs++;
    return 1;
}

int sesstab_free(sesstab_t *t, sesstab_handle_t h)
{
    slot_t *s = session(t, h);
    if (!s || !s->refs)
        return 0;
    s->refs--;
    release(t, number_of(t, h));
    return 1;
}

/* ---- The table ---- */

int sesstab_add_session(sesstab_t *t, sesstab_handle_t h)
{
    if (t->busy)
        return 0;
    if (t->config.mode & SESSTAB_CACHE_UPDATE_TIME)
        sesstab_set_session_time(t, h, sesstab_now(t));
    uint32_t i = number_of(t, h);
    const slot_t *s = session(t, h);
    if (!s || in_table(t, i))
        return 0;
    uint32_t other = find(t, s->id, id_len_of(s));
    if (other != t->end) {
        leave(t, other);
        release(t, other);
    }
    make_room(t);
    if (!session(t, h)) /* on_remove has freed it */
        return 0;
    enter(t, i);
    return 1;
}

int sesstab_remove_session(sesstab_t *t, sesstab_handle_t h)
{
    const slot_t *s = session(t, h);
    if (t->busy || !s)
        return 0;
    uint32_t i = find(t, s->id, id_len_of(s));
    if (i == t->end) {
        tell_removed(t, h);
        return 0;
    }
    remove_slot(t, i, h);
    return 1;
}

/* Asks on_get, and stores what it gives. Returns a handle that came with a reference, or 0. */
static sesstab_handle_t get_external(sesstab_t *t, const uint32_t *padded, const uint8_t *id, size_t id_len)
{
    if (!t->config.on_get)
        return 0;
    sesstab_handle_t h = t->config.on_get(t->config.arg, id, id_len);
    const slot_t *s = session(t, h);
    if (!s || !s->refs)
        return 0;
    if (!same_id(s, padded, (uint32_t)id_len)) {
        sesstab_free(t, h);
        return 0;
    }
    t->cb_hits++;
    /* With UPDATE_TIME, adding would make an expired session fresh. */
    uint32_t mode = t->config.mode;
    int revives = (mode & SESSTAB_CACHE_UPDATE_TIME) && is_expired(s, sesstab_now(t));
    if (!(mode & SESSTAB_CACHE_NO_INTERNAL_STORE) && !revives)
        sesstab_add_session(t, h);
    return h;
}

sesstab_handle_t sesstab_get_session(sesstab_t *t, const uint8_t *id, size_t id_len, uint8_t context)
{
    uint32_t padded[WORDS];
    if (t->busy || id_len - 1 >= SESSTAB_ID_MAX)
        return 0;
    uint32_t i = find_id(t, padded, id, id_len);
    if (t->config.mode & SESSTAB_CACHE_NO_INTERNAL_LOOKUP)
        i = t->end;
    else if (i == t->end)
        t->misses++;
    sesstab_handle_t h;
    if (i == t->end) {
        h = get_external(t, padded, id, id_len);
    } else {
        slot_t *s = slot_at(t, i);
        if (s->refs == SESSTAB_REFS_MAX)
            return 0;
        s->refs++;
        h = handle_of(t, i);
    }
    uint32_t now = h ? sesstab_now(t) : 0;
    slot_t *s = session(t, h);
    if (!s) /* nothing found, or a callback has freed it */
        return 0;
    if (s->context == context) {
        if (!is_expired(s, now)) {
            t->hits++;
            i = number_of(t, h);
            if (in_table(t, i)) {
                ring_delete(t, i);
                ring_insert(t, i);
            }
            if (t->config.mode & SESSTAB_CACHE_UPDATE_TIME)
                sesstab_set_session_time(t, h, now);
            return h;
        }
        t->timeouts++;
        sesstab_remove_session(t, h);
    }
    sesstab_free(t, h);
    return 0;
}

int sesstab_has_session(sesstab_t *t, const uint8_t *id, size_t id_len)
{
    uint32_t padded[WORDS];
    return id_len - 1 < SESSTAB_ID_MAX && find_id(t, padded, id, id_len) != t->end;
}

uint32_t sesstab_flush_sessions(sesstab_t *t, uint32_t now)
{
    return t->busy ? 0 : remove_expired(t, now);
}

int sesstab_update_cache(sesstab_t *t, sesstab_handle_t h, uint32_t side)
{
    uint32_t mode = t->config.mode;
    int added = 0;
    if (t->busy || side > SESSTAB_CACHE_BOTH || !(mode & side) || !session(t, h))
        return 0;
    t->stored++;
    if (!(mode & SESSTAB_CACHE_NO_INTERNAL_STORE))
        added = sesstab_add_session(t, h);
    if (t->config.on_new && sesstab_up_ref(t, h) && !t->config.on_new(t->config.arg, h))
        sesstab_free(t, h);
    if (!(mode & SESSTAB_CACHE_NO_AUTO_CLEAR) && (t->stored & 0xff) == 0xff)
        sesstab_flush_sessions(t, sesstab_now(t));
    return added;
}

/* ---- What a session holds ---- */

const uint8_t *sesstab_session_id(sesstab_t *t, sesstab_handle_t h, size_t *len)
{
    const slot_t *s = session(t, h);
    *len = s ? id_len_of(s) : 0;
    return s ? (const uint8_t *)s->id : NULL;
}

const uint8_t *sesstab_session_data(sesstab_t *t, sesstab_handle_t h, size_t *len)
{
    const slot_t *s = session(t, h);
    *len = s ? s->lengths >> 5 : 0;
    return s ? s->data : NULL;
}

uint32_t sesstab_session_time(sesstab_t *t, sesstab_handle_t h)
{
    const slot_t *s = session(t, h);
    return s ? s->time : 0;
}

uint32_t sesstab_session_timeout(sesstab_t *t, sesstab_handle_t h)
{
    const slot_t *s = session(t, h);
    return s ? s->timeout : 0;
}

uint8_t sesstab_session_context(sesstab_t *t, sesstab_handle_t h)
{
    const slot_t *s = session(t, h);
    return s ? s->context : 0;
}

int sesstab_set_session_time(sesstab_t *t, sesstab_handle_t h, uint32_t time)
{
    slot_t *s = session(t, h);
    if (!s)
        return 0;
    s->time = time;
    note_times(t, s);
    return 1;
}

int sesstab_set_session_timeout(sesstab_t *t, sesstab_handle_t h, uint32_t timeout)
{
    slot_t *s = session(t, h);
    if (!s)
        return 0;
    s->timeout = timeout;
    note_times(t, s);
    return 1;
}

uint32_t sesstab_session_refs(sesstab_t *t, sesstab_handle_t h)
{
    const slot_t *s = session(t, h);
    return s ? s->refs + (uint32_t)is_held(t, number_of(t, h)) : 0;
}

/* ---- Settings and statistics ---- */

sesstab_config_t *sesstab_settings(sesstab_t *t)
{
    return &t->config;
}

uint32_t sesstab_get_timeout(const sesstab_t *t)
{
    return t->config.timeout;
}

void sesstab_set_timeout(sesstab_t *t, uint32_t timeout)
{
    t->config.timeout = timeout;
}

uint32_t sesstab_get_mode(const sesstab_t *t)
{
    return t->config.mode;
}

void sesstab_set_mode(sesstab_t *t, uint32_t mode)
{
    t->config.mode = (uint16_t)(mode & MODES);
}

uint32_t sesstab_sess_get_cache_size(const sesstab_t *t)
{
    return t->cache_size;
}

void sesstab_sess_set_cache_size(sesstab_t *t, uint32_t size)
{
    t->cache_size = size - 1 < t->config.capacity ? (uint16_t)size : t->config.capacity;
}

uint32_t sesstab_sess_number(const sesstab_t *t)
{
    return t->number;
}

uint32_t sesstab_sess_hits(const sesstab_t *t)
{
    return t->hits & COUNTER_MASK;
}

uint32_t sesstab_sess_misses(const sesstab_t *t)
{
    return t->misses & COUNTER_MASK;
}

uint32_t sesstab_sess_timeouts(const sesstab_t *t)
{
    return t->timeouts & COUNTER_MASK;
}

uint32_t sesstab_sess_cache_full(const sesstab_t *t)
{
    return t->cache_full & COUNTER_MASK;
}

uint32_t sesstab_sess_cb_hits(const sesstab_t *t)
{
    return t->cb_hits & COUNTER_MASK;
}

uint32_t sesstab_sess_stored(const sesstab_t *t)
{
    return t->stored & COUNTER_MASK;
}

sesstab_handle_t sesstab_next(sesstab_t *t, sesstab_handle_t h)
{
    uint32_t i = h ? number_of(t, h) : t->end;
    if (h && (!session(t, h) || !in_table(t, i)))
        return 0;
    i = get(t, i, NEXT);
    return i == t->end ? 0 : handle_of(t, i);
}
