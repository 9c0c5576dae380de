#include <stddef.h>

#include "shared/runtime/interrupt_char.h"

/* Waits for input at most so long (-1: for ever), and takes what there is of it. */
void mp_hal_wait(int milliseconds);

#define MICROPY_INTERNAL_WFE(timeout_ms) mp_hal_wait((int)(timeout_ms))
