/*
 * A session table under test: each file peer_*.c makes one, and the image links one of them with bench.c.
 *
 * Ids are 32 bytes at a multiple of 4, as Mbed TLS and MicroPython hold them; data is what a TLS 1.2 session needs.
 */
#ifndef PEER_H
#define PEER_H

#include <stdint.h>

enum { ID_SIZE = 32, DATA_SIZE = 50, SESSIONS_MAX = 256 };

typedef struct {
    const char *name;
    void (*init)(uint32_t sessions); /* makes an empty table with room for so many, at most SESSIONS_MAX */
    int (*add)(const uint8_t *id, const uint8_t *data, uint32_t timeout); /* a new session; a full table makes room */
    int (*get)(const uint8_t *id);    /* 1 when found, with all that a server has to do before it resumes */
    int (*remove)(const uint8_t *id); /* 1 when it was there; NULL when the table cannot */
    int expires;                      /* whether a full table looks for all that have expired */
    uint32_t (*number)(void);         /* sessions in the table; NULL when it does not expire them */
} peer_t;

extern const peer_t peer;
extern uint32_t seconds; /* the clock */

#endif
