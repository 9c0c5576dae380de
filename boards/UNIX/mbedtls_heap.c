/*
 * What Mbed TLS takes from the C heap, for measurements: the module mbedtls_heap.
 *
 *     mbedtls_heap.reset()      counts from now on
 *     mbedtls_heap.stats()      since then: (allocations, bytes at the peak, bytes still taken)
 *
 * Bytes are what malloc gave, its rounding included, and count from reset(): what was there before is 0.
 */
#include <malloc.h>
#include <stdlib.h>

#include "mbedtls/platform.h"
#include "py/obj.h"
#include "py/runtime.h"

static size_t allocations;
static ssize_t taken;
static ssize_t peak;

static void *counting_calloc(size_t n, size_t size) {
    void *p = calloc(n, size);
    if (p != NULL) {
        allocations++;
        taken += (ssize_t)malloc_usable_size(p);
        peak = taken > peak ? taken : peak;
    }
    return p;
}

static void counting_free(void *p) {
    taken -= (ssize_t)malloc_usable_size(p);
    free(p);
}

static mp_obj_t heap_reset(void) {
    mbedtls_platform_set_calloc_free(counting_calloc, counting_free);
    allocations = 0;
    taken = peak = 0;
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_0(heap_reset_obj, heap_reset);

static mp_obj_t heap_stats(void) {
    mp_obj_t stats[3] = {
        mp_obj_new_int_from_uint(allocations),
        mp_obj_new_int((mp_int_t)peak),
        mp_obj_new_int((mp_int_t)taken),
    };
    return mp_obj_new_tuple(3, stats);
}
static MP_DEFINE_CONST_FUN_OBJ_0(heap_stats_obj, heap_stats);

static const mp_rom_map_elem_t heap_globals_table[] = {
    {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_mbedtls_heap)},
    {MP_ROM_QSTR(MP_QSTR_reset), MP_ROM_PTR(&heap_reset_obj)},
    {MP_ROM_QSTR(MP_QSTR_stats), MP_ROM_PTR(&heap_stats_obj)},
};
static MP_DEFINE_CONST_DICT(heap_globals, heap_globals_table);

const mp_obj_module_t heap_module = {
    .base = {&mp_type_module},
    .globals = (mp_obj_dict_t *)&heap_globals,
};
MP_REGISTER_MODULE(MP_QSTR_mbedtls_heap, heap_module);
