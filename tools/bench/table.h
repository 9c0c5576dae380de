/*
 * A session table under test. Each file table_*.c makes one, out of our core, a peer's library, or a few lines; the
 * benchmarks call all of them through this, on the host (host_bench.c) and on bare boards (mcu/bench.c).
 *
 * There is one table of each kind at a time. What is not the library's own memory is static, for TABLE_SESSIONS_MAX
 * sessions, so that it also runs where there is no heap. Ids are 32 bytes at a multiple of 4; data is what a TLS 1.2
 * session needs: a master secret and a cipher suite. The clock is `seconds`; on the host time(2) gives it, too.
 */
#ifndef TABLE_H
#define TABLE_H

#include <stddef.h>
#include <stdint.h>

#ifndef TABLE_SESSIONS_MAX
#define TABLE_SESSIONS_MAX 65535
#endif

enum { TABLE_ID_SIZE = 32, TABLE_SECRET_SIZE = 48, TABLE_DATA_SIZE = 50, TABLE_TIMEOUT = 1000000 };

typedef struct {
    const char *name;
    int (*init)(uint32_t sessions); /* an empty table that keeps so many; 0 when it cannot be had in that size */
    int (*add)(const uint8_t *id, const uint8_t *data, uint32_t timeout); /* a new session; a full table makes room */
    int (*get)(const uint8_t *id);    /* 1 when found, with all that a server has to do before it resumes */
    int (*remove)(const uint8_t *id); /* 1 when it was there; NULL when the table cannot */
    uint32_t (*number)(void);         /* sessions in the table; NULL when it does not tell */
    int (*read)(const uint8_t *id, uint8_t *secret); /* like get, and copies the 48 bytes out: for tests */
    size_t (*bytes)(void);            /* memory that the table has taken, but for its heap */
    int expires;  /* get does not find what has expired (TABLE_TIMEOUT, or the session's own timeout) */
    int timeouts; /* each session has a timeout of its own */
    int exact;    /* a full table holds the newest `sessions` sessions, when none was looked up or has expired */
} table_t;

extern uint32_t seconds; /* the clock, set by the benchmark */

extern const table_t table_sesstab, table_floor, table_linear, table_bearssl, table_mbedtls2, table_mbedtls3,
    table_openssl, table_wolfssl_medium, table_wolfssl_big, table_wolfssl_huge;

#endif
