/* A board without an operating system: the instruction count, output, and the end. */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

uint32_t ticks(void);             /* goes up with the instructions; wraps at 2^24 */
void spin(uint32_t rounds);       /* two instructions a round */
void print(const char *text);     /* to the emulator's standard output */
void leave(int status) __attribute__((noreturn));
void begin(void) __attribute__((noreturn)); /* what comes before main, and main; the stack is there */
int main(void);

#endif
