/*
 * MicroPython as a board: a REPL on standard input and output, soft reset by Ctrl-D, files in flash memory, which is
 * the file that the program's argument names. The end of the input, and machine.reset(), end the program.
 */
#include "linux.h"
#include "py/builtin.h"
#include "py/gc.h"
#include "py/mphal.h"
#include "py/runtime.h"
#include "py/stackctrl.h"
#include "shared/readline/readline.h"
#include "shared/runtime/gchelper.h"
#include "shared/runtime/pyexec.h"

#define PAGE 4096
#define HEAP (1024 * 1024)
#define STACK (64 * 1024)

bool flash_open(const char *path);

static char heap[HEAP] __attribute__((aligned(PAGE)));

static void run_programs(void) {
    pyexec_frozen_module("_boot.py", false);
    int result = pyexec_file_if_exists("boot.py");
    if (!(result & PYEXEC_FORCED_EXIT) && pyexec_mode_kind == PYEXEC_MODE_FRIENDLY_REPL) {
        result = pyexec_file_if_exists("main.py");
    }
    while (!(result & PYEXEC_FORCED_EXIT)) {
        result = pyexec_mode_kind == PYEXEC_MODE_RAW_REPL ? pyexec_raw_repl() : pyexec_friendly_repl();
    }
}

int main(int argc, char **argv) {
    mp_stack_ctrl_init();
    mp_stack_set_limit(STACK);
    if (argc != 2 || !flash_open(argv[1])) {
        mp_hal_stdout_tx_str("usage: firmware.elf FLASH, a file that can be written\r\n");
        linux_exit(2);
    }
    /* Native code is loaded into the heap. */
    linux_make_executable(heap, sizeof(heap));
    for (;;) {
        gc_init(heap, heap + sizeof(heap));
        mp_init();
        mp_obj_list_append(mp_sys_path, MP_OBJ_NEW_QSTR(MP_QSTR__slash_lib));
        readline_init0();
        run_programs();
        mp_hal_stdout_tx_str("MPY: soft reboot\r\n");
        gc_sweep_all();
        mp_deinit();
    }
}

void gc_collect(void) {
    gc_collect_start();
    gc_helper_collect_regs_and_stack();
    gc_collect_end();
}

void nlr_jump_fail(void *value) {
    (void)value;
    mp_hal_stdout_tx_str("an exception that nothing catches\r\n");
    linux_exit(3);
}
