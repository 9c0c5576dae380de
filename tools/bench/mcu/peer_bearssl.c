/* BearSSL's br_ssl_session_cache_lru, called through its vtable, as the server's engine does. The session comes back by
 * value. It takes SHA-256, and the generator that makes its key, from the engine. */
#include <bearssl.h>
#include <string.h>

#include "peer.h"

enum { ENTRY = 100, SECRET_SIZE = 48 }; /* bytes: bearssl_ssl.h promises so, of the first */

static br_ssl_session_cache_lru cache;
static br_ssl_server_context server;
static unsigned char store[SESSIONS_MAX * ENTRY];

static void init(uint32_t sessions)
{
    static const unsigned char entropy[32] = {1};
    memset(&server, 0, sizeof server);
    br_hmac_drbg_init(&server.eng.rng, &br_sha256_vtable, entropy, sizeof entropy);
    br_ssl_session_cache_lru_init(&cache, store, sessions * ENTRY);
}

static int add(const uint8_t *id, const uint8_t *data, uint32_t timeout)
{
    br_ssl_session_parameters p;
    (void)timeout;
    memcpy(p.session_id, id, ID_SIZE);
    p.session_id_len = ID_SIZE;
    p.version = BR_TLS12;
    p.cipher_suite = BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
    memcpy(p.master_secret, data, SECRET_SIZE);
    cache.vtable->save(&cache.vtable, &server, &p);
    return 1;
}

static int get(const uint8_t *id)
{
    br_ssl_session_parameters p;
    memcpy(p.session_id, id, ID_SIZE);
    p.session_id_len = ID_SIZE;
    return cache.vtable->load(&cache.vtable, &server, &p);
}

const peer_t peer = {"BearSSL", init, add, get, 0, 0, 0};
