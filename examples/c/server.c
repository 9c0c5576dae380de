/*
 * A small TLS server with session resumption: Mbed TLS (2.28 or 3.6) and a table of 32 sessions, in 4 KB.
 *
 *     make && ./server 4433 certificate.pem key.pem
 *     openssl s_client -connect localhost:4433 -reconnect </dev/null | grep -E '^(New|Reused)'
 *
 * It greets each client with what the table has counted.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "mbedtls/ctr_drbg.h"
#include "mbedtls/entropy.h"
#include "mbedtls/net_sockets.h"

#include "sesstab_mbedtls.h"

#if SESSTAB_MBEDTLS_HAS_TLS13
#include "psa/crypto.h"
#endif

#define SESSIONS 32

static SESSTAB_MEMORY(memory, SESSIONS, 2, SESSTAB_MBEDTLS_SERVER_SIZE);
static sesstab_t *table;
static sesstab_mbedtls_t attachment;

static mbedtls_entropy_context entropy;
static mbedtls_ctr_drbg_context random_numbers;
static mbedtls_x509_crt certificate;
static mbedtls_pk_context key;
static mbedtls_ssl_config config;
static mbedtls_net_context listener;

/* Any clock will do that counts seconds and does not jump; 0 would mean that it is not set. */
static uint32_t seconds(void *arg)
{
    struct timespec now;
    (void)arg;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)now.tv_sec + 1;
}

static int make_table(void)
{
    sesstab_config_t settings = {.capacity = SESSIONS, .spare = 2, .data_size = SESSTAB_MBEDTLS_SERVER_SIZE,
        .timeout = 7200, .mode = SESSTAB_CACHE_SERVER, .clock = seconds};
    if (mbedtls_ctr_drbg_random(&random_numbers, (unsigned char *)settings.seed, sizeof(settings.seed)) != 0)
        return 0;
    table = sesstab_init(memory, sizeof(memory), &settings);
    return table != NULL;
}

static int read_key(const char *path)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    return mbedtls_pk_parse_keyfile(&key, path, NULL, mbedtls_ctr_drbg_random, &random_numbers);
#else
    return mbedtls_pk_parse_keyfile(&key, path, NULL);
#endif
}

static void init(void)
{
    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&random_numbers);
    mbedtls_x509_crt_init(&certificate);
    mbedtls_pk_init(&key);
    mbedtls_ssl_config_init(&config);
    mbedtls_net_init(&listener);
}

/* Returns what could not be done, or NULL. */
static const char *start(const char *port, const char *certificate_path, const char *key_path)
{
#if SESSTAB_MBEDTLS_HAS_TLS13
    if (psa_crypto_init() != PSA_SUCCESS)
        return "start PSA cryptography";
#endif
    if (mbedtls_ctr_drbg_seed(&random_numbers, mbedtls_entropy_func, &entropy, NULL, 0) != 0)
        return "get random numbers";
    if (mbedtls_x509_crt_parse_file(&certificate, certificate_path) != 0)
        return "read the certificate";
    if (read_key(key_path) != 0)
        return "read the key";
    if (mbedtls_ssl_config_defaults(&config, MBEDTLS_SSL_IS_SERVER, MBEDTLS_SSL_TRANSPORT_STREAM,
            MBEDTLS_SSL_PRESET_DEFAULT) != 0 || mbedtls_ssl_conf_own_cert(&config, &certificate, &key) != 0)
        return "configure TLS";
    mbedtls_ssl_conf_rng(&config, mbedtls_ctr_drbg_random, &random_numbers);
    if (!make_table() || sesstab_mbedtls_attach(&attachment, table, 1, &config, SESSTAB_MBEDTLS_TICKETS) != 0)
        return "attach the table";
    if (mbedtls_net_bind(&listener, NULL, port, MBEDTLS_NET_PROTO_TCP) != 0)
        return "listen on this port";
    return NULL;
}

static void greet(mbedtls_ssl_context *ssl)
{
    char text[96];
    unsigned char rest[64];
    int len = snprintf(text, sizeof(text), "hello; %u sessions, %u resumed\n", (unsigned)sesstab_sess_number(table),
        (unsigned)sesstab_sess_hits(table));
    mbedtls_ssl_write(ssl, (const unsigned char *)text, (size_t)len);
    while (mbedtls_ssl_read(ssl, rest, sizeof(rest)) > 0)
        ;
    mbedtls_ssl_close_notify(ssl);
}

static void serve(void)
{
    mbedtls_net_context client;
    mbedtls_ssl_context ssl;
    mbedtls_net_init(&client);
    mbedtls_ssl_init(&ssl);
    if (mbedtls_net_accept(&listener, &client, NULL, 0, NULL) == 0 && mbedtls_ssl_setup(&ssl, &config) == 0) {
        mbedtls_ssl_set_bio(&ssl, &client, mbedtls_net_send, mbedtls_net_recv, NULL);
        if (mbedtls_ssl_handshake(&ssl) == 0)
            greet(&ssl);
    }
    mbedtls_ssl_free(&ssl);
    mbedtls_net_free(&client);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: %s PORT CERTIFICATE.pem KEY.pem\n", argv[0]);
        return 2;
    }
    init();
    const char *problem = start(argv[1], argv[2], argv[3]);
    if (problem != NULL) {
        fprintf(stderr, "%s: could not %s\n", argv[0], problem);
        return 1;
    }
    printf("%zu bytes for %d sessions; ready\n", sizeof(memory), SESSIONS);
    fflush(stdout);
    for (;;)
        serve();
}
