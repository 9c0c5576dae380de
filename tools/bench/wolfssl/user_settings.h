/* wolfSSL as small as a TLS 1.2 server allows, without locks: its sessions are smallest so, and its cache fastest. */
#define SINGLE_THREADED
#define HAVE_TLS_EXTENSIONS
#define HAVE_SUPPORTED_CURVES
#define HAVE_ECC
#define HAVE_AESGCM
#define HAVE_HKDF
#define WOLFSSL_SHA384
#define WOLFSSL_SHA512
#define NO_OLD_TLS
#define NO_PSK
#define NO_DH
#define NO_DES3
#define NO_RC4
#define NO_MD4
#define NO_CLIENT_CACHE
#define NO_SESSION_CACHE_REF
#define HAVE_ANON             /* a server without a certificate */
#define PERSIST_SESSION_CACHE /* its empty cache, saved and restored, is how to empty it */
#define TFM_TIMING_RESISTANT
#define ECC_TIMING_RESISTANT
#define WC_RSA_BLINDING
