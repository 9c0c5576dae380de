/*
 * What a compiler calls for 64-bit multiplication and division, where Xtensa has no instruction: firmware for QEMU is
 * linked with this, since Debian has no libgcc for windowed Xtensa. Names and meanings are GCC's.
 */
#include <stdint.h>

uint64_t __udivmoddi4(uint64_t dividend, uint64_t divisor, uint64_t *remainder);

/* Of 32-bit numbers; from lib1funcs.S. */
uint64_t __umulsidi3(uint32_t a, uint32_t b);

int64_t __muldi3(int64_t a, int64_t b) {
    uint32_t a_low = (uint32_t)a, a_high = (uint32_t)((uint64_t)a >> 32);
    uint32_t b_low = (uint32_t)b, b_high = (uint32_t)((uint64_t)b >> 32);
    uint32_t cross = a_high * b_low + a_low * b_high;
    return (int64_t)(__umulsidi3(a_low, b_low) + ((uint64_t)cross << 32));
}

/* Bit by bit, but for dividends of 32 bits. Dividing by 0 gives 0. */
uint64_t __udivmoddi4(uint64_t dividend, uint64_t divisor, uint64_t *remainder) {
    uint64_t quotient = 0;
    if (divisor != 0 && (dividend | divisor) >> 32 == 0) {
        quotient = (uint32_t)dividend / (uint32_t)divisor;
        dividend = (uint32_t)dividend % (uint32_t)divisor;
    } else if (divisor != 0 && divisor <= dividend) {
        int shift = 0;
        while (!(divisor >> 63) && divisor << 1 <= dividend) {
            divisor <<= 1;
            shift++;
        }
        for (; shift >= 0; shift--, divisor >>= 1) {
            quotient <<= 1;
            if (dividend >= divisor) {
                dividend -= divisor;
                quotient |= 1;
            }
        }
    }
    if (remainder) {
        *remainder = dividend;
    }
    return quotient;
}

uint64_t __udivdi3(uint64_t dividend, uint64_t divisor) {
    return __udivmoddi4(dividend, divisor, 0);
}

uint64_t __umoddi3(uint64_t dividend, uint64_t divisor) {
    uint64_t remainder;
    __udivmoddi4(dividend, divisor, &remainder);
    return remainder;
}

static uint64_t magnitude(int64_t value) {
    return value < 0 ? -(uint64_t)value : (uint64_t)value;
}

int64_t __divdi3(int64_t dividend, int64_t divisor) {
    uint64_t quotient = __udivdi3(magnitude(dividend), magnitude(divisor));
    return (int64_t)((dividend ^ divisor) < 0 ? -quotient : quotient);
}

int64_t __moddi3(int64_t dividend, int64_t divisor) {
    uint64_t remainder = __umoddi3(magnitude(dividend), magnitude(divisor));
    return (int64_t)(dividend < 0 ? -remainder : remainder);
}

int __clzdi2(uint64_t value) {
    uint32_t high = (uint32_t)(value >> 32);
    return high ? __builtin_clz(high) : 32 + __builtin_clz((uint32_t)value);
}

int __ctzdi2(uint64_t value) {
    uint32_t low = (uint32_t)value;
    return low ? __builtin_ctz(low) : 32 + __builtin_ctz((uint32_t)(value >> 32));
}

int __popcountsi2(uint32_t value) {
    int count = 0;
    for (; value; value &= value - 1) {
        count++;
    }
    return count;
}
