/*
 * A TLS server and client on Mbed TLS and a table, which a test drives over stdin and stdout: a command a line, an
 * answer a line. Listeners accept and serve at any time, also side by side; every connection that reaches the end of
 * its handshake is greeted with a line. `wait` answers with the oldest result.
 *
 *     peer CERTIFICATE KEY TRUSTED
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mbedtls/net_sockets.h"
#include "mbedtls/ssl_cache.h"

#include "setup.h"

#define LISTENERS 8
#define CONNECTIONS 16

typedef struct {
    mbedtls_net_context net;
    mbedtls_ssl_config config;
    sesstab_mbedtls_t attachment;
    mbedtls_ssl_cache_context cache;
    int used;
} listener_t;

typedef struct {
    mbedtls_net_context net;
    mbedtls_ssl_context ssl;
    int used;
    int done;
} connection_t;

static SESSTAB_MEMORY(server_memory, CAPACITY, 2, SESSTAB_MBEDTLS_SERVER_SIZE);
static SESSTAB_MEMORY(client_memory, CAPACITY, 2, CLIENT_DATA);
static sesstab_t *server_table, *client_table;
static listener_t listeners[LISTENERS];
static connection_t connections[CONNECTIONS];
static char results[64][128];
static unsigned first_result, next_result;
static unsigned long callocs;

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
    callocs++;
    return __real_calloc(n, size);
}

/* A client that starts with another curve gets a HelloRetryRequest. */
static void set_only_p384(mbedtls_ssl_config *config)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    static const uint16_t groups[] = {MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1, MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1, 0};
    mbedtls_ssl_conf_groups(config, groups);
#else
    (void)config;
#endif
}

/* ---- Server ---- */

/* listen CONTEXT FLAGS MIN MAX HRR OWN: OWN is 1 for Mbed TLS's own cache instead of the table. */
static void cmd_listen(const char *args)
{
    unsigned context, flags;
    int min, max, hrr, own, i = 0;
    check(sscanf(args, "%u %u %d %d %d %d", &context, &flags, &min, &max, &hrr, &own) != 6, "listen");
    while (i < LISTENERS && listeners[i].used)
        i++;
    check(i == LISTENERS, "listeners");
    listener_t *l = &listeners[i];
    l->used = 1;
    new_config(&l->config, MBEDTLS_SSL_IS_SERVER, min, max);
    check(mbedtls_ssl_conf_own_cert(&l->config, &certificate, &key), "own_cert");
    mbedtls_ssl_conf_ca_chain(&l->config, &trusted, NULL);
    if (hrr)
        set_only_p384(&l->config);
    mbedtls_ssl_cache_init(&l->cache);
    int ret = 0;
    if (own)
        mbedtls_ssl_conf_session_cache(&l->config, &l->cache, mbedtls_ssl_cache_get, mbedtls_ssl_cache_set);
    else
        ret = sesstab_mbedtls_attach(&l->attachment, server_table, (uint8_t)context, &l->config, flags);
    mbedtls_net_init(&l->net);
    check(mbedtls_net_bind(&l->net, "127.0.0.1", "0", MBEDTLS_NET_PROTO_TCP), "bind");
    struct sockaddr_in address;
    socklen_t size = sizeof(address);
    check(getsockname(l->net.fd, (struct sockaddr *)&address, &size), "getsockname");
    printf("%d %u %d\n", i, (unsigned)ntohs(address.sin_port), ret);
}

static void result(connection_t *c, int ret)
{
    char *to = results[next_result++ % 64];
    if (ret == 0)
        snprintf(to, sizeof(results[0]), "ok %s %s", mbedtls_ssl_get_version(&c->ssl),
            mbedtls_ssl_get_ciphersuite(&c->ssl));
    else
        snprintf(to, sizeof(results[0]), "error -0x%x", (unsigned)-ret);
}

static void end_connection(connection_t *c)
{
    mbedtls_ssl_free(&c->ssl);
    mbedtls_net_free(&c->net);
    c->used = 0;
}

static int is_pending(int ret)
{
    return ret == MBEDTLS_ERR_SSL_WANT_READ || ret == MBEDTLS_ERR_SSL_WANT_WRITE;
}

static void serve(connection_t *c)
{
    unsigned char buffer[256];
    int ret;
    if (!c->done) {
        ret = mbedtls_ssl_handshake(&c->ssl);
        if (is_pending(ret))
            return;
        result(c, ret);
        c->done = 1;
        if (ret != 0) {
            end_connection(c);
            return;
        }
        mbedtls_ssl_write(&c->ssl, (const unsigned char *)"hello\n", 6);
    }
    ret = mbedtls_ssl_read(&c->ssl, buffer, sizeof(buffer));
    if (!is_pending(ret) && ret <= 0) {
        mbedtls_ssl_close_notify(&c->ssl);
        end_connection(c);
    }
}

static void accept_one(listener_t *l)
{
    connection_t *c = connections;
    while (c < connections + CONNECTIONS && c->used)
        c++;
    check(c == connections + CONNECTIONS, "connections");
    memset(c, 0, sizeof(*c));
    check(mbedtls_net_accept(&l->net, &c->net, NULL, 0, NULL), "accept");
    mbedtls_net_set_nonblock(&c->net);
    mbedtls_ssl_init(&c->ssl);
    check(mbedtls_ssl_setup(&c->ssl, &l->config), "setup");
    mbedtls_ssl_set_bio(&c->ssl, &c->net, mbedtls_net_send, mbedtls_net_recv, NULL);
    c->used = 1;
}

/* Waits for something to do, but for stdin only if `with_stdin`; serves. Returns whether stdin has something. */
static int turn(int with_stdin)
{
    struct pollfd fds[1 + LISTENERS + CONNECTIONS];
    void *owners[1 + LISTENERS + CONNECTIONS];
    nfds_t n = 0;
    fds[n++] = (struct pollfd){.fd = with_stdin ? 0 : -1, .events = POLLIN};
    for (int i = 0; i < LISTENERS; i++)
        if (listeners[i].used) {
            owners[n] = &listeners[i];
            fds[n++] = (struct pollfd){.fd = listeners[i].net.fd, .events = POLLIN};
        }
    nfds_t last_listener = n;
    for (int i = 0; i < CONNECTIONS; i++)
        if (connections[i].used) {
            owners[n] = &connections[i];
            fds[n++] = (struct pollfd){.fd = connections[i].net.fd, .events = POLLIN};
        }
    if (poll(fds, n, 20000) == 0 && !with_stdin)
        exit(2);
    for (nfds_t i = 1; i < n; i++) {
        if (fds[i].revents == 0)
            continue;
        if (i < last_listener)
            accept_one(owners[i]);
        else
            serve(owners[i]);
    }
    return fds[0].revents != 0;
}

static void cmd_wait(const char *args)
{
    (void)args;
    while (first_result == next_result)
        turn(0);
    puts(results[first_result++ % 64]);
}

static void cmd_attach(const char *args)
{
    unsigned i, context, flags;
    check(sscanf(args, "%u %u %u", &i, &context, &flags) != 3, "attach");
    printf("%d\n", sesstab_mbedtls_attach(&listeners[i].attachment, server_table, (uint8_t)context,
        &listeners[i].config, flags));
}

static void cmd_detach(const char *args)
{
    printf("%d\n", sesstab_mbedtls_detach(&listeners[atoi(args)].attachment));
}

/* ---- Callbacks that detach ---- */

static listener_t *detached_by_callback; /* at the callback's n-th call */
static int calls_left, detach_result;

static void count_call(void)
{
    if (detached_by_callback != NULL && --calls_left == 0)
        detach_result = sesstab_mbedtls_detach(&detached_by_callback->attachment);
}

static int detach_in_new(void *arg, sesstab_handle_t h)
{
    (void)arg;
    (void)h;
    count_call();
    return 0;
}

static sesstab_handle_t detach_in_get(void *arg, const uint8_t *id, size_t id_len)
{
    (void)arg;
    (void)id;
    (void)id_len;
    count_call();
    return 0;
}

static void detach_in_remove(void *arg, sesstab_handle_t h)
{
    (void)arg;
    (void)h;
    count_call();
}

static uint32_t detach_in_clock(void *arg)
{
    count_call();
    return clock_now(arg);
}

/* detach_in CALLBACK LISTENER N: "none" for none, and then answers what the last detach returned; -1: it was not. */
static void cmd_detach_in(const char *args)
{
    char name[16];
    int i;
    sesstab_config_t *settings = sesstab_settings(server_table);
    check(sscanf(args, "%15s %d %d", name, &i, &calls_left) != 3, "detach_in");
    printf("%d\n", detach_result);
    detach_result = -1;
    detached_by_callback = &listeners[i];
    settings->on_new = strcmp(name, "new") == 0 ? detach_in_new : NULL;
    settings->on_get = strcmp(name, "get") == 0 ? detach_in_get : NULL;
    settings->on_remove = strcmp(name, "remove") == 0 ? detach_in_remove : NULL;
    settings->clock = strcmp(name, "clock") == 0 ? detach_in_clock : clock_now;
}

static void cmd_cache_size(const char *args)
{
    sesstab_sess_set_cache_size(server_table, (uint32_t)atoi(args));
    puts("0");
}

static void cmd_authmode(const char *args)
{
    int i, mode;
    check(sscanf(args, "%d %d", &i, &mode) != 2, "authmode");
    mbedtls_ssl_conf_authmode(&listeners[i].config, mode);
    puts("0");
}

#if defined(MBEDTLS_SSL_SERVER_NAME_INDICATION)
static int on_name(void *arg, mbedtls_ssl_context *ssl, const unsigned char *name, size_t len)
{
    (void)arg;
    (void)ssl;
    (void)name;
    (void)len;
    return 0;
}
#endif

static void cmd_sni(const char *args)
{
    mbedtls_ssl_conf_sni(&listeners[atoi(args)].config, on_name, NULL);
    puts("0");
}

#if MBEDTLS_VERSION_NUMBER >= 0x03000000
static int on_certificate(mbedtls_ssl_context *ssl)
{
    (void)ssl;
    return 0;
}
#endif

/* The application sets a certificate callback of its own. */
static void cmd_cert_cb(const char *args)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    mbedtls_ssl_conf_cert_cb(&listeners[atoi(args)].config, on_certificate);
#else
    (void)args;
#endif
    puts("0");
}

static void cmd_remove_all(const char *args)
{
    (void)args;
    printf("%u\n", (unsigned)sesstab_flush_sessions(server_table, 0));
}

static void cmd_mode(const char *args)
{
    sesstab_set_mode(server_table, (uint32_t)atoi(args));
    puts("0");
}

static void cmd_timeout(const char *args)
{
    sesstab_set_timeout(server_table, (uint32_t)strtoul(args, NULL, 10));
    puts("0");
}

static void cmd_stats(const char *args)
{
    sesstab_t *t = *args == 'c' ? client_table : server_table;
    printf("%u %u %u %u %u\n", (unsigned)sesstab_sess_number(t), (unsigned)sesstab_sess_hits(t),
        (unsigned)sesstab_sess_misses(t), (unsigned)sesstab_sess_timeouts(t), (unsigned)sesstab_sess_stored(t));
}

/* Of each session, most recent first: context, id, data, timeout. */
static void cmd_sessions(const char *args)
{
    sesstab_t *t = *args == 'c' ? client_table : server_table;
    for (sesstab_handle_t h = sesstab_next(t, 0); h != 0; h = sesstab_next(t, h)) {
        size_t id_len, size;
        const uint8_t *id = sesstab_session_id(t, h, &id_len), *data = sesstab_session_data(t, h, &size);
        printf("%u:", sesstab_session_context(t, h));
        for (size_t i = 0; i < id_len; i++)
            printf("%02x", id[i]);
        printf(":");
        for (size_t i = 0; i < size; i++)
            printf("%02x", data[i]);
        printf(":%u ", (unsigned)sesstab_session_timeout(t, h));
    }
    puts("");
}

/* ---- Client ---- */

static uint32_t client_authmode_after; /* what the config's authmode becomes after the handshake */

static void cmd_authmode_after(const char *args)
{
    client_authmode_after = (uint32_t)atoi(args);
    puts("0");
}

static int read_greeting(sesstab_mbedtls_client_t *client, int *saved)
{
    unsigned char buffer[64];
    for (;;) {
        int ret = mbedtls_ssl_read(client->ssl, buffer, sizeof(buffer));
        *saved += sesstab_mbedtls_save(client) == 1;
#if SESSTAB_MBEDTLS_HAS_TLS13
        if (ret == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET)
            continue;
#endif
        if (is_pending(ret)) /* so a blocking read ends, when it read a ticket only */
            continue;
        return ret > 0 ? 0 : ret;
    }
}

/* connect PORT NAME ID CONTEXT AUTHMODE MIN MAX */
static void cmd_connect(const char *args)
{
    char port[8], name[64], id[33];
    unsigned context;
    int authmode, min, max, saved = 0;
    check(sscanf(args, "%7s %63s %32s %u %d %d %d", port, name, id, &context, &authmode, &min, &max) != 7, "connect");
    mbedtls_ssl_config config;
    mbedtls_ssl_context ssl;
    mbedtls_net_context net;
    sesstab_mbedtls_client_t client;
    new_config(&config, MBEDTLS_SSL_IS_CLIENT, min, max);
    mbedtls_ssl_conf_authmode(&config, authmode);
    mbedtls_ssl_conf_ca_chain(&config, &trusted, NULL);
#if SESSTAB_MBEDTLS_HAS_TLS13
    mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(&config,
        MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
#endif
    mbedtls_net_init(&net);
    check(mbedtls_net_connect(&net, "127.0.0.1", port, MBEDTLS_NET_PROTO_TCP), "net_connect");
    mbedtls_ssl_init(&ssl);
    check(mbedtls_ssl_setup(&ssl, &config), "setup");
    check(mbedtls_ssl_set_hostname(&ssl, strcmp(name, "-") == 0 ? NULL : name), "hostname");
    mbedtls_ssl_set_bio(&ssl, &net, mbedtls_net_send, mbedtls_net_recv, NULL);
    int offered = sesstab_mbedtls_offer(&client, &ssl, client_table, (const uint8_t *)id, strlen(id),
        (uint8_t)context);
    int early = sesstab_mbedtls_save(&client) + sesstab_mbedtls_resumed(&client);
    int ret = mbedtls_ssl_handshake(&ssl);
    mbedtls_ssl_conf_authmode(&config, client_authmode_after ? (int)client_authmode_after - 1 : authmode);
    int resumed = ret == 0 && sesstab_mbedtls_resumed(&client);
    if (ret == 0) {
        saved = (sesstab_mbedtls_save(&client) == 1) + (sesstab_mbedtls_save(&client) == 1);
        mbedtls_ssl_write(&ssl, (const unsigned char *)"hello\n", 6);
        ret = read_greeting(&client, &saved);
    }
    check(resumed && !sesstab_mbedtls_resumed(&client), "resumed changed its mind");
    printf("offered=%d resumed=%d saved=%d early=%d verify=%x %s error=-0x%x\n", offered, resumed, saved, early,
        (unsigned)mbedtls_ssl_get_verify_result(&ssl), mbedtls_ssl_get_version(&ssl), (unsigned)-ret);
    mbedtls_ssl_close_notify(&ssl);
    check(sesstab_mbedtls_done(&client) + 2 * sesstab_mbedtls_done(&client) != 1, "done");
    mbedtls_ssl_free(&ssl);
    mbedtls_net_free(&net);
    mbedtls_ssl_config_free(&config);
}

/* ---- Both ---- */

static void cmd_time(const char *args)
{
    now += (uint32_t)atoi(args);
    puts("0");
}

static void cmd_callocs(const char *args)
{
    (void)args;
    printf("%lu\n", callocs);
    callocs = 0;
}

static const struct {
    const char *name;
    void (*run)(const char *args);
} commands[] = {{"listen", cmd_listen}, {"wait", cmd_wait}, {"attach", cmd_attach}, {"detach", cmd_detach},
    {"authmode", cmd_authmode}, {"sni", cmd_sni}, {"cert_cb", cmd_cert_cb}, {"remove_all", cmd_remove_all},
    {"mode", cmd_mode}, {"timeout", cmd_timeout}, {"stats", cmd_stats}, {"sessions", cmd_sessions},
    {"authmode_after", cmd_authmode_after}, {"connect", cmd_connect}, {"time", cmd_time}, {"callocs", cmd_callocs},
    {"detach_in", cmd_detach_in}, {"cache_size", cmd_cache_size}};

static void run(const char *line)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        size_t len = strlen(commands[i].name);
        if (strncmp(line, commands[i].name, len) == 0 && (line[len] == ' ' || line[len] == '\n')) {
            commands[i].run(line + len + (line[len] == ' '));
            return;
        }
    }
    fprintf(stderr, "unknown command: %s", line);
    exit(1);
}

static void unload(void)
{
    for (connection_t *c = connections; c < connections + CONNECTIONS; c++)
        if (c->used)
            end_connection(c);
    for (listener_t *l = listeners; l < listeners + LISTENERS; l++)
        if (l->used) {
            sesstab_mbedtls_detach(&l->attachment);
            mbedtls_net_free(&l->net);
            mbedtls_ssl_config_free(&l->config);
            mbedtls_ssl_cache_free(&l->cache);
        }
    unload_files();
}

int main(int argc, char **argv)
{
    char line[256];
    check(argc != 4, "usage: peer CERTIFICATE KEY TRUSTED");
    setvbuf(stdin, NULL, _IONBF, 0);
    setvbuf(stdout, NULL, _IOLBF, 0);
    load_files(argv);
    server_table = new_table(server_memory, sizeof(server_memory), SESSTAB_MBEDTLS_SERVER_SIZE, SESSTAB_CACHE_SERVER);
    client_table = new_table(client_memory, sizeof(client_memory), CLIENT_DATA, SESSTAB_CACHE_CLIENT);
    for (;;) {
        if (!turn(1))
            continue;
        if (fgets(line, sizeof(line), stdin) == NULL)
            break;
        run(line);
    }
    unload();
    return 0;
}
