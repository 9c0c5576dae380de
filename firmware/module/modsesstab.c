/*
 * The module _sesstab: SessionTable, the C core as a MicroPython type. lib/sesstab/pure.py is the same in Python.
 *
 * A method's arguments are checked in two steps. A wrong type raises TypeError. A wrong value is turned into one
 * that the core refuses, so that the method returns 0: for a handle that is 0.
 */
#include "module.h"
#include "py/objstr.h"
#include "sesstab_snapshot.h"

#define MODES                                                                                                    \
    (SESSTAB_CACHE_BOTH | SESSTAB_CACHE_NO_AUTO_CLEAR | SESSTAB_CACHE_NO_INTERNAL | SESSTAB_CACHE_UPDATE_TIME)
#define TICKS_MASK 0x3fffffffu /* time.ticks_ms() wraps at 2^30, at least on 32-bit boards */
#define HANDLE_MASK 0x3fffffffu
#define MAX_ARGS 6

#define HAS_FINALISER (!MICROPY_ENABLE_DYNRUNTIME && MICROPY_ENABLE_FINALISER)
#if HAS_FINALISER
#define TABLE_MALLOC(size) m_malloc_with_finaliser(size)
#else
#define TABLE_MALLOC(size) m_malloc(size)
#endif

#if MICROPY_ENABLE_DYNRUNTIME
mp_obj_full_type_t table_type;
mp_obj_t this_module;
#else
#define this_module mp_const_none
#endif

mp_obj_t builtin(qstr name) {
    return mp_load_attr(mp_import_name(MP_QSTR_builtins, mp_const_none, MP_OBJ_NEW_SMALL_INT(0)), name);
}

#if MICROPY_ENABLE_DYNRUNTIME
void *allocate(size_t size) {
    void *block = m_realloc_maybe(NULL, size, false);
    if (block == NULL) {
        mp_raise_msg(MP_OBJ_TO_PTR(builtin(MP_QSTR_MemoryError)), "memory allocation failed");
    }
    return block;
}
#endif

// Arguments and results

static mp_obj_t number(uint32_t value) {
    return value < 0x40000000u ? MP_OBJ_NEW_SMALL_INT(value) : mp_obj_new_int_from_uint(value);
}

// Reads an int. Returns 0 and sets *value if it is 0 to 2^32 - 1, else -1 when it is less and 1 when it is more.
// word_max is the object for 2^32 - 1: comparing objects allocates nothing.
static int int_arg(mp_obj_t word_max, mp_obj_t o, uint32_t *value) {
    if (o == mp_const_true || o == mp_const_false) {
        *value = o == mp_const_true;
        return 0;
    }
    if (mp_obj_get_type(o) != mp_obj_get_type(MP_OBJ_NEW_SMALL_INT(0))) {
        mp_raise_TypeError(MP_ERROR_TEXT("an int is needed"));
    }
    if (mp_binary_op(MP_BINARY_OP_LESS, o, MP_OBJ_NEW_SMALL_INT(0)) == mp_const_true) {
        return -1;
    }
    if (mp_binary_op(MP_BINARY_OP_MORE, o, word_max) == mp_const_true) {
        return 1;
    }
    *value = (uint32_t)mp_obj_get_int_truncated(o);
    return 0;
}

// An int that has a range; `otherwise` stands for all outside of it.
static uint32_t ranged_arg(sesstab_obj_t *self, mp_obj_t o, uint32_t most, uint32_t otherwise) {
    uint32_t value;
    return int_arg(self->word_max, o, &value) == 0 && value <= most ? value : otherwise;
}

static sesstab_handle_t handle_arg(sesstab_obj_t *self, mp_obj_t o) {
    if (mp_obj_is_small_int(o)) {
        mp_int_t value = MP_OBJ_SMALL_INT_VALUE(o);
        return value == (mp_int_t)(value & HANDLE_MASK) ? (sesstab_handle_t)value : 0;
    }
    return ranged_arg(self, o, UINT32_MAX, 0);
}

void buffer_arg(mp_obj_t o, mp_buffer_info_t *buffer, mp_uint_t flags) {
    if (mp_obj_get_type(o) == &mp_type_str) {
        mp_raise_TypeError(MP_ERROR_TEXT("bytes are needed, not str"));
    }
    mp_get_buffer_raise(o, buffer, flags);
}

// Arguments that may be given by name: `n` of them, of which the first `required` must be there. What is missing
// becomes MP_OBJ_NULL.
static void parse_args(size_t n_pos, const mp_obj_t *pos, mp_map_t *kw, const qstr *names, size_t n,
    size_t required, mp_arg_val_t *values) {
    if (kw->used == 0 && n_pos <= n && n_pos >= required) {
        for (size_t i = 0; i < n; i++) {
            values[i].u_obj = i < n_pos ? pos[i] : MP_OBJ_NULL;
        }
        return;
    }
    mp_arg_t allowed[MAX_ARGS];
    for (size_t i = 0; i < n; i++) {
        allowed[i].qst = names[i];
        allowed[i].flags = MP_ARG_OBJ | (i < required ? MP_ARG_REQUIRED : 0);
        allowed[i].defval.u_obj = MP_OBJ_NULL;
    }
    mp_arg_parse_all(n_pos, pos, kw, n, allowed, values);
}

#define PARSE(required, ...)                                                                                     \
    const qstr names[] = {__VA_ARGS__};                                                                          \
    mp_arg_val_t value[MP_ARRAY_SIZE(names)];                                                                    \
    parse_args(n_pos, pos, kw, names, MP_ARRAY_SIZE(names), required, value)

#define PARSE_METHOD(required, ...)                                                                              \
    sesstab_obj_t *self = MP_OBJ_TO_PTR(pos[0]);                                                                 \
    n_pos--;                                                                                                     \
    pos++;                                                                                                       \
    PARSE(required, __VA_ARGS__)

#define GIVEN(i) (value[i].u_obj != MP_OBJ_NULL)

// Python code that the core calls: always through protected_call()

typedef struct {
    sesstab_obj_t *table;
    mp_obj_t function;
    mp_obj_t arg;
    uint32_t result;
} call_t;

static mp_obj_t call_with_table(call_t *call) {
    mp_obj_t args[2] = {MP_OBJ_FROM_PTR(call->table), call->arg};
    return mp_call_function_n_kw(call->function, 2, 0, args);
}

static void call_for_truth(void *arg) {
    call_t *call = arg;
    call->result = mp_obj_is_true(call_with_table(call));
}

static void call_for_handle(void *arg) {
    call_t *call = arg;
    mp_obj_t result = call_with_table(call);
    call->result = result == mp_const_none ? 0 : handle_arg(call->table, result);
}

// Raises TypeError for a str, which has no unary plus, before int() would parse it.
static mp_obj_t to_whole_number(mp_obj_t o) {
    mp_obj_t value = mp_unary_op(MP_UNARY_OP_POSITIVE, o);
    mp_obj_t int_type = MP_OBJ_FROM_PTR(mp_obj_get_type(MP_OBJ_NEW_SMALL_INT(0)));
    return mp_call_function_n_kw(int_type, 1, 0, &value);
}

static void call_for_time(void *arg) {
    call_t *call = arg;
    mp_obj_t result = mp_call_function_n_kw(call->function, 0, 0, NULL);
    if (!mp_obj_is_small_int(result)) {
        result = to_whole_number(result);
    }
    if (int_arg(call->table->word_max, result, &call->result) != 0) {
        call->result = 0;
    }
}

static void call_for_ticks(void *arg) {
    call_t *call = arg;
    mp_obj_t ticks = mp_call_function_n_kw(call->function, 0, 0, NULL);
    call->result = (uint32_t)mp_obj_get_int_truncated(ticks) & TICKS_MASK;
}

static uint32_t run(sesstab_obj_t *self, void (*how)(void *), mp_obj_t function, mp_obj_t arg, uint32_t on_error) {
    call_t call = {self, function, arg, 0};
    return protected_call(how, &call) ? call.result : on_error;
}

// The clocks

// Adds what has passed since the last call, in whole seconds; division by subtraction, for lack of a libgcc.
static void count_milliseconds(sesstab_obj_t *self, uint32_t passed) {
    self->milliseconds += passed;
    for (int shift = 20; self->milliseconds >= 1000; shift--) {
        if (self->milliseconds >= 1000u << shift) {
            self->milliseconds -= 1000u << shift;
            self->seconds += 1u << shift;
        }
    }
}

static uint32_t on_clock(void *arg) {
    sesstab_obj_t *self = arg;
    if (self->holds_time) {
        return self->held_time;
    }
    if (!self->own_clock) {
        return run(self, call_for_time, self->clock, MP_OBJ_NULL, 0);
    }
    uint32_t ticks = run(self, call_for_ticks, self->clock, MP_OBJ_NULL, self->ticks);
    uint32_t passed = (ticks - self->ticks) & TICKS_MASK;
    self->ticks = ticks;
    count_milliseconds(self, passed);
    return self->seconds;
}

// The clock may be Python code, which may change any buffer. So a function that has the core work on a caller's buffers
// asks the clock first, then takes the buffers' addresses, and holds that time during the core's call. No other Python
// code runs in such a call.
static void hold_time(sesstab_obj_t *self, uint32_t now) {
    self->held_time = now;
    self->holds_time = true;
}

static uint32_t let_time_go_on(sesstab_obj_t *self, uint32_t result) {
    self->holds_time = false;
    return result;
}

// The callbacks

static int on_new(void *arg, sesstab_handle_t h) {
    sesstab_obj_t *self = arg;
    return self->on_new != mp_const_none && run(self, call_for_truth, self->on_new, number(h), 0);
}

static sesstab_handle_t on_get(void *arg, const uint8_t *id, size_t id_len) {
    sesstab_obj_t *self = arg;
    mp_obj_t object = self->on_get == mp_const_none ? MP_OBJ_NULL : id_object(self, id, id_len);
    return object == MP_OBJ_NULL ? 0 : run(self, call_for_handle, self->on_get, object, 0);
}

static void on_remove(void *arg, sesstab_handle_t h) {
    sesstab_obj_t *self = arg;
    if (self->on_remove != mp_const_none) {
        run(self, call_for_truth, self->on_remove, number(h), 0);
    }
}

// Construction

// os.urandom(8) where the firmware has it
static void random_seed(void *arg) {
    uint32_t *seed = arg;
    mp_obj_t os = mp_import_name(MP_QSTR_os, mp_const_none, MP_OBJ_NEW_SMALL_INT(0));
    mp_obj_t size = MP_OBJ_NEW_SMALL_INT(8);
    mp_obj_t bytes = mp_call_function_n_kw(mp_load_attr(os, MP_QSTR_urandom), 1, 0, &size);
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(bytes, &buffer, MP_BUFFER_READ);
    const uint8_t *b = buffer.buf;
    for (size_t i = 0; i < 8 && i < buffer.len; i++) {
        seed[i >> 2] = seed[i >> 2] << 8 | b[i];
    }
}

static bool is_callable(mp_obj_t o) {
    return mp_obj_is_true(mp_call_function_n_kw(builtin(MP_QSTR_callable), 1, 0, &o));
}

static mp_obj_t callback_arg(mp_obj_t o) {
    if (o != mp_const_none && !is_callable(o)) {
        mp_raise_TypeError(MP_ERROR_TEXT("neither callable nor None"));
    }
    return o;
}

static void set_clock(sesstab_obj_t *self, mp_obj_t clock) {
    self->own_clock = clock == mp_const_none;
    self->clock = callback_arg(clock);
    self->seconds = 1;
    self->milliseconds = 0;
    self->ticks = 0;
    if (self->own_clock) {
        mp_obj_t time = mp_import_name(MP_QSTR_time, mp_const_none, MP_OBJ_NEW_SMALL_INT(0));
        self->clock = mp_load_attr(time, MP_QSTR_ticks_ms);
        self->ticks = run(self, call_for_ticks, self->clock, MP_OBJ_NULL, 0);
    }
}

// An int for the constructor or a property; ValueError outside of its range.
static uint32_t value_arg(mp_obj_t word_max, mp_obj_t o, uint32_t least, uint32_t most) {
    uint32_t value;
    if (int_arg(word_max, o, &value) != 0 || value < least || value > most) {
        mp_raise_ValueError(MP_ERROR_TEXT("out of range"));
    }
    return value;
}

static uint32_t mode_arg(mp_obj_t word_max, mp_obj_t o) {
    uint32_t mode = value_arg(word_max, o, 0, UINT32_MAX);
    if ((mode & ~MODES) != 0) {
        mp_raise_ValueError(MP_ERROR_TEXT("mode has unknown flags"));
    }
    return mode;
}

// What a table takes altogether; 0 when an argument is out of range.
static size_t table_size(size_t capacity, size_t spare, size_t data_size) {
    size_t size = sesstab_size(capacity, spare, data_size);
    return size == 0 ? 0 : offsetof(sesstab_obj_t, core) + size;
}

static void init_core(sesstab_obj_t *self, size_t size, uint32_t timeout, uint32_t mode) {
    // Without os.urandom: where the table lies and when it was made. A peer who could guess both, and choose
    // session ids, could make lookups slower; they stay bounded by the capacity.
    uint32_t seed[2] = {(uint32_t)(uintptr_t)self * 2654435761u, self->ticks};
    protected_call(random_seed, seed);
    sesstab_config_t config;
    config.capacity = self->capacity;
    config.spare = self->spare;
    config.data_size = self->data_size;
    config.mode = (uint16_t)mode;
    config.timeout = timeout;
    config.seed[0] = seed[0];
    config.seed[1] = seed[1];
    config.arg = self;
    config.clock = on_clock;
    config.on_new = on_new;
    config.on_get = on_get;
    config.on_remove = on_remove;
    if (sesstab_init(self->core, size, &config) == NULL) {
        mp_raise_ValueError(MP_ERROR_TEXT("out of range"));
    }
}

static mp_obj_t table_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    const qstr names[MAX_ARGS] = {
        MP_QSTR_capacity, MP_QSTR_spare, MP_QSTR_data_size, MP_QSTR_timeout, MP_QSTR_mode, MP_QSTR_clock,
    };
    mp_arg_t allowed[MAX_ARGS];
    mp_arg_val_t value[MAX_ARGS];
    for (size_t i = 0; i < MAX_ARGS; i++) {
        allowed[i].qst = names[i];
        allowed[i].flags = MP_ARG_OBJ | (i == 0 ? MP_ARG_REQUIRED : 0);
        allowed[i].defval.u_obj = MP_OBJ_NULL;
    }
    mp_arg_parse_all_kw_array(n_args, n_kw, args, MAX_ARGS, allowed, value);

    mp_obj_t word_max = mp_obj_new_int_from_uint(UINT32_MAX);
    uint32_t capacity = value_arg(word_max, value[0].u_obj, 1, SESSTAB_SLOTS_MAX);
    uint32_t spare = GIVEN(1) ? value_arg(word_max, value[1].u_obj, 0, SESSTAB_SLOTS_MAX - capacity) : 2;
    uint32_t data_size = GIVEN(2) ? value_arg(word_max, value[2].u_obj, 1, SESSTAB_DATA_MAX) : DEFAULT_DATA_SIZE;
    uint32_t timeout = GIVEN(3) ? value_arg(word_max, value[3].u_obj, 0, SESSTAB_DEFAULT_TIMEOUT - 1) : 7200;
    uint32_t mode = GIVEN(4) ? mode_arg(word_max, value[4].u_obj) : SESSTAB_CACHE_SERVER;
    mp_obj_t clock = GIVEN(5) ? callback_arg(value[5].u_obj) : mp_const_none;
    size_t size = table_size(capacity, spare, data_size);
    if (size == 0) {
        mp_raise_ValueError(MP_ERROR_TEXT("out of range"));
    }

    sesstab_obj_t *self = TABLE_MALLOC(size);
    self->base.type = type;
    self->is_made = false;
    self->module = this_module;
    self->on_new = mp_const_none;
    self->on_get = mp_const_none;
    self->on_remove = mp_const_none;
    self->looked_up = mp_const_none;
    self->looked_up_id = NULL;
    self->holds_time = false;
    self->tls_id = MP_OBJ_NULL;
    self->word_max = word_max;
    self->capacity = (uint16_t)capacity;
    self->spare = (uint16_t)spare;
    self->data_size = (uint16_t)data_size;
    self->contexts = 0;
    self->layout.state = 0;
    set_clock(self, clock);
    init_core(self, size - offsetof(sesstab_obj_t, core), timeout, mode);
    self->is_made = true;
    return MP_OBJ_FROM_PTR(self);
}

static mp_obj_t table_size_of(size_t n_pos, const mp_obj_t *pos, mp_map_t *kw) {
    PARSE(1, MP_QSTR_capacity, MP_QSTR_spare, MP_QSTR_data_size);
    mp_obj_t word_max = mp_obj_new_int_from_uint(UINT32_MAX);
    uint32_t size[3]; // not initialised from an array of constants: a dynamic module has no memcpy for that
    size[0] = 0;
    size[1] = 2;
    size[2] = DEFAULT_DATA_SIZE;
    for (size_t i = 0; i < 3; i++) {
        if (GIVEN(i) && int_arg(word_max, value[i].u_obj, &size[i]) != 0) {
            size[0] = 0;
            size[i] = UINT32_MAX;
        }
    }
    return mp_obj_new_int_from_uint(table_size(size[0], size[1], size[2]));
}
static MP_DEFINE_CONST_FUN_OBJ_KW(size_of_fun, 0, table_size_of);

// Methods, in the order of sesstab.h

#define SELF ((sesstab_obj_t *)MP_OBJ_TO_PTR(self_in))

// A method that takes nothing, or a handle, and returns a number.
#define PLAIN_METHOD(name, function)                                                                             \
    static mp_obj_t table_##name(mp_obj_t self_in) {                                                             \
        return number((uint32_t)function(table_core(SELF)));                                                     \
    }                                                                                                            \
    static MP_DEFINE_CONST_FUN_OBJ_1(name##_obj, table_##name)

#define HANDLE_METHOD(name, function)                                                                            \
    static mp_obj_t table_##name(mp_obj_t self_in, mp_obj_t h) {                                                 \
        return number((uint32_t)function(table_core(SELF), handle_arg(SELF, h)));                                \
    }                                                                                                            \
    static MP_DEFINE_CONST_FUN_OBJ_2(name##_obj, table_##name)

// A method that takes a handle and a time.
#define TIME_METHOD(name, function, most)                                                                        \
    static mp_obj_t table_##name(mp_obj_t self_in, mp_obj_t h_in, mp_obj_t time_in) {                            \
        sesstab_handle_t h = handle_arg(SELF, h_in);                                                             \
        uint32_t time;                                                                                           \
        bool good = int_arg(SELF->word_max, time_in, &time) == 0 && time <= (most);                              \
        return number(good ? (uint32_t)function(table_core(SELF), h, time) : 0);                                 \
    }                                                                                                            \
    static MP_DEFINE_CONST_FUN_OBJ_3(name##_obj, table_##name)

// A method that copies something of a session into a buffer.
#define COPY_METHOD(name, function)                                                                              \
    static mp_obj_t table_##name(mp_obj_t self_in, mp_obj_t h, mp_obj_t into) {                                  \
        size_t len;                                                                                              \
        const uint8_t *from = function(table_core(SELF), handle_arg(SELF, h), &len);                             \
        return copy_out(from, len, into);                                                                        \
    }                                                                                                            \
    static MP_DEFINE_CONST_FUN_OBJ_3(name##_obj, table_##name)

static mp_obj_t copy_out(const uint8_t *from, size_t len, mp_obj_t into) {
    mp_buffer_info_t buffer;
    buffer_arg(into, &buffer, MP_BUFFER_WRITE);
    if (len > buffer.len) {
        len = 0;
    }
    uint8_t *to = buffer.buf;
    for (size_t i = 0; i < len; i++) {
        to[i] = from[i];
    }
    return MP_OBJ_NEW_SMALL_INT(len);
}

PLAIN_METHOD(now, sesstab_now);

static mp_obj_t table_clear(mp_obj_t self_in) {
    sesstab_clear(table_core(SELF));
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(clear_obj, table_clear);

static mp_obj_t table_new_session(size_t n_pos, const mp_obj_t *pos, mp_map_t *kw) {
    PARSE_METHOD(2, MP_QSTR_id, MP_QSTR_data, MP_QSTR_timeout, MP_QSTR_context);
    uint32_t timeout = SESSTAB_DEFAULT_TIMEOUT;
    uint32_t context = 0;
    bool good = true;
    if (GIVEN(2) && value[2].u_obj != mp_const_none) {
        good = int_arg(self->word_max, value[2].u_obj, &timeout) == 0 && timeout != SESSTAB_DEFAULT_TIMEOUT;
    }
    if (GIVEN(3)) {
        good = int_arg(self->word_max, value[3].u_obj, &context) == 0 && context <= UINT8_MAX && good;
    }
    uint32_t now = good ? sesstab_now(table_core(self)) : 0;
    mp_buffer_info_t id, data;
    buffer_arg(value[0].u_obj, &id, MP_BUFFER_READ);
    buffer_arg(value[1].u_obj, &data, MP_BUFFER_READ);
    if (!good) {
        return MP_OBJ_NEW_SMALL_INT(0);
    }
    hold_time(self, now);
    return number(let_time_go_on(self, sesstab_new_session(table_core(self), id.buf, id.len, data.buf, data.len,
        timeout, (uint8_t)context)));
}
static MP_DEFINE_CONST_FUN_OBJ_KW(new_session_obj, 1, table_new_session);

HANDLE_METHOD(up_ref, sesstab_up_ref);
HANDLE_METHOD(free, sesstab_free);
HANDLE_METHOD(add_session, sesstab_add_session);
HANDLE_METHOD(remove_session, sesstab_remove_session);

typedef uint32_t __attribute__((may_alias)) word_t;

// Copies an id, of a right length, to a place that no callback moves.
static void copy_id(word_t *to, const mp_buffer_info_t *id) {
    if (id->len == SESSTAB_ID_MAX && (uintptr_t)id->buf % 4 == 0) {
        const word_t *from = id->buf;
        for (size_t i = 0; i < SESSTAB_ID_MAX / 4; i++) {
            to[i] = from[i];
            __asm__ volatile (""); // a dynamic module has no memcpy that this could become
        }
        return;
    }
    const uint8_t *from = id->buf;
    for (size_t i = 0; i < id->len && i < SESSTAB_ID_MAX; i++) {
        ((uint8_t *)to)[i] = from[i];
        __asm__ volatile ("");
    }
}

static mp_obj_t table_get_session(size_t n_pos, const mp_obj_t *pos, mp_map_t *kw) {
    PARSE_METHOD(1, MP_QSTR_id, MP_QSTR_context);
    mp_buffer_info_t id;
    buffer_arg(value[0].u_obj, &id, MP_BUFFER_READ);
    uint32_t context = GIVEN(1) ? ranged_arg(self, value[1].u_obj, UINT8_MAX, UINT32_MAX) : 0;
    if (context > UINT8_MAX) {
        return MP_OBJ_NEW_SMALL_INT(0);
    }
    word_t copy[SESSTAB_ID_MAX / 4];
    const uint8_t *bytes = id.buf;
    if (!self->own_clock || self->on_get != mp_const_none) {
        // A program's code will run before the id was looked at for the last time.
        copy_id(copy, &id);
        bytes = (const uint8_t *)copy;
    }
    // on_get may look something else up.
    mp_obj_t outer = self->looked_up;
    const uint8_t *outer_id = self->looked_up_id;
    self->looked_up = value[0].u_obj;
    self->looked_up_id = bytes;
    sesstab_handle_t h = sesstab_get_session(table_core(self), self->looked_up_id, id.len, (uint8_t)context);
    self->looked_up = outer;
    self->looked_up_id = outer_id;
    return number(h);
}
static MP_DEFINE_CONST_FUN_OBJ_KW(get_session_obj, 1, table_get_session);

static mp_obj_t table_has_session(mp_obj_t self_in, mp_obj_t id_in) {
    mp_buffer_info_t id;
    buffer_arg(id_in, &id, MP_BUFFER_READ);
    return number((uint32_t)sesstab_has_session(table_core(SELF), id.buf, id.len));
}
static MP_DEFINE_CONST_FUN_OBJ_2(has_session_obj, table_has_session);

static mp_obj_t table_flush_sessions(size_t n_pos, const mp_obj_t *pos, mp_map_t *kw) {
    PARSE_METHOD(0, MP_QSTR_now);
    uint32_t now;
    if (!GIVEN(0) || value[0].u_obj == mp_const_none) {
        now = sesstab_now(table_core(self));
    } else if (int_arg(self->word_max, value[0].u_obj, &now) != 0) {
        return MP_OBJ_NEW_SMALL_INT(0);
    }
    return number(sesstab_flush_sessions(table_core(self), now));
}
static MP_DEFINE_CONST_FUN_OBJ_KW(flush_sessions_obj, 1, table_flush_sessions);

static mp_obj_t table_update_cache(size_t n_pos, const mp_obj_t *pos, mp_map_t *kw) {
    PARSE_METHOD(1, MP_QSTR_h, MP_QSTR_side);
    sesstab_handle_t h = handle_arg(self, value[0].u_obj);
    uint32_t side = GIVEN(1) ? ranged_arg(self, value[1].u_obj, UINT32_MAX, 0) : SESSTAB_CACHE_SERVER;
    return number((uint32_t)sesstab_update_cache(table_core(self), h, side));
}
static MP_DEFINE_CONST_FUN_OBJ_KW(update_cache_obj, 1, table_update_cache);

COPY_METHOD(session_id, sesstab_session_id);
COPY_METHOD(session_data, sesstab_session_data);
HANDLE_METHOD(session_time, sesstab_session_time);
HANDLE_METHOD(session_timeout, sesstab_session_timeout);
HANDLE_METHOD(session_context, sesstab_session_context);
TIME_METHOD(set_session_time, sesstab_set_session_time, UINT32_MAX);
TIME_METHOD(set_session_timeout, sesstab_set_session_timeout, SESSTAB_DEFAULT_TIMEOUT - 1);
HANDLE_METHOD(session_refs, sesstab_session_refs);
PLAIN_METHOD(sess_number, sesstab_sess_number);
PLAIN_METHOD(sess_hits, sesstab_sess_hits);
PLAIN_METHOD(sess_misses, sesstab_sess_misses);
PLAIN_METHOD(sess_timeouts, sesstab_sess_timeouts);
PLAIN_METHOD(sess_cache_full, sesstab_sess_cache_full);
PLAIN_METHOD(sess_cb_hits, sesstab_sess_cb_hits);
PLAIN_METHOD(sess_stored, sesstab_sess_stored);

static void store_stat(mp_obj_t stats, qstr name, uint32_t value) {
    mp_obj_dict_store(stats, MP_OBJ_NEW_QSTR(name), number(value));
}

static mp_obj_t table_session_stats(mp_obj_t self_in) {
    sesstab_t *t = table_core(SELF);
    uint32_t mode = sesstab_get_mode(t);
    uint32_t handshakes = sesstab_sess_stored(t) + sesstab_sess_hits(t);
    uint32_t accept = mode & SESSTAB_CACHE_SERVER ? handshakes : 0;
    uint32_t connect = (mode & SESSTAB_CACHE_BOTH) == SESSTAB_CACHE_CLIENT ? handshakes : 0;
    mp_obj_t stats = mp_obj_new_dict(11);
    store_stat(stats, MP_QSTR_number, sesstab_sess_number(t));
    store_stat(stats, MP_QSTR_connect, connect);
    store_stat(stats, MP_QSTR_connect_good, connect);
    store_stat(stats, MP_QSTR_connect_renegotiate, 0);
    store_stat(stats, MP_QSTR_accept, accept);
    store_stat(stats, MP_QSTR_accept_good, accept);
    store_stat(stats, MP_QSTR_accept_renegotiate, 0);
    store_stat(stats, MP_QSTR_hits, sesstab_sess_hits(t));
    store_stat(stats, MP_QSTR_misses, sesstab_sess_misses(t));
    store_stat(stats, MP_QSTR_timeouts, sesstab_sess_timeouts(t));
    store_stat(stats, MP_QSTR_cache_full, sesstab_sess_cache_full(t));
    return stats;
}
static MP_DEFINE_CONST_FUN_OBJ_1(session_stats_obj, table_session_stats);

static mp_obj_t table_next_session(size_t n_pos, const mp_obj_t *pos, mp_map_t *kw) {
    PARSE_METHOD(0, MP_QSTR_h);
    sesstab_handle_t h = 0;
    if (GIVEN(0)) {
        // A handle that is out of range is stale, which ends the walk; 0 would start it.
        h = ranged_arg(self, value[0].u_obj, UINT32_MAX, UINT32_MAX);
    }
    return number(sesstab_next(table_core(self), h));
}
static MP_DEFINE_CONST_FUN_OBJ_KW(next_session_obj, 1, table_next_session);

// Snapshots

// Dumps into what is returned, so that there is no copy of the secrets. A `hash` of 0 is one that is not known yet.
static mp_obj_t dump_bytes(sesstab_obj_t *self, size_t most) {
    size_t size = sesstab_dump_size(table_core(self));
    if (size > most) {
        size = most;
    }
    uint8_t *buffer = m_malloc(size + 1);
    buffer[0] = 0;
    mp_obj_str_t *bytes = MP_OBJ_TO_PTR(mp_obj_new_bytes(buffer, 1)); // of its own, unlike empty ones
    bytes->hash = 0;
    bytes->len = 0;
    bytes->data = buffer;
    bytes->len = sesstab_dump(table_core(self), buffer, size);
    buffer[bytes->len] = '\0'; // as MicroPython's own have it
    return MP_OBJ_FROM_PTR(bytes);
}

static mp_obj_t table_dump(size_t n_pos, const mp_obj_t *pos, mp_map_t *kw) {
    PARSE_METHOD(0, MP_QSTR_buf, MP_QSTR_max_bytes);
    uint32_t most = UINT32_MAX;
    if (GIVEN(1) && value[1].u_obj != mp_const_none && int_arg(self->word_max, value[1].u_obj, &most) < 0) {
        most = 0;
    }
    if (!GIVEN(0) || value[0].u_obj == mp_const_none) {
        return dump_bytes(self, most);
    }
    uint32_t now = sesstab_now(table_core(self));
    mp_buffer_info_t buffer;
    buffer_arg(value[0].u_obj, &buffer, MP_BUFFER_WRITE);
    size_t size = buffer.len < most ? buffer.len : most;
    hold_time(self, now);
    return number(let_time_go_on(self, (uint32_t)sesstab_dump(table_core(self), buffer.buf, size)));
}
static MP_DEFINE_CONST_FUN_OBJ_KW(dump_obj, 1, table_dump);

PLAIN_METHOD(dump_size, sesstab_dump_size);

static mp_obj_t table_load(size_t n_pos, const mp_obj_t *pos, mp_map_t *kw) {
    PARSE_METHOD(1, MP_QSTR_buf, MP_QSTR_elapsed);
    uint32_t elapsed = GIVEN(1) ? ranged_arg(self, value[1].u_obj, UINT32_MAX, UINT32_MAX) : 0;
    uint32_t now = sesstab_now(table_core(self));
    mp_buffer_info_t buffer;
    buffer_arg(value[0].u_obj, &buffer, MP_BUFFER_READ);
    hold_time(self, now);
    int32_t loaded = sesstab_load(table_core(self), buffer.buf, buffer.len, elapsed);
    self->holds_time = false;
    if (loaded == SESSTAB_DAMAGED) {
        mp_raise_ValueError(MP_ERROR_TEXT("snapshot is damaged"));
    } else if (loaded == SESSTAB_UNKNOWN_VERSION) {
        mp_raise_ValueError(MP_ERROR_TEXT("snapshot has an unknown version"));
    } else if (loaded == SESSTAB_DATA_TOO_LONG) {
        mp_raise_ValueError(MP_ERROR_TEXT("snapshot has data longer than data_size"));
    }
    return number((uint32_t)loaded);
}
static MP_DEFINE_CONST_FUN_OBJ_KW(load_obj, 1, table_load);

static MP_DEFINE_CONST_FUN_OBJ_2(attach_obj, table_attach);
static MP_DEFINE_CONST_FUN_OBJ_2(detach_obj, table_detach);

// TLS clients are Python: these two methods are functions of sesstab.client.
static mp_obj_t call_client(qstr name, size_t n_pos, const mp_obj_t *pos, mp_map_t *kw) {
    mp_obj_t args[1 + 3 * MAX_ARGS];
    if (n_pos > 1 + MAX_ARGS || kw->used > MAX_ARGS) {
        mp_raise_TypeError(MP_ERROR_TEXT("too many arguments"));
    }
    mp_obj_t *arg = args;
    for (size_t i = 0; i < n_pos; i++) {
        *arg++ = pos[i];
    }
    for (size_t i = 0; i < kw->alloc; i++) {
        if (mp_map_slot_is_filled(kw, i)) {
            *arg++ = kw->table[i].key;
            *arg++ = kw->table[i].value;
        }
    }
    mp_obj_t package = mp_import_name(MP_QSTR_sesstab, mp_const_true, MP_OBJ_NEW_SMALL_INT(0));
    mp_obj_t function = mp_load_attr(mp_import_from(package, MP_QSTR_client), name);
    return mp_call_function_n_kw(function, n_pos, kw->used, args);
}

static mp_obj_t table_wrap_socket(size_t n_pos, const mp_obj_t *pos, mp_map_t *kw) {
    return call_client(MP_QSTR_wrap_socket, n_pos, pos, kw);
}
static MP_DEFINE_CONST_FUN_OBJ_KW(wrap_socket_obj, 1, table_wrap_socket);

static mp_obj_t table_open_connection(size_t n_pos, const mp_obj_t *pos, mp_map_t *kw) {
    return call_client(MP_QSTR_open_connection, n_pos, pos, kw);
}
static MP_DEFINE_CONST_FUN_OBJ_KW(open_connection_obj, 1, table_open_connection);

// Properties

static mp_obj_t load_property(sesstab_obj_t *self, qstr attr) {
    sesstab_t *t = table_core(self);
    if (attr == MP_QSTR_mode) {
        return number(sesstab_get_mode(t));
    } else if (attr == MP_QSTR_timeout) {
        return number(sesstab_get_timeout(t));
    } else if (attr == MP_QSTR_cache_size) {
        return number(sesstab_sess_get_cache_size(t));
    } else if (attr == MP_QSTR_on_new) {
        return self->on_new;
    } else if (attr == MP_QSTR_on_get) {
        return self->on_get;
    } else if (attr == MP_QSTR_on_remove) {
        return self->on_remove;
    } else if (attr == MP_QSTR_capacity) {
        return number(self->capacity);
    } else if (attr == MP_QSTR_spare) {
        return number(self->spare);
    } else if (attr == MP_QSTR_data_size) {
        return number(self->data_size);
    }
    return MP_OBJ_NULL;
}

static void store_cache_size(sesstab_obj_t *self, mp_obj_t value) {
    uint32_t size = 0; // which means the capacity, as does anything above it
    if (int_arg(self->word_max, value, &size) < 0) {
        mp_raise_ValueError(MP_ERROR_TEXT("out of range"));
    }
    sesstab_sess_set_cache_size(table_core(self), size);
}

// Returns whether there is such a property to be set.
static bool store_property(sesstab_obj_t *self, qstr attr, mp_obj_t value) {
    sesstab_t *t = table_core(self);
    if (attr == MP_QSTR_mode) {
        sesstab_set_mode(t, mode_arg(self->word_max, value));
    } else if (attr == MP_QSTR_timeout) {
        sesstab_set_timeout(t, value_arg(self->word_max, value, 0, SESSTAB_DEFAULT_TIMEOUT - 1));
    } else if (attr == MP_QSTR_cache_size) {
        store_cache_size(self, value);
    } else if (attr == MP_QSTR_on_new) {
        self->on_new = callback_arg(value);
    } else if (attr == MP_QSTR_on_get) {
        self->on_get = callback_arg(value);
    } else if (attr == MP_QSTR_on_remove) {
        self->on_remove = callback_arg(value);
    } else {
        return false;
    }
    return true;
}

static void table_attr(mp_obj_t self_in, qstr attr, mp_obj_t *dest) {
    if (dest[0] == MP_OBJ_NULL) {
        dest[0] = load_property(SELF, attr);
        if (dest[0] == MP_OBJ_NULL) {
            dest[1] = MP_OBJ_SENTINEL; // go on with the methods
        }
    } else if (dest[1] != MP_OBJ_NULL && store_property(SELF, attr, dest[1])) {
        dest[0] = MP_OBJ_NULL;
    }
}

// The type and the module

// MicroPython searches the methods of a type one after the other: those of the hot path come first.
#define METHODS(METHOD)                                                                                          \
    METHOD(MP_QSTR_get_session, get_session_obj)                                                                 \
    METHOD(MP_QSTR_free, free_obj)                                                                               \
    METHOD(MP_QSTR_new_session, new_session_obj)                                                                 \
    METHOD(MP_QSTR_add_session, add_session_obj)                                                                 \
    METHOD(MP_QSTR_session_data, session_data_obj)                                                               \
    METHOD(MP_QSTR_has_session, has_session_obj)                                                                 \
    METHOD(MP_QSTR_update_cache, update_cache_obj)                                                               \
    METHOD(MP_QSTR_remove_session, remove_session_obj)                                                           \
    METHOD(MP_QSTR_flush_sessions, flush_sessions_obj)                                                           \
    METHOD(MP_QSTR_up_ref, up_ref_obj)                                                                           \
    METHOD(MP_QSTR_session_id, session_id_obj)                                                                   \
    METHOD(MP_QSTR_session_time, session_time_obj)                                                               \
    METHOD(MP_QSTR_session_timeout, session_timeout_obj)                                                         \
    METHOD(MP_QSTR_session_context, session_context_obj)                                                         \
    METHOD(MP_QSTR_set_session_time, set_session_time_obj)                                                       \
    METHOD(MP_QSTR_set_session_timeout, set_session_timeout_obj)                                                 \
    METHOD(MP_QSTR_session_refs, session_refs_obj)                                                               \
    METHOD(MP_QSTR_sess_number, sess_number_obj)                                                                 \
    METHOD(MP_QSTR_sess_hits, sess_hits_obj)                                                                     \
    METHOD(MP_QSTR_sess_misses, sess_misses_obj)                                                                 \
    METHOD(MP_QSTR_sess_timeouts, sess_timeouts_obj)                                                             \
    METHOD(MP_QSTR_sess_cache_full, sess_cache_full_obj)                                                         \
    METHOD(MP_QSTR_sess_cb_hits, sess_cb_hits_obj)                                                               \
    METHOD(MP_QSTR_sess_stored, sess_stored_obj)                                                                 \
    METHOD(MP_QSTR_session_stats, session_stats_obj)                                                             \
    METHOD(MP_QSTR_next_session, next_session_obj)                                                               \
    METHOD(MP_QSTR_dump, dump_obj)                                                                               \
    METHOD(MP_QSTR_dump_size, dump_size_obj)                                                                     \
    METHOD(MP_QSTR_load, load_obj)                                                                               \
    METHOD(MP_QSTR_now, now_obj)                                                                                 \
    METHOD(MP_QSTR_clear, clear_obj)                                                                             \
    METHOD(MP_QSTR_attach, attach_obj)                                                                           \
    METHOD(MP_QSTR_detach, detach_obj)                                                                           \
    METHOD(MP_QSTR_wrap_socket, wrap_socket_obj)                                                                 \
    METHOD(MP_QSTR_open_connection, open_connection_obj)                                                         \
    METHOD(MP_QSTR_size_of, size_of_obj)

#if MICROPY_ENABLE_DYNRUNTIME

#define COUNT(name, object) + 1

mp_rom_obj_static_class_method_t size_of_obj;
mp_map_elem_t table_locals[0 METHODS(COUNT)];
static MP_DEFINE_CONST_DICT(table_locals_dict, table_locals);

mp_obj_t mpy_init(mp_obj_fun_bc_t *self, size_t n_args, size_t n_kw, mp_obj_t *args) {
    MP_DYNRUNTIME_INIT_ENTRY

    this_module = MP_OBJ_FROM_PTR(self->context);
    size_of_obj.base.type = MP_OBJ_TO_PTR(builtin(MP_QSTR_staticmethod));
    size_of_obj.fun = MP_OBJ_FROM_PTR(&size_of_fun);

    mp_map_elem_t *local = table_locals;
    #define STORE(name, object) \
    local->key = MP_OBJ_NEW_QSTR(name); \
    local->value = MP_OBJ_FROM_PTR(&object); \
    local++;
    METHODS(STORE)

    table_type.base.type = &mp_type_type;
    table_type.name = MP_QSTR_SessionTable;
    MP_OBJ_TYPE_SET_SLOT(&table_type, make_new, table_make_new, 0);
    MP_OBJ_TYPE_SET_SLOT(&table_type, attr, table_attr, 1);
    MP_OBJ_TYPE_SET_SLOT(&table_type, locals_dict, &table_locals_dict, 2);
    mp_store_global(MP_QSTR_SessionTable, MP_OBJ_FROM_PTR(&table_type));

    MP_DYNRUNTIME_INIT_EXIT
}

#else

#define ROM_ENTRY(name, object) {MP_ROM_QSTR(name), MP_ROM_PTR(&object)},

static MP_DEFINE_CONST_STATICMETHOD_OBJ(size_of_obj, MP_ROM_PTR(&size_of_fun));
#if HAS_FINALISER
// A table that is collected is overwritten, unless making it failed halfway.
static mp_obj_t table_del(mp_obj_t self_in) {
    if (SELF->is_made) {
        sesstab_clear(table_core(SELF));
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(del_obj, table_del);
#endif

static const mp_rom_map_elem_t table_locals[] = {
    METHODS(ROM_ENTRY)
    #if HAS_FINALISER
    {MP_ROM_QSTR(MP_QSTR___del__), MP_ROM_PTR(&del_obj)},
    #endif
};
static MP_DEFINE_CONST_DICT(table_locals_dict, table_locals);

MP_DEFINE_CONST_OBJ_TYPE(
    table_type,
    MP_QSTR_SessionTable,
    MP_TYPE_FLAG_NONE,
    make_new, table_make_new,
    attr, table_attr,
    locals_dict, &table_locals_dict
    );

static const mp_rom_map_elem_t module_globals_table[] = {
    {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR__sesstab)},
    {MP_ROM_QSTR(MP_QSTR_SessionTable), MP_ROM_PTR(&table_type)},
    #if SESSTAB_BUILT_IN_TLS
    {MP_ROM_QSTR(MP_QSTR_Client), MP_ROM_PTR(&client_type)},
    {MP_ROM_QSTR(MP_QSTR_TLS), MP_ROM_PTR(&tls_features)},
    #endif
};
static MP_DEFINE_CONST_DICT(module_globals, module_globals_table);

const mp_obj_module_t sesstab_module = {
    .base = {&mp_type_module},
    .globals = (mp_obj_dict_t *)&module_globals,
};
MP_REGISTER_MODULE(MP_QSTR__sesstab, sesstab_module);

#endif
