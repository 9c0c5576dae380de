/*
 * wolfSSL's session cache, called as its server does: the id and the master secret go through the connection's own
 * arrays, and a session found is copied into the connection. Sets of 5 to 11 sessions, chosen by a hash of the id; so
 * a table that is filled to its capacity has lost some. Its size is fixed when it is compiled (WOLFSSL_SESSIONS).
 */
#include <wolfssl/internal.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

static WOLFSSL_CTX *ctx;
static WOLFSSL *ssl;
static void *empty; /* the cache as it was at first */

/* Tables of a size that is at most a quarter off. */
static int init(uint32_t sessions)
{
    int size = wolfSSL_get_session_cache_memsize();
    if (sessions > WOLFSSL_SESSIONS || sessions < WOLFSSL_SESSIONS - WOLFSSL_SESSIONS / 4)
        return 0;
    if (!ctx) {
        ctx = wolfSSL_CTX_new(wolfTLSv1_2_server_method());
        wolfSSL_CTX_allow_anon_cipher(ctx);
        ssl = ctx ? wolfSSL_new(ctx) : NULL;
        empty = malloc((size_t)size);
        if (!ssl || !empty || wolfSSL_memsave_session_cache(empty, size) != WOLFSSL_SUCCESS)
            return 0;
        ssl->options.haveSessionId = 1;
    }
    return wolfSSL_memrestore_session_cache(empty, size) == WOLFSSL_SUCCESS;
}

static int add(const uint8_t *id, const uint8_t *data, uint32_t timeout)
{
    memcpy(ssl->arrays->sessionID, id, TABLE_ID_SIZE);
    ssl->arrays->sessionIDSz = TABLE_ID_SIZE;
    memcpy(ssl->arrays->masterSecret, data, TABLE_SECRET_SIZE);
    ssl->timeout = timeout;
    AddSession(ssl);
    return 1;
}

static int get(const uint8_t *id)
{
    memcpy(ssl->arrays->sessionID, id, TABLE_ID_SIZE);
    return wolfSSL_GetSession(ssl, ssl->arrays->masterSecret, 1) != NULL;
}

static int read_secret(const uint8_t *id, uint8_t *secret)
{
    int found = get(id);
    if (found)
        memcpy(secret, ssl->arrays->masterSecret, TABLE_SECRET_SIZE);
    return found;
}

static size_t bytes(void)
{
    return (size_t)wolfSSL_get_session_cache_memsize();
}

const table_t TABLE = {"wolfSSL", init, add, get, NULL, NULL, read_secret, bytes, 0, 1, 0};
