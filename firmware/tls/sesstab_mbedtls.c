/*
 * What a session's data is, in bytes. All numbers are big endian.
 *
 *     server, TLS 1.2      0  ciphersuite              2, with flags in bits that are 0 in every ciphersuite (FLAGS)
 *                          2  master secret            48
 *
 *     server, TLS 1.3      0  0x13                     1, as in the ciphersuite
 *                          1  key exchange modes       4 bits; the lower 4 bits are the ciphersuite's
 *                          2  ticket_age_add           4
 *                          6  resumption key           32 or 48
 *
 *     client               0  0x82: TLS 1.2, 0x83: 1.3 1, which no server's session starts with
 *                          1  verified                 1: whether the server was
 *                          2  server's name            16, of its SHA-256; all 0 without a name
 *                         18  ciphersuite              2, with flags, or with key exchange modes, as above
 *       TLS 1.2           20  master secret            48
 *                         68  length of the id         1, then the id; or 0, and then
 *                         69  ticket's lifetime        4, then the ticket
 *       TLS 1.3           20  ticket_age_add           4
 *                         24  ticket's lifetime        4
 *                         28  length of the key        1, then the resumption key, then the ticket
 *
 * A ticket's age is the session's age in the table, so that it goes on while a board sleeps and a snapshot lies in a
 * file. It is right to a second; Mbed TLS tolerates six.
 *
 * A TLS 1.3 ticket, once. Mbed TLS asks for it when it reads a ClientHello, twice if it answers with a
 * HelloRetryRequest; it issues the next one when the handshake has ended well. None of the calls says which
 * connection it is about, but the certificate callback does, which follows each ClientHello: there, the tickets
 * asked for just now are given the address of the connection's session. The call for the next ticket has the same
 * address, and removes them. A ticket asked for the second time is removed as it is given.
 *
 * Callbacks, the table's clock among them, may detach the context whose handshake they are called in, and close the
 * client's connection that is offered or saved. So the table is remembered across them, and what comes after looks
 * again at the attachment, which then has no config, and at the connection.
 */
#define MBEDTLS_ALLOW_PRIVATE_ACCESS

#include "sesstab_mbedtls.h"

#include <string.h>

#include "mbedtls/md.h"
#include "mbedtls/platform_util.h"
#include "mbedtls/ssl_ciphersuites.h"
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
#include "mbedtls/platform_time.h"
#endif

#define V3 (MBEDTLS_VERSION_NUMBER >= 0x03000000)
#if SESSTAB_MBEDTLS_HAS_TLS13 && defined(MBEDTLS_SSL_SESSION_TICKETS)
#define TLS13_TICKETS 1
#else
#define TLS13_TICKETS 0
#endif
#define SERVER_TLS13 (SESSTAB_MBEDTLS_HAS_TLS13 && SESSTAB_MBEDTLS_HAS_TICKETS)

#define VERSION_TLS12 0x0303
#define VERSION_TLS13 0x0304
#define MASTER_SIZE 48
#define TICKET_SIZE SESSTAB_ID_MAX
#define WEEK 604800u /* RFC 8446 section 4.6.1 */
#define ERR_NOT_FOUND MBEDTLS_ERR_SSL_INVALID_MAC

/* Flags in the first byte of a TLS 1.2 ciphersuite: all that Mbed TLS has start with 0x00, 0xc0 or 0xcc. */
#define FLAGS 0x33u
#define FLAG_MFL(code) (((code) & 3u) | ((code) & 4u) << 2)
#define MFL_OF(flags) (((flags) & 3u) | ((flags) >> 2 & 4u))
#define FLAG_ETM 0x20u

#if defined(MBEDTLS_SSL_SESSION_TICKETS)
static void put32(uint8_t *to, uint32_t value)
{
    to[0] = (uint8_t)(value >> 24);
    to[1] = (uint8_t)(value >> 16);
    to[2] = (uint8_t)(value >> 8);
    to[3] = (uint8_t)value;
}

static uint32_t get32(const uint8_t *from)
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}
#endif

/* ---- Mbed TLS's sessions ---- */

static int version_of(const mbedtls_ssl_session *s)
{
#if V3
    return (int)s->tls_version;
#else
    (void)s;
    return VERSION_TLS12;
#endif
}

static void set_version(mbedtls_ssl_session *s, int version, uint8_t endpoint)
{
#if V3
    s->tls_version = (mbedtls_ssl_protocol_version)version;
    s->endpoint = endpoint;
#else
    (void)s;
    (void)version;
    (void)endpoint;
#endif
}

static int has_peer_certificate(const mbedtls_ssl_session *s)
{
#if !defined(MBEDTLS_X509_CRT_PARSE_C)
    (void)s;
    return 0;
#elif defined(MBEDTLS_SSL_KEEP_PEER_CERTIFICATE)
    return s->peer_cert != NULL;
#else
    return s->peer_cert_digest != NULL;
#endif
}

/* What the session has agreed on besides the ciphersuite. */
static uint32_t flags_of(const mbedtls_ssl_session *s)
{
    uint32_t flags = 0;
#if defined(MBEDTLS_SSL_MAX_FRAGMENT_LENGTH)
    flags |= FLAG_MFL((uint32_t)s->mfl_code);
#endif
#if defined(MBEDTLS_SSL_ENCRYPT_THEN_MAC)
    if (s->encrypt_then_mac != 0)
        flags |= FLAG_ETM;
#endif
    (void)s;
    return flags;
}

static void set_flags(mbedtls_ssl_session *s, uint32_t flags)
{
#if defined(MBEDTLS_SSL_MAX_FRAGMENT_LENGTH)
    s->mfl_code = (unsigned char)MFL_OF(flags);
#endif
#if defined(MBEDTLS_SSL_ENCRYPT_THEN_MAC)
    s->encrypt_then_mac = (flags & FLAG_ETM) != 0;
#endif
    (void)s;
    (void)flags;
}

/* Whether this build of the library knows what the flags say. */
static int are_known(uint32_t flags)
{
    uint32_t known = 0;
#if defined(MBEDTLS_SSL_MAX_FRAGMENT_LENGTH)
    known |= FLAG_MFL(7u);
#endif
#if defined(MBEDTLS_SSL_ENCRYPT_THEN_MAC)
    known |= FLAG_ETM;
#endif
    return (flags & ~known) == 0;
}

/* Agreements that have no flag, since nobody should make them. */
static int is_outdated(const mbedtls_ssl_session *s)
{
#if !V3
    if (s->compression != 0)
        return 1;
#endif
#if defined(MBEDTLS_SSL_TRUNCATED_HMAC)
    if (s->trunc_hmac != 0)
        return 1;
#endif
    (void)s;
    return 0;
}

/* The ciphersuite of a TLS 1.2 session, with flags: 2 bytes. Returns 0 when it does not fit. */
static int pack_suite(uint8_t *to, const mbedtls_ssl_session *s)
{
    uint32_t suite = (uint32_t)s->ciphersuite;
    if (suite > 0xffff || (suite >> 8 & FLAGS) != 0 || is_outdated(s))
        return 0;
    to[0] = (uint8_t)(suite >> 8 | flags_of(s));
    to[1] = (uint8_t)suite;
    return 1;
}

static int unpack_suite(mbedtls_ssl_session *s, const uint8_t *from)
{
    if (!are_known(from[0] & FLAGS))
        return 0;
    set_flags(s, from[0] & FLAGS);
    s->ciphersuite = (int)((from[0] & ~FLAGS) << 8 | from[1]);
    return 1;
}

#if TLS13_TICKETS
#define MODES                                                                                                    \
    (MBEDTLS_SSL_TLS1_3_TICKET_ALLOW_PSK_RESUMPTION | MBEDTLS_SSL_TLS1_3_TICKET_ALLOW_PSK_EPHEMERAL_RESUMPTION)

/* The ciphersuite of a TLS 1.3 session, 0x1301 to 0x1305, with key exchange modes: 2 bytes. No early data. */
static int pack_suite13(uint8_t *to, const mbedtls_ssl_session *s)
{
    uint32_t suite = (uint32_t)s->ciphersuite;
    if ((suite & ~0xfu) != 0x1300)
        return 0;
    to[0] = 0x13;
    to[1] = (uint8_t)((s->ticket_flags & MODES) << 4 | (suite & 0xf));
    return 1;
}

static int unpack_suite13(mbedtls_ssl_session *s, const uint8_t *from)
{
    if (from[0] != 0x13 || (from[1] >> 4 & ~MODES) != 0)
        return 0;
    s->ticket_flags = from[1] >> 4;
    s->ciphersuite = 0x1300 | (from[1] & 0xf);
    return 1;
}

static int set_key(mbedtls_ssl_session *s, const uint8_t *key, size_t size)
{
    if ((size != 32 && size != 48) || size > sizeof(s->resumption_key))
        return 0;
    memcpy(s->resumption_key, key, size);
    s->resumption_key_len = (uint8_t)size;
    return 1;
}

#if defined(MBEDTLS_HAVE_TIME)
/* When a session was made, on Mbed TLS's clock. */
static mbedtls_ms_time_t ms_time_of(sesstab_t *t, sesstab_handle_t h)
{
    return mbedtls_ms_time() - ((mbedtls_ms_time_t)sesstab_now(t) - sesstab_session_time(t, h)) * 1000;
}
#endif
#endif

/* ---- Server: what may be stored and resumed ---- */

#if defined(MBEDTLS_SSL_SRV_C)

#if SERVER_TLS13
static int after_client_hello(mbedtls_ssl_context *ssl);
#endif

/* Whether something in the config may choose a connection's authmode by the name that the client asks for. */
static int chooses_by_name(const mbedtls_ssl_config *config)
{
#if defined(MBEDTLS_SSL_SERVER_NAME_INDICATION)
    if (config->f_sni != NULL)
        return 1;
#endif
#if SERVER_TLS13
    return config->f_cert_cb != NULL && config->f_cert_cb != after_client_hello;
#elif V3
    return config->f_cert_cb != NULL;
#else
    return 0;
#endif
}

/* Whether sessions may be stored and resumed: to be asked again after each callback. */
static int is_serving(const sesstab_mbedtls_t *a)
{
    return a->config != NULL && a->config->authmode == MBEDTLS_SSL_VERIFY_NONE
           && ((a->flags & SESSTAB_MBEDTLS_NAMES_ARE_ONE) != 0 || !chooses_by_name(a->config));
}

/* Whether the handshake that made the session asked for no certificate, whatever the config says by now. A TLS 1.3
 * handshake that resumes leaves the verify result at 0. */
static int was_anonymous(const mbedtls_ssl_session *s)
{
    return !has_peer_certificate(s)
           && (s->verify_result == MBEDTLS_X509_BADCERT_SKIP_VERIFY
               || (version_of(s) == VERSION_TLS13 && s->verify_result == 0));
}

/* Returns the size of the packed session; 0 when it cannot be packed. */
static size_t pack(uint8_t state[SESSTAB_MBEDTLS_TLS13_SIZE], const mbedtls_ssl_session *s)
{
    if (version_of(s) == VERSION_TLS12) {
        if (!pack_suite(state, s))
            return 0;
        memcpy(state + 2, s->master, MASTER_SIZE);
        return SESSTAB_MBEDTLS_TLS12_SIZE;
    }
#if SERVER_TLS13
    if (version_of(s) == VERSION_TLS13 && pack_suite13(state, s)) {
        put32(state + 2, s->ticket_age_add);
        memcpy(state + 6, s->resumption_key, s->resumption_key_len);
        return 6u + s->resumption_key_len;
    }
#endif
    return 0;
}

/* What sesstab_update_cache returns, and 1 when the application keeps the session instead of the table. */
static int offer_to_cache(sesstab_t *t, sesstab_handle_t h)
{
    uint32_t mode = sesstab_get_mode(t);
    int elsewhere = (mode & SESSTAB_CACHE_SERVER) != 0 && (mode & SESSTAB_CACHE_NO_INTERNAL_STORE) != 0
                    && sesstab_settings(t)->on_new != NULL;
    return sesstab_update_cache(t, h, SESSTAB_CACHE_SERVER) || (h != 0 && elsewhere);
}

static int store(const sesstab_mbedtls_t *a, const uint8_t *id, size_t id_len, const mbedtls_ssl_session *s,
    uint32_t timeout)
{
    sesstab_t *t = a->table;
    uint8_t state[SESSTAB_MBEDTLS_TLS13_SIZE];
    size_t size = is_serving(a) && was_anonymous(s) ? pack(state, s) : 0;
    if (size == 0)
        return 0;
    sesstab_handle_t h = sesstab_new_session(t, id, id_len, state, size, timeout, a->context);
    mbedtls_platform_zeroize(state, sizeof(state));
    int stored = a->config != NULL && offer_to_cache(t, h);
    if (a->config == NULL) { /* on_remove has detached, before the session was in the table */
        if (sesstab_has_session(t, id, id_len))
            sesstab_remove_session(t, h);
        stored = 0;
    }
    sesstab_free(t, h);
    return stored;
}

static int restore_tls12(mbedtls_ssl_session *s, const uint8_t *state, size_t size)
{
    if (size != SESSTAB_MBEDTLS_TLS12_SIZE || !unpack_suite(s, state))
        return 0;
    set_version(s, VERSION_TLS12, MBEDTLS_SSL_IS_SERVER);
    memcpy(s->master, state + 2, MASTER_SIZE);
    s->verify_result = MBEDTLS_X509_BADCERT_SKIP_VERIFY;
    return 1;
}

/* ---- Server: session ids of TLS 1.2 ---- */

/* A full handshake is done. In TLS 1.3 the client chooses the id, so nothing is stored under it. */
static int set_id(sesstab_mbedtls_t *a, const uint8_t *id, size_t id_len, const mbedtls_ssl_session *s)
{
    if (version_of(s) != VERSION_TLS12)
        return ERR_NOT_FOUND;
    return store(a, id, id_len, s, SESSTAB_DEFAULT_TIMEOUT) ? 0 : ERR_NOT_FOUND;
}

static int get_id(sesstab_mbedtls_t *a, const uint8_t *id, size_t id_len, mbedtls_ssl_session *s)
{
    sesstab_t *t = a->table;
    if (!is_serving(a))
        return ERR_NOT_FOUND;
    sesstab_handle_t h = sesstab_get_session(t, id, id_len, a->context);
    size_t size;
    const uint8_t *state = sesstab_session_data(t, h, &size);
    int found = state != NULL && is_serving(a) && restore_tls12(s, state, size);
    sesstab_free(t, h);
    return found ? 0 : ERR_NOT_FOUND;
}

#if V3

static int set_cache(void *p_cache, const unsigned char *id, size_t id_len, const mbedtls_ssl_session *session)
{
    return set_id(p_cache, id, id_len, session);
}

static int get_cache(void *p_cache, const unsigned char *id, size_t id_len, mbedtls_ssl_session *session)
{
    int ret = get_id(p_cache, id, id_len, session);
    if (ret == 0) {
        memcpy(session->id, id, id_len);
        session->id_len = id_len;
    }
    return ret;
}

#else

static int set_cache(void *p_cache, const mbedtls_ssl_session *session)
{
    return set_id(p_cache, session->id, session->id_len, session);
}

/* `session` has the id and nothing else. */
static int get_cache(void *p_cache, mbedtls_ssl_session *session)
{
    return get_id(p_cache, session->id, session->id_len, session);
}

#endif

/* ---- Server: TLS 1.3 tickets in use ---- */

#if SERVER_TLS13

static int remove_entry(sesstab_t *t, sesstab_mbedtls_ticket_t *entry)
{
    sesstab_handle_t h = entry->h;
    entry->h = 0;
    entry->session = NULL;
    return sesstab_remove_session(t, h);
}

static sesstab_mbedtls_ticket_t *entry_of(sesstab_mbedtls_t *a, const uint8_t *ticket)
{
    for (size_t i = 0; i < SESSTAB_MBEDTLS_IN_USE; i++) {
        size_t size;
        const uint8_t *id = sesstab_session_id(a->table, a->in_use[i].h, &size);
        if (id != NULL && size == TICKET_SIZE && memcmp(id, ticket, TICKET_SIZE) == 0)
            return &a->in_use[i];
    }
    return NULL;
}

/* The first entry is the oldest, and gone when there are too many. */
static void use(sesstab_mbedtls_t *a, sesstab_handle_t h)
{
    sesstab_mbedtls_ticket_t *last = &a->in_use[SESSTAB_MBEDTLS_IN_USE - 1];
    if (a->in_use[0].h != 0)
        remove_entry(a->table, a->in_use);
    memmove(a->in_use, a->in_use + 1, sizeof(a->in_use) - sizeof(*last));
    last->h = h;
    last->session = NULL;
}

/* A handshake has read a ClientHello, and asked for the tickets in it. */
static int after_client_hello(mbedtls_ssl_context *ssl)
{
    sesstab_mbedtls_t *a = sesstab_mbedtls_attachment(ssl->conf);
    for (size_t i = 0; a != NULL && i < SESSTAB_MBEDTLS_IN_USE; i++)
        if (a->in_use[i].h != 0 && a->in_use[i].session == NULL)
            a->in_use[i].session = ssl->session_negotiate;
    return 0;
}

/* A handshake has ended well. Where after_client_hello is not called, tickets belong to nobody, and all go. */
static void end_of_use(sesstab_mbedtls_t *a, const mbedtls_ssl_session *session)
{
    sesstab_t *t = a->table;
    for (size_t i = 0; i < SESSTAB_MBEDTLS_IN_USE; i++)
        if (a->in_use[i].h != 0 && (a->in_use[i].session == NULL || a->in_use[i].session == session))
            remove_entry(t, &a->in_use[i]);
}

static int is_expired(sesstab_t *t, sesstab_handle_t h)
{
    uint32_t now = sesstab_now(t), time = sesstab_session_time(t, h);
    return now == 0 || time > now || now - time > sesstab_session_timeout(t, h);
}

/* Mbed TLS does not look at the version of what a TLS 1.2 client's ticket gives. So that a TLS 1.3 ticket sent there
 * leads nowhere, its master secret is one that nobody knows. */
static int restore_tls13(const sesstab_mbedtls_t *a, mbedtls_ssl_session *s, const uint8_t *state, size_t size)
{
    if (size < 6 || !unpack_suite13(s, state) || !set_key(s, state + 6, size - 6)
        || a->config->f_rng(a->config->p_rng, s->master, MASTER_SIZE) != 0)
        return 0;
    set_version(s, VERSION_TLS13, MBEDTLS_SSL_IS_SERVER);
    s->ticket_age_add = get32(state + 2);
    return 1;
}

#endif

/* ---- Server: tickets ---- */

#if SESSTAB_MBEDTLS_HAS_TICKETS

/* Finds the session that a ticket names, with a reference. What a ticket says of its lifetime stays true in
 * SESSTAB_CACHE_UPDATE_TIME too. */
static sesstab_handle_t look_up(const sesstab_mbedtls_t *a, const uint8_t *ticket)
{
    sesstab_t *t = a->table;
    uint32_t update = sesstab_get_mode(t) & SESSTAB_CACHE_UPDATE_TIME;
    sesstab_set_mode(t, sesstab_get_mode(t) & ~update);
    sesstab_handle_t h = sesstab_get_session(t, ticket, TICKET_SIZE, a->context);
    sesstab_set_mode(t, sesstab_get_mode(t) | update);
    return h;
}

#if SERVER_TLS13
/* Fills in a TLS 1.3 session. Returns 0 when that is not one, or the context is no longer attached. */
static int restore_at(const sesstab_mbedtls_t *a, mbedtls_ssl_session *s, sesstab_t *t, sesstab_handle_t h)
{
    size_t size;
    const uint8_t *state = sesstab_session_data(t, h, &size);
    if (state == NULL || !is_serving(a) || !restore_tls13(a, s, state, size))
        return 0;
#if defined(MBEDTLS_HAVE_TIME)
    s->ticket_creation_time = ms_time_of(t, h);
#endif
    return is_serving(a);
}
#endif

static int restore(sesstab_mbedtls_t *a, mbedtls_ssl_session *s, sesstab_t *t, sesstab_handle_t h,
    const uint8_t *ticket)
{
    size_t size;
    const uint8_t *state = sesstab_session_data(t, h, &size);
    if (state != NULL && is_serving(a) && restore_tls12(s, state, size))
        return 1;
#if SERVER_TLS13
    if (restore_at(a, s, t, h)) {
        if (sesstab_has_session(t, ticket, TICKET_SIZE))
            use(a, h);
        else /* from on_get, which is not to give it again */
            sesstab_remove_session(t, h);
        return is_serving(a);
    }
#endif
    (void)ticket;
    return 0;
}

#if SERVER_TLS13
/* The same ticket again, after a HelloRetryRequest: for the last time. Counts nothing. */
static int restore_again(const sesstab_mbedtls_t *a, mbedtls_ssl_session *s, sesstab_mbedtls_ticket_t *entry)
{
    sesstab_t *t = a->table;
    sesstab_handle_t h = entry->h;
    int is_good = !is_expired(t, h) && sesstab_up_ref(t, h);
    int removed = remove_entry(t, entry);
    int restored = is_good && removed && restore_at(a, s, t, h);
    if (is_good)
        sesstab_free(t, h);
    return restored;
}
#endif

static int parse_ticket(void *p_ticket, mbedtls_ssl_session *session, unsigned char *ticket, size_t len)
{
    sesstab_mbedtls_t *a = p_ticket;
    sesstab_t *t = a->table;
    if (len != TICKET_SIZE || !is_serving(a))
        return MBEDTLS_ERR_SSL_INVALID_MAC;
#if SERVER_TLS13
    sesstab_mbedtls_ticket_t *entry = entry_of(a, ticket);
    if (entry != NULL)
        return restore_again(a, session, entry) ? 0 : MBEDTLS_ERR_SSL_INVALID_MAC;
#endif
    sesstab_handle_t h = look_up(a, ticket);
    int restored = restore(a, session, t, h, ticket);
    sesstab_free(t, h);
    return restored ? 0 : MBEDTLS_ERR_SSL_INVALID_MAC;
}

/* For a session that is not stored: no ticket in TLS 1.2. TLS 1.3 has no such thing: there it gets a ticket that names
 * nothing and whose lifetime is 0, which tells the client to drop it. A config that was detached keeps this callback,
 * since Mbed TLS calls what was there when a TLS 1.2 handshake began. */
static int write_no_ticket(void *p_config, const mbedtls_ssl_session *session, unsigned char *start,
    const unsigned char *end, size_t *len, uint32_t *lifetime)
{
    const mbedtls_ssl_config *config = p_config;
    *len = 0;
    *lifetime = 0;
    if (start > end || (size_t)(end - start) < TICKET_SIZE)
        return MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL;
    int ret = config->f_rng(config->p_rng, start, TICKET_SIZE);
    if (ret == 0 && version_of(session) == VERSION_TLS13)
        *len = TICKET_SIZE;
    return ret;
}

static int write_ticket(void *p_ticket, const mbedtls_ssl_session *session, unsigned char *start,
    const unsigned char *end, size_t *len, uint32_t *lifetime)
{
    sesstab_mbedtls_t *a = p_ticket;
    uint32_t timeout = sesstab_get_timeout(a->table);
    int ret = write_no_ticket(a->config, session, start, end, len, lifetime);
#if SERVER_TLS13
    if (version_of(session) == VERSION_TLS13)
        end_of_use(a, session);
#endif
    if (timeout > WEEK)
        timeout = WEEK;
    if (ret == 0 && store(a, start, TICKET_SIZE, session, timeout)) {
        *len = TICKET_SIZE;
        *lifetime = timeout;
    }
    return ret;
}

#endif

/* ---- Server: attaching ---- */

static int has_ticket_callbacks(const mbedtls_ssl_config *config)
{
#if SESSTAB_MBEDTLS_HAS_TICKETS
    return config->f_ticket_parse != NULL
           || (config->f_ticket_write != NULL && config->f_ticket_write != write_no_ticket);
#else
    (void)config;
    return 0;
#endif
}

static int has_our_tickets(const mbedtls_ssl_config *config, const sesstab_mbedtls_t *a)
{
#if SESSTAB_MBEDTLS_HAS_TICKETS
    return config->f_ticket_parse == parse_ticket && config->p_ticket == a;
#else
    (void)config;
    (void)a;
    return 0;
#endif
}

static int is_taken(const mbedtls_ssl_config *config, const sesstab_mbedtls_t *a, uint32_t flags)
{
    int has_cache = config->f_get_cache != NULL || config->f_set_cache != NULL;
    return (has_cache && sesstab_mbedtls_attachment(config) != a)
           || ((flags & SESSTAB_MBEDTLS_TICKETS) != 0 && has_ticket_callbacks(config)
               && !has_our_tickets(config, a));
}

static int may_negotiate_tls13(const mbedtls_ssl_config *config)
{
#if SESSTAB_MBEDTLS_HAS_TLS13
    return (int)config->max_tls_version >= VERSION_TLS13;
#else
    (void)config;
    return 0;
#endif
}

static int check(const sesstab_mbedtls_t *a, sesstab_t *table, const mbedtls_ssl_config *config, uint32_t flags)
{
    const sesstab_config_t *settings = sesstab_settings(table);
    int tickets = (flags & SESSTAB_MBEDTLS_TICKETS) != 0;
    size_t needed = tickets && may_negotiate_tls13(config) ? SESSTAB_MBEDTLS_TLS13_SIZE : SESSTAB_MBEDTLS_TLS12_SIZE;
    if (config->endpoint != MBEDTLS_SSL_IS_SERVER)
        return SESSTAB_MBEDTLS_NOT_A_SERVER;
    if (config->transport != MBEDTLS_SSL_TRANSPORT_STREAM)
        return SESSTAB_MBEDTLS_NOT_A_STREAM;
    if (config->authmode != MBEDTLS_SSL_VERIFY_NONE)
        return SESSTAB_MBEDTLS_VERIFIES;
    if (tickets && !SESSTAB_MBEDTLS_HAS_TICKETS)
        return SESSTAB_MBEDTLS_NO_TICKETS;
    if (settings->data_size < needed)
        return SESSTAB_MBEDTLS_DATA_SIZE;
    if (settings->spare == 0)
        return SESSTAB_MBEDTLS_NO_SPARE;
    if ((flags & SESSTAB_MBEDTLS_NAMES_ARE_ONE) == 0 && chooses_by_name(config))
        return SESSTAB_MBEDTLS_NAMES;
    if ((a->config != NULL && a->config != config) || is_taken(config, a, flags))
        return SESSTAB_MBEDTLS_TAKEN;
    return SESSTAB_MBEDTLS_OK;
}

static void install_tickets(sesstab_mbedtls_t *a, mbedtls_ssl_config *config)
{
#if SESSTAB_MBEDTLS_HAS_TICKETS
    mbedtls_ssl_conf_session_tickets_cb(config, write_ticket, parse_ticket, a);
#endif
#if SERVER_TLS13
    if (config->f_cert_cb == NULL)
        mbedtls_ssl_conf_cert_cb(config, after_client_hello);
#endif
    (void)a;
    (void)config;
}

static void uninstall_tickets(const sesstab_mbedtls_t *a, mbedtls_ssl_config *config)
{
#if SESSTAB_MBEDTLS_HAS_TICKETS
    if (has_our_tickets(config, a))
        mbedtls_ssl_conf_session_tickets_cb(config, write_no_ticket, NULL, config);
#endif
#if SERVER_TLS13
    if (config->f_cert_cb == after_client_hello)
        mbedtls_ssl_conf_cert_cb(config, NULL);
#endif
    (void)a;
    (void)config;
}

sesstab_mbedtls_t *sesstab_mbedtls_attachment(const mbedtls_ssl_config *config)
{
    return config->f_get_cache == get_cache ? config->p_cache : NULL;
}

int sesstab_mbedtls_attach(sesstab_mbedtls_t *a, sesstab_t *table, uint8_t context, mbedtls_ssl_config *config,
    uint32_t flags)
{
    int ret = check(a, table, config, flags);
    if (ret != SESSTAB_MBEDTLS_OK)
        return ret;
    if (a->table != table) /* else tickets are in use, which are good once */
        memset(a, 0, sizeof(*a));
    a->table = table;
    a->config = config;
    a->context = context;
    a->flags = (uint8_t)flags;
    mbedtls_ssl_conf_session_cache(config, a, get_cache, set_cache);
    uninstall_tickets(a, config);
    if ((flags & SESSTAB_MBEDTLS_TICKETS) != 0)
        install_tickets(a, config);
    return SESSTAB_MBEDTLS_OK;
}

/* Returns 0 when nothing may be removed: on_remove is running. */
static int remove_context(sesstab_t *t, uint8_t context)
{
    sesstab_handle_t next;
    for (sesstab_handle_t h = sesstab_next(t, 0); h != 0; h = next) {
        next = sesstab_next(t, h);
        if (sesstab_session_context(t, h) == context && !sesstab_remove_session(t, h))
            return 0;
    }
    return 1;
}

int sesstab_mbedtls_detach(sesstab_mbedtls_t *a)
{
    mbedtls_ssl_config *config = a->config;
    if (config == NULL || !remove_context(a->table, a->context))
        return 0;
    if (a->config == NULL) /* on_remove has detached, too */
        return 1;
    uninstall_tickets(a, config);
    if (sesstab_mbedtls_attachment(config) == a)
        mbedtls_ssl_conf_session_cache(config, NULL, NULL, NULL);
    memset(a, 0, sizeof(*a));
    return 1;
}

#endif

/* ---- Client: what a session is bound to ---- */

#if defined(MBEDTLS_SSL_CLI_C)

#define CLIENT_TLS12 0x82
#define CLIENT_TLS13 0x83
#define NAME_SIZE 16

/* Offsets in a client's data. */
enum { FORMAT, VERIFIED, NAME, SUITE = 18 };
enum { MASTER = 20, ID_LEN = 68, ID };                  /* TLS 1.2 */
enum { AGE_ADD = 20, LIFETIME = 24, KEY_LEN = 28, KEY }; /* TLS 1.3 */

/* Of the server's name; all 0 when there is none. Returns 0 when the library has no SHA-256. */
static int digest_name(uint8_t digest[NAME_SIZE], const mbedtls_ssl_context *ssl)
{
    memset(digest, 0, NAME_SIZE);
#if defined(MBEDTLS_X509_CRT_PARSE_C)
    uint8_t hash[MBEDTLS_MD_MAX_SIZE];
    const mbedtls_md_info_t *sha256 = mbedtls_md_info_from_type(MBEDTLS_MD_SHA256);
    if (ssl->hostname == NULL || ssl->hostname[0] == '\0')
        return 1;
    if (sha256 == NULL || mbedtls_md(sha256, (const unsigned char *)ssl->hostname, strlen(ssl->hostname), hash) != 0)
        return 0;
    memcpy(digest, hash, NAME_SIZE);
#else
    (void)ssl;
#endif
    return 1;
}

/* Whether the config speaks the version of the session: Mbed TLS would go by the session. */
static int is_version_configured(const mbedtls_ssl_config *config, int version)
{
#if V3
    return version >= (int)config->min_tls_version && version <= (int)config->max_tls_version;
#else
    return version == VERSION_TLS12 && config->min_minor_ver <= MBEDTLS_SSL_MINOR_VERSION_3
           && config->max_minor_ver >= MBEDTLS_SSL_MINOR_VERSION_3;
#endif
}

static int is_tls12(const mbedtls_ssl_context *ssl)
{
#if V3
    return version_of(ssl->session) == VERSION_TLS12;
#else
    return ssl->major_ver == MBEDTLS_SSL_MAJOR_VERSION_3 && ssl->minor_ver == MBEDTLS_SSL_MINOR_VERSION_3;
#endif
}

/* ---- Client: offering ---- */

#if defined(MBEDTLS_SSL_SESSION_TICKETS)
/* Mbed TLS copies what it is given. */
static void lend_ticket(mbedtls_ssl_session *s, const uint8_t *ticket, size_t len, uint32_t lifetime)
{
    union {
        const uint8_t *from;
        unsigned char *to;
    } cast = {ticket};
    s->ticket = cast.to;
    s->ticket_len = len;
    s->ticket_lifetime = lifetime;
}
#endif

static int unpack_tls12(mbedtls_ssl_session *s, const uint8_t *data, size_t size)
{
    if (size <= ID || data[ID_LEN] > SESSTAB_ID_MAX || !unpack_suite(s, data + SUITE))
        return 0;
    memcpy(s->master, data + MASTER, MASTER_SIZE);
    if (data[ID_LEN] != 0) {
        s->id_len = data[ID_LEN];
        if (size != ID + s->id_len)
            return 0;
        memcpy(s->id, data + ID, s->id_len);
        return 1;
    }
#if defined(MBEDTLS_SSL_SESSION_TICKETS)
    if (size > ID + 4) {
        lend_ticket(s, data + ID + 4, size - ID - 4, get32(data + ID));
        return 1;
    }
#endif
    return 0;
}

#if TLS13_TICKETS
static int unpack_tls13(mbedtls_ssl_session *s, const uint8_t *data, size_t size)
{
    size_t end;
    if (size < KEY || (end = KEY + (size_t)data[KEY_LEN]) >= size || !unpack_suite13(s, data + SUITE)
        || !set_key(s, data + KEY, data[KEY_LEN]))
        return 0;
    s->ticket_age_add = get32(data + AGE_ADD);
    lend_ticket(s, data + end, size - end, get32(data + LIFETIME));
    s->exported = 1; /* until there is a new ticket: nothing to be saved */
    return 1;
}

/* Mbed TLS compares it with the connection's, which has been done here already. */
static void lend_name(mbedtls_ssl_session *s, const mbedtls_ssl_context *ssl)
{
#if defined(MBEDTLS_SSL_SERVER_NAME_INDICATION) && defined(MBEDTLS_X509_CRT_PARSE_C)
    s->hostname = ssl->hostname != NULL && ssl->hostname[0] != '\0' ? ssl->hostname : NULL;
#else
    (void)s;
    (void)ssl;
#endif
}
#endif

/* Returns the version of the session, or 0. */
static int unpack(mbedtls_ssl_session *s, const sesstab_mbedtls_client_t *c, const uint8_t *data, size_t size)
{
    if (data[FORMAT] == CLIENT_TLS12)
        return unpack_tls12(s, data, size) ? VERSION_TLS12 : 0;
#if TLS13_TICKETS
    if (data[FORMAT] == CLIENT_TLS13 && unpack_tls13(s, data, size)) {
        lend_name(s, c->ssl);
#if defined(MBEDTLS_HAVE_TIME)
        s->ticket_reception_time = ms_time_of(c->table, c->offered);
#endif
        return VERSION_TLS13;
    }
#endif
    (void)c;
    return 0;
}

/* The data of the session that was offered, when it is one of a client; else NULL. */
static const uint8_t *offered_data(const sesstab_mbedtls_client_t *c, size_t *size)
{
    const uint8_t *data = sesstab_session_data(c->table, c->offered, size);
    return data != NULL && *size > SUITE + 1 ? data : NULL;
}

/* Whether a callback has closed the connection: mbedtls_ssl_free leaves zeros. */
static int is_closed(const mbedtls_ssl_context *ssl)
{
    return ssl->conf == NULL;
}

/* Gives Mbed TLS a session to copy. What a copy leaves that has failed for lack of memory would spoil the handshake. */
static int give_session(mbedtls_ssl_context *ssl, const mbedtls_ssl_session *s)
{
    int ret = mbedtls_ssl_set_session(ssl, s);
    if (ret == MBEDTLS_ERR_SSL_ALLOC_FAILED)
        mbedtls_ssl_session_free(ssl->session_negotiate);
    return ret == 0;
}

static int set_session(const sesstab_mbedtls_client_t *c)
{
    size_t size;
    uint8_t name[NAME_SIZE];
    const uint8_t *data = offered_data(c, &size);
    if (data == NULL || is_closed(c->ssl)
        || (!data[VERIFIED] && c->authmode != MBEDTLS_SSL_VERIFY_NONE) || !digest_name(name, c->ssl)
        || memcmp(name, data + NAME, NAME_SIZE) != 0)
        return 0;
    mbedtls_ssl_session session;
    mbedtls_ssl_session_init(&session);
    int version = unpack(&session, c, data, size);
    int set = 0;
    if (version != 0 && !is_closed(c->ssl) && is_version_configured(c->ssl->conf, version)) {
        set_version(&session, version, MBEDTLS_SSL_IS_CLIENT);
        session.verify_result = data[VERIFIED] ? 0 : MBEDTLS_X509_BADCERT_SKIP_VERIFY;
        set = give_session(c->ssl, &session);
    }
    mbedtls_platform_zeroize(&session, sizeof(session)); /* not freed: the ticket and the name are lent */
    if (set && version == VERSION_TLS13)
        sesstab_remove_session(c->table, c->offered);
    return set;
}

int sesstab_mbedtls_offer(sesstab_mbedtls_client_t *c, mbedtls_ssl_context *ssl, sesstab_t *table, const uint8_t *id,
    size_t id_len, uint8_t context)
{
    memset(c, 0, sizeof(*c));
    c->table = table;
    c->ssl = ssl;
    c->context = context;
    c->authmode = ssl->conf->authmode;
    if (id_len == 0 || id_len > SESSTAB_ID_MAX)
        return 0;
    memcpy(c->id, id, id_len);
    c->id_len = (uint8_t)id_len;
    c->offered = sesstab_get_session(table, c->id, id_len, context); /* a callback may change the caller's */
    if (c->offered != 0 && !set_session(c)) {
        sesstab_free(table, c->offered);
        c->offered = 0;
    }
    return c->offered != 0;
}

/* ---- Client: afterwards ---- */

/* A resumed handshake keeps the master secret in TLS 1.2. In TLS 1.3 it is one without a certificate, and Mbed TLS
 * was given none with the session. */
int sesstab_mbedtls_resumed(const sesstab_mbedtls_client_t *c)
{
    size_t size;
    const uint8_t *data = offered_data(c, &size);
    if (data == NULL || c->ssl->session == NULL)
        return 0;
    if (is_tls12(c->ssl))
        return data[FORMAT] == CLIENT_TLS12 && memcmp(data + MASTER, c->ssl->session->master, MASTER_SIZE) == 0;
    return data[FORMAT] == CLIENT_TLS13 && !has_peer_certificate(c->ssl->session);
}

static int verifies(const sesstab_mbedtls_client_t *c)
{
    return c->authmode != MBEDTLS_SSL_VERIFY_NONE && c->ssl->conf->authmode != MBEDTLS_SSL_VERIFY_NONE;
}

/* A server that was found wanting, where that is allowed, is to be found wanting again: Mbed TLS's clients forget the
 * result when they resume in TLS 1.3. */
static int is_worth_saving(const sesstab_mbedtls_client_t *c)
{
    return !verifies(c) || c->ssl->session->verify_result == 0;
}

#if defined(MBEDTLS_SSL_SESSION_TICKETS)
/* Whether the session's ticket is the one that was offered: Mbed TLS leaves it there when the server gives no other. */
static int is_offered_ticket(const sesstab_mbedtls_client_t *c)
{
    const mbedtls_ssl_session *s = c->ssl->session;
    size_t size;
    const uint8_t *data = offered_data(c, &size);
    return data != NULL && size >= s->ticket_len
           && memcmp(data + size - s->ticket_len, s->ticket, s->ticket_len) == 0;
}
#endif

/* A ticket, if it is new, else the id, if that is new. Returns the size; 0 when there is nothing to store. */
static size_t pack_tls12(const sesstab_mbedtls_client_t *c, uint8_t *data)
{
    const mbedtls_ssl_session *s = c->ssl->session;
    if (!pack_suite(data + SUITE, s))
        return 0;
    memcpy(data + MASTER, s->master, MASTER_SIZE);
#if defined(MBEDTLS_SSL_SESSION_TICKETS)
    if (s->ticket != NULL && s->ticket_len <= SESSTAB_MBEDTLS_TICKET_MAX && !is_offered_ticket(c)) {
        data[ID_LEN] = 0;
        put32(data + ID, s->ticket_lifetime);
        memcpy(data + ID + 4, s->ticket, s->ticket_len);
        return ID + 4 + s->ticket_len;
    }
#endif
    if (s->id_len == 0 || s->id_len > SESSTAB_ID_MAX || sesstab_mbedtls_resumed(c))
        return 0;
    data[ID_LEN] = (uint8_t)s->id_len;
    memcpy(data + ID, s->id, s->id_len);
    return ID + s->id_len;
}

#if TLS13_TICKETS
static size_t pack_tls13(const sesstab_mbedtls_client_t *c, uint8_t *data)
{
    const mbedtls_ssl_session *s = c->ssl->session;
    size_t size = KEY + (size_t)s->resumption_key_len;
    if (s->exported != 0 || s->ticket == NULL || s->ticket_len > SESSTAB_MBEDTLS_TICKET_MAX
        || !pack_suite13(data + SUITE, s))
        return 0;
    put32(data + AGE_ADD, s->ticket_age_add);
    put32(data + LIFETIME, s->ticket_lifetime);
    data[KEY_LEN] = s->resumption_key_len;
    memcpy(data + KEY, s->resumption_key, s->resumption_key_len);
    memcpy(data + size, s->ticket, s->ticket_len);
    return size + s->ticket_len;
}
#endif

static size_t pack_client(const sesstab_mbedtls_client_t *c, uint8_t *data)
{
    if (!is_worth_saving(c) || !digest_name(data + NAME, c->ssl))
        return 0;
    data[VERIFIED] = (uint8_t)verifies(c);
    if (is_tls12(c->ssl)) {
        data[FORMAT] = CLIENT_TLS12;
        return pack_tls12(c, data);
    }
#if TLS13_TICKETS
    if (version_of(c->ssl->session) == VERSION_TLS13) {
        data[FORMAT] = CLIENT_TLS13;
        return pack_tls13(c, data);
    }
#endif
    return 0;
}

/* How long what the server gave is good. */
static uint32_t timeout_of(const sesstab_mbedtls_client_t *c)
{
    uint32_t timeout = sesstab_get_timeout(c->table);
#if defined(MBEDTLS_SSL_SESSION_TICKETS)
    uint32_t lifetime = c->ssl->session->ticket_lifetime;
    if (c->ssl->session->ticket != NULL && lifetime != 0 && lifetime < timeout)
        timeout = lifetime;
#endif
    return timeout;
}

/* A session is no younger for being used. */
static void keep_time(const sesstab_mbedtls_client_t *c, sesstab_handle_t h)
{
    sesstab_set_session_time(c->table, h, sesstab_session_time(c->table, c->offered));
    sesstab_set_session_timeout(c->table, h, sesstab_session_timeout(c->table, c->offered));
}

static void mark_saved(sesstab_mbedtls_client_t *c)
{
    c->saved = 1;
#if TLS13_TICKETS
    c->ssl->session->exported = 1;
#endif
}

static sesstab_handle_t new_session(const sesstab_mbedtls_client_t *c)
{
    uint8_t data[SESSTAB_MBEDTLS_CLIENT_SIZE(SESSTAB_MBEDTLS_TICKET_MAX)];
    size_t size = pack_client(c, data);
    sesstab_handle_t h = size == 0 ? 0 : sesstab_new_session(c->table, c->id, c->id_len, data, size, timeout_of(c),
        c->context);
    mbedtls_platform_zeroize(data, sizeof(data));
    return h;
}

/* Whether a TLS 1.3 ticket has ended the last read. Mbed TLS ends two for each: before it looks at the ticket, and when
 * it has. */
static int ends_reads(const sesstab_mbedtls_client_t *c)
{
#if TLS13_TICKETS
    const mbedtls_ssl_session *s = c->ssl->session;
    return c->ssl->state == MBEDTLS_SSL_TLS1_3_NEW_SESSION_TICKET
           || (version_of(s) == VERSION_TLS13 && s->exported == 0 && s->ticket != NULL);
#else
    (void)c;
    return 0;
#endif
}

int sesstab_mbedtls_save(sesstab_mbedtls_client_t *c)
{
    if (c->id_len == 0 || c->ssl->session == NULL || (is_tls12(c->ssl) && c->saved))
        return 0;
    sesstab_t *t = c->table;
    int otherwise = ends_reads(c) ? SESSTAB_MBEDTLS_READ_ON : 0;
    sesstab_handle_t h = new_session(c);
    int stored = 0;
    if (c->table != NULL && c->ssl->session != NULL) { /* else the clock has closed it */
        if (is_tls12(c->ssl) && sesstab_mbedtls_resumed(c))
            keep_time(c, h);
        mark_saved(c);
        stored = h != 0 && sesstab_update_cache(t, h, SESSTAB_CACHE_CLIENT);
    }
    sesstab_free(t, h);
    return stored ? stored : otherwise;
}

int sesstab_mbedtls_done(sesstab_mbedtls_client_t *c)
{
    int held = c->table != NULL;
    if (held)
        sesstab_free(c->table, c->offered);
    memset(c, 0, sizeof(*c));
    return held;
}

#endif
