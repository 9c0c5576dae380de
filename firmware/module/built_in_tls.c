/*
 * TLS session resumption in firmware that sesstab is compiled into: attach() and detach(), and Client, on firmware/tls.
 *
 * MicroPython's SSLContext and SSLSocket are not declared in any header. Since MicroPython 1.21 they start with the
 * fields that context_t and socket_t have here, compiled with the same headers of Mbed TLS; what follows has changed
 * over time, and is not touched. Each object is checked before it is used: its type, that its block is large enough,
 * and the pointers that MicroPython stores in it: the config's p_vrfy is the object (since 1.23), p_rng its ctr_drbg,
 * a socket's p_bio its `sock`. If that does not hold, RuntimeError is raised and nothing has been written.
 *
 * LIFETIME. The config's p_cache (and p_ticket) point to the head of an attachment_t, a block on the heap that holds
 * the table and the context. The garbage collector finds it by scanning the context. So the table lives as long as a
 * context that is attached to it, and all three are collected together.
 */
#define MBEDTLS_ALLOW_PRIVATE_ACCESS
#include "module.h"

#if SESSTAB_BUILT_IN_TLS

#include <string.h>

#include "py/gc.h"
#include "py/mperrno.h"
#include "py/objstr.h"
#include "py/stream.h"

#include "sesstab_mbedtls.h"

#include "mbedtls/ctr_drbg.h"
#include "mbedtls/entropy.h"
#include "mbedtls/error.h"
#ifdef SESSTAB_TLS13
#include "psa/crypto.h"
#endif

typedef struct {
    mp_obj_base_t base;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context ctr_drbg;
    mbedtls_ssl_config conf;
} context_t;

typedef struct {
    mp_obj_base_t base;
    context_t *ssl_context;
    mp_obj_t sock; // MP_OBJ_NULL when closed
    mbedtls_ssl_context ssl;
} socket_t;

typedef struct {
    sesstab_mbedtls_t link; // first: what p_cache points to
    sesstab_obj_t *table;
    mp_obj_t ctx;
} attachment_t;

const uint16_t tls_state_size = SESSTAB_MBEDTLS_SERVER_SIZE;

#if SESSTAB_MBEDTLS_HAS_TICKETS
#define FLAGS SESSTAB_MBEDTLS_TICKETS
#else
#define FLAGS 0
#endif

// What the build can do

static const MP_DEFINE_STR_OBJ(tls12_obj, "1.2");
#if SESSTAB_MBEDTLS_HAS_TLS13
static const MP_DEFINE_STR_OBJ(tls13_obj, "1.3");
#endif

const mp_rom_obj_tuple_t tls_features = {
    {&mp_type_tuple},
    1 + SESSTAB_MBEDTLS_HAS_TICKETS + SESSTAB_MBEDTLS_HAS_TLS13,
    {
        MP_ROM_PTR(&tls12_obj),
        #if SESSTAB_MBEDTLS_HAS_TICKETS
        MP_ROM_QSTR(MP_QSTR_tickets),
        #endif
        #if SESSTAB_MBEDTLS_HAS_TLS13
        MP_ROM_PTR(&tls13_obj),
        #endif
    },
};

// PSA, which TLS 1.3 is built on, across a soft reset

MP_REGISTER_ROOT_POINTER(mp_obj_t sesstab_psa_guard);

#ifdef SESSTAB_TLS13

// PSA's state is in static variables and, on boards without an operating system, points to memory of MicroPython's
// heap. A soft reset takes the heap away, after it has called every finaliser. That of a guard, which nothing else
// collects, ends PSA. The linker (--wrap) calls this in place of psa_crypto_init(), as MicroPython makes an SSLContext.
psa_status_t __real_psa_crypto_init(void);
psa_status_t __wrap_psa_crypto_init(void);

static mp_obj_t guard_del(mp_obj_t self_in) {
    (void)self_in;
    MP_STATE_VM(sesstab_psa_guard) = MP_OBJ_NULL;
    mbedtls_psa_crypto_free();
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(guard_del_obj, guard_del);

static const mp_rom_map_elem_t guard_locals[] = {{MP_ROM_QSTR(MP_QSTR___del__), MP_ROM_PTR(&guard_del_obj)}};
static MP_DEFINE_CONST_DICT(guard_locals_dict, guard_locals);

static MP_DEFINE_CONST_OBJ_TYPE(
    guard_type,
    MP_QSTR__sesstab,
    MP_TYPE_FLAG_NONE,
    locals_dict, &guard_locals_dict
    );

psa_status_t __wrap_psa_crypto_init(void) {
    if (MP_STATE_VM(sesstab_psa_guard) == MP_OBJ_NULL) {
        mp_obj_base_t *guard = mp_obj_malloc_with_finaliser(mp_obj_base_t, &guard_type);
        MP_STATE_VM(sesstab_psa_guard) = MP_OBJ_FROM_PTR(guard);
    }
    return __real_psa_crypto_init();
}

#endif

// MicroPython's objects

static mp_obj_t tls_module(void) {
    return mp_import_name(MP_QSTR_tls, mp_const_none, MP_OBJ_NEW_SMALL_INT(0));
}

// Whether an object can be read as a struct of `size` bytes: compiled code made it, and on the heap.
static bool is_large_enough(mp_obj_t o, size_t size) {
    return (mp_obj_get_type(o)->flags & MP_TYPE_FLAG_INSTANCE_TYPE) == 0 && gc_nbytes(MP_OBJ_TO_PTR(o)) >= size;
}

// Finds the context, and sets `*ctx` to the tls.SSLContext. Raises TypeError or RuntimeError.
static context_t *context_of(mp_obj_t *ctx) {
    *ctx = tls_context(tls_module(), *ctx);
    context_t *c = MP_OBJ_TO_PTR(*ctx);
    if (!is_large_enough(*ctx, sizeof(*c)) || c->conf.p_vrfy != c || c->conf.p_rng != &c->ctr_drbg) {
        raise_unknown();
    }
    return c;
}

static bool is_open(const socket_t *s) {
    return s->sock != MP_OBJ_NULL && s->ssl.conf != NULL;
}

// The socket of a client before its handshake. Raises TypeError, ValueError or RuntimeError.
static socket_t *new_socket_of(mp_obj_t o) {
    if (!mp_obj_is_obj(o) || mp_obj_get_type(o)->name != MP_QSTR_SSLSocket
        || (mp_obj_get_type(o)->flags & MP_TYPE_FLAG_INSTANCE_TYPE) != 0) {
        RAISE_ABOUT(&mp_type_TypeError, "an SSLSocket is needed, got %s", MP_OBJ_FROM_PTR(mp_obj_get_type(o)));
    }
    socket_t *s = MP_OBJ_TO_PTR(o);
    if (!is_large_enough(o, sizeof(*s))) {
        raise_unknown();
    }
    mp_obj_t ctx = MP_OBJ_FROM_PTR(s->ssl_context);
    context_t *c = context_of(&ctx);
    if (!is_open(s)) {
        mp_raise_ValueError(MP_ERROR_TEXT("this socket is closed"));
    }
    if (s->ssl.conf != &c->conf || s->ssl.p_bio != &s->sock) {
        raise_unknown();
    }
    if (c->conf.endpoint != MBEDTLS_SSL_IS_CLIENT || c->conf.transport != MBEDTLS_SSL_TRANSPORT_STREAM) {
        mp_raise_ValueError(MP_ERROR_TEXT("Client needs a client's TLS socket"));
    }
    if (s->ssl.state != MBEDTLS_SSL_HELLO_REQUEST) {
        mp_raise_ValueError(MP_ERROR_TEXT(
            "the handshake has begun; wrap_socket needs do_handshake_on_connect=False"));
    }
    return s;
}

// attach and detach

static attachment_t *attachment_of(const mbedtls_ssl_config *config) {
    return (attachment_t *)sesstab_mbedtls_attachment(config);
}

static void check(const sesstab_obj_t *self, const attachment_t *a, const mbedtls_ssl_config *config) {
    attachable_t what = {
        .is_server = config->endpoint == MBEDTLS_SSL_IS_SERVER,
        .is_stream = config->transport == MBEDTLS_SSL_TRANSPORT_STREAM,
        .is_anonymous = config->authmode == MBEDTLS_SSL_VERIFY_NONE,
        .is_free = a != NULL || (config->f_get_cache == NULL && config->f_set_cache == NULL),
        .state_size = SESSTAB_MBEDTLS_SERVER_SIZE,
        .table = a == NULL ? NULL : a->table,
    };
    check_attachable(self, &what);
}

static attachment_t *new_attachment(sesstab_obj_t *self, mp_obj_t ctx) {
    attachment_t *a = m_new0(attachment_t, 1);
    a->table = self;
    a->ctx = ctx;
    return a;
}

mp_obj_t table_attach(mp_obj_t self_in, mp_obj_t ctx) {
    sesstab_obj_t *self = MP_OBJ_TO_PTR(self_in);
    mbedtls_ssl_config *config = &context_of(&ctx)->conf;
    attachment_t *a = attachment_of(config);
    check(self, a, config);
    if (a != NULL) {
        return MP_OBJ_NEW_SMALL_INT(a->link.context);
    }
    uint8_t number = next_context_number(self);
    need_id_object(self);
    a = new_attachment(self, ctx);
    if (sesstab_mbedtls_attach(&a->link, table_core(self), number, config, FLAGS) != SESSTAB_MBEDTLS_OK) {
        mp_raise_ValueError(MP_ERROR_TEXT("this context has a session cache, or callbacks, of somebody else"));
    }
    self->contexts = number;
    return MP_OBJ_NEW_SMALL_INT(number);
}

mp_obj_t table_detach(mp_obj_t self_in, mp_obj_t ctx) {
    attachment_t *a = attachment_of(&context_of(&ctx)->conf);
    int done = a != NULL && a->table == MP_OBJ_TO_PTR(self_in) && sesstab_mbedtls_detach(&a->link);
    return MP_OBJ_NEW_SMALL_INT(done);
}

// Client: a connection that offers a session, and stores the one it gets

typedef struct {
    mp_obj_base_t base;
    sesstab_obj_t *table;
    socket_t *socket;
    sesstab_mbedtls_client_t link;
    uint8_t waits_for; // MP_STREAM_POLL_RD or MP_STREAM_POLL_WR, when the handshake would block
} client_t;

static void enable_tickets(mbedtls_ssl_config *config) {
    #if SESSTAB_MBEDTLS_HAS_TLS13 && defined(MBEDTLS_SSL_SESSION_TICKETS) \
    && defined(MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED) // before Mbed TLS 3.6.1 they always are
    mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(config,
        MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
    #else
    (void)config;
    #endif
}

static mp_obj_t client_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 4, 4, false);
    if (!mp_obj_is_type(args[0], &table_type)) {
        RAISE_ABOUT(&mp_type_TypeError, "a SessionTable is needed, got %s",
            MP_OBJ_FROM_PTR(mp_obj_get_type(args[0])));
    }
    sesstab_obj_t *table = MP_OBJ_TO_PTR(args[0]);
    socket_t *socket = new_socket_of(args[1]);
    mp_buffer_info_t id;
    buffer_arg(args[2], &id, MP_BUFFER_READ);
    mp_int_t context = mp_obj_get_int(args[3]);
    if (id.len == 0 || id.len > SESSTAB_ID_MAX || context < 0 || context > UINT8_MAX) {
        mp_raise_ValueError(MP_ERROR_TEXT("an id has 1 to 32 bytes, a context is 0 to 255"));
    }
    need_id_object(table);
    client_t *self = mp_obj_malloc_with_finaliser(client_t, type);
    memset(&self->link, 0, sizeof(self->link)); // for the finaliser, if what follows raises
    self->table = table;
    self->socket = socket;
    self->waits_for = 0;
    enable_tickets(&socket->ssl_context->conf);
    sesstab_mbedtls_offer(&self->link, &socket->ssl, table_core(table), id.buf, id.len, (uint8_t)context);
    return MP_OBJ_FROM_PTR(self);
}

static __attribute__((noreturn)) void raise_tls_error(int error) {
    if (error == MBEDTLS_ERR_SSL_ALLOC_FAILED) {
        mp_raise_OSError(MP_ENOMEM);
    }
    if (error < 0 && error > -256) {
        mp_raise_OSError(-error); // the stream's own, which MicroPython passes through Mbed TLS
    }
    #if defined(MBEDTLS_ERROR_C)
    char text[80];
    mbedtls_strerror(error, text, sizeof(text));
    mp_obj_t args[2] = {MP_OBJ_NEW_SMALL_INT(error), mp_obj_new_str_from_cstr(text)};
    nlr_raise(mp_obj_exception_make_new(&mp_type_OSError, 2, 0, args));
    #else
    mp_raise_OSError(error);
    #endif
}

// As wrap_socket does: the socket is closed, and the reason raised.
static __attribute__((noreturn)) void fail(socket_t *s, int error) {
    char text[256] = "";
    if (error == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED) {
        mbedtls_x509_crt_verify_info(text, sizeof(text), "\n", mbedtls_ssl_get_verify_result(&s->ssl));
    }
    s->sock = MP_OBJ_NULL;
    mbedtls_ssl_free(&s->ssl);
    if (text[0] != '\0') {
        mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("%s"), text);
    }
    raise_tls_error(error);
}

static mp_obj_t client_handshake(mp_obj_t self_in) {
    client_t *self = MP_OBJ_TO_PTR(self_in);
    socket_t *s = self->socket;
    if (!is_open(s)) {
        mp_raise_OSError(MP_EBADF);
    }
    #if MICROPY_PY_SSL_MBEDTLS_NEED_ACTIVE_CONTEXT
    MP_STATE_THREAD(tls_ssl_context) = (void *)s->ssl_context;
    #endif
    int ret = mbedtls_ssl_handshake(&s->ssl);
    self->waits_for = ret == MBEDTLS_ERR_SSL_WANT_READ ? MP_STREAM_POLL_RD
        : ret == MBEDTLS_ERR_SSL_WANT_WRITE ? MP_STREAM_POLL_WR : 0;
    if (ret != 0 && self->waits_for == 0) {
        fail(s, ret);
    }
    return MP_OBJ_NEW_SMALL_INT(ret == 0);
}
static MP_DEFINE_CONST_FUN_OBJ_1(client_handshake_obj, client_handshake);

// What handshake() waits for, in select.poll's terms: POLLIN or POLLOUT; 0: nothing.
static mp_obj_t client_waits_for(mp_obj_t self_in) {
    client_t *self = MP_OBJ_TO_PTR(self_in);
    return MP_OBJ_NEW_SMALL_INT(self->waits_for);
}
static MP_DEFINE_CONST_FUN_OBJ_1(client_waits_for_obj, client_waits_for);

static mp_obj_t client_offered(mp_obj_t self_in) {
    client_t *self = MP_OBJ_TO_PTR(self_in);
    return MP_OBJ_NEW_SMALL_INT(self->link.offered != 0);
}
static MP_DEFINE_CONST_FUN_OBJ_1(client_offered_obj, client_offered);

static bool is_connected(const client_t *self) {
    return self->link.table != NULL && is_open(self->socket) && mbedtls_ssl_is_handshake_over(&self->socket->ssl);
}

static mp_obj_t client_resumed(mp_obj_t self_in) {
    client_t *self = MP_OBJ_TO_PTR(self_in);
    return MP_OBJ_NEW_SMALL_INT(is_connected(self) && sesstab_mbedtls_resumed(&self->link));
}
static MP_DEFINE_CONST_FUN_OBJ_1(client_resumed_obj, client_resumed);

static mp_obj_t client_save(mp_obj_t self_in) {
    client_t *self = MP_OBJ_TO_PTR(self_in);
    return MP_OBJ_NEW_SMALL_INT(is_connected(self) ? sesstab_mbedtls_save(&self->link) : 0);
}
static MP_DEFINE_CONST_FUN_OBJ_1(client_save_obj, client_save);

static mp_obj_t client_done(mp_obj_t self_in) {
    client_t *self = MP_OBJ_TO_PTR(self_in);
    return MP_OBJ_NEW_SMALL_INT(sesstab_mbedtls_done(&self->link));
}
static MP_DEFINE_CONST_FUN_OBJ_1(client_done_obj, client_done);

static mp_obj_t client_close_notify(mp_obj_t self_in) {
    client_t *self = MP_OBJ_TO_PTR(self_in);
    socket_t *s = self->socket;
    bool can_send = is_open(s) && mbedtls_ssl_is_handshake_over(&s->ssl);
    return MP_OBJ_NEW_SMALL_INT(can_send && mbedtls_ssl_close_notify(&s->ssl) == 0);
}
static MP_DEFINE_CONST_FUN_OBJ_1(client_close_notify_obj, client_close_notify);

static const mp_rom_map_elem_t client_locals[] = {
    #if MICROPY_ENABLE_FINALISER
    {MP_ROM_QSTR(MP_QSTR___del__), MP_ROM_PTR(&client_done_obj)},
    #endif
    {MP_ROM_QSTR(MP_QSTR_offered), MP_ROM_PTR(&client_offered_obj)},
    {MP_ROM_QSTR(MP_QSTR_handshake), MP_ROM_PTR(&client_handshake_obj)},
    {MP_ROM_QSTR(MP_QSTR_waits_for), MP_ROM_PTR(&client_waits_for_obj)},
    {MP_ROM_QSTR(MP_QSTR_resumed), MP_ROM_PTR(&client_resumed_obj)},
    {MP_ROM_QSTR(MP_QSTR_save), MP_ROM_PTR(&client_save_obj)},
    {MP_ROM_QSTR(MP_QSTR_close_notify), MP_ROM_PTR(&client_close_notify_obj)},
    {MP_ROM_QSTR(MP_QSTR_done), MP_ROM_PTR(&client_done_obj)},
};
static MP_DEFINE_CONST_DICT(client_locals_dict, client_locals);

MP_DEFINE_CONST_OBJ_TYPE(
    client_type,
    MP_QSTR_Client,
    MP_TYPE_FLAG_NONE,
    make_new, client_make_new,
    locals_dict, &client_locals_dict
    );

#endif
