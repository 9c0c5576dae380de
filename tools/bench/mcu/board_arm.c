/* Cortex-M: vectors, SysTick, semihosting. */
#include "board.h"

#define SYST_CSR (*(volatile uint32_t *)0xe000e010)
#define SYST_RVR (*(volatile uint32_t *)0xe000e014)
#define SYST_CVR (*(volatile uint32_t *)0xe000e018)

extern uint32_t stack_top[];

static void semihost(uint32_t operation, const void *argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

uint32_t ticks(void)
{
    return 0xffffff - SYST_CVR;
}

__attribute__((naked, noinline)) void spin(uint32_t rounds)
{
    (void)rounds;
    __asm__ volatile(".syntax unified\n1: subs r0, r0, #1\n bne 1b\n bx lr");
}

void print(const char *text)
{
    semihost(0x04, text); /* SYS_WRITE0 */
}

void leave(int status)
{
    semihost(0x18, (const void *)(status ? 0x20024 : 0x20026)); /* SYS_EXIT: an error, or the application's end */
    for (;;)
        ;
}

void start(void);

void start(void)
{
    SYST_RVR = 0xffffff;
    SYST_CVR = 0;
    SYST_CSR = 5; /* on, by the processor's clock */
    begin();
}

static void fault(void)
{
    print("fault\n");
    leave(1);
}

__attribute__((section(".vectors"), used)) static const void *const vectors[] = {
    stack_top, (const void *)start, (const void *)fault, (const void *)fault};
