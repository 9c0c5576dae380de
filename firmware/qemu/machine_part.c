/* Part of extmod/modmachine.c: what it asks of a port. */
#include "machine.h"

static void mp_machine_idle(void) {
    mp_event_wait_ms(1);
}

__attribute__((noreturn)) static void mp_machine_reset(void) {
    machine_restart();
}

static mp_int_t mp_machine_reset_cause(void) {
    return 0;
}
