/* The fuzzer's bytes, taken one by one; zeros when there are no more. */
#ifndef INPUT_H
#define INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct {
    const uint8_t *bytes;
    size_t size;
    size_t at;
} input_t;

static inline int is_over(const input_t *in)
{
    return in->at >= in->size;
}

static inline uint8_t take(input_t *in)
{
    return is_over(in) ? 0 : in->bytes[in->at++];
}

static inline uint32_t take_word(input_t *in)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++)
        value = value << 8 | take(in);
    return value;
}

/* Mostly small numbers and those at an edge, seldom any. */
static inline uint32_t take_number(input_t *in)
{
    static const uint32_t edges[] = {255, 256, 65535, 65536, 0xffffff, 0x1000000, 0x3fffffff, 0x40000000, 0x7fffffff,
        0x80000000, 0xfffffffd, 0xfffffffe, 0xffffffff};
    uint8_t kind = take(in);
    if (kind < 200)
        return kind;
    if (kind < 213)
        return edges[kind - 200];
    return kind < 250 ? (uint32_t)take(in) << 8 | take(in) : take_word(in);
}

#define MUST(claim)                                                                                                \
    do {                                                                                                           \
        if (!(claim)) {                                                                                            \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #claim);                                    \
            abort();                                                                                               \
        }                                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#endif
