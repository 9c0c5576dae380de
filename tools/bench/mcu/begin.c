/* Between a board's first instructions and main: initialized data comes from flash, the rest is zero. */
#include "board.h"

extern uint32_t data_start[], data_end[], data_load[], bss_start[], bss_end[];

void begin(void)
{
    for (uint32_t *to = data_start, *from = data_load; to < data_end;)
        *to++ = *from++;
    for (uint32_t *to = bss_start; to < bss_end;)
        *to++ = 0;
    leave(main());
}
