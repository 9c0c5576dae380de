/*
 * A server and a client in one process, each with the glue and a table, while memory runs out: the n-th allocation of
 * a connection fails, for every n until it gets through without one that fails. Once the n-th only, and once all from
 * the n-th on. After each connection, which may end with an error or go on without resuming:
 *   - everything that it allocated is free again,
 *   - nobody holds a reference to a session: the tables' own are the only ones, and all other slots can be used,
 *   - and after all of them, a connection without failures is made, and the next one resumes it.
 *
 *     out_of_memory CERTIFICATE KEY TRUSTED WAY STEP
 *
 * WAY is id, ticket12 or ticket13. The first and the last EACH allocations fail one by one, between them every
 * STEP-th; STEP 0: these are all.
 *
 * Two defects of Mbed TLS 3.6.6 that this has found are passed by, and no more than these:
 *   - ssl_compute_master ignores that calc_verify fails, and goes on with a hash that is not there. So there is no
 *     extended master secret here, as there is none in MicroPython's firmware.
 *   - mbedtls_ssl_tls13_compute_application_transform loses the first cipher when there is no memory for the second.
 *     LeakSanitizer is told to pass over what is allocated there; it sees anything else that is lost.
 */
#include <string.h>

#include "setup.h"
#include "sesstab_snapshot.h"

#define EACH 150
#define SPARE 2
#define QUEUE 20000

typedef struct {
    unsigned char bytes[QUEUE];
    size_t size;
} queue_t;

typedef struct {
    queue_t *in, *out;
} wire_t;

typedef struct {
    int error;
    int resumed;
    int failed_in_offer; /* the allocation did */
} outcome_t;

static SESSTAB_MEMORY(server_memory, CAPACITY, SPARE, SESSTAB_MBEDTLS_SERVER_SIZE);
static SESSTAB_MEMORY(client_memory, CAPACITY, SPARE, CLIENT_DATA);
static sesstab_t *server_table, *client_table;
static uint8_t server_snapshot[4096], client_snapshot[16384];
static size_t server_size, client_size;
static mbedtls_ssl_config server_config, client_config;
static sesstab_mbedtls_t attachment;
static queue_t to_server, to_client;

/* ---- Memory ---- */

static long allocated, asked, fails_at; /* blocks now; calls since a connection began; 0: none fails */
static int fails_on;                    /* and all after it */
static long may_lose;                   /* blocks, in a connection that fails */

void *__real_calloc(size_t n, size_t size);
void __real_free(void *p);
void *__wrap_calloc(size_t n, size_t size);
void __wrap_free(void *p);

void *__wrap_calloc(size_t n, size_t size)
{
    asked++;
    if (fails_at != 0 && (asked == fails_at || (fails_on && asked > fails_at)))
        return NULL;
    void *p = __real_calloc(n, size);
    allocated += p != NULL;
    return p;
}

void __wrap_free(void *p)
{
    allocated -= p != NULL;
    __real_free(p);
}

const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:mbedtls_ssl_tls13_compute_application_transform\n";
}

/* ---- The wire ---- */

static int send_bytes(void *arg, const unsigned char *bytes, size_t n)
{
    queue_t *q = ((wire_t *)arg)->out;
    if (n > QUEUE - q->size)
        return MBEDTLS_ERR_SSL_WANT_WRITE;
    memcpy(q->bytes + q->size, bytes, n);
    q->size += n;
    return (int)n;
}

static int receive_bytes(void *arg, unsigned char *bytes, size_t n)
{
    queue_t *q = ((wire_t *)arg)->in;
    if (q->size == 0)
        return MBEDTLS_ERR_SSL_WANT_READ;
    if (n > q->size)
        n = q->size;
    memcpy(bytes, q->bytes, n);
    q->size -= n;
    memmove(q->bytes, q->bytes + n, q->size);
    return (int)n;
}

/* ---- A connection ---- */

static int is_pending(int ret)
{
    return ret == MBEDTLS_ERR_SSL_WANT_READ || ret == MBEDTLS_ERR_SSL_WANT_WRITE;
}

static int is_ticket(int ret)
{
#if SESSTAB_MBEDTLS_HAS_TLS13
    return ret == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET;
#else
    (void)ret;
    return 0;
#endif
}

/* Both in turn. Returns 0, or the error of the one that fails first. */
static int shake_hands(mbedtls_ssl_context *server, mbedtls_ssl_context *client)
{
    int s, c;
    unsigned turns = 0;
    do {
        c = mbedtls_ssl_handshake(client);
        if (c != 0 && !is_pending(c))
            return c;
        s = mbedtls_ssl_handshake(server);
        if (s != 0 && !is_pending(s))
            return s;
        check(++turns > 100, "the handshake does not end");
    } while (s != 0 || c != 0);
    return 0;
}

/* A line from the server, and whatever comes before it: tickets of TLS 1.3. */
static int greet(mbedtls_ssl_context *server, sesstab_mbedtls_client_t *client)
{
    unsigned char buffer[64];
    int ret = mbedtls_ssl_write(server, (const unsigned char *)"hello\n", 6);
    if (ret != 6)
        return ret;
    do {
        ret = mbedtls_ssl_read(client->ssl, buffer, sizeof(buffer));
        sesstab_mbedtls_save(client);
    } while (is_ticket(ret) || (is_pending(ret) && to_client.size > 0));
    return ret == 6 ? 0 : ret;
}

static outcome_t talk(mbedtls_ssl_context *server, mbedtls_ssl_context *client)
{
    sesstab_mbedtls_client_t saved;
    outcome_t outcome = {.error = mbedtls_ssl_setup(server, &server_config)};
    if (outcome.error == 0)
        outcome.error = mbedtls_ssl_setup(client, &client_config);
    if (outcome.error == 0)
        outcome.error = mbedtls_ssl_set_hostname(client, "localhost");
    if (outcome.error != 0)
        return outcome;
    wire_t server_wire = {&to_server, &to_client}, client_wire = {&to_client, &to_server};
    mbedtls_ssl_set_bio(server, &server_wire, send_bytes, receive_bytes, NULL);
    mbedtls_ssl_set_bio(client, &client_wire, send_bytes, receive_bytes, NULL);
    int failed_before = fails_at != 0 && asked >= fails_at;
    int offered = sesstab_mbedtls_offer(&saved, client, client_table, (const uint8_t *)"key", 3, 0);
    outcome.failed_in_offer = fails_at != 0 && asked >= fails_at && !failed_before;
    check(outcome.failed_in_offer && offered, "offered without memory");
    outcome.error = shake_hands(server, client);
    if (outcome.error == 0) {
        outcome.resumed = sesstab_mbedtls_resumed(&saved);
        sesstab_mbedtls_save(&saved);
        outcome.error = greet(server, &saved);
    }
    sesstab_mbedtls_done(&saved);
    return outcome;
}

static outcome_t connect_once(void)
{
    mbedtls_ssl_context server, client;
    to_server.size = to_client.size = 0;
    mbedtls_ssl_init(&server);
    mbedtls_ssl_init(&client);
    asked = 0;
    outcome_t outcome = talk(&server, &client);
    fails_at = 0;
    mbedtls_ssl_free(&client);
    mbedtls_ssl_free(&server);
    return outcome;
}

/* ---- What must hold ---- */

static void check_table(sesstab_t *t)
{
    sesstab_handle_t taken[CAPACITY + SPARE], h;
    uint32_t n = 0, number = sesstab_sess_number(t);
    for (h = sesstab_next(t, 0); h != 0; h = sesstab_next(t, h))
        check(sesstab_session_refs(t, h) != 1, "somebody holds a session");
    while ((h = sesstab_new_session(t, (const uint8_t *)"id", 2, NULL, 0, 1, 0)) != 0)
        taken[n++] = h;
    check(n + number != CAPACITY + SPARE, "a slot is lost");
    while (n > 0)
        sesstab_free(t, taken[--n]);
}

/* Both tables as they were after the first connection; or empty. */
static void set_tables(int with_session)
{
    sesstab_clear(server_table);
    sesstab_clear(client_table);
    if (with_session) {
        check(sesstab_load(server_table, server_snapshot, server_size, 0) < 1, "load");
        check(sesstab_load(client_table, client_snapshot, client_size, 0) < 1, "load");
    }
}

/* Which allocation fails after the n-th, of about `last`. */
static long next_of(long n, long last, long step)
{
    if (n < EACH || n >= last - EACH || step == 1)
        return n + 1;
    return step == 0 || n + step > last - EACH ? last - EACH : n + step;
}

/* Connections of one kind. */
static void run(const char *kind, int resumes, long step)
{
    set_tables(resumes);
    long blocks = allocated;
    outcome_t outcome = connect_once();
    long n = 0, last = asked, failed = 0, went_on = 0, tried = 0, lost = 0;
    check(outcome.error, "without failures");
    check(outcome.resumed != resumes, "what resumes");
    check(allocated != blocks, "without failures, blocks are lost");
    for (;;) {
        n = next_of(n, last, step);
        set_tables(resumes);
        fails_at = n;
        outcome = connect_once();
        lost += allocated - blocks;
        if (allocated - blocks < 0 || allocated - blocks > may_lose)
            fprintf(stderr, "%s, allocation %ld of %ld: %ld blocks are lost\n", kind, n, last, allocated - blocks);
        check(allocated - blocks < 0 || allocated - blocks > may_lose, "memory");
        blocks = allocated;
        check_table(server_table);
        check_table(client_table);
        if (asked < n)
            break;
        tried++;
        failed += outcome.error != 0;
        went_on += outcome.error == 0;
        check(outcome.error > 0, "an error that is none");
        check(outcome.failed_in_offer && !fails_on && outcome.error, "a handshake that has to be a full one");
    }
    check(outcome.error, "after all allocations");
    printf("%s%s: %ld allocations, %ld failed, %ld of these ended the connection, %ld did not, %ld blocks lost\n", kind,
        fails_on ? ", and all after it" : "", last, tried, failed, went_on, lost);
}

int main(int argc, char **argv)
{
    check(argc != 6, "usage: out_of_memory CERTIFICATE KEY TRUSTED WAY STEP");
    int tls13 = strcmp(argv[4], "ticket13") == 0, tickets = strcmp(argv[4], "id") != 0;
    long step = atol(argv[5]);
    may_lose = tls13;
    load_files(argv);
    server_table = new_table(server_memory, sizeof(server_memory), SESSTAB_MBEDTLS_SERVER_SIZE, SESSTAB_CACHE_SERVER);
    client_table = new_table(client_memory, sizeof(client_memory), CLIENT_DATA, SESSTAB_CACHE_CLIENT);
    new_config(&server_config, MBEDTLS_SSL_IS_SERVER, tls13 ? 3 : 2, tls13 ? 3 : 2);
    new_config(&client_config, MBEDTLS_SSL_IS_CLIENT, tls13 ? 3 : 2, tls13 ? 3 : 2);
    check(mbedtls_ssl_conf_own_cert(&server_config, &certificate, &key), "own_cert");
    mbedtls_ssl_conf_ca_chain(&client_config, &trusted, NULL);
#if defined(MBEDTLS_SSL_SESSION_TICKETS)
    mbedtls_ssl_conf_session_tickets(&client_config,
        tickets ? MBEDTLS_SSL_SESSION_TICKETS_ENABLED : MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
#endif
#if defined(MBEDTLS_SSL_EXTENDED_MASTER_SECRET)
    mbedtls_ssl_conf_extended_master_secret(&client_config, MBEDTLS_SSL_EXTENDED_MS_DISABLED);
#endif
#if SESSTAB_MBEDTLS_HAS_TLS13
    mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(&client_config,
        MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
#endif
    check(sesstab_mbedtls_attach(&attachment, server_table, 1, &server_config, tickets ? SESSTAB_MBEDTLS_TICKETS : 0),
        "attach");
    check(connect_once().error, "the first connection");
    server_size = sesstab_dump(server_table, server_snapshot, sizeof(server_snapshot));
    client_size = sesstab_dump(client_table, client_snapshot, sizeof(client_snapshot));
    for (fails_on = 0; fails_on < 2; fails_on++) {
        run("full", 0, step);
        run("resumed", 1, step);
    }
    sesstab_mbedtls_detach(&attachment);
    mbedtls_ssl_config_free(&server_config);
    mbedtls_ssl_config_free(&client_config);
    unload_files();
    return 0;
}
