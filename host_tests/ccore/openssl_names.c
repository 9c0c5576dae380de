/* The table under OpenSSL's names, in C. Prints "done", or what is not as it should be. */
#include <stdio.h>
#include "sesstab_openssl.h"

static uint32_t now = 1000;
static int events[3];

static uint32_t seconds(void *arg) { return *(uint32_t *)arg; }
static int on_new(void *arg, SSL_SESSION s) { (void)arg, (void)s; events[0]++; return 0; }
static SSL_SESSION on_get(void *arg, const uint8_t *id, size_t n)
{
    (void)arg, (void)id, (void)n;
    events[1]++;
    return 0;
}
static void on_remove(void *arg, SSL_SESSION s) { (void)arg, (void)s; events[2]++; }

#define CHECK(x) do { if (!(x)) { printf("line %d: " #x, __LINE__); return 1; } } while (0)

int main(void)
{
    static SESSTAB_MEMORY(memory, 4, 2, 50);
    sesstab_config_t config = {.capacity = 4, .spare = 2, .data_size = 50, .timeout = 100,
        .mode = SSL_SESS_CACHE_SERVER, .clock = seconds, .arg = &now};
    SSL_CTX *ctx = SSL_CTX_new(memory, sizeof memory, &config);
    const uint8_t id[] = "identity";
    unsigned n;
    CHECK(ctx && !SSL_CTX_new(NULL, sizeof memory, &config));
    SSL_CTX_sess_set_new_cb(ctx, on_new);
    SSL_CTX_sess_set_get_cb(ctx, on_get);
    SSL_CTX_sess_set_remove_cb(ctx, on_remove);
    SSL_SESSION s = SSL_SESSION_new(ctx, id, 8, id, 3, SESSTAB_DEFAULT_TIMEOUT, 0);
    CHECK(s && SSL_SESSION_up_ref(ctx, s) == 1);
    CHECK(SSL_add_session(ctx, s) == 1 && SSL_CTX_add_session(ctx, s) == 0);
    CHECK(SSL_has_matching_session_id(ctx, id, 8) == 1 && SSL_has_matching_session_id(ctx, id, 7) == 0);
    CHECK(SSL_SESSION_get_id(ctx, s, &n)[0] == 'i' && n == 8);
    CHECK(SSL_SESSION_get_time(ctx, s) == 1000 && SSL_SESSION_set_time(ctx, s, 999) == 999);
    CHECK(SSL_SESSION_get_time(ctx, s) == 999);
    CHECK(SSL_SESSION_get_timeout(ctx, s) == 100 && SSL_SESSION_set_timeout(ctx, s, 50) == 1);
    CHECK(SSL_SESSION_get_timeout(ctx, s) == 50);
    CHECK(SSL_CTX_set_timeout(ctx, 200) == 100 && SSL_CTX_get_timeout(ctx) == 200);
    CHECK(SSL_CTX_sess_set_cache_size(ctx, 3) == 4 && SSL_CTX_sess_get_cache_size(ctx) == 3);
    CHECK(SSL_CTX_sess_number(ctx) == 1);
    CHECK(sesstab_get_session(ctx, id, 8, 0) == s && SSL_CTX_sess_hits(ctx) == 1);
    CHECK(sesstab_get_session(ctx, id, 7, 0) == 0 && SSL_CTX_sess_misses(ctx) == 1 && events[1] == 1);
    CHECK(SSL_CTX_sess_cb_hits(ctx) == 0 && SSL_CTX_sess_cache_full(ctx) == 0);
    CHECK(SSL_CTX_sess_timeouts(ctx) == 0);
    CHECK(sesstab_update_cache(ctx, s, SSL_SESS_CACHE_SERVER) == 0 && events[0] == 1);
    CHECK(SSL_CTX_sess_accept(ctx) == 2 && SSL_CTX_sess_accept_good(ctx) == 2);
    CHECK(SSL_CTX_sess_connect(ctx) == 0);
    CHECK(SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT) == SSL_SESS_CACHE_SERVER);
    CHECK(SSL_CTX_get_session_cache_mode(ctx) == SSL_SESS_CACHE_CLIENT);
    CHECK(SSL_CTX_sess_connect_good(ctx) == 2 && SSL_CTX_sess_accept(ctx) == 0);
    CHECK(SSL_remove_session(ctx, s) == 1 && SSL_CTX_remove_session(ctx, s) == 0 && events[2] == 2);
    CHECK(SSL_CTX_add_session(ctx, s) == 1);
    SSL_CTX_flush_sessions(ctx, 2000);
    CHECK(events[2] == 3 && SSL_CTX_sess_number(ctx) == 0);
    for (int i = 0; i < 3; i++)
        SSL_SESSION_free(ctx, s);
    CHECK(SSL_SESSION_get_time(ctx, s) == 0 && SSL_SESSION_set_time(ctx, s, 5) == 0);
    CHECK(SSL_SESSION_get_id(ctx, s, NULL) == NULL);
    SSL_CTX_free(ctx);
    printf("done");
    return 0;
}
