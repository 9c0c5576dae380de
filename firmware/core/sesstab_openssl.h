/*
 * sesstab under OpenSSL's names, for those who port code or know its manual.
 *
 * An SSL_CTX is a table here and an SSL_SESSION a handle, which means something within its table only. So every
 * function takes the table first, also those that take just a session in OpenSSL, and those of an SSL. A time is
 * in whole seconds of the table's clock. What a function does, sesstab.h says.
 *
 * SSL_add_session and SSL_remove_session are synonyms of the functions with CTX in their names, as they once were
 * in OpenSSL.
 */
#ifndef SESSTAB_OPENSSL_H
#define SESSTAB_OPENSSL_H

#if defined(OPENSSL_SSL_H) || defined(HEADER_SSL_H)
#error "sesstab_openssl.h has OpenSSL's names: include either it or openssl/ssl.h in a source file"
#endif

#include "sesstab.h"

typedef sesstab_t SSL_CTX;
typedef sesstab_handle_t SSL_SESSION;

#define SSL_SESS_CACHE_OFF SESSTAB_CACHE_OFF
#define SSL_SESS_CACHE_CLIENT SESSTAB_CACHE_CLIENT
#define SSL_SESS_CACHE_SERVER SESSTAB_CACHE_SERVER
#define SSL_SESS_CACHE_BOTH SESSTAB_CACHE_BOTH
#define SSL_SESS_CACHE_NO_AUTO_CLEAR SESSTAB_CACHE_NO_AUTO_CLEAR
#define SSL_SESS_CACHE_NO_INTERNAL_LOOKUP SESSTAB_CACHE_NO_INTERNAL_LOOKUP
#define SSL_SESS_CACHE_NO_INTERNAL_STORE SESSTAB_CACHE_NO_INTERNAL_STORE
#define SSL_SESS_CACHE_NO_INTERNAL SESSTAB_CACHE_NO_INTERNAL
#define SSL_SESS_CACHE_UPDATE_TIME SESSTAB_CACHE_UPDATE_TIME

/* ---- SSL_CTX_new(3) ---- */

static inline SSL_CTX *SSL_CTX_new(void *memory, size_t size, const sesstab_config_t *config)
{
    return sesstab_init(memory, size, config);
}

static inline void SSL_CTX_free(SSL_CTX *ctx)
{
    sesstab_clear(ctx);
}

/* ---- Sessions: SSL_SESSION_free(3), SSL_SESSION_get_id(3), SSL_SESSION_get_time(3) ---- */

static inline SSL_SESSION SSL_SESSION_new(SSL_CTX *ctx, const uint8_t *id, size_t id_len, const uint8_t *data,
    size_t data_len, uint32_t timeout, uint8_t context)
{
    return sesstab_new_session(ctx, id, id_len, data, data_len, timeout, context);
}

static inline int SSL_SESSION_up_ref(SSL_CTX *ctx, SSL_SESSION session)
{
    return sesstab_up_ref(ctx, session);
}

static inline void SSL_SESSION_free(SSL_CTX *ctx, SSL_SESSION session)
{
    sesstab_free(ctx, session);
}

static inline const uint8_t *SSL_SESSION_get_id(SSL_CTX *ctx, SSL_SESSION session, unsigned *len)
{
    size_t id_len;
    const uint8_t *id = sesstab_session_id(ctx, session, &id_len);
    if (len)
        *len = (unsigned)id_len;
    return id;
}

static inline uint32_t SSL_SESSION_get_time(SSL_CTX *ctx, SSL_SESSION session)
{
    return sesstab_session_time(ctx, session);
}

static inline uint32_t SSL_SESSION_set_time(SSL_CTX *ctx, SSL_SESSION session, uint32_t time)
{
    return sesstab_set_session_time(ctx, session, time) ? time : 0;
}

static inline uint32_t SSL_SESSION_get_timeout(SSL_CTX *ctx, SSL_SESSION session)
{
    return sesstab_session_timeout(ctx, session);
}

static inline int SSL_SESSION_set_timeout(SSL_CTX *ctx, SSL_SESSION session, uint32_t timeout)
{
    return sesstab_set_session_timeout(ctx, session, timeout);
}

/* ---- The table: SSL_CTX_add_session(3), SSL_CTX_flush_sessions(3), SSL_has_matching_session_id(3) ---- */

static inline int SSL_CTX_add_session(SSL_CTX *ctx, SSL_SESSION session)
{
    return sesstab_add_session(ctx, session);
}

static inline int SSL_CTX_remove_session(SSL_CTX *ctx, SSL_SESSION session)
{
    return sesstab_remove_session(ctx, session);
}

#define SSL_add_session SSL_CTX_add_session
#define SSL_remove_session SSL_CTX_remove_session

static inline void SSL_CTX_flush_sessions(SSL_CTX *ctx, uint32_t time)
{
    sesstab_flush_sessions(ctx, time);
}

static inline int SSL_has_matching_session_id(SSL_CTX *ctx, const uint8_t *id, unsigned id_len)
{
    return sesstab_has_session(ctx, id, id_len);
}

/* ---- Settings: SSL_CTX_set_session_cache_mode(3), SSL_CTX_set_timeout(3), SSL_CTX_sess_set_cache_size(3).
 * A setter returns what was set before. ---- */

static inline uint32_t SSL_CTX_get_session_cache_mode(SSL_CTX *ctx)
{
    return sesstab_get_mode(ctx);
}

static inline uint32_t SSL_CTX_set_session_cache_mode(SSL_CTX *ctx, uint32_t mode)
{
    uint32_t before = sesstab_get_mode(ctx);
    sesstab_set_mode(ctx, mode);
    return before;
}

static inline uint32_t SSL_CTX_get_timeout(SSL_CTX *ctx)
{
    return sesstab_get_timeout(ctx);
}

static inline uint32_t SSL_CTX_set_timeout(SSL_CTX *ctx, uint32_t timeout)
{
    uint32_t before = sesstab_get_timeout(ctx);
    sesstab_set_timeout(ctx, timeout);
    return before;
}

static inline uint32_t SSL_CTX_sess_get_cache_size(SSL_CTX *ctx)
{
    return sesstab_sess_get_cache_size(ctx);
}

static inline uint32_t SSL_CTX_sess_set_cache_size(SSL_CTX *ctx, uint32_t size)
{
    uint32_t before = sesstab_sess_get_cache_size(ctx);
    sesstab_sess_set_cache_size(ctx, size);
    return before;
}

/* ---- Callbacks: SSL_CTX_sess_set_new_cb(3), with the arguments that sesstab_config_t says ---- */

static inline void SSL_CTX_sess_set_new_cb(SSL_CTX *ctx, int (*callback)(void *arg, SSL_SESSION session))
{
    sesstab_settings(ctx)->on_new = callback;
}

static inline void SSL_CTX_sess_set_get_cb(SSL_CTX *ctx,
    SSL_SESSION (*callback)(void *arg, const uint8_t *id, size_t id_len))
{
    sesstab_settings(ctx)->on_get = callback;
}

static inline void SSL_CTX_sess_set_remove_cb(SSL_CTX *ctx, void (*callback)(void *arg, SSL_SESSION session))
{
    sesstab_settings(ctx)->on_remove = callback;
}

/* ---- Statistics: SSL_CTX_sess_number(3) ---- */

static inline uint32_t SSL_CTX_sess_number(SSL_CTX *ctx)
{
    return sesstab_sess_number(ctx);
}

static inline uint32_t SSL_CTX_sess_hits(SSL_CTX *ctx)
{
    return sesstab_sess_hits(ctx);
}

static inline uint32_t SSL_CTX_sess_cb_hits(SSL_CTX *ctx)
{
    return sesstab_sess_cb_hits(ctx);
}

static inline uint32_t SSL_CTX_sess_misses(SSL_CTX *ctx)
{
    return sesstab_sess_misses(ctx);
}

static inline uint32_t SSL_CTX_sess_timeouts(SSL_CTX *ctx)
{
    return sesstab_sess_timeouts(ctx);
}

static inline uint32_t SSL_CTX_sess_cache_full(SSL_CTX *ctx)
{
    return sesstab_sess_cache_full(ctx);
}

/* Handshakes, resumed ones included, count as connections when the mode is that of a client only. */

static inline uint32_t SSL_CTX_sess_accept(SSL_CTX *ctx)
{
    return sesstab_get_mode(ctx) & SSL_SESS_CACHE_SERVER ? sesstab_sess_stored(ctx) + sesstab_sess_hits(ctx) : 0;
}

static inline uint32_t SSL_CTX_sess_connect(SSL_CTX *ctx)
{
    return (sesstab_get_mode(ctx) & SSL_SESS_CACHE_BOTH) == SSL_SESS_CACHE_CLIENT
               ? sesstab_sess_stored(ctx) + sesstab_sess_hits(ctx)
               : 0;
}

#define SSL_CTX_sess_accept_good SSL_CTX_sess_accept
#define SSL_CTX_sess_connect_good SSL_CTX_sess_connect

#endif
