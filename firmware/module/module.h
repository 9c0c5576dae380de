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
#else
#include "py/runtime.h"
#endif

#include "sesstab.h"

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
 * is collected is not overwritten, for dynamic modules have no finalisers: clear() it before letting go of it. */
typedef struct {
    mp_obj_base_t base;
    mp_obj_t module;    /* keeps the module's qstr table when someone deletes the module from sys.modules */
    mp_obj_t clock;     /* returns seconds; or time.ticks_ms for the table's own clock */
    mp_obj_t on_new;    /* callables or None */
    mp_obj_t on_get;
    mp_obj_t on_remove;
    mp_obj_t looked_up; /* the id object of the lookup in progress, for on_get */
    mp_obj_t tls_id;    /* a bytearray: the id object of lookups that come from TLS */
    mp_obj_t word_max;  /* the int 2^32 - 1, to compare big ints with */
    uint32_t seconds;   /* the own clock: seconds, milliseconds on top of them, ticks_ms at the last call */
    uint32_t milliseconds;
    uint32_t ticks;
    uint16_t capacity;
    uint16_t spare;
    uint16_t data_size;
    bool own_clock;
    uint8_t contexts; /* how many context numbers attach() has given out */
    session_layout_t layout;
    uint64_t core[]; /* a sesstab_t; uint64_t for its alignment */
} sesstab_obj_t;

static inline sesstab_t *table_core(sesstab_obj_t *self) {
    return (sesstab_t *)self->core;
}

/* Calls function(arg). Returns false when it raised, whatever it raised: Python code that runs in the middle of a
 * TLS handshake, or of an operation of the table, must not unwind through it. */
bool protected_call(void (*function)(void *), void *arg);

mp_obj_t table_attach(mp_obj_t self_in, mp_obj_t ctx);
mp_obj_t table_detach(mp_obj_t self_in, mp_obj_t ctx);

#endif
