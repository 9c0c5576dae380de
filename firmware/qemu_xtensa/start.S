/*
 * Where the program begins: a1 points at argc, argv[0], ... CALL4 and not CALL8, since there is no caller in whose
 * frame the registers a4 to a7 could be kept when this window overflows.
 */
    .text
    .global _start
    .align 4
    .literal_position
_start:
    movi    a0, 0
    l32i    a6, a1, 0       /* argc */
    addi    a7, a1, 4       /* argv */
    addi    a1, a1, -32
    movi    a2, -16
    and     a1, a1, a2
    movi    a4, main
    callx4  a4
    ill
