/*
 * The session tables beside each other, in one process, on the same ids, payloads and clock.
 *
 *     host_bench times ROUNDS SIZE...   nanoseconds: a line for each size, workload and table, with all rounds
 *     host_bench counts SIZE...         under callgrind: a dump for each of them, named by its trigger
 *     host_bench memory SIZE...         allocations an operation and bytes of all (links allocations.c)
 *     host_bench verify SIZE...         what each table keeps, finds and forgets
 *
 * Rounds are interleaved: every table does a batch, then every table the next, starting with another one each time.
 * A slow table does smaller batches and fewer rounds. Sizes are sessions; every session added is a second younger.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "table.h"

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_TOGGLE_COLLECT
#define CALLGRIND_DUMP_STATS_AT(name) (void)(name)
#endif

enum {
    BATCH = 4096,      /* operations, at most */
    COUNTED = 512,     /* operations for callgrind */
    ROUNDS_MAX = 200,
    ROUNDS_MIN = 3,
    BATCH_NS = 2000000,
};
static const double FILL_NS = 3e9, WORKLOAD_NS = 1e9; /* a table may take so long to be filled, and for a workload */

typedef uint32_t session_id[TABLE_ID_SIZE / 4];

typedef struct {
    const table_t *table;
    int ready;        /* made and filled */
    int too_slow;     /* was not filled in time with ordinary ids, and is left alone in this size */
    double fill_ns;   /* how long that took, a session */
    session_id *live; /* a ring of the newest `size` ids added */
    uint32_t newest;
    session_id **kept; /* those of them that an inexact table still has */
    uint32_t kept_count;
    uint32_t seconds; /* its own clock: a second passes with each session that it gets, not with the others' */
    uint32_t batch; /* operations a round */
    double spent, samples[ROUNDS_MAX];
    int rounds;
    session_id keys[BATCH];
} player_t;

extern const table_t table_nothing; /* what the benchmark itself takes */

/* A table whose library was not there when this was built is missing here. */
#pragma weak table_bearssl
#pragma weak table_mbedtls2
#pragma weak table_mbedtls3
#pragma weak table_openssl
#pragma weak table_wolfssl_medium
#pragma weak table_wolfssl_big
#pragma weak table_wolfssl_huge

static const table_t *const tables[] = {&table_sesstab, &table_floor, &table_linear, &table_bearssl,
    &table_mbedtls2, &table_mbedtls3, &table_openssl, &table_wolfssl_medium, &table_wolfssl_big, &table_wolfssl_huge,
    &table_nothing};
enum { TABLES = sizeof tables / sizeof *tables };

static player_t players[TABLES];
static uint32_t size;
static session_id fresh[BATCH];
static uint32_t data[(TABLE_DATA_SIZE + 3) / 4];

uint32_t seconds;

/* The clock of libraries that ask the system. */
time_t time(time_t *t)
{
    if (t)
        *t = (time_t)seconds;
    return (time_t)seconds;
}

/* Linked in for `memory` only. */
extern unsigned long allocations __attribute__((weak)), heap_bytes __attribute__((weak));

static void fail(const char *what, const char *of)
{
    fprintf(stderr, "host_bench: %s: %s\n", of, what);
    exit(1);
}

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* ---- Ids ---- */

static uint64_t random_word(void)
{
    static uint64_t x = 0x9e3779b97f4a7c15u;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x * 0x2545f4914f6cdd1du;
}

/* The first `alike` bytes are the same in all ids. */
static void random_id(session_id id, size_t alike)
{
    for (int i = 0; i < TABLE_ID_SIZE / 4; i++)
        id[i] = (uint32_t)(random_word() >> 32);
    memset(id, 0x5a, alike);
}

/* ---- Operations ---- */

typedef uint32_t (*operation_t)(const table_t *t, session_id *ids, uint32_t n);

/* Each returns how many were not as they should be. */
static __attribute__((noinline)) uint32_t do_hits(const table_t *t, session_id *ids, uint32_t n)
{
    uint32_t wrong = n;
    for (uint32_t i = 0; i < n; i++)
        wrong -= (uint32_t)t->get((const uint8_t *)ids[i]);
    return wrong;
}

static __attribute__((noinline)) uint32_t do_misses(const table_t *t, session_id *ids, uint32_t n)
{
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < n; i++)
        wrong += (uint32_t)t->get((const uint8_t *)ids[i]);
    return wrong;
}

static __attribute__((noinline)) uint32_t do_inserts(const table_t *t, session_id *ids, uint32_t n)
{
    uint32_t wrong = n;
    for (uint32_t i = 0; i < n; i++) {
        seconds++;
        wrong -= (uint32_t)t->add((const uint8_t *)ids[i], (const uint8_t *)data, TABLE_TIMEOUT);
    }
    return wrong;
}

/* Timeouts that differ by up to as many seconds as there are sessions: a new session expires before half of those that
 * are there, or so, and none has expired when the benchmark is over. */
static __attribute__((noinline)) uint32_t do_mixed_inserts(const table_t *t, session_id *ids, uint32_t n)
{
    uint32_t wrong = n;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t timeout = TABLE_TIMEOUT / 2 + ids[i][7] % size;
        seconds++;
        wrong -= (uint32_t)t->add((const uint8_t *)ids[i], (const uint8_t *)data, timeout);
    }
    return wrong;
}

static double longest_ns;

/* Inserts that are timed one by one. */
static __attribute__((noinline)) uint32_t do_slowest_insert(const table_t *t, session_id *ids, uint32_t n)
{
    uint32_t wrong = 0;
    double start = now_ns();
    longest_ns = 0;
    for (uint32_t i = 0; i < n; i++) {
        wrong += do_inserts(t, &ids[i], 1);
        double end = now_ns();
        if (end - start > longest_ns)
            longest_ns = end - start;
        start = end;
    }
    return wrong;
}

/* ---- Workloads ---- */

typedef enum { FILL, LIVE, FRESH, EXPIRED } keys_t;

typedef struct {
    const char *name;
    operation_t operation;
    keys_t keys;   /* what the operation is done with; FILL: an empty table is filled in each round */
    size_t alike;  /* bytes that all ids have in common */
    int refill;    /* the table is made anew before it */
    int storm;     /* it is refilled before each round, and then all sessions expire */
    int check;     /* the operation says what is wrong */
} workload_t;

/* Hits come after inserts: they change the order of use where it is kept, and so what inserts evict. */
static const workload_t workloads[] = {
    {"fill", do_inserts, FILL, 0, 0, 0, 1},
    {"insert when full", do_inserts, FRESH, 0, 1, 0, 1},
    {"miss", do_misses, FRESH, 0, 0, 0, 1},
    {"hit", do_hits, LIVE, 0, 0, 0, 1},
    {"insert, mixed timeouts", do_mixed_inserts, FRESH, 0, 1, 0, 1},
    {"insert, 4 bytes alike", do_inserts, FRESH, 4, 1, 0, 1},
    {"hit, 4 bytes alike", do_hits, LIVE, 4, 0, 0, 1},
    {"insert, 16 bytes alike", do_inserts, FRESH, 16, 1, 0, 1},
    {"hit, 16 bytes alike", do_hits, LIVE, 16, 0, 0, 1},
    {"insert, all expired", do_inserts, FRESH, 0, 0, 1, 1},
    {"slowest insert, all expired", do_slowest_insert, FRESH, 0, 0, 1, 1},
    {"lookup, all expired", do_misses, EXPIRED, 0, 0, 1, 1},
};
enum { WORKLOADS = sizeof workloads / sizeof *workloads };

/* Whether the workload means anything for the table. */
static int applies(const workload_t *w, const table_t *t)
{
    if (w->operation == do_mixed_inserts)
        return t->timeouts;
    if (w->keys == EXPIRED)
        return t->expires;
    return !w->storm || t->expires || t->timeouts;
}

/* Makes a table with `size` sessions, in the order of their age. Returns 0 when it cannot, or takes too long. */
static int fill(player_t *p, const workload_t *w)
{
    operation_t add = w->operation == do_mixed_inserts ? do_mixed_inserts : do_inserts;
    p->ready = 0;
    p->kept_count = 0;
    seconds = p->seconds;
    if (p->too_slow || !p->table->init(size))
        return 0;
    for (uint32_t i = 0; i < size; i++)
        random_id(p->live[i], w->alike);
    double start = now_ns();
    for (uint32_t i = 0; i < size; i += 64) {
        uint32_t n = size - i < 64 ? size - i : 64;
        if (add(p->table, &p->live[i], n))
            fail("does not take a session", p->table->name);
        if (now_ns() - start > FILL_NS) {
            p->too_slow = add == do_inserts && !w->alike;
            return 0;
        }
    }
    p->fill_ns = (now_ns() - start) / size;
    p->seconds = seconds;
    if (p->table->number && p->table->number() != size)
        fail("is not full after as many sessions as it holds", p->table->name);
    p->newest = size - 1;
    p->ready = 1;
    return 1;
}

static void find_kept(player_t *p)
{
    for (uint32_t i = 0; i < size; i++)
        if (p->table->exact || p->table->get((const uint8_t *)p->live[i]))
            p->kept[p->kept_count++] = &p->live[i];
}

/* Chooses what the operation is done with. */
static void choose_keys(player_t *p, const workload_t *w, uint32_t n)
{
    seconds = p->seconds;
    if (w->keys == LIVE && !p->kept_count)
        find_kept(p);
    for (uint32_t i = 0; i < n; i++) {
        session_id *key = &fresh[i];
        if (w->keys == EXPIRED)
            key = &p->live[i];
        else if (w->keys == LIVE)
            key = p->kept[random_word() % p->kept_count];
        memcpy(p->keys[i], *key, TABLE_ID_SIZE);
    }
}

static void remember(player_t *p, uint32_t n)
{
    p->kept_count = 0;
    for (uint32_t i = 0; i < n; i++) {
        p->newest = p->newest + 1 == size ? 0 : p->newest + 1;
        memcpy(p->live[p->newest], p->keys[i], TABLE_ID_SIZE);
    }
}

/* How many operations a round. A storm ends when there are no expired sessions left. */
static uint32_t most(const workload_t *w)
{
    return w->storm && size < BATCH ? size : BATCH;
}

static double run(player_t *p, const workload_t *w, uint32_t n)
{
    seconds = p->seconds;
    double start = now_ns();
    uint32_t wrong = w->operation(p->table, p->keys, n);
    double ns = (now_ns() - start) / n;
    p->seconds = seconds;
    if (wrong && p->table != &table_nothing)
        fail(w->name, p->table->name);
    if (w->keys == FRESH && w->operation != do_misses)
        remember(p, n);
    return w->operation == do_slowest_insert ? longest_ns : ns;
}

/* A round of one table. Time spent outside of it counts, too, for the table's share. */
static void round_of(player_t *p, const workload_t *w, int measured)
{
    double start = now_ns(), ns;
    if (w->keys == FILL) {
        if (!fill(p, w))
            return;
        ns = p->fill_ns;
    } else {
        if (w->storm) {
            if (!fill(p, w))
                return;
            p->seconds += TABLE_TIMEOUT + 1;
        }
        choose_keys(p, w, p->batch);
        ns = run(p, w, p->batch);
        /* The next batch takes its share of time. */
        if (!w->storm && ns * p->batch > 2.0 * BATCH_NS)
            p->batch = (uint32_t)(BATCH_NS / ns) > 8 ? (uint32_t)(BATCH_NS / ns) : 8;
    }
    if (measured)
        p->samples[p->rounds++] = ns;
    p->spent += now_ns() - start;
}

static int takes_part(const player_t *p, const workload_t *w)
{
    if (!p->table || p->table == &table_nothing || p->too_slow || !applies(w, p->table))
        return 0;
    return w->keys == FILL || w->storm || p->ready;
}

static void begin(const workload_t *w)
{
    for (int i = 0; i < TABLES; i++) {
        player_t *p = &players[i];
        p->rounds = 0;
        p->spent = 0;
        p->batch = most(w);
        if (p->table && w->refill && applies(w, p->table))
            fill(p, w);
        /* A slow table shall not do a whole batch before that is known. */
        if (takes_part(p, w) && w->keys != FILL && !w->storm) {
            uint32_t batch = p->batch;
            p->batch = 8;
            for (uint32_t k = 0; k < 8; k++)
                random_id(fresh[k], w->alike);
            choose_keys(p, w, 8);
            double ns = run(p, w, 8);
            p->batch = ns * batch > BATCH_NS ? (uint32_t)(BATCH_NS / ns) : batch;
            if (p->batch < 8)
                p->batch = 8;
        }
    }
}

static void times(int rounds)
{
    for (const workload_t *w = workloads; w < workloads + WORKLOADS; w++) {
        begin(w);
        for (int r = 0; r < rounds; r++) {
            for (uint32_t i = 0; i < BATCH; i++)
                random_id(fresh[i], w->alike);
            for (int turn = 0; turn < TABLES; turn++) {
                player_t *p = &players[(r + turn) % TABLES];
                if (takes_part(p, w) && (p->spent < WORKLOAD_NS || p->rounds < ROUNDS_MIN))
                    round_of(p, w, 1);
            }
        }
        for (player_t *p = players; p < players + TABLES; p++) {
            if (p->rounds < ROUNDS_MIN) /* no part in it, or too slow from some round on */
                continue;
            printf("%u\t%s\t%s\t", size, w->name, p->table->name);
            for (int r = 0; r < p->rounds; r++)
                printf("%s%.2f", r ? " " : "", p->samples[r]);
            printf("\n");
        }
        fflush(stdout);
    }
}

/* ---- Counts ---- */

static uint32_t prepare_one(player_t *p, const workload_t *w)
{
    uint32_t n = most(w) < COUNTED ? most(w) : COUNTED;
    for (uint32_t i = 0; i < n; i++)
        random_id(fresh[i], w->alike);
    if (w->keys == FILL || w->storm || w->refill)
        fill(p, w);
    if (w->storm)
        p->seconds += TABLE_TIMEOUT + 1;
    if (p->ready)
        choose_keys(p, w, n);
    return n;
}

static void counts(void)
{
    char name[128];
    for (player_t *p = players; p < players + TABLES; p++)
        for (const workload_t *w = workloads; w < workloads + WORKLOADS; w++) {
            int nothing = p->table == &table_nothing;
            if (!p->table || w->keys == FILL || w->operation == do_slowest_insert ||
                (!nothing && !applies(w, p->table)))
                continue;
            uint32_t n = prepare_one(p, w);
            if (!p->ready)
                continue;
            snprintf(name, sizeof name, "%u\t%s\t%s\t%u", size, w->name, p->table->name, n);
            seconds = p->seconds;
            CALLGRIND_TOGGLE_COLLECT;
            uint32_t wrong = w->operation(p->table, p->keys, n);
            CALLGRIND_TOGGLE_COLLECT;
            CALLGRIND_DUMP_STATS_AT(name);
            p->seconds = seconds;
            if (wrong && !nothing)
                fail(w->name, p->table->name);
            if (w->keys == FRESH && w->operation != do_misses)
                remember(p, n);
        }
}

/* ---- Memory ---- */

static void memory(void)
{
    for (player_t *p = players; p < players + TABLES; p++) {
        if (!p->table || p->table == &table_nothing || !p->table->init(size))
            continue;
        unsigned long empty = heap_bytes;
        if (!fill(p, &workloads[0]))
            continue;
        /* fill made the table anew, which frees as much as it takes */
        double bytes = (double)p->table->bytes() + (double)heap_bytes - (double)empty;
        printf("%u\t%s\t%.0f", size, p->table->name, bytes);
        for (const workload_t *w = workloads + 1; w < workloads + 4; w++) {
            for (uint32_t i = 0; i < 16; i++)
                random_id(fresh[i], 0);
            choose_keys(p, w, 16);
            unsigned long before = allocations;
            run(p, w, 16);
            printf("\t%.2f", (double)(allocations - before) / 16);
        }
        printf("\n");
    }
}

/* ---- Verification ---- */

static uint32_t found(player_t *p, uint32_t first, uint32_t n)
{
    uint32_t sum = 0;
    for (uint32_t i = first; i < first + n; i++)
        sum += (uint32_t)p->table->get((const uint8_t *)p->live[i % size]);
    return sum;
}

/* Prints: sessions found after as many adds as there are places; wrong secrets; strangers found; whether the oldest
 * went when one more came, and the newest came; removed sessions found; all found again after they have expired. */
static void verify(void)
{
    uint8_t secret[TABLE_SECRET_SIZE], wanted[TABLE_DATA_SIZE];
    for (player_t *p = players; p < players + TABLES; p++) {
        const table_t *t = p->table;
        if (!t || t == &table_nothing || !t->init(size))
            continue;
        uint32_t wrong = 0, strangers = 0;
        for (uint32_t i = 0; i < size; i++) {
            random_id(p->live[i], 0);
            memset(wanted, (int)(p->live[i][0] & 255), sizeof wanted);
            seconds++;
            t->add((const uint8_t *)p->live[i], wanted, TABLE_TIMEOUT);
        }
        uint32_t all = found(p, 0, size);
        for (uint32_t i = 0; i < size; i++) {
            memset(wanted, (int)(p->live[i][0] & 255), sizeof wanted);
            if (t->read((const uint8_t *)p->live[i], secret))
                wrong += memcmp(secret, wanted, sizeof secret) != 0;
            else if (t->exact)
                wrong++;
        }
        for (uint32_t i = 0; i < size; i++) {
            session_id stranger;
            random_id(stranger, 0);
            strangers += (uint32_t)t->get((const uint8_t *)stranger);
            memcpy(stranger, p->live[i], TABLE_ID_SIZE);
            ((uint8_t *)stranger)[TABLE_ID_SIZE - 1] ^= 1;
            strangers += (uint32_t)t->get((const uint8_t *)stranger);
        }
        random_id(p->keys[0], 0);
        do_inserts(t, p->keys, 1);
        uint32_t oldest = found(p, 0, 1), newest = do_hits(t, p->keys, 1) == 0;
        uint32_t rest = found(p, 1, size - 1);
        uint32_t removed = 0;
        if (t->remove) {
            removed = (uint32_t)t->remove((const uint8_t *)p->live[size - 1]);
            removed += 2 * found(p, size - 1, 1);
        }
        seconds += TABLE_TIMEOUT + 1;
        printf("%s\t%u\t%u\t%u\t%u\t%u\t%u\t%u\t%d\t%u\n", t->name, size, all, wrong, strangers, oldest, newest, rest,
            t->remove ? (int)removed : -1, found(p, 0, size));
    }
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    int first = strcmp(mode, "times") == 0 ? 3 : 2;
    int rounds = first == 3 && argc > 2 ? atoi(argv[2]) : ROUNDS_MIN;
    if (argc <= first || rounds < ROUNDS_MIN || rounds > ROUNDS_MAX)
        fail("times ROUNDS (3 to 200) SIZE..., or counts, memory or verify SIZE...", "usage");
    for (int i = 0; i < TABLES; i++) {
        players[i].table = tables[i];
        players[i].live = calloc(TABLE_SESSIONS_MAX, sizeof(session_id));
        players[i].seconds = TABLE_TIMEOUT;
        players[i].kept = calloc(TABLE_SESSIONS_MAX, sizeof(session_id *));
        if (!players[i].live || !players[i].kept)
            fail("out of memory", "ids");
    }
    seconds = TABLE_TIMEOUT;
    for (int i = first; i < argc; i++) {
        int wanted = atoi(argv[i]);
        if (wanted < 2 || wanted >= TABLE_SESSIONS_MAX)
            fail("2 to 65534", argv[i]);
        size = (uint32_t)wanted;
        for (player_t *p = players; p < players + TABLES; p++)
            p->too_slow = 0;
        if (first == 3)
            times(rounds);
        else if (strcmp(mode, "counts") == 0)
            counts();
        else if (strcmp(mode, "memory") == 0)
            memory();
        else if (strcmp(mode, "verify") == 0)
            verify();
        else
            fail("unknown", mode);
    }
    return 0;
}
