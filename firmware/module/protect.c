/*
 * Catching Python exceptions in C, in firmware that was built without us.
 *
 * nlr_push() returns twice, as setjmp() does. A user C module uses it as MicroPython does. A dynamic module reaches
 * it through mp_fun_table and does not know the firmware's nlr_buf_t:
 *   - With MICROPY_NLR_SETJMP (ESP32) the table's nlr_push only links the buffer; setjmp, also in the table, has to
 *     be called after it on the words that follow `prev` and `ret_val`, and its jmp_buf may be larger than ours.
 *   - With MICROPY_ENABLE_PYSTACK the buffer has one more word at its end.
 * Hence the spare words. They cost stack during a callback, nothing else.
 *
 * The compiler does not know that these calls return twice. That is why this function is on its own, is never
 * inlined, and uses nothing after the second return: what the caller wants to know is in its `arg`.
 */
#include "module.h"

#if MICROPY_ENABLE_DYNRUNTIME

#define SPARE_WORDS 32 /* jmp_buf takes at most 25 words (x86-64), 40 on RV32 with doubles, 17 on Xtensa */

typedef struct {
    nlr_buf_t nlr;
    void *spare[SPARE_WORDS];
} frame_t;

#define PUSH(frame) \
    (mp_fun_table.nlr_push(&(frame)->nlr) != 0 \
    || (mp_fun_table.setjmp_ != NULL && ((int (*)(void *))mp_fun_table.setjmp_)((&(frame)->nlr.ret_val) + 1) != 0))
#define POP() mp_fun_table.nlr_pop()

#else

typedef struct {
    nlr_buf_t nlr;
} frame_t;

#define PUSH(frame) (nlr_push(&(frame)->nlr) != 0)
#define POP() nlr_pop()

#endif

__attribute__((noinline)) bool protected_call(void (*function)(void *), void *arg) {
    frame_t frame __attribute__((aligned(16)));
    if (PUSH(&frame)) {
        return false;
    }
    function(arg);
    POP();
    return true;
}
