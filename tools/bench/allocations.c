/* Counts what goes to the C library's heap: linked with -Wl,--wrap=malloc and so on. */
#include <malloc.h>
#include <stddef.h>

unsigned long allocations, heap_bytes; /* calls that took memory; bytes taken now, with 8 for each block's header */

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *block, size_t size);
void __real_free(void *block);

static void *count(void *block)
{
    if (block) {
        allocations++;
        heap_bytes += malloc_usable_size(block) + 8;
    }
    return block;
}

static void uncount(void *block)
{
    if (block)
        heap_bytes -= malloc_usable_size(block) + 8;
}

void *__wrap_malloc(size_t size)
{
    return count(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size)
{
    return count(__real_calloc(n, size));
}

void *__wrap_realloc(void *block, size_t size)
{
    uncount(block);
    return count(__real_realloc(block, size));
}

void __wrap_free(void *block)
{
    uncount(block);
    __real_free(block);
}
