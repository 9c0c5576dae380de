/* The serial line, and time. */
#include "linux.h"
#include "py/mphal.h"
#include "py/ringbuf.h"
#include "py/runtime.h"
#include "py/stream.h"

static uint8_t input[1024];
static ringbuf_t ring = {input, sizeof(input), 0, 0};

/* Ctrl-C is seen as long as there is room for what is before it, as on boards. */
static void take_input(void) {
    uint8_t data[256];
    size_t room = MIN(sizeof(data), ringbuf_free(&ring));
    int size = linux_read(LINUX_STDIN, data, room);
    if (size <= 0) {
        linux_exit(0);
    }
    for (int i = 0; i < size; i++) {
        if (data[i] == mp_interrupt_char) {
            mp_sched_keyboard_interrupt();
        } else {
            ringbuf_put(&ring, data[i]);
        }
    }
}

/* Waits for `events` and takes input meanwhile; which have come. */
static int wait(int events, int milliseconds) {
    int come = linux_wait(events | (ringbuf_free(&ring) > 0 ? LINUX_IN : 0), milliseconds);
    if (come & LINUX_IN) {
        take_input();
    }
    return come;
}

void mp_hal_wait(int milliseconds) {
    wait(0, milliseconds);
}

int mp_hal_stdin_rx_chr(void) {
    for (;;) {
        int c = ringbuf_get(&ring);
        if (c >= 0) {
            return c;
        }
        mp_event_wait_indefinite();
    }
}

mp_uint_t mp_hal_stdout_tx_strn(const char *text, size_t size) {
    for (size_t sent = 0; sent < size;) {
        if (wait(LINUX_OUT, -1) & LINUX_OUT) {
            int written = linux_write(LINUX_STDOUT, text + sent, size - sent);
            if (written < 0) {
                linux_exit(0);
            }
            sent += (size_t)written;
        }
    }
    return size;
}

uintptr_t mp_hal_stdio_poll(uintptr_t flags) {
    uintptr_t ready = 0;
    int come = wait(flags & MP_STREAM_POLL_WR ? LINUX_OUT : 0, 0);
    if ((flags & MP_STREAM_POLL_RD) && ringbuf_avail(&ring) > 0) {
        ready |= MP_STREAM_POLL_RD;
    }
    if (come & LINUX_OUT) {
        ready |= MP_STREAM_POLL_WR;
    }
    return ready;
}

uint64_t mp_hal_time_ns(void) {
    return linux_nanoseconds(LINUX_REALTIME);
}

mp_uint_t mp_hal_ticks_us(void) {
    return (mp_uint_t)(linux_nanoseconds(LINUX_MONOTONIC) / 1000);
}

mp_uint_t mp_hal_ticks_ms(void) {
    return (mp_uint_t)(linux_nanoseconds(LINUX_MONOTONIC) / 1000000);
}

mp_uint_t mp_hal_ticks_cpu(void) {
    return mp_hal_ticks_us();
}

void mp_hal_delay_ms(mp_uint_t milliseconds) {
    mp_uint_t start = mp_hal_ticks_ms();
    mp_event_handle_nowait();
    for (mp_uint_t passed = 0; passed < milliseconds; passed = mp_hal_ticks_ms() - start) {
        mp_event_wait_ms(milliseconds - passed);
    }
}

void mp_hal_delay_us(mp_uint_t microseconds) {
    mp_uint_t start = mp_hal_ticks_us();
    while (mp_hal_ticks_us() - start < microseconds) {
        continue;
    }
}
