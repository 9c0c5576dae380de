/*
 * OpenSSL's session cache of an SSL_CTX. A lookup is SSL_has_matching_session_id(3), the only one that is public: it
 * takes no reference and does not look at the timeout, which the server does afterwards. OpenSSL 3 keeps one session
 * fewer than its cache size, so that is set to one more.
 */
#include <openssl/ssl.h>
#include <string.h>

#include "table.h"

static SSL_CTX *ctx;
static SSL *ssl;

static int init(uint32_t sessions)
{
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx)
        return 0;
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER);
    SSL_CTX_sess_set_cache_size(ctx, (long)sessions + 1);
    ssl = SSL_new(ctx);
    return ssl != NULL;
}

static SSL_SESSION *new_session(const uint8_t *id)
{
    SSL_SESSION *s = SSL_SESSION_new();
    SSL_SESSION_set_protocol_version(s, SSL_version(ssl)); /* the lookup compares it */
    SSL_SESSION_set1_id(s, id, TABLE_ID_SIZE);
    return s;
}

static int add(const uint8_t *id, const uint8_t *data, uint32_t timeout)
{
    SSL_SESSION *s = new_session(id);
    SSL_SESSION_set1_master_key(s, data, TABLE_SECRET_SIZE);
    SSL_SESSION_set_timeout(s, (long)timeout);
    int added = SSL_CTX_add_session(ctx, s);
    SSL_SESSION_free(s);
    return added;
}

static int get(const uint8_t *id)
{
    return SSL_has_matching_session_id(ssl, id, TABLE_ID_SIZE);
}

static SSL_SESSION *find(const uint8_t *id)
{
    SSL_SESSION *pattern = new_session(id);
    SSL_SESSION *s = OPENSSL_LH_retrieve((OPENSSL_LHASH *)SSL_CTX_sessions(ctx), pattern);
    SSL_SESSION_free(pattern);
    return s;
}

static int remove_one(const uint8_t *id)
{
    SSL_SESSION *s = find(id);
    return s && SSL_CTX_remove_session(ctx, s);
}

static int read_secret(const uint8_t *id, uint8_t *secret)
{
    SSL_SESSION *s = find(id);
    return s && SSL_SESSION_get_master_key(s, secret, TABLE_SECRET_SIZE) == TABLE_SECRET_SIZE;
}

static uint32_t number(void)
{
    return (uint32_t)SSL_CTX_sess_number(ctx);
}

static size_t bytes(void)
{
    return 0;
}

/* A lookup finds what has expired, too: the table does not expire sessions, its user does. */
const table_t table_openssl = {"OpenSSL", init, add, get, remove_one, number, read_secret, bytes, 0, 1, 1};
