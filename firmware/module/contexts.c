/*
 * attach() and detach() as far as they are the same for firmware as it is (stock_tls.c) and for firmware that sesstab
 * is compiled into (built_in_tls.c): which objects they take, what they refuse in which words, context numbers, and
 * the id object of lookups that come from TLS.
 */
#include "module.h"
#include "py/objarray.h"

#define TYPE_OF(o) MP_OBJ_FROM_PTR(mp_obj_get_type(o))

void raise_about(const mp_obj_type_t *type, const char *text, size_t len, mp_obj_t what) {
    mp_obj_t message = mp_binary_op(MP_BINARY_OP_MODULO, mp_obj_new_str(text, len), what);
    nlr_raise(mp_obj_new_exception_arg1(type, message));
}

void raise_unknown(void) {
    mp_raise_msg(&mp_type_RuntimeError, MP_ERROR_TEXT(
        "the TLS library of this firmware is laid out in a way that sesstab does not know; "
        "build sesstab into the firmware as a user C module"));
}

mp_obj_t tls_context(mp_obj_t tls, mp_obj_t ctx) {
    mp_obj_t type = mp_load_attr(tls, MP_QSTR_SSLContext);
    mp_obj_t inner[2] = {ctx, MP_OBJ_NULL};
    if (TYPE_OF(ctx) != type) {
        mp_load_method_maybe(ctx, MP_QSTR__context, inner);
    }
    if (inner[0] == MP_OBJ_NULL || inner[1] != MP_OBJ_NULL || TYPE_OF(inner[0]) != type) {
        RAISE_ABOUT(&mp_type_TypeError, "a tls.SSLContext or an ssl.SSLContext is needed, got %s", TYPE_OF(ctx));
    }
    return inner[0];
}

static void raise_data_size(const sesstab_obj_t *self, size_t needed) {
    mp_obj_t sizes[2] = {MP_OBJ_NEW_SMALL_INT(needed), MP_OBJ_NEW_SMALL_INT(self->data_size)};
    RAISE_ABOUT(&mp_type_ValueError, "attach needs a table with data_size of at least %s, this has %s",
        mp_obj_new_tuple(2, sizes));
}

void check_attachable(const sesstab_obj_t *self, const attachable_t *what) {
    if (!what->is_server) {
        mp_raise_ValueError(MP_ERROR_TEXT("attach needs a server's context, this is a client's"));
    }
    if (!what->is_stream) {
        mp_raise_ValueError(MP_ERROR_TEXT("attach needs a TLS context, this is for DTLS"));
    }
    if (!what->is_anonymous) {
        mp_raise_ValueError(MP_ERROR_TEXT(
            "attach needs verify_mode CERT_NONE: a resumed handshake does not ask for the client's certificate"));
    }
    if (self->data_size < what->state_size) {
        raise_data_size(self, what->state_size);
    }
    if (self->spare == 0) {
        mp_raise_ValueError(MP_ERROR_TEXT("attach needs a table with a spare slot: a new session comes before an "
            "old one goes"));
    }
    if (!what->is_free) {
        mp_raise_ValueError(MP_ERROR_TEXT("this context has a session cache already"));
    }
    if (what->table != NULL && what->table != self) {
        mp_raise_ValueError(MP_ERROR_TEXT("this context is attached to another table; detach it there first"));
    }
}

uint8_t next_context_number(const sesstab_obj_t *self) {
    if (self->contexts == UINT8_MAX) {
        mp_raise_ValueError(MP_ERROR_TEXT("this table has attached 255 contexts, which is the limit"));
    }
    return (uint8_t)(self->contexts + 1);
}

void need_id_object(sesstab_obj_t *self) {
    if (self->tls_id == MP_OBJ_NULL) {
        // Not by the name "bytearray", which may be another thing where attach() is called.
        self->tls_id = mp_obj_new_bytearray_by_ref(SESSTAB_ID_MAX, m_malloc(SESSTAB_ID_MAX));
    }
}

// Whatever an application did to the bytearray, `len + free` is what it has room for.
static bool set_id_object(sesstab_obj_t *self, const uint8_t *id, size_t id_len) {
    mp_obj_array_t *array = MP_OBJ_TO_PTR(self->tls_id);
    size_t room = array->len + array->free;
    if (room < id_len) {
        return false;
    }
    array->len = id_len;
    array->free = room - id_len;
    uint8_t *to = array->items;
    for (size_t i = 0; i < id_len; i++) {
        to[i] = id[i];
        __asm__ volatile (""); // a dynamic module has no memcpy that this could become
    }
    return true;
}

mp_obj_t id_object(sesstab_obj_t *self, const uint8_t *id, size_t id_len) {
    if (id == self->looked_up_id) {
        return self->looked_up;
    }
    return self->tls_id != MP_OBJ_NULL && set_id_object(self, id, id_len) ? self->tls_id : MP_OBJ_NULL;
}
