#include "semihosting.h"

#include <string.h>

enum { SYS_OPEN = 0x01, SYS_CLOSE = 0x02, SYS_WRITE0 = 0x04, SYS_READ = 0x06, SYS_TIME = 0x11 };
enum { OPEN_BINARY = 1 };

#if defined(__arm__)

static uint32_t call(uint32_t operation, const void *argument) {
    register uint32_t r0 __asm__ ("r0") = operation;
    register const void *r1 __asm__ ("r1") = argument;
    __asm__ volatile ("bkpt 0xab" : "+r" (r0) : "r" (r1) : "memory");
    return r0;
}

#else

/* The three instructions must be uncompressed and in one page. */
static uint32_t call(uint32_t operation, const void *argument) {
    register uint32_t a0 __asm__ ("a0") = operation;
    register const void *a1 __asm__ ("a1") = argument;
    __asm__ volatile (
        ".option push\n"
        ".option norvc\n"
        ".balign 16\n"
        "slli zero, zero, 0x1f\n"
        "ebreak\n"
        "srai zero, zero, 7\n"
        ".option pop\n"
        : "+r" (a0) : "r" (a1) : "memory");
    return a0;
}

#endif

uint32_t host_time(void) {
    return call(SYS_TIME, NULL);
}

bool host_read(const char *path, uint8_t *data, size_t size) {
    uintptr_t file[] = {(uintptr_t)path, OPEN_BINARY, strlen(path)};
    uint32_t handle = call(SYS_OPEN, file);
    if (handle == UINT32_MAX) {
        return false;
    }
    uintptr_t part[] = {handle, (uintptr_t)data, size};
    bool all = call(SYS_READ, part) == 0;
    call(SYS_CLOSE, &handle);
    return all;
}

void host_say(const char *text) {
    call(SYS_WRITE0, text);
}
