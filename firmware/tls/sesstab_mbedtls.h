/*
 * TLS session resumption for programs that use Mbed TLS (2.28, or 3.6), on a table of sesstab.h.
 *
 * A server, TLS 1.2 session ids and, with SESSTAB_MBEDTLS_TICKETS, tickets of TLS 1.2 and 1.3:
 *
 *     static SESSTAB_MEMORY(memory, 32, 2, SESSTAB_MBEDTLS_SERVER_SIZE);
 *     static sesstab_mbedtls_t attachment;
 *     sesstab_config_t settings = {.capacity = 32, .spare = 2, .data_size = SESSTAB_MBEDTLS_SERVER_SIZE,
 *                                  .timeout = 7200, .mode = SESSTAB_CACHE_SERVER, .clock = seconds, .seed = {...}};
 *     sesstab_t *table = sesstab_init(memory, sizeof(memory), &settings);
 *     if (sesstab_mbedtls_attach(&attachment, table, 1, &ssl_config, SESSTAB_MBEDTLS_TICKETS) != 0) ...
 *
 * A client, one sesstab_mbedtls_client_t for each connection:
 *
 *     sesstab_mbedtls_offer(&client, &ssl, table, key, key_len, 0);    // after mbedtls_ssl_set_hostname
 *     ... mbedtls_ssl_handshake(&ssl) ...
 *     resumed = sesstab_mbedtls_resumed(&client);
 *     sesstab_mbedtls_save(&client);                                   // and again after each read, for TLS 1.3
 *     sesstab_mbedtls_done(&client);                                   // before mbedtls_ssl_free
 *
 * What holds:
 *   - Nothing here allocates; Mbed TLS does, for its own copies of what a client offers.
 *   - Secrets leave the stack overwritten.
 *   - CLIENTS THAT MUST AUTHENTICATE are never resumed, and their sessions never stored: a resumed handshake asks for
 *     no certificate. The config's authmode is looked up in every callback, so it may change at any time. There is
 *     no way to ask for more: Mbed TLS does not record whether a session has an extended master secret, and without
 *     one, resumption with client certificates is open to the triple handshake attack.
 *   - WALLS: a session resumes only under the context number that it was made under. Give every config its own.
 *   - TICKETS are 32 random bytes that name a session in the table. Their lifetime is the table's timeout, at most
 *     7 days. A TLS 1.3 ticket is good once: the handshake that resumes from it takes it out of the table when it
 *     ends, and gives the client a new one. docs/mbedtls.md says what "once" means while handshakes run side by side.
 *     A TLS 1.2 ticket is good until it expires, as a session id is: Mbed TLS issues no new one when it resumes.
 *   - SERVERS THAT VERIFY: a client's session that was made without verifying the server is never offered under a
 *     config that verifies, nor a session to a server of another name.
 *   - Early data (0-RTT) is refused.
 *
 * Not thread-safe: the configs attached to a table, and its clients, belong to one thread. The table's callbacks may
 * detach, and may free the connection that a client offers or saves a session of; not one in the middle of its
 * handshake, which Mbed TLS itself does not allow.
 */
#ifndef SESSTAB_MBEDTLS_H
#define SESSTAB_MBEDTLS_H

#include "sesstab.h"

#include "mbedtls/ssl.h"
#include "mbedtls/version.h"

#ifdef __cplusplus
extern "C" {
#endif

#if MBEDTLS_VERSION_NUMBER < 0x021C0000                                                                          \
    || (MBEDTLS_VERSION_NUMBER >= 0x03000000 && MBEDTLS_VERSION_NUMBER < 0x03060000)                             \
    || MBEDTLS_VERSION_NUMBER >= 0x04000000
#error "sesstab works with Mbed TLS 2.28 and 3.6"
#endif

/* What the library was built with. */
#if defined(MBEDTLS_SSL_SESSION_TICKETS) && defined(MBEDTLS_SSL_SRV_C)
#define SESSTAB_MBEDTLS_HAS_TICKETS 1
#else
#define SESSTAB_MBEDTLS_HAS_TICKETS 0
#endif
#if MBEDTLS_VERSION_NUMBER >= 0x03000000 && defined(MBEDTLS_SSL_PROTO_TLS1_3)
#define SESSTAB_MBEDTLS_HAS_TLS13 1
#else
#define SESSTAB_MBEDTLS_HAS_TLS13 0
#endif

/* Bytes of data that a session takes: the table's data_size must be at least that. The layouts: sesstab_mbedtls.c. */
#define SESSTAB_MBEDTLS_TLS12_SIZE 50 /* server */
#define SESSTAB_MBEDTLS_TLS13_SIZE 54 /* server; 38 with a ciphersuite of SHA-256 */
#if SESSTAB_MBEDTLS_HAS_TLS13
#define SESSTAB_MBEDTLS_SERVER_SIZE SESSTAB_MBEDTLS_TLS13_SIZE
#else
#define SESSTAB_MBEDTLS_SERVER_SIZE SESSTAB_MBEDTLS_TLS12_SIZE
#endif
/* client; with session ids of TLS 1.2, ticket_len is 0. OpenSSL's tickets have 160 to 256 bytes. */
#define SESSTAB_MBEDTLS_CLIENT_SIZE(ticket_len) ((ticket_len) > 24 ? 77 + (ticket_len) : 101)
#ifndef SESSTAB_MBEDTLS_TICKET_MAX
#define SESSTAB_MBEDTLS_TICKET_MAX 512 /* a client does not store longer ones; saving takes so much stack */
#endif

/* ---- Server ---- */

/* Flags of sesstab_mbedtls_attach. */
#define SESSTAB_MBEDTLS_TICKETS 1u /* issue and take tickets; without it, TLS 1.3 does not resume */
/* The config has an SNI or certificate callback, and all its names are one: whoever may resume a session under one
 * name may do so under all, and the callback never calls mbedtls_ssl_set_hs_authmode. Without this flag, sessions are
 * neither stored nor resumed while such a callback is set. */
#define SESSTAB_MBEDTLS_NAMES_ARE_ONE 2u

/* What sesstab_mbedtls_attach returns. */
enum {
    SESSTAB_MBEDTLS_OK = 0,
    SESSTAB_MBEDTLS_NOT_A_SERVER = 1, /* the config is a client's */
    SESSTAB_MBEDTLS_NOT_A_STREAM = 2, /* the config is for DTLS */
    SESSTAB_MBEDTLS_VERIFIES = 3,     /* authmode is not MBEDTLS_SSL_VERIFY_NONE */
    SESSTAB_MBEDTLS_TAKEN = 4,        /* the config has other cache or ticket callbacks, or another attachment */
    SESSTAB_MBEDTLS_DATA_SIZE = 5,    /* the table's data_size is too small for what the config can negotiate */
    SESSTAB_MBEDTLS_NO_SPARE = 6,     /* the table has no spare slot: a new session comes before an old one goes */
    SESSTAB_MBEDTLS_NO_TICKETS = 7,   /* the library was built without tickets */
    SESSTAB_MBEDTLS_NAMES = 8         /* the config has an SNI or certificate callback: SESSTAB_MBEDTLS_NAMES_ARE_ONE */
};

#define SESSTAB_MBEDTLS_IN_USE 4 /* TLS 1.3 tickets whose handshakes may run side by side; see docs/mbedtls.md */

/* A TLS 1.3 ticket that a handshake has begun to resume from. Private. */
typedef struct {
    sesstab_handle_t h;
    const void *session; /* the handshake's session, by which its end is known; NULL: not known */
} sesstab_mbedtls_ticket_t;

/* Ties a config to a table: in the caller's memory, at one place for as long as it is attached. The config's p_cache
 * (and with tickets p_ticket) point to its first byte, so that a garbage collector that scans the config sees it.
 * Private. */
typedef struct {
    sesstab_t *table;
    mbedtls_ssl_config *config;
    sesstab_mbedtls_ticket_t in_use[SESSTAB_MBEDTLS_IN_USE];
    uint8_t context;
    uint8_t flags;
} sesstab_mbedtls_t;

/* Makes `config`'s connections store sessions in `table` and resume them from it. `context`, 0 to 255, is the number
 * that they are stored under; no other config that is, or was, attached to this table may have it, unless the two
 * are to share sessions. Call it after mbedtls_ssl_config_defaults and mbedtls_ssl_conf_max_tls_version, between
 * handshakes. Attaching the same attachment again sets its context and flags anew, and forgets nothing. `*a` must be
 * zeroed before its first use. With tickets of TLS 1.3 it sets the config's certificate callback too
 * (mbedtls_ssl_conf_cert_cb), where there is none, to know which handshake a ticket belongs to.
 * Returns 0, or one of the numbers above, and then nothing has changed. */
int sesstab_mbedtls_attach(sesstab_mbedtls_t *a, sesstab_t *table, uint8_t context, mbedtls_ssl_config *config,
    uint32_t flags);

/* Takes the context's sessions out of the table, and the callbacks out of the config, those that are still ours; with
 * tickets, one stays that writes none, since handshakes that are under way will call it. Call it before
 * mbedtls_ssl_config_free; at any time, also in the table's callbacks during a handshake, which then does not resume.
 * Returns 1; 0, and nothing has changed, when not attached (all zeros, or detached), or when on_remove is running and
 * the table has sessions of the context, which cannot be removed then. */
int sesstab_mbedtls_detach(sesstab_mbedtls_t *a);

/* The attachment of a config, or NULL. */
sesstab_mbedtls_t *sesstab_mbedtls_attachment(const mbedtls_ssl_config *config);

/* ---- Client ---- */

/* A connection whose session comes from a table and goes there: in the caller's memory. Private. */
typedef struct {
    sesstab_t *table;
    mbedtls_ssl_context *ssl;
    sesstab_handle_t offered; /* 0: none */
    uint8_t id_len;
    uint8_t context;
    uint8_t authmode; /* under which the handshake started */
    uint8_t saved;
    uint8_t id[SESSTAB_ID_MAX];
} sesstab_mbedtls_client_t;

/* Prepares a connection, before its handshake, after mbedtls_ssl_setup and mbedtls_ssl_set_hostname: offers the
 * server the session that the table has under `id`, if it has one that this connection may use. The table's mode
 * needs SESSTAB_CACHE_CLIENT for sessions to be stored.
 *
 * `id` is the caller's name for the server, 1 to 32 bytes; a hash of host name and port, say. `context` tells apart
 * what the id does not: configs that trust different certificates must have different numbers.
 *
 * May not be offered: what was made without verifying the server, when the config verifies; what was made for
 * another mbedtls_ssl_set_hostname, or none; what Mbed TLS refuses. A TLS 1.3 ticket leaves the table as it is
 * offered: it is good once.
 * Returns 1 when a session is offered; 0 when there is none, and the handshake will be a full one. In any case
 * sesstab_mbedtls_done must follow. */
int sesstab_mbedtls_offer(sesstab_mbedtls_client_t *c, mbedtls_ssl_context *ssl, sesstab_t *table, const uint8_t *id,
    size_t id_len, uint8_t context);

/* 1 when the handshake is over and resumed the session that was offered; else 0. */
int sesstab_mbedtls_resumed(const sesstab_mbedtls_client_t *c);

/* Stores what the server gave, under the id and context of sesstab_mbedtls_offer. Call it when the handshake is over
 * and, where TLS 1.3 can be negotiated, again whenever mbedtls_ssl_read has returned: its tickets come after the
 * handshake. Enable them with mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets. Calls with nothing new are
 * cheap. A resumed TLS 1.2 session is not stored again, except with a new ticket, and keeps its time: it is no
 * younger for being used. mbedtls_ssl_get_session finds nothing to export after a session was saved.
 *
 * The session counts as made with a verified server when the config verified at sesstab_mbedtls_offer and still does.
 * So do not lower the authmode in between only for the handshake. Where the result of verifying is not 0, and
 * MBEDTLS_SSL_VERIFY_OPTIONAL lets it pass, the session is not stored: the next handshake has to see for itself.
 * Returns 1 when a session was stored; SESSTAB_MBEDTLS_READ_ON when none was, but a TLS 1.3 ticket has ended the last
 * read all the same (MBEDTLS_ERR_SSL_WANT_READ, then MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET); else 0. */
#define SESSTAB_MBEDTLS_READ_ON 2
int sesstab_mbedtls_save(sesstab_mbedtls_client_t *c);

/* Lets go of the offered session and of the connection. Returns 1; 0 when done before. */
int sesstab_mbedtls_done(sesstab_mbedtls_client_t *c);

#ifdef __cplusplus
}
#endif

#endif
