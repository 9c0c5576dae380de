/*
 * What the model checker CBMC shows of the session table: any state that is in order, any one call with any
 * arguments at any time, and the state is in order again, with the promises of sesstab.h kept. Since a new table is
 * in order (prove_init, prove_reset), that holds after every sequence of calls, of whatever length. CBMC checks
 * every access to memory on the way, and every cast that could lose something.
 *
 * In order means: the ring is a permutation of the sessions in the table, the free list one of the free slots, each
 * session is in its bucket's chain once, no two have the same id, a free slot holds nothing but its generation, and
 * no session's times are outside the bounds `newest` and `soonest`. Beyond that, each proof, a function called
 * prove_*, claims what its call does, and claim_rest_is_kept() what none does. run.py runs them.
 *
 * The table has CAPACITY + SPARE slots for DATA bytes; contents, ids (but see may_be_set), times and counters are
 * arbitrary.
 * Two functions of the core are replaced (run.py does it), but not in prove_init and prove_init_layout:
 *
 *     bucket_of        any function of the id (see choose_buckets): what is shown does not hang on how well the hash
 *                      spreads
 *     slot_at          slots are separate objects, so that leaving one is seen
 *
 * prove_init_layout() shows that the real ones stay within the table's memory.
 *
 * A callback, or the clock, may make any calls, and set or unset callbacks. So a proof _with_callbacks claims that
 * the state is in order when one begins, and goes on from any state in order, since that is what calls leave; during
 * on_remove, from any that the calls allowed then can leave, which prove_during_on_remove() shows. Of handles and
 * references it goes on from what it claims in the end, handles_are_kept() and claim_references(). What is assumed:
 * callbacks return, give back only references that they hold, and make fewer than 2^14 sessions meanwhile (then a
 * handle could be reused); the clock stands still between them. The calls that update_cache makes, and with
 * callbacks get_session, are shown by themselves, so others stand in for them.
 *
 * REACH() is the opposite of a claim: CBMC has to find a way there. A proof whose assumptions nothing fulfils would
 * show everything; its REACHes fail.
 *
 * Not covered: 16-bit links (more than 255 slots), ids that a caller has at odd addresses but for new_session, data of
 * more than DATA bytes, whose copy takes words; the fuzzers and sanitizers see those.
 */
#include "sesstab.h"
#undef __GNUC__ /* inline assembler means nothing here */
#include "sesstab.c"

/* CBMC checks the core's accesses, not those of what follows. */
#pragma CPROVER check push
#pragma CPROVER check disable "bounds"
#pragma CPROVER check disable "pointer"
#pragma CPROVER check disable "pointer-overflow"
#pragma CPROVER check disable "pointer-primitive"
#pragma CPROVER check disable "conversion"

#define SLOTS (CAPACITY + SPARE)
#define DATA 2
#define BUCKETS SESSTAB_BUCKETS(CAPACITY)
#define HALVES (SESSTAB_SLOT_SIZE(DATA) / 2 + 1) /* of a slot: it shares the first with the slot before */
#define NONE SLOTS

uint32_t nondet_u32(void);
uint16_t nondet_u16(void);
uint8_t nondet_u8(void);
size_t nondet_size(void);

#define IMPLIES(a, b) (!(a) || (b))
#define CLAIM(claim) __CPROVER_assert(claim, #claim)
#define REACH(situation) __CPROVER_assert(!(situation), "reach: " #situation)

static struct sesstab table;
static sesstab_t *t = &table;
static half_t slot_0[HALVES], slot_1[HALVES], slot_2[HALVES], slot_3[HALVES];
static half_t *const slots[] = {slot_0, slot_1, slot_2, slot_3}; /* SLOTS of them are used */
static uint8_t prev[SLOTS + 1], next[SLOTS + 1], chain[SLOTS + BUCKETS];
static uint32_t now;

static uint32_t seconds(void *arg);

/* ---- Stand-ins ---- */

/* Three masks, and a bucket for each set of them that an id may have bits of: any four ids can have any buckets. */
static word_t masks[3][WORDS];
static uint8_t buckets[8];

static void choose_buckets(void)
{
    for (uint32_t k = 0; k < 3; k++)
        for (uint32_t w = 0; w < WORDS; w++)
            masks[k][w] = nondet_u32();
    for (uint32_t k = 0; k < 8; k++) {
        buckets[k] = nondet_u8();
        __CPROVER_assume(buckets[k] < BUCKETS);
    }
}

uint32_t any_bucket_of(const sesstab_t *of, const words_t *id)
{
    uint32_t has = 0;
    if (BUCKETS == 1)
        return of->end;
    for (uint32_t k = 0; k < 3; k++) {
        word_t bits = 0;
        for (uint32_t w = 0; w < WORDS; w++)
            bits |= id->word[w] & masks[k][w];
        has |= (bits != 0) << k;
    }
    return of->end + buckets[has];
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

/* ---- What a session is, said once more ---- */

static int has_expired(const slot_t *s, uint32_t at)
{
    return at == 0 || at < s->time || at > (uint64_t)s->time + s->timeout;
}

static int has_id(const slot_t *s, const uint8_t *id, size_t id_len)
{
    uint32_t differ = 0;
    for (uint32_t k = 0; k < SESSTAB_ID_MAX; k++)
        differ |= ((const uint8_t *)&s->id)[k] ^ (k < id_len ? id[k] : 0u);
    return differ == 0 && (s->lengths & 31u) + 1 == id_len;
}

static int have_same_id(const slot_t *a, const slot_t *b)
{
    uint32_t differ = (a->lengths ^ b->lengths) & 31u;
    for (uint32_t k = 0; k < WORDS; k++)
        differ |= a->id.word[k] ^ b->id.word[k];
    return differ == 0;
}

/* All but the neighbour's bytes and the generation. */
static int is_wiped(const slot_t *s)
{
    uint32_t bits = 0;
    for (uint32_t k = offsetof(slot_t, lengths) / 2; k < HALVES; k++)
        bits |= ((const half_t *)(const void *)s)[k];
    return bits == 0;
}

static int is_well_formed(const slot_t *s)
{
    for (uint32_t k = 0; k < SESSTAB_ID_MAX; k++)
        if (k > (s->lengths & 31u) && ((const uint8_t *)&s->id)[k])
            return 0;
    return s->lengths >> 5 <= DATA && s->generation >= 1 && s->generation <= t->generation_max;
}

static int times_are_within_bounds(const slot_t *s)
{
    return s->time <= t->newest && (uint64_t)s->time + s->timeout >= t->soonest;
}

/* ---- A table that is in order ---- */

/* Of each slot: where it is, and what it holds. */
typedef struct {
    uint8_t place[SLOTS]; /* in the order of use, 0 is the most recent; NONE: not in the table */
    uint8_t is_free[SLOTS];
    uint8_t is_chained[SLOTS];
    uint8_t is_live[SLOTS];
    uint8_t within[SLOTS];
    half_t slot[SLOTS][HALVES];
} view_t;

static view_t before, after;

#define WAS(i) ((const slot_t *)(const void *)before.slot[i])
#define IS_IN(view, i) ((view).place[i] != NONE)

/* From end back to end, each slot once, both directions agree, and as many as number says. */
static int ring_is_right(view_t *v)
{
    uint32_t last = t->end, count = 0;
    uint32_t i = get(t, last, NEXT);
    for (uint32_t k = 0; k < SLOTS; k++)
        v->place[k] = NONE;
    for (; count < SLOTS && i != t->end; count++) {
        if (i >= t->end || v->place[i] != NONE || get(t, i, PREV) != last)
            return 0;
        v->place[i] = (uint8_t)count;
        last = i;
        i = get(t, i, NEXT);
    }
    return i == t->end && get(t, t->end, PREV) == last && count == t->number && count <= CAPACITY;
}

static int free_list_is_right(view_t *v)
{
    uint32_t i = t->free;
    for (uint32_t k = 0; k < SLOTS; k++)
        v->is_free[k] = 0;
    for (uint32_t k = 0; k < SLOTS && i != t->end; k++) {
        if (i >= t->end || v->is_free[i])
            return 0;
        v->is_free[i] = 1;
        i = get(t, i, NEXT);
    }
    return i == t->end;
}

/* Every chain ends, and has slots of its bucket; together they have those of the ring. */
static int chains_are_right(view_t *v)
{
    uint32_t bucket[SLOTS];
    for (uint32_t k = 0; k < SLOTS; k++) {
        v->is_chained[k] = 0;
        bucket[k] = bucket_of(t, &slot_at(t, k)->id);
    }
    for (uint32_t b = t->end; b < t->end + t->buckets; b++) {
        uint32_t i = get(t, b, AFTER);
        for (uint32_t k = 0; k < SLOTS && i != t->end; k++) {
            if (i >= t->end || v->is_chained[i] || bucket[i] != b)
                return 0;
            v->is_chained[i] = 1;
            i = get(t, i, AFTER);
        }
        if (i != t->end)
            return 0;
    }
    for (uint32_t k = 0; k < SLOTS; k++)
        if (v->is_chained[k] != IS_IN(*v, k))
            return 0;
    return 1;
}

/* Each slot is in one place, and holds what belongs there. */
static int slots_are_right(view_t *v)
{
    for (uint32_t i = 0; i < SLOTS; i++) {
        const slot_t *s = slot_at(t, i);
        int is_in = IS_IN(*v, i), is_leaving = i == t->leaving;
        v->is_live[i] = is_in || is_leaving || s->refs;
        v->within[i] = (uint8_t)times_are_within_bounds(s);
        for (uint32_t k = 0; k < HALVES; k++)
            v->slot[i][k] = ((const half_t *)(const void *)s)[k];
        if (is_in != (get(t, i, PREV) != i) || (is_leaving && is_in))
            return 0;
        if (v->is_free[i] ? v->is_live[i] || !is_wiped(s) || s->generation > t->generation_max
                          : !v->is_live[i] || !is_well_formed(s))
            return 0;
        if (is_in && !t->busy && !v->within[i])
            return 0;
        for (uint32_t j = 0; j < i; j++)
            if (is_in && IS_IN(*v, j) && have_same_id(s, slot_at(t, j)))
                return 0;
    }
    return 1;
}

/* The slot that a handle names, if that has its session. */
static uint32_t live_slot(sesstab_handle_t h)
{
    uint32_t i = h & t->slot_mask;
    if (i >= SLOTS || h >> t->slot_bits != slot_at(t, i)->generation)
        return NONE;
    return slot_at(t, i)->refs || prev[i] != i || i == t->leaving ? i : NONE;
}

static int settings_are_right(void)
{
    return t->cache_size >= 1 && t->cache_size <= t->config.capacity && t->leaving <= t->end && t->busy <= 1 &&
           (t->busy || t->leaving == t->end) && !(t->config.mode & ~MODES) &&
           t->config.timeout != SESSTAB_DEFAULT_TIMEOUT;
}

static int is_in_order(view_t *v)
{
    return settings_are_right() && ring_is_right(v) && free_list_is_right(v) && chains_are_right(v) &&
           slots_are_right(v);
}

static void claim_order(view_t *v)
{
    CLAIM(settings_are_right());
    CLAIM(ring_is_right(v));
    CLAIM(free_list_is_right(v));
    CLAIM(chains_are_right(v));
    CLAIM(slots_are_right(v));
}

/* ---- Any such table ---- */

/* Ids of a table for several sessions have bytes other than 0 in their first and last words only: CBMC compares the
 * ids of any two slots at every look for a bucket. For one session they are arbitrary. */
static int may_be_set(size_t id_byte)
{
    return CAPACITY == 1 || id_byte < sizeof(word_t) || id_byte >= sizeof(words_t) - sizeof(word_t);
}

static void change_everything(void)
{
    for (uint32_t i = 0; i <= SLOTS; i++) {
        prev[i] = nondet_u8();
        next[i] = nondet_u8();
    }
    for (uint32_t i = 0; i < sizeof chain; i++)
        chain[i] = nondet_u8();
    const size_t id = offsetof(slot_t, id);
    for (uint32_t i = 0; i < SLOTS; i++)
        for (size_t k = 0; k < HALVES; k++) {
            int is_of_id = 2 * k >= id && 2 * k < id + sizeof(words_t);
            slots[i][k] = is_of_id && !may_be_set(2 * k - id) ? 0 : nondet_u16();
        }
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
    now = nondet_u32();
}

/* What sesstab_init makes of these settings, but for the contents: prove_init() compares. */
static void make_header(void)
{
    table.config.capacity = CAPACITY;
    table.config.spare = SPARE;
    table.config.data_size = DATA;
    table.config.clock = seconds;
    table.stride = SESSTAB_SLOT_SIZE(DATA);
    table.end = SLOTS;
    table.leaving = SLOTS;
    table.buckets = BUCKETS;
    while ((SLOTS - 1) >> table.slot_bits)
        table.slot_bits++;
    table.slot_mask = (uint16_t)((1u << table.slot_bits) - 1);
    table.generation_max = (HANDLE_MAX >> table.slot_bits) & UINT16_MAX;
    table.links[PREV] = prev;
    table.links[NEXT] = next;
    table.links[AFTER] = chain;
    choose_buckets();
}

static void any_table(uint16_t busy)
{
    make_header();
    change_everything();
    t->busy = busy;
    if (busy)
        t->leaving = nondet_u16();
    __CPROVER_assume(is_in_order(&before));
}

/* ---- Callbacks ---- */

/* Of each slot's references: how many the program holds, which its callbacks may give back; and how many others hold,
 * but for the core itself. */
static uint8_t held[SLOTS], others[SLOTS];

/* What calls leave alone: a handle names one session, and when that is gone, never again one. A slot's generation does
 * not come round meanwhile. */
static int handles_are_kept(const view_t *was, const view_t *is)
{
    for (uint32_t i = 0; i < SLOTS; i++) {
        const slot_t *old = (const void *)was->slot[i], *new = (const void *)is->slot[i];
        if (old->generation > new->generation)
            return 0;
        if (old->generation == new->generation && is->is_live[i] &&
            !(was->is_live[i] && have_same_id(old, new) && old->context == new->context))
            return 0;
    }
    return 1;
}

/* And what those do that are made during on_remove: what the table holds, it goes on to hold. */
static int is_kept_during_on_remove(const view_t *was, const view_t *is)
{
    for (uint32_t i = 0; i < SLOTS; i++) {
        const slot_t *old = (const void *)was->slot[i], *new = (const void *)is->slot[i];
        if (was->place[i] != is->place[i] || (was->within[i] && !is->within[i] && IS_IN(*was, i)))
            return 0;
        if ((IS_IN(*was, i) || i == t->leaving) && old->generation != new->generation)
            return 0;
    }
    return handles_are_kept(was, is);
}

static int on_new(void *arg, sesstab_handle_t h);
static sesstab_handle_t on_get(void *arg, const uint8_t *id, size_t id_len);
static void on_remove(void *arg, sesstab_handle_t h);

/* Callbacks may unset callbacks, and set them again. */
static void change_callbacks(void)
{
    uint8_t which = nondet_u8();
    t->config.on_new = which & 1 ? on_new : NULL;
    t->config.on_get = which & 2 ? on_get : NULL;
    t->config.on_remove = which & 4 ? on_remove : NULL;
}

/* Any calls that may be made now. */
static void any_calls(void)
{
    view_t was, is;
    claim_order(&was);
    change_everything();
    __CPROVER_assume(is_in_order(&is));
    __CPROVER_assume(t->busy ? is_kept_during_on_remove(&was, &is) : handles_are_kept(&was, &is));
    int is_cleared = !t->busy && (nondet_u8() & 1); /* which takes all references */
    for (uint32_t i = 0; i < SLOTS; i++) {
        const slot_t *old = (const void *)was.slot[i], *new = slot_at(t, i);
        int is_same = old->generation == new->generation && is.is_live[i];
        uint32_t kept = is_cleared ? 0 : old->refs - held[i];
        __CPROVER_assume(is_cleared ? !is_same : IMPLIES(kept, is_same && new->refs >= kept));
        held[i] = (uint8_t)(new->refs - kept);
        others[i] = is_cleared ? 0 : others[i];
    }
    change_callbacks();
}

static int with_callbacks; /* there are some, or were */

static int has_callbacks(void)
{
    return with_callbacks;
}

/* Stand in for calls that get_session and update_cache make. With callbacks they do what their own proofs show;
 * without, they do nothing: what is shown then is when they are made. */
static struct {
    uint32_t adds, flushes; /* how often */
    sesstab_handle_t h;
    uint32_t at;
    int answer;
} asked;

int any_sesstab_add_session(sesstab_t *of, sesstab_handle_t h)
{
    (void)of;
    CLAIM(!asked.flushes);
    asked.adds++;
    asked.h = h;
    asked.answer = nondet_u8() & 1;
    if (has_callbacks())
        any_calls();
    return asked.answer;
}

int any_sesstab_remove_session(sesstab_t *of, sesstab_handle_t h)
{
    (void)of, (void)h;
    any_calls();
    return nondet_u8() & 1;
}

uint32_t any_sesstab_flush_sessions(sesstab_t *of, uint32_t at)
{
    (void)of;
    asked.flushes++;
    asked.at = at;
    if (has_callbacks())
        any_calls();
    return nondet_u32();
}

static uint32_t seconds(void *arg)
{
    (void)arg;
    if (has_callbacks() && !t->busy) /* busy: calls ask the clock first, so on_remove could have made its calls before */
        any_calls();
    return now;
}

static void on_remove(void *arg, sesstab_handle_t h)
{
    (void)arg;
    CLAIM(live_slot(h) != NONE && t->busy);
    any_calls();
}

static int on_new(void *arg, sesstab_handle_t h)
{
    (void)arg;
    uint32_t i = live_slot(h);
    CLAIM(i != NONE && !t->busy);
    held[i]++; /* the reference that comes with the handle */
    any_calls();
    int keeps = nondet_u8() & 1;
    if (!keeps && live_slot(h) != NONE) {
        __CPROVER_assume(held[i]);
        held[i]--;
    }
    return keeps;
}

static sesstab_handle_t on_get(void *arg, const uint8_t *id, size_t id_len)
{
    (void)arg;
    CLAIM(__CPROVER_r_ok(id, id_len) && !t->busy);
    any_calls();
    sesstab_handle_t h = nondet_u32();
    uint32_t i = live_slot(h);
    if (i != NONE && slot_at(t, i)->refs) {
        __CPROVER_assume(held[i]);
        held[i]--; /* gives it away */
    }
    return h;
}

static void set_callbacks(void)
{
    t->config.on_new = on_new;
    t->config.on_get = on_get;
    t->config.on_remove = on_remove;
    with_callbacks = 1;
    for (uint32_t i = 0; i < SLOTS; i++) {
        held[i] = nondet_u8();
        __CPROVER_assume(held[i] <= slot_at(t, i)->refs);
        others[i] = slot_at(t, i)->refs - held[i];
    }
}

/* The core has given back every reference that it took, and none of others. */
static void claim_references(void)
{
    CLAIM(handles_are_kept(&before, &after));
    for (uint32_t i = 0; i < SLOTS; i++) {
        CLAIM(slot_at(t, i)->refs == others[i] + held[i]);
        CLAIM(IMPLIES(others[i], slot_at(t, i)->generation == WAS(i)->generation));
    }
}

/* ---- What no call does ---- */

/* A call without callbacks leaves every session as it was, but for the references and times of slot `touched`, and
 * the order of use, but for slot `first`, which is the most recent now. Sessions may go that nobody holds. */
static void claim_rest_is_kept(uint32_t touched, uint32_t first)
{
    for (uint32_t i = 0; i < SLOTS; i++) {
        const slot_t *was = WAS(i), *is = slot_at(t, i);
        int stays = before.is_live[i] && after.is_live[i];
        CLAIM(IMPLIES(i != touched && was->refs, stays));
        CLAIM(IMPLIES(i != touched && !before.is_live[i], !after.is_live[i]));
        CLAIM(IMPLIES(i != touched || before.is_live[i], was->generation == is->generation));
        CLAIM(IMPLIES(stays, have_same_id(was, is) && was->lengths == is->lengths && was->context == is->context));
        CLAIM(was->before[0] == is->before[0] && was->before[1] == is->before[1]); /* its neighbour's */
        for (uint32_t k = 0; k < DATA; k++)
            CLAIM(IMPLIES(stays, was->data[k] == is->data[k]));
        CLAIM(IMPLIES(stays && i != touched,
            was->refs == is->refs && was->time == is->time && was->timeout == is->timeout));
        CLAIM(IMPLIES(i == first, after.place[i] == 0));
        CLAIM(IMPLIES(i != first && IS_IN(after, i), IS_IN(before, i)));
        for (uint32_t j = 0; j < SLOTS; j++)
            CLAIM(IMPLIES(i != first && j != first && IS_IN(after, i) && IS_IN(after, j),
                (before.place[i] < before.place[j]) == (after.place[i] < after.place[j])));
    }
}

static void claim_all_stay(void)
{
    for (uint32_t i = 0; i < SLOTS; i++)
        CLAIM(IMPLIES(IS_IN(before, i), IS_IN(after, i)));
}

/* ---- The calls, and what each promises ---- */

static uint8_t id_bytes[SESSTAB_ID_MAX];
static uint8_t data_bytes[DATA];

static const uint8_t *any_id(void)
{
    for (size_t k = 0; k < sizeof id_bytes; k++)
        id_bytes[k] = may_be_set(k) ? nondet_u8() : 0;
    return id_bytes;
}

static const uint8_t *any_data(void)
{
    for (size_t k = 0; k < sizeof data_bytes; k++)
        data_bytes[k] = nondet_u8();
    return data_bytes;
}

/* The slot in the table that had this id, if any had. */
static uint32_t slot_that_had(const uint8_t *id, size_t id_len)
{
    uint32_t found = NONE;
    for (uint32_t i = 0; i < SLOTS; i++)
        if (IS_IN(before, i) && has_id(WAS(i), id, id_len))
            found = i;
    return found;
}

void prove_new_session(void)
{
    any_table(0);
    size_t id_len = nondet_size(), data_len = nondet_size();
    uint32_t timeout = nondet_u32();
    uint8_t context = nondet_u8();
    int fits = id_len >= 1 && id_len <= SESSTAB_ID_MAX && data_len <= DATA, has_room = 0;
    /* As long as is said and no longer; whatever else does not fit may not be read at all. */
    const uint8_t *id = id_len <= SESSTAB_ID_MAX ? any_id() + SESSTAB_ID_MAX - id_len : NULL;
    const uint8_t *data = data_len <= DATA ? any_data() + DATA - data_len : NULL;
    for (uint32_t k = 0; k < SLOTS; k++)
        has_room |= before.is_free[k];
    sesstab_handle_t h = sesstab_new_session(t, id, id_len, data, data_len, timeout, context);
    uint32_t i = live_slot(h);
    claim_order(&after);
    claim_rest_is_kept(i, NONE);
    claim_all_stay();
    CLAIM(h <= HANDLE_MAX && !!h == (fits && has_room));
    REACH(!h && fits);
    REACH(h && id_len == SESSTAB_ID_MAX && data_len == DATA);
    if (!h)
        return;
    const slot_t *s = session(t, h);
    CLAIM(i != NONE && before.is_free[i] && !IS_IN(after, i) && s->refs == 1);
    CLAIM(s->time == now && s->context == context && has_id(s, id, id_len));
    CLAIM(s->timeout == (timeout == SESSTAB_DEFAULT_TIMEOUT ? t->config.timeout : timeout));
    CLAIM(s->lengths >> 5 == data_len);
    for (uint32_t k = 0; k < DATA; k++)
        CLAIM(s->data[k] == (k < data_len ? data[k] : 0));
    CLAIM(s->generation != WAS(i)->generation); /* the handle is not that of the slot's last session */
    REACH(WAS(i)->generation == t->generation_max);
}

void prove_up_ref(void)
{
    any_table(0);
    sesstab_handle_t h = nondet_u32();
    uint32_t i = live_slot(h);
    int done = sesstab_up_ref(t, h);
    claim_order(&after);
    claim_rest_is_kept(i, NONE);
    claim_all_stay();
    CLAIM(done == (i != NONE && WAS(i)->refs < SESSTAB_REFS_MAX));
    CLAIM(IMPLIES(i != NONE, slot_at(t, i)->refs == WAS(i)->refs + done));
    REACH(done && IS_IN(before, i));
    REACH(i != NONE && !done);
}

void prove_free(void)
{
    any_table(0);
    sesstab_handle_t h = nondet_u32();
    uint32_t i = live_slot(h);
    int done = sesstab_free(t, h);
    claim_order(&after);
    claim_rest_is_kept(i, NONE);
    claim_all_stay();
    CLAIM(done == (i != NONE && WAS(i)->refs > 0));
    CLAIM(IMPLIES(i != NONE, slot_at(t, i)->refs == WAS(i)->refs - done));
    if (done && WAS(i)->refs == 1 && !IS_IN(before, i)) {
        CLAIM(after.is_free[i] && is_wiped(slot_at(t, i)));
        CLAIM(live_slot(h) == NONE); /* the handle is stale */
    }
    REACH(done && after.is_free[i]);
    REACH(done && IS_IN(before, i));
}

static void add_session(void)
{
    sesstab_handle_t h = nondet_u32();
    uint32_t i = live_slot(h), number = t->number, same = NONE;
    int was_in = i != NONE && IS_IN(before, i), any_expired = 0;
    for (uint32_t k = 0; k < SLOTS; k++) {
        any_expired |= IS_IN(before, k) && has_expired(WAS(k), now);
        if (i != NONE && k != i && IS_IN(before, k) && have_same_id(WAS(k), WAS(i)))
            same = k;
    }
    int done = sesstab_add_session(t, h);
    claim_order(&after);
    CLAIM(IMPLIES(done, live_slot(h) != NONE && IS_IN(after, number_of(t, h)) && sesstab_next(t, 0) == h));
    CLAIM(IMPLIES(done, t->number <= t->cache_size));
    REACH(done && same != NONE);
    REACH(done && same == NONE && number == CAPACITY && t->cache_size == CAPACITY && !any_expired);
    REACH(done && same == NONE && number == CAPACITY && t->cache_size == CAPACITY && t->number == 1);
    if (has_callbacks())
        return;
    CLAIM(done == (i != NONE && !was_in));
    claim_rest_is_kept(i, done ? i : NONE);
    number -= same != NONE;
    for (uint32_t k = 0; k < SLOTS; k++) {
        int went = IS_IN(before, k) && !IS_IN(after, k) && k != same;
        CLAIM(IMPLIES(went, done && number >= t->cache_size));
        CLAIM(IMPLIES(done && k == same, !IS_IN(after, k)));
        /* The expired go first, then the least recently used. */
        for (uint32_t j = 0; j < SLOTS; j++) {
            int stayed = IS_IN(before, j) && IS_IN(after, j);
            CLAIM(IMPLIES(went && stayed, !has_expired(WAS(j), now)));
            CLAIM(IMPLIES(went && stayed, before.place[j] < before.place[k] || has_expired(WAS(k), now)));
        }
    }
    /* No more go than must. */
    CLAIM(IMPLIES(done && number >= t->cache_size && !any_expired, t->number == t->cache_size));
}

/* What add_session() claims of a table for one session, here of one for several: who goes when none is expired. */
void prove_eviction(void)
{
    any_table(0);
    sesstab_handle_t h = nondet_u32();
    uint32_t i = live_slot(h);
    __CPROVER_assume(i != NONE && !IS_IN(before, i) && t->number == CAPACITY && t->cache_size == CAPACITY);
    for (uint32_t k = 0; k < SLOTS; k++)
        __CPROVER_assume(IMPLIES(IS_IN(before, k), !has_expired(WAS(k), now) && !have_same_id(WAS(k), WAS(i))));
    REACH(before.place[0] == CAPACITY - 1);
    sesstab_add_session(t, h);
    CLAIM(ring_is_right(&after));
    for (uint32_t k = 0; k < SLOTS; k++) {
        CLAIM(IMPLIES(k == i, after.place[k] == 0));
        CLAIM(IMPLIES(before.place[k] < CAPACITY - 1, after.place[k] == before.place[k] + 1));
        CLAIM(IMPLIES(before.place[k] == CAPACITY - 1, !IS_IN(after, k))); /* the least recently used */
    }
}

static void remove_session(void)
{
    sesstab_handle_t h = nondet_u32();
    uint32_t i = live_slot(h), same = NONE;
    for (uint32_t k = 0; k < SLOTS; k++)
        if (i != NONE && IS_IN(before, k) && have_same_id(WAS(k), WAS(i)))
            same = k;
    int done = sesstab_remove_session(t, h);
    claim_order(&after);
    CLAIM(done == (same != NONE));
    CLAIM(IMPLIES(done, !IS_IN(after, same)));
    REACH(done && same != i);
    REACH(done && same == i && after.is_free[i]);
    if (has_callbacks())
        return;
    claim_rest_is_kept(NONE, NONE);
    for (uint32_t k = 0; k < SLOTS; k++)
        CLAIM(IMPLIES(IS_IN(before, k), IS_IN(after, k) == (k != same)));
    CLAIM(IMPLIES(done && WAS(same)->refs == 0, after.is_free[same])); /* and so wiped */
    CLAIM(IMPLIES(done && same == i && WAS(same)->refs == 0, live_slot(h) == NONE));
}

static void get_session(void)
{
    size_t id_len = nondet_size();
    const uint8_t *id = any_id();
    uint8_t context = nondet_u8();
    uint32_t same = id_len <= SESSTAB_ID_MAX ? slot_that_had(id, id_len) : NONE, hits = t->hits;
    sesstab_handle_t h = sesstab_get_session(t, id, id_len, context);
    claim_order(&after);
    if (h) {
        const slot_t *s = session(t, h);
        CLAIM(s && live_slot(h) != NONE && s->refs && s->context == context && has_id(s, id, id_len));
        CLAIM(!has_expired(s, now));
        CLAIM(IMPLIES(has_callbacks(), !IS_IN(after, number_of(t, h)) || sesstab_next(t, 0) == h));
        held[number_of(t, h)]++; /* the caller's */
        REACH(id_len == 1);
        REACH(id_len == SESSTAB_ID_MAX);
    }
    REACH(h && same != NONE && before.place[same] == CAPACITY - 1);
    REACH(!h && same != NONE && after.is_free[same]);
    REACH(has_callbacks() ? h && same == NONE : !h);
    if (has_callbacks())
        return;
    /* What is in the table, is found. */
    int may_look = same != NONE && !(t->config.mode & SESSTAB_CACHE_NO_INTERNAL_LOOKUP);
    int is_good = may_look && WAS(same)->refs < SESSTAB_REFS_MAX && WAS(same)->context == context;
    int has_died = is_good && has_expired(WAS(same), now);
    CLAIM(!!h == (is_good && !has_died));
    CLAIM(IMPLIES(h, number_of(t, h) == same && slot_at(t, same)->refs == WAS(same)->refs + 1));
    CLAIM(t->hits == hits + !!h);
    for (uint32_t k = 0; k < SLOTS; k++)
        CLAIM(IMPLIES(IS_IN(before, k), IS_IN(after, k) == (k != same || !has_died)));
    CLAIM(IMPLIES(has_died && WAS(same)->refs == 0, after.is_free[same]));
    claim_rest_is_kept(h ? same : NONE, h ? same : NONE);
}

static void flush_sessions(void)
{
    uint32_t at = nondet_u32(), number = t->number;
    uint32_t removed = sesstab_flush_sessions(t, at);
    claim_order(&after);
    CLAIM(removed == number - t->number);
    REACH(removed == CAPACITY);
    REACH(at && removed == 1 && t->number == CAPACITY - 1);
    if (has_callbacks())
        return;
    claim_rest_is_kept(NONE, NONE);
    for (uint32_t i = 0; i < SLOTS; i++)
        CLAIM(IMPLIES(IS_IN(before, i), IS_IN(after, i) == !has_expired(WAS(i), at)));
}

static void update_cache(void)
{
    sesstab_handle_t h = nondet_u32();
    uint32_t i = live_slot(h), side = nondet_u32(), mode = t->config.mode, stored = t->stored;
    int added = sesstab_update_cache(t, h, side);
    claim_order(&after);
    REACH(added && !asked.flushes);
    REACH(added && asked.flushes);
    if (has_callbacks())
        return;
    uint32_t counts = i != NONE && side <= SESSTAB_CACHE_BOTH && (mode & side);
    uint32_t adds = counts && !(mode & SESSTAB_CACHE_NO_INTERNAL_STORE);
    uint32_t flushes = counts && !(mode & SESSTAB_CACHE_NO_AUTO_CLEAR) && (stored + 1) % 256 == 255;
    CLAIM(t->stored == stored + counts);
    CLAIM(asked.adds == adds && added == (adds && asked.answer) && IMPLIES(adds, asked.h == h));
    CLAIM(asked.flushes == flushes && IMPLIES(flushes, asked.at == now));
    claim_rest_is_kept(NONE, NONE);
    claim_all_stay();
}

#define PROOFS(call)                                                                                             \
    void prove_##call(void)                                                                                      \
    {                                                                                                            \
        any_table(0);                                                                                            \
        call();                                                                                                  \
    }                                                                                                            \
    void prove_##call##_with_callbacks(void)                                                                     \
    {                                                                                                            \
        any_table(0);                                                                                            \
        set_callbacks();                                                                                         \
        call();                                                                                                  \
        claim_references();                                                                                      \
    }

PROOFS(add_session)
PROOFS(remove_session)
PROOFS(get_session)
PROOFS(flush_sessions)
PROOFS(update_cache)

void prove_has_session(void)
{
    any_table(0);
    size_t id_len = nondet_size();
    const uint8_t *id = any_id();
    uint32_t same = id_len <= SESSTAB_ID_MAX ? slot_that_had(id, id_len) : NONE;
    CLAIM(sesstab_has_session(t, id, id_len) == (same != NONE));
    claim_order(&after);
    claim_rest_is_kept(NONE, NONE);
    claim_all_stay();
    REACH(CAPACITY == 1 || (same != NONE && get(t, bucket_of(t, &WAS(same)->id), AFTER) != same)); /* the second of its chain */
}

void prove_clear(void)
{
    any_table(0);
    sesstab_handle_t h = nondet_u32();
    int was_live = live_slot(h) != NONE;
    sesstab_clear(t);
    claim_order(&after);
    for (uint32_t i = 0; i < SLOTS; i++)
        CLAIM(after.is_free[i] && slot_at(t, i)->generation == WAS(i)->generation);
    CLAIM(t->number == 0 && live_slot(h) == NONE);
    REACH(was_live);
}

void prove_set_times(void)
{
    any_table(0);
    sesstab_handle_t h = nondet_u32();
    uint32_t i = live_slot(h), value = nondet_u32();
    int sets_time = nondet_u8() & 1;
    int done = sets_time ? sesstab_set_session_time(t, h, value) : sesstab_set_session_timeout(t, h, value);
    claim_order(&after);
    claim_rest_is_kept(i, NONE);
    claim_all_stay();
    CLAIM(done == (i != NONE));
    if (!done)
        return;
    CLAIM(slot_at(t, i)->time == (sets_time ? value : WAS(i)->time));
    CLAIM(slot_at(t, i)->timeout == (sets_time ? WAS(i)->timeout : value));
    REACH(sets_time && IS_IN(before, i));
    REACH(!sets_time && UINT32_MAX - value < WAS(i)->time);
}

static void set_a_setting(void)
{
    uint32_t value = nondet_u32();
    switch (nondet_u8() % 3) {
        case 0:
            sesstab_set_mode(t, value);
            CLAIM(sesstab_get_mode(t) == (value & MODES));
            break;
        case 1:
            sesstab_sess_set_cache_size(t, value);
            CLAIM(sesstab_sess_get_cache_size(t) == (value >= 1 && value <= CAPACITY ? value : CAPACITY));
            break;
        default:
            __CPROVER_assume(value != SESSTAB_DEFAULT_TIMEOUT);
            sesstab_set_timeout(t, value);
            CLAIM(sesstab_get_timeout(t) == value);
            break;
    }
}

void prove_settings(void)
{
    any_table(0);
    set_a_setting();
    claim_order(&after);
    claim_rest_is_kept(NONE, NONE);
    claim_all_stay();
    REACH(t->config.mode == MODES);
}

void prove_what_a_session_holds(void)
{
    any_table(0);
    sesstab_handle_t h = nondet_u32();
    uint32_t i = live_slot(h);
    size_t id_len, data_len;
    const uint8_t *id = sesstab_session_id(t, h, &id_len);
    const uint8_t *data = sesstab_session_data(t, h, &data_len);
    if (i == NONE) {
        CLAIM(!id && !id_len && !data && !data_len && !sesstab_session_refs(t, h));
        CLAIM(!sesstab_session_time(t, h) && !sesstab_session_timeout(t, h) && !sesstab_session_context(t, h));
    } else {
        CLAIM(has_id(WAS(i), id, id_len));
        CLAIM(__CPROVER_r_ok(data, data_len) && data_len == WAS(i)->lengths >> 5);
        CLAIM(sesstab_session_time(t, h) == WAS(i)->time && sesstab_session_timeout(t, h) == WAS(i)->timeout);
        CLAIM(sesstab_session_refs(t, h) == WAS(i)->refs + (uint32_t)IS_IN(before, i));
    }
    claim_order(&after);
    claim_rest_is_kept(NONE, NONE);
    claim_all_stay();
    REACH(i != NONE && data_len == DATA);
}

void prove_next(void)
{
    any_table(0);
    sesstab_handle_t h = sesstab_next(t, 0);
    for (uint32_t place = 0; place < SLOTS; place++) {
        if (place >= t->number) {
            CLAIM(h == 0);
            break;
        }
        CLAIM(live_slot(h) != NONE && before.place[number_of(t, h)] == place);
        REACH(place == CAPACITY - 1);
        h = sesstab_next(t, h);
    }
    h = nondet_u32();
    CLAIM(IMPLIES(live_slot(h) == NONE && h, sesstab_next(t, h) == 0));
}

/* The calls that on_remove may make, and those that refuse meanwhile. */
void prove_during_on_remove(void)
{
    any_table(1);
    sesstab_handle_t h = nondet_u32();
    uint32_t value = nondet_u32(), leaving = t->leaving;
    size_t id_len = nondet_size(), data_len = nondet_size();
    const uint8_t *id = any_id();
    const uint8_t *data = any_data();
    set_callbacks();
    for (uint32_t i = 0; i < SLOTS; i++)
        __CPROVER_assume(slot_at(t, i)->generation < t->generation_max); /* does not come round */
    REACH(leaving != NONE && slot_at(t, leaving)->refs == 0);
    REACH(leaving == NONE);
    switch (nondet_u8() % 12) {
        case 0: sesstab_new_session(t, id, id_len, data, data_len, value, nondet_u8()); break;
        case 1: sesstab_up_ref(t, h); break;
        case 2: sesstab_free(t, h); break;
        case 3: CLAIM(!sesstab_add_session(t, h)); break;
        case 4: CLAIM(!sesstab_remove_session(t, h)); break;
        case 5: CLAIM(!sesstab_get_session(t, id, id_len, nondet_u8())); break;
        case 6: CLAIM(!sesstab_flush_sessions(t, value)); break;
        case 7: CLAIM(!sesstab_update_cache(t, h, value)); break;
        case 8: sesstab_clear(t); break;
        case 9: sesstab_set_session_time(t, h, value); break;
        case 10: sesstab_set_session_timeout(t, h, value); break;
        default: set_a_setting(); break;
    }
    CLAIM(t->busy && t->leaving == leaving);
    claim_order(&after);
    CLAIM(is_kept_during_on_remove(&before, &after));
}

/* Which sesstab_init ends with, and sesstab_clear. What was there does not matter, but for the generations. */
void prove_reset(void)
{
    make_header();
    change_everything();
    t->cache_size = CAPACITY;
    t->config.mode &= MODES;
    __CPROVER_assume(t->config.timeout != SESSTAB_DEFAULT_TIMEOUT);
    for (uint32_t i = 0; i < SLOTS; i++)
        __CPROVER_assume(slot_at(t, i)->generation <= t->generation_max);
    reset(t);
    claim_order(&after);
    CLAIM(t->number == 0 && t->free == 0);
    REACH(t->config.mode == MODES);
}

/* What the other proofs set out from comes about by calls: here it does, in four from a new table. */
void prove_first_calls(void)
{
    make_header();
    t->cache_size = CAPACITY;
    t->config.timeout = nondet_u32();
    __CPROVER_assume(t->config.timeout != SESSTAB_DEFAULT_TIMEOUT);
    reset(t);
    for (uint32_t k = 0; k < 4; k++) {
        sesstab_handle_t h = nondet_u32();
        now = nondet_u32();
        switch (nondet_u8() % 3) {
            case 0: sesstab_new_session(t, any_id(), 1, any_data(), DATA, nondet_u32(), nondet_u8()); break;
            case 1: sesstab_add_session(t, h); break;
            default: sesstab_free(t, h); break;
        }
    }
    claim_order(&after);
    REACH(t->number == CAPACITY);
    REACH(after.is_free[0] && slot_at(t, 0)->generation == 2);
    REACH(t->number == 1 && !after.is_free[0] && !after.is_free[1]);
    REACH(CAPACITY == 1 || (t->number == 2 && get(t, get(t, t->end, NEXT), AFTER) == get(t, t->end, PREV)));
    REACH(t->number == 1 && slot_at(t, 0)->refs == 0 && slot_at(t, 1)->refs == 1);
    REACH(CAPACITY > 1 || t->cache_full == 1);
}

/* ---- From sesstab_init ---- */

/* Has types, which spares CBMC much. */
static struct {
    struct sesstab header;
    uint8_t rest[SESSTAB_SIZE(CAPACITY, SPARE, DATA) - sizeof(struct sesstab)];
} memory;

static void make_table(void)
{
    sesstab_config_t config = {.capacity = CAPACITY, .spare = SPARE, .data_size = DATA, .clock = seconds};
    config.mode = nondet_u16() & MODES;
    config.timeout = nondet_u32();
    __CPROVER_assume(config.timeout != SESSTAB_DEFAULT_TIMEOUT);
    t = sesstab_init(&memory, SESSTAB_SIZE(CAPACITY, SPARE, DATA), &config);
}

/* A new table's header is what make_header() says; its sessions are what prove_reset() says. */
void prove_init(void)
{
    make_table();
    make_header();
    CLAIM(t == &memory.header);
    CLAIM(t->stride == table.stride && t->end == table.end && t->leaving == table.leaving && !t->busy);
    CLAIM(t->buckets == table.buckets && t->slot_bits == table.slot_bits && t->slot_mask == table.slot_mask);
    CLAIM(t->generation_max == table.generation_max && !t->wide);
    CLAIM(t->config.capacity == CAPACITY && t->config.spare == SPARE && t->config.data_size == DATA);
    CLAIM(t->number == 0 && t->cache_size == CAPACITY && !t->config.on_remove);
    REACH(t->config.mode == MODES);
}

/* The functions that the other proofs replace keep within the memory that sesstab_init asked for, and there the links
 * and slots are apart. */
void prove_init_layout(void)
{
    make_table();
    uint32_t i = nondet_u32();
    __CPROVER_assume(i < SLOTS);
    const uint8_t *slot = (const uint8_t *)slot_at(t, i), *end = memory.rest + sizeof memory.rest;
    const uint8_t *its_prev = t->links[PREV], *its_next = t->links[NEXT], *its_chain = t->links[AFTER];
    CLAIM(its_prev >= (const uint8_t *)(t + 1));
    CLAIM(its_next - its_prev >= (ptrdiff_t)sizeof prev && its_chain - its_next >= (ptrdiff_t)sizeof next);
    CLAIM(slot + offsetof(slot_t, generation) >= its_chain + sizeof chain);
    CLAIM(end - slot >= (ptrdiff_t)(2 * HALVES) && is_aligned(slot));
    CLAIM((size_t)(slot - t->slots) == i * SESSTAB_SLOT_SIZE(DATA));
    words_t id;
    for (uint32_t k = 0; k < WORDS; k++)
        id.word[k] = nondet_u32();
    for (uint32_t k = 0; k < 2 * WORDS; k++)
        t->key[k] = nondet_u32();
    uint32_t bucket = bucket_of(t, &id);
    CLAIM(bucket >= t->end && bucket < t->end + t->buckets);
    REACH(i == SLOTS - 1);
}
