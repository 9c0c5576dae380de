/* The serial line and time, for MicroPython. */
#include "machine.h"
#include "semihosting.h"
#include "py/mphal.h"
#include "py/ringbuf.h"
#include "py/runtime.h"
#include "py/stream.h"
#include "uart.h"

#define PER_MS (CLOCK_HZ / 1000)
#define PER_US (CLOCK_HZ / 1000000)

static uint8_t input[4096];
static ringbuf_t ring = {input, sizeof(input), 0, 0};

/* What does not fit stays with the host. So Ctrl-C is seen as long as there is room for what is before it. */
void hal_take_input(void) {
    int byte;
    while (ringbuf_free(&ring) > 0 && (byte = uart_rx_chr()) != UART_RX_NO_CHAR) {
        if (byte == mp_interrupt_char) {
            mp_sched_keyboard_interrupt();
        } else {
            ringbuf_put(&ring, (uint8_t)byte);
        }
    }
}

/* Sleeps until there is input, or `ticks` are over, or sooner. */
static void sleep_for(uint64_t ticks) {
    hal_take_input();
    if (mp_sched_num_pending() == 0 && MP_STATE_THREAD(mp_pending_exception) == MP_OBJ_NULL) {
        machine_sleep(ticks, ringbuf_free(&ring) > 0);
        hal_take_input();
    }
}

void hal_wait(int milliseconds) {
    if (milliseconds != 0 && ringbuf_avail(&ring) == 0) {
        sleep_for(milliseconds < 0 ? UINT64_MAX : (uint64_t)milliseconds * PER_MS);
    }
}

/* Waiting for input the first time, the board is ready: what runs QEMU is told. */
static void say_ready(void) {
    static bool said;
    if (!said) {
        said = true;
        host_say("ready\n");
    }
}

int __wrap_mp_hal_stdin_rx_chr(void) {
    for (;;) {
        hal_take_input();
        int byte = ringbuf_get(&ring);
        if (byte >= 0) {
            return byte;
        }
        say_ready();
        mp_handle_pending(true);
        sleep_for(UINT64_MAX);
    }
}

mp_uint_t __wrap_mp_hal_stdout_tx_strn(const char *text, size_t size) {
    for (size_t i = 0; i < size; i++) {
        while (!machine_can_write()) {
            machine_sleep(PER_MS, false);
        }
        machine_write((uint8_t)text[i]);
    }
    return size;
}

uintptr_t __wrap_mp_hal_stdio_poll(uintptr_t flags) {
    hal_take_input();
    uintptr_t ready = 0;
    if (ringbuf_avail(&ring) > 0) {
        ready |= MP_STREAM_POLL_RD;
    }
    if (machine_can_write()) {
        ready |= MP_STREAM_POLL_WR;
    }
    return flags & ready;
}

mp_uint_t mp_hal_ticks_ms(void) {
    return (mp_uint_t)(machine_ticks() / PER_MS);
}

mp_uint_t mp_hal_ticks_us(void) {
    return (mp_uint_t)(machine_ticks() / PER_US);
}

mp_uint_t mp_hal_ticks_cpu(void) {
    return (mp_uint_t)machine_ticks();
}

static void delay(uint64_t ticks) {
    uint64_t start = machine_ticks();
    uint64_t passed = 0;
    do {
        mp_event_handle_nowait();
        sleep_for(ticks - passed);
        passed = machine_ticks() - start;
    } while (passed < ticks);
}

void mp_hal_delay_ms(mp_uint_t ms) {
    delay((uint64_t)ms * PER_MS);
}

void mp_hal_delay_us(mp_uint_t us) {
    delay((uint64_t)us * PER_US);
}

/* The host's time at the reset, as of a clock with a battery, and what has passed since. */
uint64_t mp_hal_time_ns(void) {
    static uint64_t start;
    uint64_t passed = machine_ticks() * (1000000000 / CLOCK_HZ);
    if (start == 0) {
        start = (uint64_t)host_time() * 1000000000;
        start -= passed;
    }
    return start + passed;
}
