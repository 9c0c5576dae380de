/*
 * Anything into the callbacks that the glue gives to Mbed TLS 3.6: tickets and ids of clients, sessions of handshakes,
 * tables with contents of any kind (as from a snapshot that somebody else has written), in any order.
 *
 * What must hold: a session is given only to who asks for an id that the table has, under the config's own context, in
 * time, where clients need not authenticate, and holds the secret that was stored; a TLS 1.3 ticket is good once, or
 * twice within one handshake; no reference is left behind.
 */
#define MBEDTLS_ALLOW_PRIVATE_ACCESS
#include "input.h"

#include <string.h>

#include "mbedtls/ssl.h"
#include "sesstab_mbedtls.h"

#define CAPACITY 5
#define SPARE 2
#define CONTEXT 1
#define TICKETS 16
#define STEPS 200
#define DATA_SIZE SESSTAB_MBEDTLS_CLIENT_SIZE(SESSTAB_MBEDTLS_TICKET_MAX)

typedef struct {
    uint8_t bytes[32];
    unsigned uses; /* of a TLS 1.3 ticket, since its session came into the table */
} ticket_t;

static input_t in;
static uint32_t now, drawn;
static sesstab_t *table;
static mbedtls_ssl_config server, client;
static mbedtls_ssl_context connections[2]; /* on the server's side; all that matters is their session */
static mbedtls_ssl_session negotiated[2];
static sesstab_mbedtls_t attachment;
static ticket_t tickets[TICKETS];
static unsigned issued;

/* What a table has, or an external store gives, before it is asked for. */
typedef struct {
    int may;      /* be resumed, by what it is and how the config is */
    int is_found; /* in this mode */
    size_t size;
    uint8_t data[DATA_SIZE];
} stored_t;

static stored_t given; /* by on_get */

static uint32_t seconds(void *arg)
{
    (void)arg;
    return now;
}

/* Never the same twice, and no stored secret looks like it. */
static int random_bytes(void *arg, unsigned char *to, size_t n)
{
    (void)arg;
    if (take(&in) == 1)
        return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
    drawn++;
    memset(to, 0xaa, n);
    memcpy(to, &drawn, n < 4 ? n : 4);
    return 0;
}

static int sni(void *arg, mbedtls_ssl_context *ssl, const unsigned char *name, size_t n)
{
    (void)arg, (void)ssl, (void)name, (void)n;
    return 0;
}

static ticket_t *ticket_of(const uint8_t *id)
{
    for (unsigned i = 0; i < TICKETS && i < issued; i++)
        if (memcmp(tickets[i].bytes, id, 32) == 0)
            return &tickets[i];
    return NULL;
}

/* A session came into the table, under an id that may serve as a ticket. */
static void note_ticket(const uint8_t *id, size_t id_len)
{
    ticket_t *ticket = id_len == 32 ? ticket_of(id) : NULL;
    if (id_len == 32 && ticket == NULL) {
        ticket = &tickets[issued++ % TICKETS];
        memcpy(ticket->bytes, id, 32);
    }
    if (ticket != NULL)
        ticket->uses = 0;
}

/* ---- Sessions ---- */

static void take_bytes(uint8_t *to, size_t n)
{
    uint8_t fill = take(&in);
    memset(to, fill, n);
    if (n > 0 && fill > 200)
        to[take(&in) % n] = take(&in);
}

/* As a handshake leaves it, more or less. */
static void take_session(mbedtls_ssl_session *s)
{
    static const uint16_t suites[] = {0xc02b, 0xc023, 0xcca9, 0x009c, 0x1301, 0x1302, 0x1303, 0xffff};
    uint8_t kind = take(&in), which = take(&in);
    mbedtls_ssl_session_init(s);
    s->tls_version = kind & 1 ? MBEDTLS_SSL_VERSION_TLS1_3 : MBEDTLS_SSL_VERSION_TLS1_2;
    if (kind > 250)
        s->tls_version = (mbedtls_ssl_protocol_version)(0x0300 | take(&in));
    s->ciphersuite = which < 224 ? suites[kind & 1 ? 4 + which % 3 : which % 4] : (int)take_word(&in);
    s->verify_result = kind & 2 && kind & 4 ? take_word(&in) : MBEDTLS_X509_BADCERT_SKIP_VERIFY;
    s->mfl_code = kind & 8 ? take(&in) % 5 : 0;
    s->encrypt_then_mac = kind >> 4 & 1;
    take_bytes(s->master, sizeof(s->master));
    s->resumption_key_len = kind & 32 ? 48 : 32;
    take_bytes(s->resumption_key, s->resumption_key_len);
    s->ticket_age_add = take(&in);
    s->ticket_flags = kind & 64 ? take(&in) : MBEDTLS_SSL_TLS1_3_TICKET_ALLOW_PSK_EPHEMERAL_RESUMPTION;
}

static size_t take_id(uint8_t id[SESSTAB_ID_MAX])
{
    uint8_t kind = take(&in);
    if (kind < 128 && issued > 0) {
        memcpy(id, tickets[kind % (issued < TICKETS ? issued : TICKETS)].bytes, 32);
        return 32;
    }
    memset(id, kind & 7, SESSTAB_ID_MAX);
    return kind & 8 ? 1 + kind % 32u : 32;
}

/* A session that nobody's handshake made. */
static sesstab_handle_t make_session(const uint8_t *id, size_t id_len)
{
    uint8_t data[DATA_SIZE] = {0};
    size_t size = 0;
    uint8_t kind = take(&in);
    static const uint8_t first[] = {0xc0, 0x13, 0x82, 0x83, 0xe0, 0x00, 0xf3, 0xff};
    data[0] = first[kind % 8];
    uint8_t length = take(&in);
    static const uint16_t sizes[] = {50, 54, 38, 0, 1, 5, 6, 18, 20, 28, 29, 68, 69, 73, 100, DATA_SIZE};
    size = length < 128 ? sizes[length % 16] : length;
    data[1] = kind & 8 ? take(&in) & 3 : 1;
    for (size_t at = 2; at < 30 && kind & 16; at++)
        data[at] = take(&in);
    if (kind & 32 && size > 70)
        data[28] = data[68] = take(&in);
    if (kind & 64)
        data[28] = 32;
    uint8_t context = kind & 128 ? take(&in) % 3 : CONTEXT;
    sesstab_handle_t h = sesstab_new_session(table, id, id_len, data, size, take_number(&in), context);
    given.may = h != 0 && context == CONTEXT && now != 0;
    given.is_found = 1;
    given.size = size;
    memcpy(given.data, data, DATA_SIZE);
    return h;
}

/* In the table, as from a snapshot. */
static void plant(void)
{
    uint8_t id[SESSTAB_ID_MAX];
    size_t id_len = take_id(id);
    sesstab_handle_t h = make_session(id, id_len);
    if (sesstab_add_session(table, h))
        note_ticket(id, id_len);
    sesstab_free(table, h);
}

/* From an external store, which has whatever it is asked for. */
static sesstab_handle_t on_get(void *arg, const uint8_t *id, size_t id_len)
{
    (void)arg;
    note_ticket(id, id_len);
    return make_session(id, id_len);
}

/* ---- Asking ---- */

/* The session in the table with this id, whatever its context, or 0. */
static sesstab_handle_t find(const uint8_t *id, size_t id_len)
{
    for (sesstab_handle_t h = sesstab_next(table, 0); h != 0; h = sesstab_next(table, h)) {
        size_t n;
        const uint8_t *other = sesstab_session_id(table, h, &n);
        if (n == id_len && memcmp(other, id, n) == 0)
            return h;
    }
    return 0;
}

static int may_clients_resume(void)
{
    return server.authmode == MBEDTLS_SSL_VERIFY_NONE
           && (server.f_sni == NULL || attachment.flags & SESSTAB_MBEDTLS_NAMES_ARE_ONE);
}

static stored_t look(const uint8_t *id, size_t id_len)
{
    stored_t stored = {0};
    given = stored;
    sesstab_handle_t h = find(id, id_len);
    const uint8_t *data = sesstab_session_data(table, h, &stored.size);
    uint32_t time = sesstab_session_time(table, h);
    if (data != NULL)
        memcpy(stored.data, data, stored.size);
    stored.may = data != NULL && sesstab_session_context(table, h) == CONTEXT && now != 0 && time <= now
                 && now - time <= sesstab_session_timeout(table, h) && may_clients_resume();
    stored.is_found = !(sesstab_get_mode(table) & SESSTAB_CACHE_NO_INTERNAL_LOOKUP);
    return stored;
}

static void check_tls12(const stored_t *stored, const mbedtls_ssl_session *s)
{
    MUST(stored->may && stored->is_found && stored->size == 50 && memcmp(s->master, stored->data + 2, 48) == 0);
    MUST(s->tls_version == MBEDTLS_SSL_VERSION_TLS1_2 && s->verify_result == MBEDTLS_X509_BADCERT_SKIP_VERIFY);
    MUST((s->ciphersuite & 0x3300) == 0 && s->ciphersuite == ((stored->data[0] & ~0x33) << 8 | stored->data[1]));
}

static void ask_for_id(void)
{
    uint8_t id[SESSTAB_ID_MAX];
    size_t id_len = take_id(id);
    stored_t stored = look(id, id_len);
    mbedtls_ssl_session s;
    mbedtls_ssl_session_init(&s);
    if (server.f_get_cache(server.p_cache, id, id_len, &s) == 0) {
        check_tls12(given.is_found ? &given : &stored, &s);
        MUST(may_clients_resume());
        MUST(s.id_len == id_len && memcmp(s.id, id, id_len) == 0);
    } else {
        MUST(!stored.may || !stored.is_found || stored.size != 50);
    }
    mbedtls_ssl_session_free(&s);
}

static void ask_for_ticket(void)
{
    uint8_t bytes[64];
    uint8_t kind = take(&in);
    size_t len = kind < 224 ? 32 : kind % 65u;
    memset(bytes, 0, sizeof(bytes));
    take_id(bytes);
    stored_t stored = look(bytes, 32);
    uint8_t *exact = malloc(len ? len : 1);
    MUST(exact != NULL);
    memcpy(exact, bytes, len < 64 ? len : 64);
    mbedtls_ssl_session s;
    mbedtls_ssl_session_init(&s);
    int ret = server.f_ticket_parse(server.p_ticket, &s, exact, len);
    if (given.is_found)
        stored = given;
    ticket_t *ticket = ticket_of(bytes);
    if (ret == 0) {
        MUST(len == 32 && may_clients_resume());
        if (s.tls_version == MBEDTLS_SSL_VERSION_TLS1_2) {
            check_tls12(&stored, &s);
        } else {
            MUST(s.tls_version == MBEDTLS_SSL_VERSION_TLS1_3 && (stored.size == 38 || stored.size == 54));
            MUST(s.resumption_key_len == stored.size - 6
                 && memcmp(s.resumption_key, stored.data + 6, s.resumption_key_len) == 0);
            MUST(s.master[4] == 0xaa && s.master[47] == 0xaa); /* random, not the stored key */
            /* The second time, it is not looked up. */
            MUST(stored.may && (stored.is_found || ticket == NULL || ticket->uses == 1));
            MUST(ticket == NULL || ++ticket->uses <= 2);
        }
    }
    free(exact);
    mbedtls_ssl_session_free(&s);
}

/* ---- Telling ---- */

static void tell_id(void)
{
    uint8_t id[SESSTAB_ID_MAX];
    size_t id_len = take_id(id);
    mbedtls_ssl_session s;
    take_session(&s);
    int ret = server.f_set_cache(server.p_cache, id, id_len, &s);
    MUST(ret != 0 || (s.tls_version == MBEDTLS_SSL_VERSION_TLS1_2 && find(id, id_len) != 0));
    MUST(ret != 0 || server.authmode == MBEDTLS_SSL_VERIFY_NONE);
    MUST(ret != 0 || s.verify_result == MBEDTLS_X509_BADCERT_SKIP_VERIFY);
}

static void tell_ticket(void)
{
    uint8_t room = take(&in), *buffer = malloc(64);
    unsigned which = take(&in) % 2;
    size_t size = room < 200 ? 64 : room % 65u, len = 99;
    uint32_t lifetime = 99;
    MUST(buffer != NULL);
    mbedtls_ssl_session *s = &negotiated[which];
    take_session(s);
    uint8_t *start = buffer + 64 - size;
    int ret = server.f_ticket_write(server.p_ticket, s, start, buffer + 64, &len, &lifetime);
    MUST(ret != 0 || len == 0 || len == 32);
    MUST(lifetime <= 604800 && lifetime <= sesstab_get_timeout(table) && (ret == 0 || lifetime == 0));
    if (ret == 0 && lifetime != 0) {
        MUST(server.authmode == MBEDTLS_SSL_VERIFY_NONE && len == 32);
        note_ticket(start, 32);
    }
    free(buffer);
}

/* ---- A client ---- */

static void connect_client(void)
{
    mbedtls_ssl_context ssl;
    sesstab_mbedtls_client_t c;
    uint8_t id[SESSTAB_ID_MAX + 1] = {0}, kind = take(&in);
    size_t id_len = kind < 240 ? take_id(id) : kind < 248 ? 0 : 33;
    client.authmode = kind & 1;
    mbedtls_ssl_init(&ssl);
    MUST(mbedtls_ssl_setup(&ssl, &client) == 0);
    if (kind & 2)
        MUST(mbedtls_ssl_set_hostname(&ssl, kind & 4 ? "a" : "example.org") == 0);
    stored_t stored = look(id, id_len);
    int offered = sesstab_mbedtls_offer(&c, &ssl, table, id, id_len, CONTEXT);
    if (given.is_found)
        stored = given;
    MUST(!offered || (id_len >= 1 && id_len <= 32 && (stored.data[0] == 0x82 || stored.data[0] == 0x83)));
    MUST(!offered || stored.data[1] != 0 || client.authmode == MBEDTLS_SSL_VERIFY_NONE);
    for (unsigned i = 2; i < 18 && offered && !(kind & 2); i++)
        MUST(stored.data[i] == 0);
    MUST(!sesstab_mbedtls_resumed(&c));
    unsigned changes = take(&in);
    if (kind & 8) {
        ssl.session = calloc(1, sizeof(*ssl.session));
        MUST(ssl.session != NULL);
        take_session(ssl.session);
        ssl.session->id_len = changes & 1 ? 32 : take(&in) % 34;
        if (changes & 2) {
            uint32_t number = take_number(&in);
            ssl.session->ticket_len = number < 200 ? number : number % 600;
            ssl.session->ticket = calloc(1, ssl.session->ticket_len + 1);
            MUST(ssl.session->ticket != NULL);
            take_bytes(ssl.session->ticket, ssl.session->ticket_len);
            ssl.session->ticket_lifetime = take_number(&in);
        }
        if (changes & 4)
            client.authmode = MBEDTLS_SSL_VERIFY_REQUIRED;
        sesstab_mbedtls_resumed(&c);
        for (unsigned n = changes >> 6; n > 0; n--)
            if (sesstab_mbedtls_save(&c) == 1) {
                MUST(sesstab_has_session(table, id, id_len));
                note_ticket(id, id_len);
            }
    }
    MUST(sesstab_mbedtls_done(&c) == 1 && sesstab_mbedtls_done(&c) == 0);
    mbedtls_ssl_free(&ssl);
}

/* ---- All of it ---- */

static void change(void)
{
    static const uint16_t modes[] = {0x2, 0x3, 0x0, 0x1, 0x402, 0x202, 0x102, 0x403};
    uint8_t what = take(&in);
    if (what % 8 == 0)
        server.authmode = take(&in) % 3;
    else if (what % 8 == 1)
        mbedtls_ssl_conf_sni(&server, take(&in) & 1 ? sni : NULL, NULL);
    else if (what % 8 == 2)
        sesstab_set_mode(table, modes[take(&in) % 8]);
    else if (what % 8 == 3)
        sesstab_set_timeout(table, take_number(&in));
    else if (what % 8 == 4)
        now = take_number(&in);
    else if (what % 16 == 5)
        sesstab_settings(table)->on_get = take(&in) & 1 ? on_get : NULL;
    else
        now += take(&in);
}

static void attach(uint8_t flags)
{
    server.authmode = MBEDTLS_SSL_VERIFY_NONE;
    mbedtls_ssl_conf_sni(&server, NULL, NULL);
    MUST(sesstab_mbedtls_attach(&attachment, table, CONTEXT, &server, SESSTAB_MBEDTLS_TICKETS | (flags & 2u)) == 0);
}

static void step(void)
{
    switch (take(&in) % 10) {
    case 0: case 1:
        ask_for_ticket();
        break;
    case 2:
        ask_for_id();
        break;
    case 3: case 4:
        tell_ticket();
        break;
    case 5:
        tell_id();
        break;
    case 6:
        plant();
        break;
    case 7:
        MUST(server.f_cert_cb(&connections[take(&in) % 2]) == 0);
        break;
    case 8:
        change();
        break;
    default:
        if (take(&in) > 30) {
            connect_client();
        } else {
            MUST(sesstab_mbedtls_detach(&attachment) == 1);
            for (sesstab_handle_t h = sesstab_next(table, 0); h != 0; h = sesstab_next(table, h))
                MUST(sesstab_session_context(table, h) != CONTEXT);
            attach(take(&in));
        }
    }
    /* Only the table refers to its sessions. */
    for (sesstab_handle_t h = sesstab_next(table, 0); h != 0; h = sesstab_next(table, h))
        MUST(sesstab_session_refs(table, h) == 1);
}

static void set_up(void)
{
    if (server.f_rng != NULL)
        return;
    mbedtls_ssl_config_init(&server);
    mbedtls_ssl_config_init(&client);
    MUST(mbedtls_ssl_config_defaults(&server, MBEDTLS_SSL_IS_SERVER, MBEDTLS_SSL_TRANSPORT_STREAM, 0) == 0);
    MUST(mbedtls_ssl_config_defaults(&client, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM, 0) == 0);
    mbedtls_ssl_conf_rng(&server, random_bytes, NULL);
    mbedtls_ssl_conf_rng(&client, random_bytes, NULL);
    for (unsigned i = 0; i < 2; i++) {
        connections[i].conf = &server;
        connections[i].session_negotiate = &negotiated[i];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    set_up();
    in = (input_t){bytes, size, 0};
    now = 1000;
    drawn = issued = 0;
    memset(tickets, 0, sizeof(tickets));
    sesstab_config_t config = {.capacity = CAPACITY, .spare = SPARE, .data_size = DATA_SIZE, .timeout = 300,
        .mode = SESSTAB_CACHE_BOTH, .clock = seconds, .seed = {1, 2}};
    size_t memory_size = sesstab_size(CAPACITY, SPARE, DATA_SIZE);
    void *memory = malloc(memory_size);
    MUST(memory != NULL);
    table = sesstab_init(memory, memory_size, &config);
    MUST(table != NULL);
    attach(take(&in));
    for (unsigned n = 0; n < STEPS && !is_over(&in); n++)
        step();
    MUST(sesstab_mbedtls_detach(&attachment) == 1);
    /* All slots come back. */
    sesstab_flush_sessions(table, 0);
    for (unsigned i = 0; i < CAPACITY + SPARE; i++)
        MUST(sesstab_new_session(table, (const uint8_t *)"x", 1, NULL, 0, 1, 0) != 0);
    free(memory);
    return 0;
}
