/* What the programs of this folder begin with: random numbers, files, a table, a config. For one source file each. */
#ifndef SETUP_H
#define SETUP_H

#include <stdio.h>
#include <stdlib.h>

#include "mbedtls/ctr_drbg.h"
#include "mbedtls/entropy.h"

#include "sesstab_mbedtls.h"

#if SESSTAB_MBEDTLS_HAS_TLS13
#include "psa/crypto.h"
#endif

#define CAPACITY 16
#define CLIENT_DATA SESSTAB_MBEDTLS_CLIENT_SIZE(SESSTAB_MBEDTLS_TICKET_MAX)

static uint32_t now = 1000;
static mbedtls_entropy_context entropy;
static mbedtls_ctr_drbg_context drbg;
static mbedtls_x509_crt certificate, trusted;
static mbedtls_pk_context key;

static void check(int ret, const char *what)
{
    if (ret != 0) {
        fprintf(stderr, "%s: -0x%x\n", what, (unsigned)-ret);
        exit(1);
    }
}

static uint32_t clock_now(void *arg)
{
    (void)arg;
    return now;
}

static sesstab_t *new_table(void *memory, size_t size, uint16_t data_size, uint16_t mode)
{
    sesstab_config_t config = {.capacity = CAPACITY, .spare = 2, .data_size = data_size, .timeout = 300, .mode = mode,
        .seed = {1, 2}, .clock = clock_now};
    sesstab_t *t = sesstab_init(memory, size, &config);
    check(t == NULL, "sesstab_init");
    return t;
}

static void set_versions(mbedtls_ssl_config *config, int min, int max)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    mbedtls_ssl_conf_min_tls_version(config, min == 3 ? MBEDTLS_SSL_VERSION_TLS1_3 : MBEDTLS_SSL_VERSION_TLS1_2);
    mbedtls_ssl_conf_max_tls_version(config, max == 3 ? MBEDTLS_SSL_VERSION_TLS1_3 : MBEDTLS_SSL_VERSION_TLS1_2);
#else
    (void)min;
    (void)max;
    mbedtls_ssl_conf_min_version(config, 3, 3);
    mbedtls_ssl_conf_max_version(config, 3, 3);
#endif
}

static void new_config(mbedtls_ssl_config *config, int endpoint, int min, int max)
{
    mbedtls_ssl_config_init(config);
    check(mbedtls_ssl_config_defaults(config, endpoint, MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT),
        "config");
    mbedtls_ssl_conf_rng(config, mbedtls_ctr_drbg_random, &drbg);
    set_versions(config, min, max);
}

/* argv: certificate, key, trusted certificates */
static void load_files(char **argv)
{
#if SESSTAB_MBEDTLS_HAS_TLS13
    check(psa_crypto_init() != PSA_SUCCESS, "psa_crypto_init");
#endif
    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&drbg);
    check(mbedtls_ctr_drbg_seed(&drbg, mbedtls_entropy_func, &entropy, NULL, 0), "seed");
    mbedtls_x509_crt_init(&certificate);
    mbedtls_pk_init(&key);
    check(mbedtls_x509_crt_parse_file(&certificate, argv[1]), "certificate");
    mbedtls_x509_crt_init(&trusted);
    check(mbedtls_x509_crt_parse_file(&trusted, argv[3]), "trusted");
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    check(mbedtls_pk_parse_keyfile(&key, argv[2], NULL, mbedtls_ctr_drbg_random, &drbg), "key");
#else
    check(mbedtls_pk_parse_keyfile(&key, argv[2], NULL), "key");
#endif
}

static void unload_files(void)
{
    mbedtls_x509_crt_free(&certificate);
    mbedtls_x509_crt_free(&trusted);
    mbedtls_pk_free(&key);
    mbedtls_ctr_drbg_free(&drbg);
    mbedtls_entropy_free(&entropy);
#if SESSTAB_MBEDTLS_HAS_TLS13
    mbedtls_psa_crypto_free();
#endif
}

#endif
