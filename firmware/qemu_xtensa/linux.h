/* What this firmware asks of the Linux that QEMU emulates: the "hardware" of the board. Results below 0 are errors. */
#include <stddef.h>
#include <stdint.h>

enum { LINUX_STDIN = 0, LINUX_STDOUT = 1, LINUX_STDERR = 2 };
enum { LINUX_IN = 1, LINUX_OUT = 4 };
enum { LINUX_REALTIME = 0, LINUX_MONOTONIC = 1 };

int linux_open(const char *path);
int linux_resize(int file, size_t size);
int linux_read(int file, void *data, size_t size);
int linux_write(int file, const void *data, size_t size);
int linux_seek(int file, size_t offset);
int linux_random(void *data, size_t size);
int linux_make_executable(void *memory, size_t size);
uint64_t linux_nanoseconds(int clock);

/* Waits for one of `events` at standard input and output, -1 for ever; which have come. */
int linux_wait(int events, int milliseconds);

void linux_exit(int status) __attribute__((noreturn));
