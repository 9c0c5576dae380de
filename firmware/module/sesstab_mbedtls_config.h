/*
 * The switches of micropython.mk and micropython.cmake as Mbed TLS's options. Mbed TLS includes this file after the
 * port's own configuration (MBEDTLS_USER_CONFIG_FILE).
 */
#ifdef SESSTAB_TICKETS
#define MBEDTLS_SSL_SESSION_TICKETS
#endif

#ifdef SESSTAB_TLS13
#define MBEDTLS_SSL_PROTO_TLS1_3
#define MBEDTLS_SSL_TLS1_3_COMPATIBILITY_MODE
#define MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL_ENABLED
#define MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_PSK_EPHEMERAL_ENABLED
#define MBEDTLS_SSL_KEEP_PEER_CERTIFICATE /* TLS 1.3 of Mbed TLS 3.6 requires it */
#define MBEDTLS_PSA_CRYPTO_C
#define MBEDTLS_HKDF_C
#define MBEDTLS_PKCS1_V21
#define MBEDTLS_X509_RSASSA_PSS_SUPPORT
#endif
