#ifndef SESSTAB_QEMU_ENTROPY_EMULATION_ONLY_H
#define SESSTAB_QEMU_ENTROPY_EMULATION_ONLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool emulation_only_random(uint8_t *data, size_t size);

#endif
