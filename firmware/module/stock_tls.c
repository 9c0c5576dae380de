/*
 * TLS session resumption on firmware as it is: attach() and detach(), server side, TLS 1.2.
 *
 * Mbed TLS asks an application for sessions through two callbacks in its mbedtls_ssl_config, f_get_cache and
 * f_set_cache, and MicroPython sets neither. Its SSLContext object has the config inside. So attach() writes three
 * words there: the callbacks below, and p_cache, their first argument. That is all; Mbed TLS does the rest.
 *
 * The catch: the config's place in the object, and the fields' places in Mbed TLS's session struct, depend on how
 * the firmware was built, and a dynamic module cannot know that. Nothing is assumed that is not checked, and
 * everything about the config is checked before the first write.
 *
 * THE CONFIG, in an object whose type is `tls.SSLContext`, of Mbed TLS 3. Since MicroPython 1.23 the word p_vrfy
 * of the config points to the object. Words around it (mbedtls/ssl.h, struct mbedtls_ssl_config):
 *
 *     -12  ciphersuite_list } with TLS 1.3: then tls13_kex_modes
 *     -11  ciphersuite_list } is 1 to 7, which no pointer is
 *     -10  f_dbg      any
 *      -9  p_dbg      NULL
 *      -8  f_rng      not NULL
 *      -7  p_rng      points into the object, before the config
 *      -6  f_get_cache  } all NULL,
 *      -5  f_set_cache  } or all ours
 *      -4  p_cache      }
 *      -3  f_sni      NULL
 *      -2  p_sni      NULL
 *      -1  f_vrfy     not NULL
 *       0  p_vrfy     the object
 *
 * The config starts 8 to 32 bytes before ciphersuite_list with max_tls_version (0x0303 or 0x0304) and
 * min_tls_version (0x0303), enums of 4 or 2 bytes, then a byte each: endpoint (0 or 1), transport (0 or 1),
 * authmode (must equal the object's verify_mode). Exactly one place may fit all of this.
 *
 * THE SESSION. Mbed TLS calls f_set_cache(p_cache, id, id_len, session), where `id` is the array inside `session`,
 * so id - session is that field's offset. Around it (W is a word, the id is at offset I):
 *
 *     0..3    exported (0) and endpoint (1); before them a byte mfl_code, depending on the build
 *     2 or 4  tls_version, 2 or 4 bytes: 0x0303
 *     I - 2W  ciphersuite, 4 bytes: must be one of the config's ciphersuite_list
 *     I - W   id_len: equals the argument
 *     I       id, 32 bytes; master, 48 bytes
 *     I + 80  peer_cert_digest NULL, its length 0, its type 0 (W, W, 4); or peer_cert NULL (W); then
 *             verify_result, 4 bytes: "verification was skipped"
 *
 * The first session that a table is offered decides whether it knows the layout. If not, nothing is stored then or
 * later, the handshakes stay full ones, and calling attach() again raises RuntimeError. f_get_cache writes into a
 * session only where this check has been.
 *
 * CLIENT CERTIFICATES. A resumed handshake asks for none. So only contexts whose verify_mode is CERT_NONE are
 * served, which is looked up again in every callback, and each attached context has a number of its own, under which its
 * sessions are stored: what one context stored, another never finds.
 *
 * LIFETIME. p_cache points to the head of an attachment, a block on the garbage-collected heap. It holds the table
 * and the context, and the collector finds it by scanning the context. So the table lives as long as a context that
 * is attached to it.
 */
#include "module.h"

#if !SESSTAB_BUILT_IN_TLS

#define STATE_SIZE 50 /* of a stored session: ciphersuite, 2 bytes, big endian; master secret, 48 bytes */
#define MASTER_SIZE 48

#define SCAN_WORDS 256 /* the config ends before that, and the object after it: two certificates follow */
#define HEAD_MAX 32     /* bytes from the start of the config to ciphersuite_list */
#define KEX_MODES_MAX 7
#define SUITES_MAX 512
#define VERSION_TLS12 0x0303
#define VERSION_TLS13 0x0304
#define TRANSPORT_STREAM 0
#define ENDPOINT_SERVER 1
#define CERT_NONE 0
#define BADCERT_SKIP_VERIFY 0x80
#define ERR_ENTRY_NOT_FOUND (-0x7e80)

enum { LAYOUT_NOT_SEEN, LAYOUT_KNOWN, LAYOUT_UNKNOWN };

// Mbed TLS's memory, read as what we take it for
typedef uintptr_t __attribute__((may_alias)) word_t;
typedef uint32_t __attribute__((may_alias)) half_t;
typedef uint16_t __attribute__((may_alias)) quarter_t;

#define W sizeof(word_t)

// Offsets in words from p_vrfy
enum { P_DBG = -9, F_RNG, P_RNG, F_GET_CACHE, F_SET_CACHE, P_CACHE, F_SNI, P_SNI, F_VRFY, P_VRFY };

typedef struct {
    sesstab_obj_t *table;
    mp_obj_t ctx;
    word_t *suites; // the config's ciphersuite_list
    uint8_t number;
    bool is_attached; // a callback may detach in the middle of a handshake
} attachment_t;

typedef struct {
    word_t *p_vrfy;
    word_t *suites;
    uint8_t endpoint;
    uint8_t transport;
    uint8_t authmode;
} config_t;

static int get_cache(void *p_cache, const uint8_t *id, size_t id_len, uint8_t *session);
static int set_cache(void *p_cache, const uint8_t *id, size_t id_len, const uint8_t *session);

// Finding the config

// Whether a config may start `head`, with version enums of `size` bytes; `end` is where its pointers start.
static bool read_head(const uint8_t *head, const uint8_t *end, size_t size, config_t *config) {
    const uint8_t *flags = head + 2 * size;
    if (flags + 4 > end) {
        return false;
    }
    uint32_t max = size == 4 ? ((const half_t *)head)[0] : ((const quarter_t *)head)[0];
    uint32_t min = size == 4 ? ((const half_t *)head)[1] : ((const quarter_t *)head)[1];
    if ((max != VERSION_TLS12 && max != VERSION_TLS13) || min != VERSION_TLS12) {
        return false;
    }
    if (flags[0] > 1 || flags[1] > 1 || flags[2] != config->authmode) {
        return false;
    }
    config->endpoint = flags[0];
    config->transport = flags[1];
    return true;
}

// How many places before ciphersuite_list look like the start of a config: 1 is right.
static size_t find_heads(config_t *config) {
    const uint8_t *end = (const uint8_t *)config->suites;
    size_t found = 0;
    for (size_t bytes = 8; bytes <= HEAD_MAX; bytes += W) {
        found += read_head(end - bytes, end, 2, config);
        found += read_head(end - bytes, end, 4, config);
    }
    return found;
}

static bool is_free_or_ours(const word_t *p_vrfy) {
    word_t get = p_vrfy[F_GET_CACHE], set = p_vrfy[F_SET_CACHE], cache = p_vrfy[P_CACHE];
    return (get == 0 && set == 0 && cache == 0)
           || (get == (word_t)get_cache && set == (word_t)set_cache && cache != 0);
}

static bool fits(word_t *object, word_t *p_vrfy) {
    word_t p_rng = p_vrfy[P_RNG];
    return p_vrfy[P_VRFY] == (word_t)object && p_vrfy[F_VRFY] != 0 && p_vrfy[P_SNI] == 0 && p_vrfy[F_SNI] == 0
           && p_vrfy[F_RNG] != 0 && p_rng > (word_t)object && p_rng < (word_t)p_vrfy && p_vrfy[P_DBG] == 0;
}

static bool find_config(mp_obj_t ctx, uint8_t authmode, config_t *config) {
    word_t *object = MP_OBJ_TO_PTR(ctx);
    size_t found = 0;
    for (word_t *p_vrfy = object + 24; p_vrfy < object + SCAN_WORDS; p_vrfy++) {
        if (fits(object, p_vrfy)) {
            config->p_vrfy = p_vrfy;
            config->authmode = authmode;
            bool has_kex_modes = p_vrfy[-11] >= 1 && p_vrfy[-11] <= KEX_MODES_MAX;
            config->suites = p_vrfy - (has_kex_modes ? 12 : 11);
            found += find_heads(config);
        }
    }
    return found == 1 && *config->suites > KEX_MODES_MAX && *config->suites % 4 == 0;
}

// The arguments of attach() and detach()

// Raises RuntimeError unless `tls` is built in, on Mbed TLS 3. Its version reads "Mbed TLS 3.6.2", with M or m.
static void check_library(mp_obj_t tls, mp_obj_t ctx) {
    const char *expected = "bed TLS 3.";
    mp_obj_t version[2];
    mp_load_method_maybe(tls, MP_QSTR_MBEDTLS_VERSION, version);
    mp_buffer_info_t text;
    if ((mp_obj_get_type(ctx)->flags & MP_TYPE_FLAG_INSTANCE_TYPE) || version[0] == MP_OBJ_NULL
        || !mp_get_buffer(version[0], &text, MP_BUFFER_READ) || text.len < 11) {
        raise_unknown();
    }
    for (size_t i = 0; expected[i] != '\0'; i++) {
        if (((const char *)text.buf)[i + 1] != expected[i]) {
            raise_unknown();
        }
    }
}

// Finds the config of `*ctx`, and sets `*ctx` to the tls.SSLContext. Raises TypeError or RuntimeError.
static void config_of(mp_obj_t *ctx, config_t *config) {
    mp_obj_t tls = mp_import_name(MP_QSTR_tls, mp_const_none, MP_OBJ_NEW_SMALL_INT(0));
    *ctx = tls_context(tls, *ctx);
    check_library(tls, *ctx);
    mp_obj_t mode = mp_load_attr(*ctx, MP_QSTR_verify_mode);
    if (!mp_obj_is_small_int(mode) || !find_config(*ctx, (uint8_t)MP_OBJ_SMALL_INT_VALUE(mode), config)) {
        raise_unknown();
    }
}

static attachment_t *attachment_of(const config_t *config) {
    return (attachment_t *)config->p_vrfy[P_CACHE];
}

// attach and detach

static attachment_t *new_attachment(sesstab_obj_t *self, mp_obj_t ctx, const config_t *config) {
    uint8_t number = next_context_number(self);
    need_id_object(self);
    attachment_t *a = m_malloc(sizeof(attachment_t));
    a->table = self;
    a->ctx = ctx;
    a->suites = config->suites;
    a->number = number;
    a->is_attached = true;
    self->contexts = number;
    return a;
}

mp_obj_t table_attach(mp_obj_t self_in, mp_obj_t ctx) {
    sesstab_obj_t *self = MP_OBJ_TO_PTR(self_in);
    config_t config;
    config_of(&ctx, &config);
    attachment_t *a = attachment_of(&config);
    bool is_free = is_free_or_ours(config.p_vrfy);
    attachable_t what = {
        config.endpoint == ENDPOINT_SERVER, config.transport == TRANSPORT_STREAM, config.authmode == CERT_NONE,
        is_free, STATE_SIZE, is_free && a != NULL ? a->table : NULL,
    };
    check_attachable(self, &what);
    if (self->layout.state == LAYOUT_UNKNOWN) {
        raise_unknown();
    }
    if (a == NULL) {
        a = new_attachment(self, ctx, &config);
        config.p_vrfy[P_CACHE] = (word_t)a;
        config.p_vrfy[F_GET_CACHE] = (word_t)get_cache;
        config.p_vrfy[F_SET_CACHE] = (word_t)set_cache;
    }
    return MP_OBJ_NEW_SMALL_INT(a->number);
}

// Returns false when nothing may be removed: on_remove is running.
static bool remove_context(sesstab_t *t, uint8_t number) {
    sesstab_handle_t next;
    for (sesstab_handle_t h = sesstab_next(t, 0); h != 0; h = next) {
        next = sesstab_next(t, h);
        if (sesstab_session_context(t, h) == number && !sesstab_remove_session(t, h)) {
            return false;
        }
    }
    return true;
}

mp_obj_t table_detach(mp_obj_t self_in, mp_obj_t ctx) {
    sesstab_obj_t *self = MP_OBJ_TO_PTR(self_in);
    config_t config;
    config_of(&ctx, &config);
    attachment_t *a = attachment_of(&config);
    if (a == NULL || !is_free_or_ours(config.p_vrfy) || a->table != self
        || !remove_context(table_core(self), a->number)) {
        return MP_OBJ_NEW_SMALL_INT(0);
    }
    if (a->is_attached) { // else on_remove has detached, too
        a->is_attached = false;
        config.p_vrfy[F_GET_CACHE] = 0;
        config.p_vrfy[F_SET_CACHE] = 0;
        config.p_vrfy[P_CACHE] = 0;
    }
    return MP_OBJ_NEW_SMALL_INT(1);
}

// What Mbed TLS calls, in the middle of a handshake

typedef struct {
    mp_obj_t ctx;
    bool none;
} verify_mode_t;

static void read_verify_mode(void *arg) {
    verify_mode_t *mode = arg;
    mode->none = mp_load_attr(mode->ctx, MP_QSTR_verify_mode) == MP_OBJ_NEW_SMALL_INT(CERT_NONE);
}

// Whether sessions may be stored and resumed: to be asked again after each callback.
static bool is_serving(const attachment_t *a) {
    verify_mode_t mode = {a->ctx, false};
    return a->is_attached && protected_call(read_verify_mode, &mode) && mode.none;
}

static uint32_t read_half(const uint8_t *p) {
    return *(const half_t *)p;
}

static uint32_t read_version(const uint8_t *session, const session_layout_t *layout) {
    const uint8_t *p = session + layout->version;
    return layout->version_size == 4 ? read_half(p) : *(const quarter_t *)p;
}

static void copy(uint8_t *to, const uint8_t *from, size_t n) {
    for (size_t i = 0; i < n; i++) {
        to[i] = from[i];
        __asm__ volatile (""); // a dynamic module has no memcpy that this could become
    }
}

static void wipe(uint8_t *p, size_t n) {
    for (volatile uint8_t *v = p; n != 0; n--) {
        *v++ = 0;
    }
}

// Where the first bytes of a session are, or that they are not understood.
static bool find_start(const uint8_t *session, session_layout_t *layout) {
    layout->endpoint = session[1] == ENDPOINT_SERVER ? 1 : 2;
    layout->version = 4;
    layout->version_size = 4;
    if (layout->endpoint == 1 && *(const quarter_t *)(session + 2) != 0) {
        layout->version = 2;
        layout->version_size = 2;
    }
    uint8_t exported = session[layout->endpoint - 1];
    return exported == 0 && session[layout->endpoint] == ENDPOINT_SERVER
           && read_version(session, layout) == VERSION_TLS12;
}

static bool is_configured(const attachment_t *a, uint32_t ciphersuite) {
    const half_t *suite = (const half_t *)*a->suites;
    for (size_t i = 0; i < SUITES_MAX && suite[i] != 0; i++) {
        if (suite[i] == ciphersuite) {
            return true;
        }
    }
    return false;
}

// Where verify_result is, when no certificate lies before it; else 0.
static size_t find_verify_result(const uint8_t *session, size_t id) {
    size_t peer = id + SESSTAB_ID_MAX + MASTER_SIZE;
    const word_t *word = (const word_t *)(session + peer);
    if (word[0] != 0) {
        return 0;
    }
    if (read_half(session + peer + W) == BADCERT_SKIP_VERIFY) {
        return peer + W;
    }
    size_t verify_result = peer + 2 * W + 4;
    bool no_digest = word[1] == 0 && read_half(session + peer + 2 * W) == 0;
    return no_digest && read_half(session + verify_result) == BADCERT_SKIP_VERIFY ? verify_result : 0;
}

static bool find_layout(const attachment_t *a, const uint8_t *session, const uint8_t *id, size_t id_len,
    session_layout_t *layout) {
    size_t offset = (size_t)(id - session);
    if (id < session || offset < 8 + 2 * W || offset > 48 || offset % W != 0 || id_len == 0
        || id_len > SESSTAB_ID_MAX || *(const word_t *)(id - W) != id_len) {
        return false;
    }
    layout->id = (uint8_t)offset;
    layout->ciphersuite = (uint8_t)(offset - 2 * W);
    layout->verify_result = (uint8_t)find_verify_result(session, offset);
    return layout->verify_result != 0 && find_start(session, layout)
           && is_configured(a, read_half(session + layout->ciphersuite));
}

// The layout is found once and then has to be the same for every session.
static bool layout_holds(const attachment_t *a, const uint8_t *session, const uint8_t *id, size_t id_len) {
    session_layout_t *layout = &a->table->layout;
    session_layout_t seen;
    bool known = find_layout(a, session, id, id_len, &seen);
    if (layout->state == LAYOUT_NOT_SEEN) {
        if (known) {
            *layout = seen;
        }
        layout->state = known ? LAYOUT_KNOWN : LAYOUT_UNKNOWN;
    }
    return known && layout->state == LAYOUT_KNOWN && seen.id == layout->id && seen.endpoint == layout->endpoint
           && seen.version == layout->version && seen.verify_result == layout->verify_result;
}

// A full handshake is done.
static int set_cache(void *p_cache, const uint8_t *id, size_t id_len, const uint8_t *session) {
    const attachment_t *a = p_cache;
    sesstab_t *t = table_core(a->table);
    if (!is_serving(a) || !layout_holds(a, session, id, id_len)) {
        return ERR_ENTRY_NOT_FOUND;
    }
    uint32_t ciphersuite = read_half(session + a->table->layout.ciphersuite);
    uint8_t state[STATE_SIZE];
    state[0] = (uint8_t)(ciphersuite >> 8);
    state[1] = (uint8_t)ciphersuite;
    copy(state + 2, id + SESSTAB_ID_MAX, MASTER_SIZE);
    sesstab_handle_t h = sesstab_new_session(t, id, id_len, state, sizeof(state), SESSTAB_DEFAULT_TIMEOUT, a->number);
    wipe(state, sizeof(state));
    bool stored = a->is_attached && sesstab_update_cache(t, h, SESSTAB_CACHE_SERVER);
    if (!a->is_attached) { // on_remove has detached, before the session was in the table
        if (sesstab_has_session(t, id, id_len)) {
            sesstab_remove_session(t, h);
        }
        stored = false;
    }
    sesstab_free(t, h);
    return stored ? 0 : ERR_ENTRY_NOT_FOUND;
}

static void fill(uint8_t *session, const session_layout_t *layout, const uint8_t *id, size_t id_len,
    const uint8_t *state) {
    session[layout->endpoint] = ENDPOINT_SERVER;
    if (layout->version_size == 4) {
        *(half_t *)(session + layout->version) = VERSION_TLS12;
    } else {
        *(quarter_t *)(session + layout->version) = VERSION_TLS12;
    }
    *(half_t *)(session + layout->ciphersuite) = (uint32_t)state[0] << 8 | state[1];
    *(word_t *)(session + layout->id - W) = id_len;
    copy(session + layout->id, id, id_len);
    copy(session + layout->id + SESSTAB_ID_MAX, state + 2, MASTER_SIZE);
    *(half_t *)(session + layout->verify_result) = BADCERT_SKIP_VERIFY;
}

// A client offers a session; `session` is all zeros, to be filled in.
static int get_cache(void *p_cache, const uint8_t *id, size_t id_len, uint8_t *session) {
    const attachment_t *a = p_cache;
    sesstab_t *t = table_core(a->table);
    if (a->table->layout.state != LAYOUT_KNOWN || !is_serving(a)) {
        return ERR_ENTRY_NOT_FOUND;
    }
    sesstab_handle_t h = sesstab_get_session(t, id, id_len, a->number);
    size_t size;
    const uint8_t *state = sesstab_session_data(t, h, &size);
    bool found = state != NULL && size == STATE_SIZE && is_serving(a);
    if (found) {
        fill(session, &a->table->layout, id, id_len, state);
    }
    sesstab_free(t, h);
    return found ? 0 : ERR_ENTRY_NOT_FOUND;
}

#endif
