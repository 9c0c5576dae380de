/*
 * setjmp and longjmp for the windowed ABI. A function's registers are in its window of the register file, or, once the
 * window overflowed, on the stack:
 *
 *     a0 - a3     in the 16 bytes below the stack pointer of the function that it called
 *     a4 - a7     if it called with CALL8 or CALL12: 32 bytes below its own caller's stack pointer
 *     a8 - a11    if with CALL12: 48 bytes below that
 *
 * setjmp makes all windows overflow and copies its caller's registers from there. longjmp puts them back there and
 * returns to the place where setjmp was called; the window underflows and loads them. In the buffer, in words:
 *
 *     0 - 11      a0 - a11 of the function that called setjmp
 *     12 - 15     the 16 bytes below its stack pointer, the registers of its caller: alloca may move them
 *     16          setjmp's return address; its two top bits say how it was called (1: CALL4, 2: CALL8, 3: CALL12)
 */
#define FRAME 16

    .macro copy4 from, from_offset, to, to_offset
    l32i    a8, \from, \from_offset
    l32i    a9, \from, \from_offset + 4
    s32i    a8, \to, \to_offset
    s32i    a9, \to, \to_offset + 4
    l32i    a8, \from, \from_offset + 8
    l32i    a9, \from, \from_offset + 12
    s32i    a8, \to, \to_offset + 8
    s32i    a9, \to, \to_offset + 12
    .endm

    .text

    /* Makes all windows but the caller's overflow: 32 registers are 8 windows of 4, and this takes 9. */
    .align 4
spill_windows:
    entry   a1, 48 /* with room for a4 - a11, since it calls with CALL12 */
    call12  1f
    retw
    .align 4
1:  entry   a1, 48
    mov     a12, a0
    call12  2f
    retw
    .align 4
2:  entry   a1, 48
    mov     a12, a0
    call12  3f
    retw
    .align 4
3:  entry   a1, 16
    mov     a12, a0
    retw

    .global setjmp
    .type setjmp, @function
    .align 4
setjmp:
    entry   a1, FRAME
    call4   spill_windows
    addi    a3, a1, -16
    copy4   a3, 0, a2, 0
    l32i    a4, a3, 4           /* the caller's stack pointer */
    addi    a4, a4, -16
    copy4   a4, 0, a2, 48
    l32i    a5, a4, 4           /* its caller's stack pointer */
    addi    a5, a5, -48
    extui   a6, a0, 30, 2
    blti    a6, 2, 1f
    copy4   a5, 16, a2, 16
    blti    a6, 3, 1f
    copy4   a5, 0, a2, 32
1:  s32i    a0, a2, 64
    movi    a2, 0
    retw
    .size setjmp, . - setjmp

    .global longjmp
    .type longjmp, @function
    .align 4
longjmp:
    entry   a1, FRAME
    call4   spill_windows
    l32i    a0, a2, 64
    l32i    a4, a2, 4           /* the stack pointer to go back to */
    addi    a4, a4, -16
    addi    a5, a4, -16         /* below that of setjmp, which was FRAME bytes lower */
    copy4   a2, 0, a5, 0
    copy4   a2, 48, a4, 0
    l32i    a5, a4, 4
    addi    a5, a5, -48
    extui   a6, a0, 30, 2
    blti    a6, 2, 1f
    copy4   a2, 16, a5, 16
    blti    a6, 3, 1f
    copy4   a2, 32, a5, 0
1:  mov     a1, a4              /* setjmp's stack pointer: its caller's, less FRAME */
    movi    a2, 1
    movnez  a2, a3, a3
    retw
    .size longjmp, . - longjmp
