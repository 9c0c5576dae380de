/*
 * The table lives in one block of memory that the caller supplies:
 *
 *     struct sesstab   settings, counters, the hash's key
 *     links            prev, next: one for each slot and one for the end; after: one for each slot and each bucket
 *     slots            one per session, spare ones included
 *
 * A slot (slot_t) is, in bytes:
 *
 *      2  generation     2, counts the sessions that the slot has held; never wiped
 *      4  lengths        2, 5 bits for the id's minus 1, 11 bits for the data's
 *      6  references     1, those of callers; the table's own shows in the links
 *      7  context        1
 *      8  id            32, padded with zeros
 *     40  time           4
 *     44  timeout        4
 *     48  data           data_size, then padding to 2 bytes after a multiple of 4
 *
 * It starts at byte 2, so that id and data are aligned and the 50 bytes of a TLS 1.2 session leave no gap: the slots
 * overlap by two bytes. A slot is in the table, or held only by callers (references not 0), or free; then all its
 * bytes but the generation are 0. Its links are numbers of slots, in one byte each where 255 slots are enough, else
 * in two:
 *
 *     prev, next       the ring of the slots in the table, in the order of use. "end", the number after the last
 *                      slot, closes it: end's next is the most recently used, end's prev the least. A slot that
 *                      is not in the table is its own prev. Free slots form a stack through next.
 *     after            the next slot in the same bucket, or end. The buckets are numbered from end on; a bucket's
 *                      after is its first slot.
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
 * Callbacks may call the table, and so may the clock. So nothing is kept across a callback but handles, which are
 * looked up again, and the clock is asked first.
 */
#include "sesstab.h"

#define WORDS (SESSTAB_ID_MAX / 4)
#define MODES                                                                                                    \
    (SESSTAB_CACHE_BOTH | SESSTAB_CACHE_NO_AUTO_CLEAR | SESSTAB_CACHE_NO_INTERNAL | SESSTAB_CACHE_UPDATE_TIME)
#define HANDLE_MAX 0x3fffffffu
#define COUNTER_MASK 0x3fffffffu

/* For speed where boards compile for size: a function that is always or never part of its callers, a loop over WORDS
 * without a counter, and a pointer whose origin the compiler shall forget, so that it addresses from there on.
 * BARRIER keeps the stores before it. LOOP and HIDE also keep a loop from becoming a call of memset or memcpy:
 * dynamic native modules have no libc. */
#if defined(__GNUC__)
#define INLINE inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))
#define HIDE(pointer) __asm__("" : "+r"(pointer))
#define BARRIER() __asm__ volatile("" : : : "memory")
#define LOOP() __asm__ volatile("")
#define MAY_ALIAS __attribute__((may_alias))
#else
#define INLINE inline
#define NOINLINE
#define HIDE(pointer)
#define BARRIER()
#define LOOP()
#define MAY_ALIAS
#endif
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define UNROLL _Pragma("GCC unroll 8")
#else
#define UNROLL
#endif

typedef uint32_t MAY_ALIAS word_t; /* of callers' memory, too */
typedef uint16_t MAY_ALIAS half_t;

typedef struct {
    word_t word[WORDS];
} words_t; /* an id, padded with zeros */

typedef struct {
    word_t word[2];
} pair_t;

typedef struct {
    uint8_t before[2]; /* the last two bytes of the slot before */
    uint16_t generation;
    uint16_t lengths;
    uint8_t refs;
    uint8_t context;
    words_t id;
    uint32_t time;
    uint32_t timeout;
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
    void *links[3]; /* PREV, NEXT, AFTER */
    uint8_t *slots; /* where slot 0 would be with the two bytes before it */
    uint32_t key[2 * WORDS]; /* of the hash */
};

typedef char check_header_size[sizeof(struct sesstab) == SESSTAB_HEADER_SIZE ? 1 : -1];
typedef char check_slot_size[offsetof(slot_t, data) == SESSTAB_SLOT_SIZE(2) ? 1 : -1];

/* ---- Memory ---- */

static int is_aligned(const void *memory)
{
    return (uintptr_t)memory % 4 == 0;
}

/* `to` is aligned. */
static void copy(void *to, const void *from, size_t n)
{
    if (is_aligned(from))
        for (; n >= sizeof(pair_t); n -= sizeof(pair_t)) {
            *(pair_t *)to = *(const pair_t *)from;
            to = (pair_t *)to + 1;
            from = (const pair_t *)from + 1;
            HIDE(to);
            HIDE(from);
        }
    for (size_t i = 0; i < n; i++) {
        ((uint8_t *)to)[i] = ((const uint8_t *)from)[i];
        LOOP();
    }
}

/* `memory` is aligned; `size` is 2 more than a multiple of 4, as the table's is, and a slot's less its generation. */
static void zero(void *memory, size_t size)
{
    word_t *word = memory;
    for (; size >= 16; size -= 16) {
        word[0] = 0;
        word[1] = 0;
        word[2] = 0;
        word[3] = 0;
        word += 4;
        HIDE(word);
    }
    for (; size >= 4; size -= 4) {
        *word++ = 0;
        HIDE(word);
    }
    *(half_t *)word = 0;
    BARRIER();
}

/* Zeros come after the id. */
static const words_t *pad(words_t *padded, const uint8_t *id, size_t id_len)
{
    uint8_t *byte = (uint8_t *)padded;
    for (size_t i = 0; i < SESSTAB_ID_MAX; i++) {
        byte[i] = 0;
        if (i < id_len)
            byte[i] = id[i];
    }
    return padded;
}

/* A caller's id, padded and aligned: where it is, if it is so there, else in `padded`. */
static INLINE const words_t *words_of(words_t *padded, const uint8_t *id, size_t id_len)
{
    return id_len == SESSTAB_ID_MAX && is_aligned(id) ? (const void *)id : pad(padded, id, id_len);
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

/* `wide` is t->wide, or a constant: where time matters, code is made twice. */
static INLINE uint32_t get_as(const void *links, uint32_t i, int wide)
{
    return !wide ? ((const uint8_t *)links)[i] : ((const uint16_t *)links)[i];
}

static INLINE void put_as(void *links, uint32_t i, uint32_t value, int wide)
{
    if (!wide)
        ((uint8_t *)links)[i] = (uint8_t)value;
    else
        ((uint16_t *)links)[i] = (uint16_t)value;
}

/* A link of slot i, of end, or of a bucket. */
static uint32_t get(const sesstab_t *t, uint32_t i, unsigned which)
{
    return get_as(t->links[which], i, t->wide);
}

static void put(const sesstab_t *t, uint32_t i, unsigned which, uint32_t value)
{
    put_as(t->links[which], i, value, t->wide);
}

static INLINE int in_table_as(const sesstab_t *t, uint32_t i, int wide)
{
    return get_as(t->links[PREV], i, wide) != i;
}

static int in_table(const sesstab_t *t, uint32_t i)
{
    return in_table_as(t, i, t->wide);
}

static INLINE void ring_insert(const sesstab_t *t, uint32_t i, int wide)
{
    void *prev = t->links[PREV], *next = t->links[NEXT];
    uint32_t end = t->end, first = get_as(next, end, wide);
    put_as(prev, i, end, wide);
    put_as(next, i, first, wide);
    put_as(prev, first, i, wide);
    put_as(next, end, i, wide);
}

static INLINE void ring_delete(const sesstab_t *t, uint32_t i, int wide)
{
    void *prev = t->links[PREV], *next = t->links[NEXT];
    uint32_t before = get_as(prev, i, wide), after = get_as(next, i, wide);
    put_as(next, before, after, wide);
    put_as(prev, after, before, wide);
}

static INLINE void bucket_insert(const sesstab_t *t, uint32_t i, uint32_t bucket, int wide)
{
    void *after = t->links[AFTER];
    put_as(after, i, get_as(after, bucket, wide), wide);
    put_as(after, bucket, i, wide);
}

static INLINE void bucket_delete(const sesstab_t *t, uint32_t i, uint32_t bucket, int wide)
{
    void *after = t->links[AFTER];
    uint32_t other, before = bucket;
    while ((other = get_as(after, before, wide)) != i)
        before = other;
    put_as(after, before, get_as(after, i, wide), wide);
}

/* ---- Finding ---- */

/* An id's bucket. That the low half of a word is not cut out of it, but has the high half above it, changes one key by
 * a multiple of the other, and so neither their independence nor the theorem. */
static uint32_t bucket_of(const sesstab_t *t, const words_t *id)
{
    const uint32_t *key = t->key;
    uint32_t hash = 0;
    HIDE(key);
    UNROLL
    for (unsigned i = 0; i < WORDS; i++)
        hash += (id->word[i] + key[2 * i]) * ((id->word[i] >> 16) + key[2 * i + 1]);
    return t->end + ((hash >> 16) * t->buckets >> 16);
}

static INLINE int same_id(const slot_t *s, const words_t *id, uint32_t id_len)
{
    UNROLL
    for (unsigned i = 0; i < WORDS; i++)
        if (s->id.word[i] != id->word[i])
            return 0;
    return id_len_of(s) == id_len;
}

/* The slot in this bucket that has this id, or end. */
static uint32_t find(const sesstab_t *t, uint32_t bucket, const words_t *id, uint32_t id_len)
{
    uint32_t i = bucket;
    do {
        HIDE(t); /* else its fields take the registers that same_id needs */
        i = get_as(t->links[AFTER], i, t->wide);
    } while (i != t->end && !same_id(slot_at(t, i), id, id_len));
    return i;
}

/* Finds an id as a caller has it. Its length must be right. */
static INLINE uint32_t find_id(const sesstab_t *t, const uint8_t *id, size_t id_len)
{
    words_t padded;
    const words_t *words = words_of(&padded, id, id_len);
    return find(t, bucket_of(t, words), words, (uint32_t)id_len);
}

/* The number that a handle has for its slot, which may not exist. */
static uint32_t number_of(const sesstab_t *t, sesstab_handle_t h)
{
    return h & t->slot_mask;
}

/* The handle of the session in slot i, which is s. */
static INLINE sesstab_handle_t handle_of(const sesstab_t *t, uint32_t i, const slot_t *s)
{
    return (uint32_t)s->generation << t->slot_bits | i;
}

/* Does the table hold a reference to slot i? */
static INLINE int is_held(const sesstab_t *t, uint32_t i)
{
    return in_table_as(t, i, t->wide) || i == t->leaving;
}

/* The slot of a handle whose session it holds, or has held last; else NULL. */
static INLINE slot_t *named(const sesstab_t *t, sesstab_handle_t h)
{
    uint32_t i = number_of(t, h);
    slot_t *s = slot_at(t, i);
    return i < t->end && h >> t->slot_bits == s->generation ? s : NULL;
}

/* The slot of a session, or NULL when the handle is stale. */
static slot_t *session(const sesstab_t *t, sesstab_handle_t h)
{
    slot_t *s = named(t, h);
    return s && (s->refs || is_held(t, number_of(t, h))) ? s : NULL;
}

/* ---- Time ---- */

static INLINE uint32_t now_of(const sesstab_t *t)
{
    return t->config.clock(t->config.arg);
}

uint32_t sesstab_now(const sesstab_t *t)
{
    return now_of(t);
}

static INLINE int is_expired(const slot_t *s, uint32_t now)
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
    zero(&slot_at(t, i)->lengths, t->stride - 2u); /* up to the next slot's generation */
    put_as(t->links[NEXT], i, t->free, t->wide);
    t->free = (uint16_t)i;
}

/* Frees the slot of a session that is not in the table, unless a caller holds a reference. */
static INLINE void release(sesstab_t *t, uint32_t i)
{
    if (!slot_at(t, i)->refs)
        free_slot(t, i);
}

static INLINE void enter_as(sesstab_t *t, uint32_t i, uint32_t bucket, int wide)
{
    bucket_insert(t, i, bucket, wide);
    ring_insert(t, i, wide);
}

static INLINE void enter(sesstab_t *t, uint32_t i, uint32_t bucket)
{
    if (!t->wide)
        enter_as(t, i, bucket, 0);
    else
        enter_as(t, i, bucket, 1);
    note_times(t, slot_at(t, i));
    t->number++;
}

static INLINE void leave_as(sesstab_t *t, uint32_t i, uint32_t bucket, int wide)
{
    bucket_delete(t, i, bucket, wide);
    ring_delete(t, i, wide);
    put_as(t->links[PREV], i, i, wide);
}

static void leave(sesstab_t *t, uint32_t i)
{
    uint32_t bucket = bucket_of(t, &slot_at(t, i)->id);
    if (!t->wide)
        leave_as(t, i, bucket, 0);
    else
        leave_as(t, i, bucket, 1);
    t->number--;
}

static INLINE void renew_as(const sesstab_t *t, uint32_t i, int wide)
{
    if (!in_table_as(t, i, wide))
        return;
    ring_delete(t, i, wide);
    ring_insert(t, i, wide);
}

/* Makes slot i the most recently used, if it is in the table. */
static INLINE void renew(const sesstab_t *t, uint32_t i)
{
    if (!t->wide)
        renew_as(t, i, 0);
    else
        renew_as(t, i, 1);
}

static void tell_removed(sesstab_t *t, sesstab_handle_t h)
{
    t->busy = 1;
    t->config.on_remove(t->config.arg, h);
    t->busy = 0;
}

/* Removes what is in slot i on behalf of `h`, which has the same id; 0: its own handle. As in libssl, the callback
 * comes before the table gives back its reference. */
static void remove_slot(sesstab_t *t, uint32_t i, sesstab_handle_t h)
{
    leave(t, i);
    if (t->config.on_remove) {
        t->leaving = (uint16_t)i;
        tell_removed(t, h ? h : handle_of(t, i, slot_at(t, i)));
        t->leaving = t->end;
    }
    release(t, i);
}

static INLINE void evict(sesstab_t *t, uint32_t i)
{
    remove_slot(t, i, 0);
}

static INLINE int some_expired(const sesstab_t *t, uint32_t now)
{
    return now == 0 || now < t->newest || now > t->soonest;
}

static uint32_t remove_expired(sesstab_t *t, uint32_t now)
{
    uint32_t removed = 0;
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

static void make_room(sesstab_t *t, uint32_t now)
{
    if (some_expired(t, now))
        t->cache_full += remove_expired(t, now);
    for (; t->number >= t->cache_size; t->cache_full++)
        evict(t, get(t, t->end, PREV));
}

/* ---- Making a table ---- */

/* Every slot free, so that they are given out in the order 0, 1, 2, ... */
static void reset(sesstab_t *t)
{
    put(t, t->end, PREV, t->end);
    put(t, t->end, NEXT, t->end);
    for (uint32_t i = t->buckets; i-- > 0;)
        put(t, t->end + i, AFTER, t->end);
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
    copy(&t->config, c, sizeof *c);
    t->wide = SESSTAB_IS_WIDE(slots);
    t->stride = (uint16_t)SESSTAB_SLOT_SIZE((uint32_t)c->data_size);
    t->end = (uint16_t)slots;
    t->cache_size = c->capacity;
    t->buckets = (uint16_t)SESSTAB_BUCKETS(c->capacity);
    t->slots = (uint8_t *)memory + needed - 2 - (size_t)slots * t->stride;
    t->links[PREV] = t + 1;
    t->links[NEXT] = (uint8_t *)t->links[PREV] + ((slots + 1) << t->wide);
    t->links[AFTER] = (uint8_t *)t->links[NEXT] + ((slots + 1) << t->wide);
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
    uint32_t now = now_of(t);
    uint32_t i = t->free;
    if (i == t->end || id_len - 1 >= SESSTAB_ID_MAX || data_len > t->config.data_size)
        return 0;
    slot_t *s = slot_at(t, i);
    t->free = (uint16_t)get_as(t->links[NEXT], i, t->wide);
    const words_t *words = words_of(&s->id, id, id_len);
    UNROLL
    for (unsigned k = 0; k < WORDS; k++)
        s->id.word[k] = words->word[k];
    copy(s->data, data, data_len);
    s->time = now;
    s->timeout = timeout == SESSTAB_DEFAULT_TIMEOUT ? t->config.timeout : timeout;
    uint32_t generation = s->generation < t->generation_max ? s->generation + 1u : 1;
    s->generation = (uint16_t)generation;
    s->lengths = (uint16_t)(data_len << 5 | (id_len - 1));
    s->refs = 1;
    s->context = context;
    return generation << t->slot_bits | i;
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
    slot_t *s = named(t, h);
    if (!s || !s->refs)
        return 0;
    uint32_t i = number_of(t, h);
    if (--s->refs == 0 && !is_held(t, i))
        free_slot(t, i);
    return 1;
}

/* ---- The table ---- */

int sesstab_add_session(sesstab_t *t, sesstab_handle_t h)
{
    if (t->busy)
        return 0;
    /* The clock first, since it may call the table. */
    if (t->config.mode & SESSTAB_CACHE_UPDATE_TIME)
        sesstab_set_session_time(t, h, sesstab_now(t));
    uint32_t now = t->number >= t->cache_size ? now_of(t) : 0;
    uint32_t i = number_of(t, h);
    const slot_t *s = named(t, h);
    if (!s || in_table_as(t, i, t->wide) || !s->refs)
        return 0;
    uint32_t bucket = bucket_of(t, &s->id), other = find(t, bucket, &s->id, id_len_of(s));
    if (other != t->end) {
        leave(t, other);
        release(t, other);
    }
    if (t->number >= t->cache_size) {
        int tells = t->config.on_remove != NULL;
        make_room(t, now);
        if (tells && !session(t, h)) /* freed by the callback, which may have unset itself, too */
            return 0;
    }
    enter(t, i, bucket);
    return 1;
}

int sesstab_remove_session(sesstab_t *t, sesstab_handle_t h)
{
    const slot_t *s = session(t, h);
    if (t->busy || !s)
        return 0;
    uint32_t i = number_of(t, h);
    if (!in_table(t, i))
        i = find(t, bucket_of(t, &s->id), &s->id, id_len_of(s));
    if (i != t->end) {
        remove_slot(t, i, h);
        return 1;
    }
    if (t->config.on_remove)
        tell_removed(t, h);
    return 0;
}

/* Asks on_get, and stores what it gives. Returns the slot of a session that it holds a reference to, or end; and the
 * time then. */
static NOINLINE uint32_t get_external(sesstab_t *t, const uint8_t *id, size_t id_len, uint32_t *now)
{
    if (!t->config.on_get)
        return t->end;
    sesstab_handle_t h = t->config.on_get(t->config.arg, id, id_len);
    slot_t *s = named(t, h);
    if (!s || !s->refs)
        return t->end;
    size_t same = 0;
    while (same < id_len && ((const uint8_t *)&s->id)[same] == id[same])
        same++;
    if (same < id_len || id_len_of(s) != id_len) {
        sesstab_free(t, h);
        return t->end;
    }
    t->cb_hits++;
    /* With UPDATE_TIME, adding would make an expired session fresh. */
    uint32_t mode = t->config.mode;
    int revives = (mode & SESSTAB_CACHE_UPDATE_TIME) && is_expired(s, sesstab_now(t));
    if (!(mode & SESSTAB_CACHE_NO_INTERNAL_STORE) && !revives)
        sesstab_add_session(t, h);
    *now = sesstab_now(t);
    return session(t, h) ? number_of(t, h) : t->end; /* a callback may have freed it */
}

sesstab_handle_t sesstab_get_session(sesstab_t *t, const uint8_t *id, size_t id_len, uint8_t context)
{
    uint32_t now = now_of(t); /* before anything else, since it may call the table */
    uint32_t i = t->end;
    if (t->busy || id_len - 1 >= SESSTAB_ID_MAX)
        return 0;
    if (!(t->config.mode & SESSTAB_CACHE_NO_INTERNAL_LOOKUP)) {
        i = find_id(t, id, id_len);
        if (i == t->end)
            t->misses++;
    }
    slot_t *s = slot_at(t, i);
    if (i != t->end) {
        if (s->refs == SESSTAB_REFS_MAX)
            return 0;
        s->refs++;
    } else {
        i = get_external(t, id, id_len, &now);
        if (i == t->end)
            return 0;
        s = slot_at(t, i);
    }
    sesstab_handle_t h = handle_of(t, i, s);
    if (s->context == context) {
        if (!is_expired(s, now)) {
            t->hits++;
            renew(t, i);
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
    return id_len - 1 < SESSTAB_ID_MAX && find_id(t, id, id_len) != t->end;
}

uint32_t sesstab_flush_sessions(sesstab_t *t, uint32_t now)
{
    return t->busy || !some_expired(t, now) ? 0 : remove_expired(t, now);
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
    return s ? (const uint8_t *)&s->id : NULL;
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
    return i == t->end ? 0 : handle_of(t, i, slot_at(t, i));
}
