#include "linux.h"

/* Numbers of the Linux kernel's table for Xtensa. */
enum {
    SYS_OPEN = 8,
    SYS_READ = 12,
    SYS_WRITE = 13,
    SYS_LSEEK = 15,
    SYS_POLL = 16,
    SYS_FTRUNCATE = 23,
    SYS_MPROTECT = 82,
    SYS_EXIT_GROUP = 119,
    SYS_GETRANDOM = 338,
    SYS_CLOCK_GETTIME64 = 403,
};
enum { READ_WRITE_CREATE = 0x42, READ_WRITE_EXECUTE = 7 };

static int call(int number, uintptr_t first, uintptr_t second, uintptr_t third) {
    register uintptr_t a2 __asm__("a2") = (uintptr_t)number;
    register uintptr_t a6 __asm__("a6") = first;
    register uintptr_t a3 __asm__("a3") = second;
    register uintptr_t a4 __asm__("a4") = third;
    __asm__ volatile("syscall" : "+r"(a2) : "r"(a6), "r"(a3), "r"(a4) : "memory");
    return (int)a2;
}

int linux_open(const char *path) {
    return call(SYS_OPEN, (uintptr_t)path, READ_WRITE_CREATE, 0600);
}

int linux_resize(int file, size_t size) {
    return call(SYS_FTRUNCATE, (uintptr_t)file, size, 0);
}

int linux_read(int file, void *data, size_t size) {
    return call(SYS_READ, (uintptr_t)file, (uintptr_t)data, size);
}

int linux_write(int file, const void *data, size_t size) {
    return call(SYS_WRITE, (uintptr_t)file, (uintptr_t)data, size);
}

int linux_seek(int file, size_t offset) {
    return call(SYS_LSEEK, (uintptr_t)file, offset, 0);
}

int linux_random(void *data, size_t size) {
    return call(SYS_GETRANDOM, (uintptr_t)data, size, 0);
}

int linux_make_executable(void *memory, size_t size) {
    return call(SYS_MPROTECT, (uintptr_t)memory, size, READ_WRITE_EXECUTE);
}

uint64_t linux_nanoseconds(int clock) {
    struct {
        int64_t seconds;
        int64_t nanoseconds;
    } time = {0, 0};
    call(SYS_CLOCK_GETTIME64, (uintptr_t)clock, (uintptr_t)&time, 0);
    return (uint64_t)time.seconds * 1000000000u + (uint64_t)time.nanoseconds;
}

int linux_wait(int events, int milliseconds) {
    struct {
        int file;
        short events;
        short come;
    } files[2] = {
        {events & LINUX_IN ? LINUX_STDIN : -1, LINUX_IN, 0},
        {events & LINUX_OUT ? LINUX_STDOUT : -1, LINUX_OUT, 0},
    };
    if (call(SYS_POLL, (uintptr_t)files, 2, (uintptr_t)milliseconds) <= 0) {
        return 0;
    }
    return (files[0].come ? LINUX_IN : 0) | (files[1].come ? LINUX_OUT : 0);
}

void linux_exit(int status) {
    for (;;) {
        call(SYS_EXIT_GROUP, (uintptr_t)status, 0, 0);
    }
}
