/*
 * The table lives in one block of memory that the caller supplies:
 *
 *     struct sesstab   settings, counters, list heads
 *     tags             one per slot: 0 when its session is not in the table, else some bits of a hash of its id
 *     links            two per slot, and two for the list's end: prev and next
 *     index            wide tables only: which slot holds an id
 *     slots            one per session, spare ones included
 *
 * A slot (slot_t) is, in bytes:
 *
 *      0  id            32, padded with zeros
 *     32  time           4
 *     36  timeout        4
 *     40  generation     2, counts the sessions that the slot has held; never wiped
 *     42  lengths        2, 5 bits for the id's minus 1, 11 bits for the data's
 *     44  references     1, those of callers; the table's own is the tag
 *     45  context        1
 *     46  data           data_size, then padding to a multiple of 4
 *
 * A slot is in one of three states: in the table (tag not 0), held only by callers (references not 0), or free,
 * and then all its bytes but the generation are 0. Slots in the table form a ring of links in the order of use,
 * closed by the entry after the last slot ("end"): end's next is the most recently used, end's prev the least.
 * Free slots form a stack through `next`.
 *
 * Up to 255 slots, links and tags are bytes. A search reads the tags a machine word at a time and compares the id
 * of each slot with the right tag: the work has a limit that no peer can raise, and up to 255 slots that is less
 * than what a hash that resists attack costs. The tag is a multilinear hash with a random key for each of the
 * id's words, so that ids which share a prefix, or were made by an attacker, differ in their tags all the same.
 *
 * A wide table has halfwords, and an index: open addressing, 1.5 entries per session, linear probing. An entry is
 * a slot number plus 1, or 0. Deletion moves the later entries of the cluster back, so that there are no
 * tombstones and a search ends at the first 0. The tag is 16 bits of HalfSipHash-1-3 of the id, and says where in
 * the index its slot belongs. The hash is keyed with random bits, since otherwise a peer could choose ids that
 * fall into one cluster; even then the work is bounded by the capacity.
 *
 * Expired sessions go first, but a search for them at every insertion would cost the whole table each time. Hence
 * two bounds: no session in the table is made after `newest` or expires before `soonest`. While the clock is
 * between, there is nothing to look for. A search makes both exact, so that in normal use there is at most one
 * per tick of the clock.
 *
 * Callbacks may call the table. So nothing is held across a callback but handles, which are looked up again.
 */
#include "sesstab.h"

#define WORDS (SESSTAB_ID_MAX / 4)
#define MODES                                                                                                    \
    (SESSTAB_CACHE_BOTH | SESSTAB_CACHE_NO_AUTO_CLEAR | SESSTAB_CACHE_NO_INTERNAL | SESSTAB_CACHE_UPDATE_TIME)
#define HANDLE_BITS 30u
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

typedef size_t word_t;
#define BYTES_ONE ((word_t)-1 / 255) /* 0x0101... */
#define BYTES_HIGH (BYTES_ONE * 128) /* 0x8080... */

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

struct sesstab {
    uint8_t *slots;
    void *tags;
    void *links;
    uint16_t *index;
    void *arg;
    uint32_t (*clock)(void *arg);
    int (*on_new)(void *arg, sesstab_handle_t h);
    sesstab_handle_t (*on_get)(void *arg, const uint8_t *id, size_t id_len);
    void (*on_remove)(void *arg, sesstab_handle_t h);
    uint32_t key[WORDS]; /* of the tags; the first two are the config's seed */
    uint32_t timeout;
    uint32_t soonest;
    uint32_t newest;
    uint32_t hits;
    uint32_t misses;
    uint32_t timeouts;
    uint32_t cache_full;
    uint32_t cb_hits;
    uint32_t stored;
    uint32_t index_size;
    uint16_t end; /* how many slots there are; and "no slot" */
    uint16_t capacity;
    uint16_t data_size;
    uint16_t stride;
    uint16_t mode;
    uint16_t cache_size;
    uint16_t number;
    uint16_t free;
    uint16_t leaving; /* the slot whose session on_remove is told of: the table's reference is not given back yet */
    uint16_t generation_max;
    uint8_t slot_bits;
    uint8_t wide;
    uint8_t busy; /* on_remove is running */
};

typedef char check_header_size[sizeof(struct sesstab) == SESSTAB_HEADER_SIZE ? 1 : -1];
typedef char check_slot_size[offsetof(slot_t, data) + 2 == SESSTAB_SLOT_SIZE(2) ? 1 : -1];

/* ---- Memory ---- */

/* In words, so that both ends may have any alignment and big machines still move 4 bytes at a time. */
static void copy(uint8_t *to, const uint8_t *from, size_t n)
{
    for (; n >= 4; n -= 4, to += 4, from += 4) {
        uint8_t a = from[0], b = from[1], c = from[2], d = from[3];
        to[0] = a;
        to[1] = b;
        to[2] = c;
        to[3] = d;
        LOOP();
    }
    for (; n; n--) {
        *to++ = *from++;
        LOOP();
    }
}

static void zero(void *memory, size_t size)
{
    uint32_t *word = memory;
    uint32_t *end = word + size / 4;
    while (word < end) {
        *word++ = 0;
        LOOP();
    }
    BARRIER();
}

static uint32_t get(const sesstab_t *t, const void *array, uint32_t i)
{
    return t->wide ? ((const uint16_t *)array)[i] : ((const uint8_t *)array)[i];
}

static void put(const sesstab_t *t, void *array, uint32_t i, uint32_t value)
{
    if (t->wide)
        ((uint16_t *)array)[i] = (uint16_t)value;
    else
        ((uint8_t *)array)[i] = (uint8_t)value;
}

#define TAG(t, i) get(t, (t)->tags, i)
#define PREV(t, i) get(t, (t)->links, 2u * (i))
#define NEXT(t, i) get(t, (t)->links, 2u * (i) + 1)
#define SET_TAG(t, i, value) put(t, (t)->tags, i, value)
#define SET_PREV(t, i, value) put(t, (t)->links, 2u * (i), value)
#define SET_NEXT(t, i, value) put(t, (t)->links, 2u * (i) + 1, value)

static slot_t *slot_at(const sesstab_t *t, uint32_t i)
{
    return (void *)(t->slots + (size_t)i * t->stride);
}

static uint32_t id_len_of(const slot_t *s)
{
    return (s->lengths & 31u) + 1;
}

size_t sesstab_size(size_t capacity, size_t spare, size_t data_size)
{
    if (capacity - 1 >= SESSTAB_SLOTS_MAX || spare > SESSTAB_SLOTS_MAX - capacity || data_size - 1 >= SESSTAB_DATA_MAX)
        return 0;
    return SESSTAB_SIZE(capacity, spare, data_size);
}

/* ---- Tags ---- */

static uint32_t rotate(uint32_t x, unsigned bits)
{
    return x << bits | x >> (32 - bits);
}

/* HalfSipHash-1-3 (Aumasson and Bernstein) of the padded id and its length. */
static uint32_t half_sip_hash(const sesstab_t *t, const uint32_t *id, uint32_t id_len)
{
    uint32_t v0 = t->key[0], v1 = t->key[1], v2 = v0 ^ 0x6c796765u, v3 = v1 ^ 0x74656462u;
    for (unsigned i = 0; i < WORDS + 4; i++) {
        uint32_t m = i < WORDS ? id[i] : i == WORDS ? id_len << 24 : 0;
        if (i == WORDS + 1)
            v2 ^= 0xff;
        v3 ^= m;
        v0 += v1;
        v1 = rotate(v1, 5) ^ v0;
        v0 = rotate(v0, 16);
        v2 += v3;
        v3 = rotate(v3, 8) ^ v2;
        v0 += v3;
        v3 = rotate(v3, 7) ^ v0;
        v2 += v1;
        v1 = rotate(v1, 13) ^ v2;
        v2 = rotate(v2, 16);
        v0 ^= m;
    }
    return v1 ^ v3;
}

/* The tag of an id, not 0. */
static uint32_t tag_of(const sesstab_t *t, const uint32_t *id, uint32_t id_len)
{
    uint32_t tag = 0;
    if (t->wide) {
        tag = half_sip_hash(t, id, id_len) >> 16;
    } else {
        for (unsigned i = 0; i < WORDS; i++)
            tag += id[i] * t->key[i];
        tag >>= 24;
    }
    return tag ? tag : 1;
}

/* ---- The index of a wide table ---- */

/* Where an entry with this tag belongs. */
static uint32_t home(const sesstab_t *t, uint32_t tag)
{
    uint32_t place = tag * t->capacity >> 16;
    return place + place / 2;
}

static uint32_t following(const sesstab_t *t, uint32_t place)
{
    return place + 1 < t->index_size ? place + 1 : 0;
}

static uint32_t distance(const sesstab_t *t, uint32_t from, uint32_t to)
{
    return to >= from ? to - from : to + t->index_size - from;
}

static void index_insert(sesstab_t *t, uint32_t i, uint32_t tag)
{
    uint32_t place = home(t, tag);
    while (t->index[place])
        place = following(t, place);
    t->index[place] = (uint16_t)(i + 1);
}

static void index_delete(sesstab_t *t, uint32_t i)
{
    uint32_t hole = home(t, TAG(t, i));
    while (t->index[hole] != i + 1)
        hole = following(t, hole);
    for (uint32_t place = following(t, hole); t->index[place]; place = following(t, place)) {
        uint32_t origin = home(t, TAG(t, t->index[place] - 1u));
        if (distance(t, origin, place) >= distance(t, hole, place)) {
            t->index[hole] = t->index[place];
            hole = place;
        }
    }
    t->index[hole] = 0;
}

/* ---- Finding ---- */

static int same_id(const sesstab_t *t, uint32_t i, const uint32_t *id, uint32_t id_len)
{
    const slot_t *s = slot_at(t, i);
    uint32_t difference = id_len_of(s) ^ id_len;
    for (unsigned k = 0; k < WORDS; k++)
        difference |= s->id[k] ^ id[k];
    return difference == 0;
}

static uint32_t find_narrow(const sesstab_t *t, const uint32_t *id, uint32_t id_len, uint32_t tag)
{
    const word_t *words = t->tags;
    const uint8_t *tags = t->tags;
    word_t pattern = BYTES_ONE * tag;
    for (uint32_t i = 0; i < t->end; i += (uint32_t)sizeof(word_t)) {
        word_t x = *words++ ^ pattern;
        if (((x - BYTES_ONE) & ~x & BYTES_HIGH) == 0) /* no byte of x is 0 */
            continue;
        for (uint32_t k = i; k < i + sizeof(word_t); k++)
            if (tags[k] == tag && same_id(t, k, id, id_len))
                return k;
    }
    return t->end;
}

static uint32_t find_wide(const sesstab_t *t, const uint32_t *id, uint32_t id_len, uint32_t tag)
{
    uint32_t entry;
    for (uint32_t place = home(t, tag); (entry = t->index[place]) != 0; place = following(t, place))
        if (((const uint16_t *)t->tags)[entry - 1] == tag && same_id(t, entry - 1, id, id_len))
            return entry - 1;
    return t->end;
}

/* The slot in the table that has this id (padded, aligned), or t->end. */
static uint32_t find(const sesstab_t *t, const uint32_t *id, uint32_t id_len)
{
    uint32_t tag = tag_of(t, id, id_len);
    return t->wide ? find_wide(t, id, id_len, tag) : find_narrow(t, id, id_len, tag);
}

/* Pads and aligns an id. Returns 0 when its length is wrong. */
static int read_id(uint32_t padded[WORDS], const uint8_t *id, size_t id_len)
{
    if (id_len - 1 >= SESSTAB_ID_MAX)
        return 0;
    zero(padded, SESSTAB_ID_MAX);
    copy((uint8_t *)padded, id, id_len);
    return 1;
}

/* Does the table hold a reference to slot i? */
static int is_held(const sesstab_t *t, uint32_t i)
{
    return TAG(t, i) || i == t->leaving;
}

/* The slot of a session that is referenced, or t->end when the handle is stale. */
static uint32_t find_handle(const sesstab_t *t, sesstab_handle_t h)
{
    uint32_t i = h & ((1u << t->slot_bits) - 1);
    if (i >= t->end)
        return t->end;
    const slot_t *s = slot_at(t, i);
    return h >> t->slot_bits == s->generation && (s->refs || is_held(t, i)) ? i : t->end;
}

static sesstab_handle_t handle_of(const sesstab_t *t, uint32_t i)
{
    return (uint32_t)slot_at(t, i)->generation << t->slot_bits | i;
}

/* The slot, or NULL when the handle is stale. */
static slot_t *session(const sesstab_t *t, sesstab_handle_t h)
{
    uint32_t i = find_handle(t, h);
    return i == t->end ? NULL : slot_at(t, i);
}

/* ---- Time ---- */

uint32_t sesstab_now(const sesstab_t *t)
{
    return t->clock(t->arg);
}

static int is_expired(const slot_t *s, uint32_t now)
{
    return now == 0 || s->time > now || now - s->time > s->timeout;
}

/* Keeps the bounds true after a session's times have changed, or it came into the table. */
static void note_times(sesstab_t *t, uint32_t i)
{
    const slot_t *s = slot_at(t, i);
    if (!TAG(t, i))
        return;
    uint32_t end = s->time + s->timeout;
    if (end < s->time)
        end = UINT32_MAX;
    if (end < t->soonest)
        t->soonest = end;
    if (s->time > t->newest)
        t->newest = s->time;
}

static void set_time(sesstab_t *t, uint32_t i, uint32_t time)
{
    slot_at(t, i)->time = time;
    note_times(t, i);
}

static void forget_times(sesstab_t *t)
{
    t->soonest = UINT32_MAX;
    t->newest = 0;
}

/* ---- Links ---- */

static void list_insert(sesstab_t *t, uint32_t i)
{
    uint32_t first = NEXT(t, t->end);
    SET_PREV(t, i, t->end);
    SET_NEXT(t, i, first);
    SET_PREV(t, first, i);
    SET_NEXT(t, t->end, i);
}

static void list_delete(sesstab_t *t, uint32_t i)
{
    uint32_t prev = PREV(t, i), next = NEXT(t, i);
    SET_NEXT(t, prev, next);
    SET_PREV(t, next, prev);
}

static void free_slot(sesstab_t *t, uint32_t i)
{
    slot_t *s = slot_at(t, i);
    uint16_t generation = s->generation;
    zero(s, t->stride);
    s->generation = generation;
    SET_NEXT(t, i, t->free);
    t->free = (uint16_t)i;
}

/* Frees the slot of a session that nobody needs any more. */
static void release(sesstab_t *t, uint32_t i)
{
    if (!slot_at(t, i)->refs && !is_held(t, i))
        free_slot(t, i);
}

static void count(uint32_t *counter)
{
    *counter = (*counter + 1) & COUNTER_MASK;
}

/* ---- In and out of the table ---- */

static void enter(sesstab_t *t, uint32_t i)
{
    slot_t *s = slot_at(t, i);
    uint32_t tag = tag_of(t, s->id, id_len_of(s));
    SET_TAG(t, i, tag);
    if (t->wide)
        index_insert(t, i, tag);
    list_insert(t, i);
    note_times(t, i);
    t->number++;
}

static void leave(sesstab_t *t, uint32_t i)
{
    if (t->wide)
        index_delete(t, i);
    SET_TAG(t, i, 0);
    list_delete(t, i);
    t->number--;
}

static void tell_removed(sesstab_t *t, sesstab_handle_t h)
{
    if (!t->on_remove)
        return;
    t->busy = 1;
    t->on_remove(t->arg, h);
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

static uint32_t remove_expired(sesstab_t *t, uint32_t now)
{
    uint32_t removed = 0;
    if (now >= t->newest && now <= t->soonest && now)
        return 0;
    forget_times(t);
    for (uint32_t i = 0; i < t->end; i++) {
        if (!TAG(t, i))
            continue;
        if (is_expired(slot_at(t, i), now)) {
            remove_slot(t, i, handle_of(t, i));
            removed++;
        } else {
            note_times(t, i);
        }
    }
    return removed;
}

static void make_room(sesstab_t *t, uint32_t now)
{
    if (t->number < t->cache_size)
        return;
    t->cache_full = (t->cache_full + remove_expired(t, now)) & COUNTER_MASK;
    while (t->number >= t->cache_size) {
        uint32_t oldest = PREV(t, t->end);
        remove_slot(t, oldest, handle_of(t, oldest));
        count(&t->cache_full);
    }
}

/* ---- Making a table ---- */

/* Every slot free, so that they are given out in the order 0, 1, 2, ... */
static void reset(sesstab_t *t)
{
    for (uint32_t i = 0; i < t->index_size; i++) {
        t->index[i] = 0;
        LOOP();
    }
    t->free = t->end;
    for (uint32_t i = t->end; i-- > 0;) {
        SET_TAG(t, i, 0);
        free_slot(t, i);
    }
    SET_PREV(t, t->end, t->end);
    SET_NEXT(t, t->end, t->end);
    t->number = 0;
    t->leaving = t->end;
    forget_times(t);
}

/* Random keys for the tags, from the seed. */
static void make_keys(sesstab_t *t, const uint32_t seed[2])
{
    uint32_t counter[WORDS];
    zero(counter, sizeof counter);
    t->key[0] = seed[0];
    t->key[1] = seed[1];
    for (unsigned i = 2; i < WORDS; i++) {
        counter[0] = i;
        t->key[i] = half_sip_hash(t, counter, 4);
    }
}

sesstab_t *sesstab_init(void *memory, size_t size, const sesstab_config_t *c)
{
    size_t needed = sesstab_size(c->capacity, c->spare, c->data_size);
    size_t slots = (size_t)c->capacity + c->spare;
    sesstab_t *t = memory;
    if (!memory || needed == 0 || size < needed || (uintptr_t)memory % sizeof(void *) || !c->clock ||
        c->timeout == SESSTAB_DEFAULT_TIMEOUT || (c->mode & ~MODES))
        return NULL;
    zero(memory, needed & ~(size_t)3);
    t->tags = (uint8_t *)memory + sizeof *t;
    t->links = (uint8_t *)t->tags + SESSTAB_TAGS_SIZE(slots);
    t->index = (void *)((uint8_t *)t->links + SESSTAB_LINKS_SIZE(slots));
    t->slots = (uint8_t *)memory + SESSTAB_SLOTS_OFFSET((size_t)c->capacity, (size_t)c->spare);
    t->arg = c->arg;
    t->clock = c->clock;
    t->on_new = c->on_new;
    t->on_get = c->on_get;
    t->on_remove = c->on_remove;
    t->timeout = c->timeout;
    t->index_size = (uint32_t)SESSTAB_INDEX_ENTRIES((size_t)c->capacity, slots);
    t->end = (uint16_t)slots;
    t->capacity = c->capacity;
    t->cache_size = c->capacity;
    t->data_size = c->data_size;
    t->stride = (uint16_t)SESSTAB_SLOT_SIZE((size_t)c->data_size);
    t->mode = c->mode;
    t->wide = SESSTAB_IS_WIDE(slots);
    while ((slots - 1) >> t->slot_bits)
        t->slot_bits++;
    t->generation_max = (uint16_t)((1u << (HANDLE_BITS - (t->slot_bits < 14 ? 14 : t->slot_bits))) - 1);
    make_keys(t, c->seed);
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
    if (i == t->end || id_len - 1 >= SESSTAB_ID_MAX || data_len > t->data_size)
        return 0;
    slot_t *s = slot_at(t, i);
    t->free = (uint16_t)NEXT(t, i);
    copy((uint8_t *)s->id, id, id_len);
    copy(s->data, data, data_len);
    s->time = now;
    s->timeout = timeout == SESSTAB_DEFAULT_TIMEOUT ? t->timeout : timeout;
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
    uint32_t i = find_handle(t, h);
    if (i == t->end || !slot_at(t, i)->refs)
        return 0;
    slot_at(t, i)->refs--;
    release(t, i);
    return 1;
}

/* ---- The table ---- */

int sesstab_add_session(sesstab_t *t, sesstab_handle_t h)
{
    if (t->busy)
        return 0;
    uint32_t update_time = t->mode & SESSTAB_CACHE_UPDATE_TIME;
    uint32_t now = update_time || t->number >= t->cache_size ? sesstab_now(t) : 0;
    uint32_t i = find_handle(t, h);
    if (i == t->end)
        return 0;
    if (update_time)
        set_time(t, i, now);
    if (TAG(t, i))
        return 0;
    slot_t *s = slot_at(t, i);
    uint32_t other = find(t, s->id, id_len_of(s));
    if (other != t->end) {
        leave(t, other);
        release(t, other);
    }
    make_room(t, now);
    if (find_handle(t, h) == t->end) /* on_remove has freed it */
        return 0;
    enter(t, i);
    return 1;
}

int sesstab_remove_session(sesstab_t *t, sesstab_handle_t h)
{
    uint32_t i = find_handle(t, h);
    if (t->busy || i == t->end)
        return 0;
    slot_t *s = slot_at(t, i);
    i = find(t, s->id, id_len_of(s));
    if (i == t->end) {
        tell_removed(t, h);
        return 0;
    }
    remove_slot(t, i, h);
    return 1;
}

/* Asks on_get, and stores what it gives. Returns a handle that was good before the callbacks that this makes, with
 * a reference; or 0. */
static sesstab_handle_t get_external(sesstab_t *t, const uint32_t *padded, const uint8_t *id, size_t id_len)
{
    if (!t->on_get)
        return 0;
    sesstab_handle_t h = t->on_get(t->arg, id, id_len);
    uint32_t i = find_handle(t, h);
    if (i == t->end || !slot_at(t, i)->refs)
        return 0;
    if (!same_id(t, i, padded, (uint32_t)id_len)) {
        sesstab_free(t, h);
        return 0;
    }
    count(&t->cb_hits);
    if (!(t->mode & SESSTAB_CACHE_NO_INTERNAL_STORE))
        sesstab_add_session(t, h);
    return h;
}

sesstab_handle_t sesstab_get_session(sesstab_t *t, const uint8_t *id, size_t id_len, uint8_t context)
{
    uint32_t padded[WORDS];
    uint32_t i = t->end;
    sesstab_handle_t h;
    if (t->busy || !read_id(padded, id, id_len))
        return 0;
    if (!(t->mode & SESSTAB_CACHE_NO_INTERNAL_LOOKUP)) {
        i = find(t, padded, (uint32_t)id_len);
        if (i == t->end)
            count(&t->misses);
    }
    if (i == t->end) {
        h = get_external(t, padded, id, id_len);
    } else {
        h = handle_of(t, i);
        if (!sesstab_up_ref(t, h))
            return 0;
    }
    if (!h)
        return 0;
    uint32_t now = sesstab_now(t);
    i = find_handle(t, h);
    if (i == t->end)
        return 0;
    if (slot_at(t, i)->context != context) {
        sesstab_free(t, h);
        return 0;
    }
    if (is_expired(slot_at(t, i), now)) {
        count(&t->timeouts);
        sesstab_remove_session(t, h);
        sesstab_free(t, h);
        return 0;
    }
    count(&t->hits);
    if (TAG(t, i)) {
        list_delete(t, i);
        list_insert(t, i);
    }
    if (t->mode & SESSTAB_CACHE_UPDATE_TIME)
        set_time(t, i, now);
    return h;
}

int sesstab_has_session(sesstab_t *t, const uint8_t *id, size_t id_len)
{
    uint32_t padded[WORDS];
    return read_id(padded, id, id_len) && find(t, padded, (uint32_t)id_len) != t->end;
}

uint32_t sesstab_flush_sessions(sesstab_t *t, uint32_t now)
{
    return t->busy ? 0 : remove_expired(t, now);
}

int sesstab_update_cache(sesstab_t *t, sesstab_handle_t h, uint32_t side)
{
    uint32_t mode = t->mode;
    int added = 0;
    if (t->busy || (side != SESSTAB_CACHE_SERVER && side != SESSTAB_CACHE_CLIENT) || !(mode & side) || !session(t, h))
        return 0;
    count(&t->stored);
    int flush = !(mode & SESSTAB_CACHE_NO_AUTO_CLEAR) && (t->stored & 0xff) == 0xff;
    if (!(mode & SESSTAB_CACHE_NO_INTERNAL_STORE))
        added = sesstab_add_session(t, h);
    if (t->on_new && sesstab_up_ref(t, h) && !t->on_new(t->arg, h))
        sesstab_free(t, h);
    if (flush)
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
    uint32_t i = find_handle(t, h);
    if (i == t->end)
        return 0;
    set_time(t, i, time);
    return 1;
}

int sesstab_set_session_timeout(sesstab_t *t, sesstab_handle_t h, uint32_t timeout)
{
    uint32_t i = find_handle(t, h);
    if (i == t->end)
        return 0;
    slot_at(t, i)->timeout = timeout;
    note_times(t, i);
    return 1;
}

uint32_t sesstab_session_refs(sesstab_t *t, sesstab_handle_t h)
{
    uint32_t i = find_handle(t, h);
    if (i == t->end)
        return 0;
    return slot_at(t, i)->refs + (uint32_t)is_held(t, i);
}

/* ---- Settings and statistics ---- */

uint32_t sesstab_get_timeout(const sesstab_t *t)
{
    return t->timeout;
}

void sesstab_set_timeout(sesstab_t *t, uint32_t timeout)
{
    t->timeout = timeout;
}

uint32_t sesstab_get_mode(const sesstab_t *t)
{
    return t->mode;
}

void sesstab_set_mode(sesstab_t *t, uint32_t mode)
{
    t->mode = (uint16_t)(mode & MODES);
}

uint32_t sesstab_sess_get_cache_size(const sesstab_t *t)
{
    return t->cache_size;
}

void sesstab_sess_set_cache_size(sesstab_t *t, uint32_t size)
{
    t->cache_size = size - 1 < t->capacity ? (uint16_t)size : t->capacity;
}

uint32_t sesstab_sess_number(const sesstab_t *t)
{
    return t->number;
}

uint32_t sesstab_sess_hits(const sesstab_t *t)
{
    return t->hits;
}

uint32_t sesstab_sess_misses(const sesstab_t *t)
{
    return t->misses;
}

uint32_t sesstab_sess_timeouts(const sesstab_t *t)
{
    return t->timeouts;
}

uint32_t sesstab_sess_cache_full(const sesstab_t *t)
{
    return t->cache_full;
}

uint32_t sesstab_sess_cb_hits(const sesstab_t *t)
{
    return t->cb_hits;
}

uint32_t sesstab_sess_stored(const sesstab_t *t)
{
    return t->stored;
}

sesstab_handle_t sesstab_next(sesstab_t *t, sesstab_handle_t h)
{
    uint32_t i = h ? find_handle(t, h) : t->end;
    if (h && (i == t->end || !TAG(t, i)))
        return 0;
    i = NEXT(t, i);
    return i == t->end ? 0 : handle_of(t, i);
}
