/*
 * Mbed TLS's ssl_cache, called as its server does. It scans a list, keeps each session serialized on the heap, and gives
 * back a copy; one timeout holds for all. The heap costs next to nothing here, less than any real one: all blocks are
 * of one size, and the free ones are in a list.
 */
#define MBEDTLS_ALLOW_PRIVATE_ACCESS
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_cache.h>
#include <string.h>

#include "peer.h"

enum { BLOCK = 240, BLOCKS = 2 * SESSIONS_MAX + 4, SECRET_SIZE = 48 };

typedef union block {
    union block *next;
    uint64_t bytes[BLOCK / 8];
} block_t;

static block_t blocks[BLOCKS], *unused;
static mbedtls_ssl_cache_context cache;

void *peer_calloc(size_t n, size_t size)
{
    block_t *block = unused;
    if (!block || n * size > BLOCK)
        return NULL;
    unused = block->next;
    return memset(block, 0, n * size);
}

void peer_free(void *memory)
{
    block_t *block = memory;
    if (!block)
        return;
    block->next = unused;
    unused = block;
}

mbedtls_time_t peer_time(mbedtls_time_t *out)
{
    (void)out; /* it is NULL */
    return (mbedtls_time_t)seconds;
}

/* Whatever was on the heap is forgotten. */
static void init(uint32_t sessions)
{
    unused = NULL;
    for (size_t i = 0; i < BLOCKS; i++)
        peer_free(&blocks[i]);
    mbedtls_ssl_cache_init(&cache);
    mbedtls_ssl_cache_set_max_entries(&cache, (int)sessions);
    mbedtls_ssl_cache_set_timeout(&cache, 7200);
}

static int add(const uint8_t *id, const uint8_t *data, uint32_t timeout)
{
    mbedtls_ssl_session s;
    (void)timeout;
    mbedtls_ssl_session_init(&s);
    s.ciphersuite = MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
    s.id_len = ID_SIZE;
    memcpy(s.id, id, ID_SIZE);
    memcpy(s.master, data, SECRET_SIZE);
    s.tls_version = MBEDTLS_SSL_VERSION_TLS1_2;
    s.endpoint = MBEDTLS_SSL_IS_SERVER;
    return mbedtls_ssl_cache_set(&cache, id, ID_SIZE, &s) == 0;
}

static int get(const uint8_t *id)
{
    mbedtls_ssl_session s;
    mbedtls_ssl_session_init(&s);
    int found = mbedtls_ssl_cache_get(&cache, id, ID_SIZE, &s) == 0;
    mbedtls_ssl_session_free(&s);
    return found;
}

const peer_t peer = {"Mbed TLS", init, add, get, 0, 0, 0};
