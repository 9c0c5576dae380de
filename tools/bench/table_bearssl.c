/*
 * BearSSL's br_ssl_session_cache_lru, called through its vtable, as the server's engine does. It takes from the
 * engine SHA-256 and the generator that makes its key. The session comes back by value.
 */
#include <bearssl.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

enum { ENTRY = 100 }; /* bytes: bearssl_ssl.h promises so */

static br_ssl_session_cache_lru cache;
static br_ssl_server_context server;
static unsigned char store[(size_t)TABLE_SESSIONS_MAX * ENTRY];
static uint32_t capacity;

static int init(uint32_t sessions)
{
    static const unsigned char entropy[32] = {1};
    capacity = sessions;
    br_ssl_server_zero(&server);
    br_ssl_engine_set_hash(&server.eng, br_sha256_ID, &br_sha256_vtable);
    br_hmac_drbg_init(&server.eng.rng, &br_sha256_vtable, entropy, sizeof entropy);
    br_ssl_session_cache_lru_init(&cache, store, (size_t)sessions * ENTRY);
    return 1;
}

static int add(const uint8_t *id, const uint8_t *data, uint32_t timeout)
{
    br_ssl_session_parameters p;
    (void)timeout;
    memcpy(p.session_id, id, TABLE_ID_SIZE);
    p.session_id_len = TABLE_ID_SIZE;
    p.version = BR_TLS12;
    p.cipher_suite = BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
    memcpy(p.master_secret, data, TABLE_SECRET_SIZE);
    cache.vtable->save(&cache.vtable, &server, &p);
    return 1;
}

static int load(const uint8_t *id, br_ssl_session_parameters *p)
{
    memcpy(p->session_id, id, TABLE_ID_SIZE);
    p->session_id_len = TABLE_ID_SIZE;
    return cache.vtable->load(&cache.vtable, &server, p);
}

static int get(const uint8_t *id)
{
    br_ssl_session_parameters p;
    return load(id, &p);
}

static int read_secret(const uint8_t *id, uint8_t *secret)
{
    br_ssl_session_parameters p;
    int found = load(id, &p);
    if (found)
        memcpy(secret, p.master_secret, TABLE_SECRET_SIZE);
    return found;
}

static size_t bytes(void)
{
    return sizeof cache + (size_t)capacity * ENTRY;
}

/* `forget` says nothing, so whether it was there has to be asked. */
static int remove_one(const uint8_t *id)
{
    int found = get(id);
    br_ssl_session_cache_lru_forget(&cache, id);
    return found;
}

const table_t table_bearssl = {"BearSSL", init, add, get, remove_one, NULL, read_secret, bytes, 0, 0, 1};
