/* RISC-V: start, the cycle counter (which counts instructions under -icount), semihosting. */
#include "board.h"

static void semihost(uint32_t operation, const void *argument)
{
    register uint32_t a0 __asm__("a0") = operation;
    register const void *a1 __asm__("a1") = argument;
    __asm__ volatile(".option push\n.option norvc\n.balign 16\n"
                     "slli zero, zero, 0x1f\nebreak\nsrai zero, zero, 7\n.option pop"
                     : "+r"(a0)
                     : "r"(a1)
                     : "memory");
}

uint32_t ticks(void)
{
    uint32_t value;
    __asm__ volatile("csrr %0, mcycle" : "=r"(value));
    return value & 0xffffff;
}

__attribute__((naked, noinline)) void spin(uint32_t rounds)
{
    (void)rounds;
    __asm__ volatile("1: addi a0, a0, -1\n bnez a0, 1b\n ret");
}

void print(const char *text)
{
    semihost(0x04, text); /* SYS_WRITE0 */
}

void leave(int status)
{
    const uint32_t arguments[] = {status ? 0x20024 : 0x20026, 0};
    semihost(0x18, (const void *)(uintptr_t)arguments[0]); /* SYS_EXIT; on 32 bits the reason itself */
    for (;;)
        ;
}

__attribute__((naked, section(".vectors"), used)) void start(void)
{
    __asm__ volatile("la sp, stack_top\ncall begin");
}
