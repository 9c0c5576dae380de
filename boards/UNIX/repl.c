/*
 * A board's REPL on unix. The unix port's own prompt lacks the raw mode that tools such as mpremote talk to, while
 * MicroPython's REPL of boards, shared/runtime/pyexec.c, works here as it is. So
 *
 *     micropython -c "__import__('_repl').run()"
 *
 * is a board's prompt on stdin and stdout, raw mode and raw paste included. Ctrl-D or SystemExit ends the process.
 */
#include "py/mphal.h"
#include "py/runtime.h"
#include "shared/runtime/pyexec.h"

static mp_obj_t repl_run(void) {
    mp_hal_set_interrupt_char(-1); // only while a program runs; pyexec.c sees to that
    mp_hal_stdio_mode_raw();
    int end = 0;
    while (end == 0) {
        end = pyexec_mode_kind == PYEXEC_MODE_RAW_REPL ? pyexec_raw_repl() : pyexec_friendly_repl();
    }
    mp_hal_stdio_mode_orig();
    mp_raise_type(&mp_type_SystemExit);
}
static MP_DEFINE_CONST_FUN_OBJ_0(repl_run_obj, repl_run);

static const mp_rom_map_elem_t repl_globals_table[] = {
    {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR__repl)},
    {MP_ROM_QSTR(MP_QSTR_run), MP_ROM_PTR(&repl_run_obj)},
};
static MP_DEFINE_CONST_DICT(repl_globals, repl_globals_table);

const mp_obj_module_t repl_module = {
    .base = {&mp_type_module},
    .globals = (mp_obj_dict_t *)&repl_globals,
};
MP_REGISTER_MODULE(MP_QSTR__repl, repl_module);
