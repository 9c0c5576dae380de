/*
 * What the files of the MicroPython module share.
 *
 * One source serves two builds. As a dynamic native module (MICROPY_ENABLE_DYNRUNTIME) it is linked into an .mpy
 * that stock firmware loads, knows the firmware only through mp_fun_table, has no libc, and must not have static
 * variables that are written. As a user C module it is compiled into the firmware.
 */
#ifndef SESSTAB_MODULE_H
#define SESSTAB_MODULE_H

#if MICROPY_ENABLE_DYNRUNTIME
#include "py/dynruntime.h"
/* dynruntime.h finds types such as ValueError by their names, among the globals of whoever has called first, and so
 * does its m_malloc with MemoryError. */
#undef mp_load_global
#define mp_load_global(name) builtin(name)
#undef m_malloc
#define m_malloc(size) allocate(size)
void *allocate(size_t size);
#else
#include "py/objtuple.h"
#include "py/runtime.h"
#endif

#include "sesstab.h"

#if !MICROPY_ENABLE_DYNRUNTIME && MICROPY_PY_SSL && MICROPY_SSL_MBEDTLS
#define SESSTAB_BUILT_IN_TLS 1
#else
#define SESSTAB_BUILT_IN_TLS 0
#endif

/* The constructor's data_size: what a server's session takes in the TLS versions that the firmware has. */
#if SESSTAB_BUILT_IN_TLS
extern const uint16_t tls_state_size;
#define DEFAULT_DATA_SIZE tls_state_size
#else
#define DEFAULT_DATA_SIZE 50
#endif

/* How stock_tls.c finds its way in Mbed TLS's session struct; see there. */
typedef struct {
    uint8_t state; /* LAYOUT_* */
    uint8_t endpoint;
    uint8_t version;
    uint8_t version_size;
    uint8_t ciphersuite;
    uint8_t id;
    uint8_t verify_result;
} session_layout_t;

/* A SessionTable is one block of the garbage-collected heap, the core's table included: nothing else is allocated
 * for as long as it lives. The core holds no pointers that the garbage collector would have to know. A table that
 * is collected is overwritten by its finaliser; dynamic modules have none: clear() it before letting go of it. */
typedef struct {
    mp_obj_base_t base;
    mp_obj_t module;    /* keeps the module's qstr table when someone deletes the module from sys.modules */
    mp_obj_t clock;     /* returns seconds; or time.ticks_ms for the table's own clock */
    mp_obj_t on_new;    /* callables or None */
    mp_obj_t on_get;
    mp_obj_t on_remove;
    mp_obj_t looked_up; /* the id object of the lookup in progress, for on_get; and the copy of it that is used */
    const uint8_t *looked_up_id;
    mp_obj_t tls_id;    /* a bytearray: the id object of lookups that come from TLS */
    mp_obj_t word_max;  /* the int 2^32 - 1, to compare big ints with */
    uint32_t seconds;   /* the own clock: seconds, milliseconds on top of them, ticks_ms at the last call */
    uint32_t milliseconds;
    uint32_t ticks;
    uint16_t capacity;
    uint16_t spare;
    uint16_t data_size;
    uint32_t held_time; /* what the clock shows while the core works on the buffers of a caller */
    bool holds_time;
    bool own_clock;
    bool is_made;
    uint8_t contexts; /* how many context numbers attach() has given out */
    session_layout_t layout;
    uint64_t core[]; /* a sesstab_t; uint64_t for its alignment */
} sesstab_obj_t;

static inline sesstab_t *table_core(sesstab_obj_t *self) {
    return (sesstab_t *)self->core;
}

/* What has this name in the module builtins: not a global of the same name, where the table is used. */
mp_obj_t builtin(qstr name);

/* Calls function(arg). Returns false when it raised, whatever it raised: Python code that runs in the middle of a
 * TLS handshake, or of an operation of the table, must not unwind through it. */
bool protected_call(void (*function)(void *), void *arg);

/* A buffer, other than a str. */
void buffer_arg(mp_obj_t o, mp_buffer_info_t *buffer, mp_uint_t flags);

/* ---- stock_tls.c, or built_in_tls.c where the module is compiled into firmware that has Mbed TLS ---- */

mp_obj_t table_attach(mp_obj_t self_in, mp_obj_t ctx);
mp_obj_t table_detach(mp_obj_t self_in, mp_obj_t ctx);

#if SESSTAB_BUILT_IN_TLS
extern const mp_obj_type_t table_type;
extern const mp_obj_type_t client_type;
extern const mp_rom_obj_tuple_t tls_features; /* what the build can do */
#endif

/* ---- contexts.c: what they share ---- */

/* What attach() found out about a context. */
typedef struct {
    bool is_server;
    bool is_stream;
    bool is_anonymous;    /* asks for no client certificates */
    bool is_free;         /* nobody else's callbacks are installed */
    size_t state_size;    /* of a session, the largest */
    sesstab_obj_t *table; /* that it is attached to; or NULL */
} attachable_t;

/* Raises ValueError unless the context can be attached to the table, or is attached to it already. */
void check_attachable(const sesstab_obj_t *self, const attachable_t *what);

/* The number that the next context will have; self->contexts becomes that when it is attached, so that attempts that
 * fail take none: snapshots have the numbers in them. Never given out again, for an application may hold a session of
 * an old number. */
uint8_t next_context_number(const sesstab_obj_t *self);

/* The tls.SSLContext that `ctx` is, or that an ssl.SSLContext wraps. `tls` is the module. */
mp_obj_t tls_context(mp_obj_t tls, mp_obj_t ctx);

/* The id object that on_get gets: what get_session() was given, if this is its lookup; else a bytearray of the
 * table's, which need_id_object() makes in time. Allocates nothing. MP_OBJ_NULL: an application made it too small. */
mp_obj_t id_object(sesstab_obj_t *self, const uint8_t *id, size_t id_len);
void need_id_object(sesstab_obj_t *self);

__attribute__((noreturn)) void raise_about(const mp_obj_type_t *type, const char *text, size_t len, mp_obj_t what);
#define RAISE_ABOUT(type, text, what) raise_about(type, text, sizeof(text) - 1, what)

/* The TLS library is not laid out as expected. */
__attribute__((noreturn)) void raise_unknown(void);

#endif
