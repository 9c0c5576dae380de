/*
 * Mbed TLS's ssl_cache, of version 2.28 or 3.6, called as its server does. It scans a list, allocates every session
 * on the heap (3.6: serialized; 2.28: in the entry), and gives back a copy. One timeout holds for all sessions.
 */
#define MBEDTLS_ALLOW_PRIVATE_ACCESS
#include <limits.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_cache.h>
#include <mbedtls/version.h>
#include <string.h>

#include "table.h"

#if MBEDTLS_VERSION_MAJOR >= 3
#define NAME "Mbed TLS 3.6"
#define TABLE table_mbedtls3
#else
#define NAME "Mbed TLS 2.28"
#define TABLE table_mbedtls2
#endif

static mbedtls_ssl_cache_context cache;
static int used_once;

static int init(uint32_t sessions)
{
    if (used_once)
        mbedtls_ssl_cache_free(&cache);
    used_once = 1;
    mbedtls_ssl_cache_init(&cache);
    mbedtls_ssl_cache_set_max_entries(&cache, (int)sessions);
    mbedtls_ssl_cache_set_timeout(&cache, TABLE_TIMEOUT);
    return 1;
}

static void name_session(mbedtls_ssl_session *s, const uint8_t *id)
{
    s->ciphersuite = MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
    s->id_len = TABLE_ID_SIZE;
    memcpy(s->id, id, TABLE_ID_SIZE);
}

/* The session stays the caller's: nothing hangs on it that would have to be freed. */
static int add(const uint8_t *id, const uint8_t *data, uint32_t timeout)
{
    mbedtls_ssl_session s;
    (void)timeout;
    mbedtls_ssl_session_init(&s);
    name_session(&s, id);
    memcpy(s.master, data, TABLE_SECRET_SIZE);
#if MBEDTLS_VERSION_MAJOR >= 3
    s.tls_version = MBEDTLS_SSL_VERSION_TLS1_2;
    s.endpoint = MBEDTLS_SSL_IS_SERVER;
    return mbedtls_ssl_cache_set(&cache, id, TABLE_ID_SIZE, &s) == 0;
#else
    return mbedtls_ssl_cache_set(&cache, &s) == 0;
#endif
}

static int load(const uint8_t *id, mbedtls_ssl_session *s)
{
    mbedtls_ssl_session_init(s);
#if MBEDTLS_VERSION_MAJOR >= 3
    return mbedtls_ssl_cache_get(&cache, id, TABLE_ID_SIZE, s) == 0;
#else
    name_session(s, id);
    return mbedtls_ssl_cache_get(&cache, s) == 0;
#endif
}

static int get(const uint8_t *id)
{
    mbedtls_ssl_session s;
    int found = load(id, &s);
    mbedtls_ssl_session_free(&s);
    return found;
}

static int read_secret(const uint8_t *id, uint8_t *secret)
{
    mbedtls_ssl_session s;
    int found = load(id, &s);
    if (found)
        memcpy(secret, s.master, TABLE_SECRET_SIZE);
    mbedtls_ssl_session_free(&s);
    return found;
}

static size_t bytes(void)
{
    return sizeof cache;
}

#if MBEDTLS_VERSION_MAJOR >= 3
static int remove_one(const uint8_t *id)
{
    int found = get(id);
    mbedtls_ssl_cache_remove(&cache, id, TABLE_ID_SIZE);
    return found;
}
#else
#define remove_one NULL
#endif

const table_t TABLE = {NAME, init, add, get, remove_one, NULL, read_secret, bytes, 1, 0, 1};
