/*
 * Times the C core and OpenSSL's session cache, round by round in one process. Prints a line for each of our and
 * OpenSSL's operations: size, operation, minimum and median of the rounds in ns per operation.
 *
 *     core_bench [rounds [size...]]
 *
 * libssl is loaded at run time and its functions are declared here, so that no development package is needed.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sesstab.h"

enum { HIT, MISS, INSERT, OPERATIONS, SLOTS_MAX = 65535, ROUNDS_MAX = 200, KEYS = 4096 };

static const char *const names[OPERATIONS] = {"hit", "miss", "insert when full"};

/* ---- libssl ---- */

typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_st SSL;
typedef struct ssl_session_st SSL_SESSION;

#define FUNCTIONS(X)                                                                                             \
    X(const void *, TLS_server_method, (void))                                                                   \
    X(SSL_CTX *, SSL_CTX_new, (const void *))                                                                    \
    X(void, SSL_CTX_free, (SSL_CTX *))                                                                           \
    X(long, SSL_CTX_ctrl, (SSL_CTX *, int, long, void *))                                                        \
    X(int, SSL_CTX_add_session, (SSL_CTX *, SSL_SESSION *))                                                      \
    X(SSL *, SSL_new, (SSL_CTX *))                                                                               \
    X(void, SSL_free, (SSL *))                                                                                   \
    X(int, SSL_has_matching_session_id, (const SSL *, const unsigned char *, unsigned))                          \
    X(int, SSL_version, (const SSL *))                                                                           \
    X(SSL_SESSION *, SSL_SESSION_new, (void))                                                                    \
    X(void, SSL_SESSION_free, (SSL_SESSION *))                                                                   \
    X(int, SSL_SESSION_set_protocol_version, (SSL_SESSION *, int))                                               \
    X(int, SSL_SESSION_set1_id, (SSL_SESSION *, const unsigned char *, unsigned))                                \
    X(int, SSL_SESSION_set1_master_key, (SSL_SESSION *, const unsigned char *, size_t))

#define DECLARE(result, name, arguments) static result(*name) arguments;
FUNCTIONS(DECLARE)

#define SSL_CTRL_SESS_NUMBER 20
#define SSL_CTRL_SET_SESS_CACHE_SIZE 42
#define SSL_CTRL_SET_SESS_CACHE_MODE 44

static int load_libssl(void)
{
    void *library = dlopen("libssl.so.3", RTLD_NOW);
    if (!library)
        return 0;
#define LOAD(result, name, arguments)                                                                            \
    *(void **)&name = dlsym(library, #name);                                                                     \
    if (!name)                                                                                                   \
        return 0;
    FUNCTIONS(LOAD)
    return 1;
}

/* ---- What is timed ---- */

typedef uint8_t session_id[32];

typedef struct {
    uint32_t size;
    session_id *ids; /* a ring of ids, the newest `size` of them are in both tables */
    uint32_t ring, newest;
    session_id hits[KEYS], misses[KEYS];
    sesstab_t *ours;
    SSL_CTX *ctx;
    SSL *ssl;
} bench_t;

static uint32_t seconds = 1000000;
static const uint8_t secret[50];

static uint32_t clock_of(void *arg)
{
    (void)arg;
    return seconds;
}

static uint64_t random_state = 0x9e3779b97f4a7c15u;

static uint64_t random_word(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state * 0x2545f4914f6cdd1du;
}

static void random_id(session_id id)
{
    for (int i = 0; i < 32; i += 8) {
        uint64_t word = random_word();
        memcpy(id + i, &word, 8);
    }
}

static void fail(const char *what)
{
    fprintf(stderr, "core_bench: %s\n", what);
    exit(1);
}

static void our_insert(bench_t *b, const session_id id)
{
    sesstab_handle_t h = sesstab_new_session(b->ours, id, 32, secret, sizeof secret, SESSTAB_DEFAULT_TIMEOUT, 0);
    if (!sesstab_add_session(b->ours, h))
        fail("add_session failed");
    sesstab_free(b->ours, h);
}

static void their_insert(bench_t *b, const session_id id)
{
    SSL_SESSION *s = SSL_SESSION_new();
    SSL_SESSION_set_protocol_version(s, SSL_version(b->ssl)); /* libssl's lookup compares it */
    SSL_SESSION_set1_id(s, id, 32);
    SSL_SESSION_set1_master_key(s, secret, 48);
    if (!SSL_CTX_add_session(b->ctx, s))
        fail("SSL_CTX_add_session failed");
    SSL_SESSION_free(s);
}

static void our_run(bench_t *b, int operation, uint32_t n, session_id *new_ids)
{
    for (uint32_t i = 0; i < n; i++) {
        if (operation == INSERT) {
            our_insert(b, new_ids[i]);
            continue;
        }
        sesstab_handle_t h = sesstab_get_session(b->ours, (operation == HIT ? b->hits : b->misses)[i], 32, 0);
        if ((h != 0) != (operation == HIT))
            fail("our lookup is wrong");
        if (h)
            sesstab_free(b->ours, h);
    }
}

static void their_run(bench_t *b, int operation, uint32_t n, session_id *new_ids)
{
    for (uint32_t i = 0; i < n; i++) {
        if (operation == INSERT)
            their_insert(b, new_ids[i]);
        else if (SSL_has_matching_session_id(b->ssl, (operation == HIT ? b->hits : b->misses)[i], 32) !=
                 (operation == HIT))
            fail("their lookup is wrong");
    }
}

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(uint32_t size, const char *who, int operation, double *times, int rounds)
{
    qsort(times, (size_t)rounds, sizeof *times, by_value);
    printf("%u\t%s\t%s\t%.1f\t%.1f\n", size, who, names[operation], times[0], times[rounds / 2]);
}

/* The ids to look for: random ones of those in both tables. Both lookups get the same, in the same order. */
static void choose_keys(bench_t *b)
{
    for (uint32_t i = 0; i < KEYS; i++) {
        uint32_t age = (uint32_t)(random_word() % (b->size - 1));
        memcpy(b->hits[i], b->ids[(b->newest + b->ring - age) % b->ring], 32);
        random_id(b->misses[i]);
    }
}

static void bench(uint32_t size, int rounds)
{
    static bench_t b;
    static session_id fresh[KEYS];
    static double times[2][OPERATIONS][ROUNDS_MAX];
    uint16_t spare = size < SLOTS_MAX ? 2 : 1;
    /* OpenSSL 3 keeps one session fewer than its cache size. */
    uint16_t capacity = (uint16_t)(size < SLOTS_MAX ? size : size - 1);
    sesstab_config_t config = {.capacity = capacity, .spare = spare, .data_size = 50, .timeout = 7200,
        .mode = SESSTAB_CACHE_SERVER, .seed = {(uint32_t)random_word(), (uint32_t)random_word()}, .clock = clock_of};
    size_t memory_size = sesstab_size(capacity, spare, 50);
    void *memory = malloc(memory_size);
    b.size = capacity;
    b.ring = capacity;
    b.newest = 0;
    b.ids = calloc(b.ring, sizeof *b.ids);
    b.ours = sesstab_init(memory, memory_size, &config);
    b.ctx = SSL_CTX_new(TLS_server_method());
    if (!memory || !b.ids || !b.ours || !b.ctx)
        fail("out of memory");
    SSL_CTX_ctrl(b.ctx, SSL_CTRL_SET_SESS_CACHE_MODE, SESSTAB_CACHE_SERVER, NULL);
    SSL_CTX_ctrl(b.ctx, SSL_CTRL_SET_SESS_CACHE_SIZE, (long)capacity + 1, NULL);
    b.ssl = SSL_new(b.ctx);
    for (uint32_t i = 0; i < 2 * (uint32_t)capacity; i++) {
        b.newest = i % b.ring;
        random_id(b.ids[b.newest]);
        our_insert(&b, b.ids[b.newest]);
        their_insert(&b, b.ids[b.newest]);
    }
    if (sesstab_sess_number(b.ours) != capacity || SSL_CTX_ctrl(b.ctx, SSL_CTRL_SESS_NUMBER, 0, NULL) != capacity)
        fail("a table is not full");
    for (int round = 0; round < rounds; round++) {
        /* Hits renew our order of use, OpenSSL's is by age. After as many inserts as there are sessions both hold
         * the same ones again; until then look for those that both must have. */
        for (int operation = HIT; operation < OPERATIONS; operation++) {
            uint32_t n = KEYS;
            if (operation == HIT)
                choose_keys(&b);
            for (uint32_t i = 0; operation == INSERT && i < n; i++)
                random_id(fresh[i]);
            for (int turn = 0; turn < 2; turn++) {
                int who = (round + turn) & 1;
                double start = now_ns();
                (who ? their_run : our_run)(&b, operation, n, fresh);
                times[who][operation][round] = (now_ns() - start) / n;
            }
        }
        for (uint32_t i = 0; i < KEYS; i++) {
            b.newest = (b.newest + 1) % b.ring;
            memcpy(b.ids[b.newest], fresh[i], 32);
        }
        for (uint32_t i = KEYS; i < b.ring; i++) { /* the rest of the sessions, so that both hold the same */
            b.newest = (b.newest + 1) % b.ring;
            random_id(b.ids[b.newest]);
            our_insert(&b, b.ids[b.newest]);
            their_insert(&b, b.ids[b.newest]);
        }
    }
    for (int operation = HIT; operation < OPERATIONS; operation++) {
        report(size, "sesstab", operation, times[0][operation], rounds);
        report(size, "openssl", operation, times[1][operation], rounds);
    }
    SSL_free(b.ssl);
    SSL_CTX_free(b.ctx);
    free(b.ids);
    free(memory);
}

int main(int argc, char **argv)
{
    static const uint32_t sizes[] = {16, 64, 256, 1024, 16384, 65535};
    int rounds = argc > 1 ? atoi(argv[1]) : 40;
    if (rounds < 1 || rounds > ROUNDS_MAX)
        fail("rounds: 1 to 200");
    if (!load_libssl())
        fail("libssl.so.3 cannot be loaded");
    for (int i = 2; i < argc; i++) {
        int size = atoi(argv[i]);
        if (size < 2 || size > SLOTS_MAX)
            fail("size: 2 to 65535");
        bench((uint32_t)size, rounds);
    }
    for (size_t i = 0; argc <= 2 && i < sizeof sizes / sizeof *sizes; i++)
        bench(sizes[i], rounds);
    return 0;
}
