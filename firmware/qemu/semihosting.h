/* What only an emulator or a debugger can do: calls of the host. */
#ifndef SESSTAB_QEMU_SEMIHOSTING_H
#define SESSTAB_QEMU_SEMIHOSTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Seconds since 1970, on the host. */
uint32_t host_time(void);

/* Reads a file of the host. */
bool host_read(const char *path, uint8_t *data, size_t size);

/* Writes to QEMU's semihosting console. */
void host_say(const char *text);

#endif
