/*
 * Three machines of QEMU. Interrupts only end a sleep: they stay masked, so that the processor wakes, and nothing is
 * called. With QEMU's -icount an instruction takes a nanosecond of the clock, and a sleep as long as it says.
 */
#include "machine.h"
#include "py/mpconfig.h"
#include "py/misc.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define REGISTER8(address) (*(volatile uint8_t *)(address))
#define NAP (CLOCK_HZ / 4) /* the longest sleep, so that the clock's wraps are seen */

#if defined(QEMU_SOC_MPS2)

#define SERIAL_IRQ 0

#define TIMER_CONTROL REGISTER(0x40000000)
#define TIMER_VALUE REGISTER(0x40000004) /* counts down */
#define TIMER_RELOAD REGISTER(0x40000008)
#define UART_DATA REGISTER(0x40004000)
#define UART_STATE REGISTER(0x40004004)
#define UART_CONTROL REGISTER(0x40004008)
#define UART_INTERRUPT REGISTER(0x4000400c)
#define UART_TX_FULL 1
#define UART_RX_FULL 2
#define UART_TX_RX_AND_RX_INTERRUPT 11
#define UART_RX_INTERRUPT 2

void machine_init(void) {
    TIMER_RELOAD = UINT32_MAX;
    TIMER_VALUE = UINT32_MAX;
    TIMER_CONTROL = 1;
    UART_CONTROL = UART_TX_RX_AND_RX_INTERRUPT;
}

static uint32_t clock_low(void) {
    return ~TIMER_VALUE;
}

/* The interrupt is for a byte that comes after this. */
static bool serial_is_quiet(void) {
    UART_INTERRUPT = UART_RX_INTERRUPT;
    return !(UART_STATE & UART_RX_FULL);
}

bool machine_can_write(void) {
    return !(UART_STATE & UART_TX_FULL);
}

void machine_write(uint8_t byte) {
    UART_DATA = byte;
}

#elif defined(QEMU_SOC_NRF51)

#define SERIAL_IRQ 2

#define TIMER_START REGISTER(0x40008000)
#define TIMER_CAPTURE REGISTER(0x40008040)
#define TIMER_BITMODE REGISTER(0x40008508)
#define TIMER_PRESCALER REGISTER(0x40008510)
#define TIMER_CAPTURED REGISTER(0x40008540)
#define BITMODE_32 3
#define UART_RX_READY REGISTER(0x40002108)
#define UART_TX_READY REGISTER(0x4000211c)
#define UART_INTERRUPT_ENABLE REGISTER(0x40002304)
#define UART_TX_DATA REGISTER(0x4000251c)
#define UART_RX_INTERRUPT 4

static bool is_writing;

void machine_init(void) {
    TIMER_BITMODE = BITMODE_32;
    TIMER_PRESCALER = 0;
    TIMER_START = 1;
    UART_INTERRUPT_ENABLE = UART_RX_INTERRUPT;
}

static uint32_t clock_low(void) {
    TIMER_CAPTURE = 1;
    return TIMER_CAPTURED;
}

static bool serial_is_quiet(void) {
    return UART_RX_READY == 0;
}

bool machine_can_write(void) {
    return !is_writing || UART_TX_READY != 0;
}

void machine_write(uint8_t byte) {
    UART_TX_READY = 0;
    UART_TX_DATA = byte;
    is_writing = true;
}

#elif defined(QEMU_SOC_VIRT)

#define TIME_LOW REGISTER(0x0200bff8)
#define TIME_HIGH REGISTER(0x0200bffc)
#define TIME_COMPARE_LOW REGISTER(0x02004000)
#define TIME_COMPARE_HIGH REGISTER(0x02004004)
#define PLIC_SERIAL_PRIORITY REGISTER(0x0c000000 + 4 * SERIAL_IRQ)
#define PLIC_ENABLE REGISTER(0x0c002000)
#define PLIC_THRESHOLD REGISTER(0x0c200000)
#define PLIC_CLAIM REGISTER(0x0c200004)
#define UART_DATA REGISTER8(0x10000000)
#define UART_INTERRUPT_ENABLE REGISTER8(0x10000001)
#define UART_FIFO REGISTER8(0x10000002)
#define UART_STATUS REGISTER8(0x10000005)
#define UART_TX_EMPTY 0x20
#define SERIAL_IRQ 10
#define TEST_FINISHER REGISTER(0x00100000)
#define FINISHER_RESET 0x7777

#define MIE_TIMER (1 << 7)
#define MIE_EXTERNAL (1 << 11)

void machine_init(void) {
    UART_FIFO = 1;
    UART_INTERRUPT_ENABLE = 1; /* for input */
    PLIC_SERIAL_PRIORITY = 1;
    PLIC_ENABLE = 1 << SERIAL_IRQ;
    PLIC_THRESHOLD = 0;
}

static uint32_t clock_low(void) {
    return TIME_LOW;
}

void machine_sleep(uint64_t ticks, bool input) {
    uint64_t until = machine_ticks() + MIN(ticks, NAP);
    TIME_COMPARE_HIGH = UINT32_MAX;
    TIME_COMPARE_LOW = (uint32_t)until;
    TIME_COMPARE_HIGH = (uint32_t)(until >> 32);
    uint32_t wake = MIE_TIMER | (input ? MIE_EXTERNAL : 0);
    __asm__ volatile (
        "csrci mstatus, 8\n" /* masked, but it wakes */
        "csrs mie, %0\n"
        "wfi\n"
        "csrc mie, %0\n"
        "csrsi mstatus, 8\n"
        :: "r" (wake) : "memory");
    PLIC_CLAIM = PLIC_CLAIM; /* the interrupt comes again while there is input */
}

bool machine_can_write(void) {
    return UART_STATUS & UART_TX_EMPTY;
}

void machine_write(uint8_t byte) {
    UART_DATA = byte;
}

void machine_restart(void) {
    TEST_FINISHER = FINISHER_RESET;
    for (;;) {
    }
}

#endif

#if defined(__arm__)

#define SYSTICK_CONTROL REGISTER(0xe000e010)
#define SYSTICK_RELOAD REGISTER(0xe000e014)
#define SYSTICK_VALUE REGISTER(0xe000e018)
#define NVIC_ENABLE REGISTER(0xe000e100)
#define NVIC_DISABLE REGISTER(0xe000e180)
#define NVIC_FORGET REGISTER(0xe000e280)
#define SCB_ICSR REGISTER(0xe000ed04)
#define SCB_AIRCR REGISTER(0xe000ed0c)

#define SYSTICK_ON 7 /* counts the processor's clock, and interrupts */
#define SYSTICK_MAX 0xffffff
#define ICSR_FORGET_SYSTICK (1 << 25)
#define AIRCR_RESET 0x05fa0004

void machine_sleep(uint64_t ticks, bool input) {
    uint64_t count = MIN(ticks, NAP); /* SysTick counts at CLOCK_HZ on both */
    __asm__ volatile ("cpsid i" ::: "memory");
    SYSTICK_RELOAD = MAX(1, MIN(count, SYSTICK_MAX));
    SYSTICK_VALUE = 0;
    SYSTICK_CONTROL = SYSTICK_ON;
    NVIC_ENABLE = input ? 1 << SERIAL_IRQ : 0;
    if (!input || serial_is_quiet()) {
        __asm__ volatile ("wfi" ::: "memory");
    }
    NVIC_DISABLE = 1 << SERIAL_IRQ;
    NVIC_FORGET = 1 << SERIAL_IRQ;
    SYSTICK_CONTROL = 0;
    SCB_ICSR = ICSR_FORGET_SYSTICK;
    __asm__ volatile ("cpsie i" ::: "memory");
}

void machine_restart(void) {
    SCB_AIRCR = AIRCR_RESET;
    for (;;) {
    }
}

#endif

uint64_t machine_ticks(void) {
    static uint32_t high, last;
    uint32_t now = clock_low();
    high += now < last;
    last = now;
    return (uint64_t)high << 32 | now;
}
