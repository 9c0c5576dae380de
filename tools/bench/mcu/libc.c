/* What a table may need of a C library, on every board the same: not every compiler here comes with one. As in newlib,
 * word by word where it is aligned. */
#include <stddef.h>
#include <stdint.h>

typedef uint32_t __attribute__((may_alias)) word_t;

void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int value, size_t n);
int memcmp(const void *a, const void *b, size_t n);

static int are_aligned(const void *a, const void *b)
{
    return (((uintptr_t)a | (uintptr_t)b) & 3) == 0;
}

void *memcpy(void *to, const void *from, size_t n)
{
    uint8_t *t = to;
    const uint8_t *f = from;
    if (are_aligned(to, from))
        for (; n >= 4; n -= 4, t += 4, f += 4)
            *(word_t *)t = *(const word_t *)f;
    while (n--)
        *t++ = *f++;
    return to;
}

void *memset(void *to, int value, size_t n)
{
    uint8_t *t = to, byte = (uint8_t)value;
    if (are_aligned(to, to))
        for (uint32_t word = byte * 0x01010101u; n >= 4; n -= 4, t += 4)
            *(word_t *)t = word;
    while (n--)
        *t++ = byte;
    return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const uint8_t *x = a, *y = b;
    if (are_aligned(a, b))
        for (; n >= 4 && *(const word_t *)x == *(const word_t *)y; n -= 4, x += 4, y += 4)
            ;
    for (; n; n--, x++, y++)
        if (*x != *y)
            return *x < *y ? -1 : 1;
    return 0;
}
