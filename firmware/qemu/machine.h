/* The emulated machine: its clock, its serial port, sleep and reset, and memory that the port's linker script leaves. */
#ifndef SESSTAB_QEMU_MACHINE_H
#define SESSTAB_QEMU_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#define HEAP_SIZE (256 * 1024)
#define FLASH_SIZE (1024 * 1024)

#if defined(QEMU_SOC_MPS2)
#define HEAP ((uint8_t *)0x20000000)
#define FLASH ((uint8_t *)0x21000000)
#define CLOCK_HZ 25000000
#elif defined(QEMU_SOC_NRF51)
/* After the 256 KB of the linker script; QEMU's nrf51-soc.sram-size has to reach further than that. */
#define HEAP ((uint8_t *)0x20040000)
#define FLASH ((uint8_t *)0x20100000)
#define CLOCK_HZ 16000000
#elif defined(QEMU_SOC_VIRT)
#define HEAP ((uint8_t *)0x81000000)
#define FLASH ((uint8_t *)0x82000000)
#define CLOCK_HZ 10000000
#else
#error this board of ports/qemu is not known here
#endif

void machine_init(void);

/* Since the reset, at CLOCK_HZ. Asked at least once a minute. */
uint64_t machine_ticks(void);

/* Sleeps for so long, a quarter of a second at most; or until something comes on the serial port, if `input`. */
void machine_sleep(uint64_t ticks, bool input);

bool machine_can_write(void);
void machine_write(uint8_t byte);

__attribute__((noreturn)) void machine_restart(void);

#endif
