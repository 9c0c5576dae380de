/*
 * sesstab: a fixed-size TLS session table with the semantics of OpenSSL's session cache.
 *
 * Three promises:
 *   - All memory is the caller's: sesstab_size() bytes, taken once. Nothing is allocated afterwards.
 *   - Every call ends in time bounded by the number of slots, whatever ids a peer sends.
 *   - A session that is freed, removed, evicted or found expired is overwritten before the call returns,
 *     unless somebody still holds a reference to it; then it is overwritten by the last sesstab_free().
 *
 *     static SESSTAB_MEMORY(memory, 32, 2, 50);
 *     sesstab_config_t config = {.capacity = 32, .spare = 2, .data_size = 50, .timeout = 7200,
 *                                .mode = SESSTAB_CACHE_SERVER, .clock = seconds};
 *     sesstab_t *t = sesstab_init(memory, sizeof memory, &config);
 *     sesstab_handle_t h = sesstab_new_session(t, id, 32, state, 50, SESSTAB_DEFAULT_TIMEOUT, 0);
 *     sesstab_add_session(t, h);
 *     sesstab_free(t, h);                         // the table keeps its own reference
 *     h = sesstab_get_session(t, id, 32, 0);      // 0, or a handle to be freed
 *
 * Words: a session is an id (1 to 32 bytes), secret state ("data"), a creation time, a timeout and a context.
 * A slot stores one session. A session is "in the table" between add_session and its removal; it keeps its slot
 * for as long as it is in the table or referenced. A handle names a session; 0 is no session, and a handle whose
 * session is gone is stale: every function takes it, does nothing and returns 0.
 *
 * Times are whole seconds, 0 to 2^32 - 1, from the caller's clock. Time 0 means that the time is not known: then
 * every session counts as expired. A session is expired when its age is more than its timeout, or when it was made
 * in the future (a clock that was set back).
 *
 * Not thread-safe: one thread at a time, as under MicroPython's lock. Callbacks: see sesstab_config_t.
 * docs/openssl.md lists where this differs from OpenSSL, and why.
 */
#ifndef SESSTAB_H
#define SESSTAB_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Limits. A slot takes 46 bytes and the data, rounded up to a multiple of 4, and 4 bytes of links; with more than
 * 255 slots, 8 bytes of links. */
#define SESSTAB_ID_MAX 32u       /* bytes; RFC 5246 section 7.4.1.2 */
#define SESSTAB_DATA_MAX 2047u   /* bytes */
#define SESSTAB_SLOTS_MAX 65535u /* capacity + spare */
#define SESSTAB_REFS_MAX 255u    /* references that callers hold to one session */

/* Session cache modes, with OpenSSL's values: SSL_CTX_set_session_cache_mode(3). */
#define SESSTAB_CACHE_OFF 0x0000u
#define SESSTAB_CACHE_CLIENT 0x0001u
#define SESSTAB_CACHE_SERVER 0x0002u
#define SESSTAB_CACHE_BOTH (SESSTAB_CACHE_CLIENT | SESSTAB_CACHE_SERVER)
#define SESSTAB_CACHE_NO_AUTO_CLEAR 0x0080u
#define SESSTAB_CACHE_NO_INTERNAL_LOOKUP 0x0100u
#define SESSTAB_CACHE_NO_INTERNAL_STORE 0x0200u
#define SESSTAB_CACHE_NO_INTERNAL (SESSTAB_CACHE_NO_INTERNAL_LOOKUP | SESSTAB_CACHE_NO_INTERNAL_STORE)
#define SESSTAB_CACHE_UPDATE_TIME 0x0400u

/* For new_session's timeout: the table's own, sesstab_get_timeout(). */
#define SESSTAB_DEFAULT_TIMEOUT UINT32_MAX

/* Names a session of one table: 1 to 2^30 - 1, so that it is a small int in MicroPython. A stale handle is refused
 * until its slot has been reused 2^14 times (2^16 times with at most 16384 slots). */
typedef uint32_t sesstab_handle_t;

typedef struct sesstab sesstab_t;

typedef struct {
    uint16_t capacity;  /* sessions in the table, 1 to 65535 */
    uint16_t spare;     /* further slots, for sessions that are referenced but not in the table */
    uint16_t data_size; /* bytes of data a session can hold, 1 to 2047 */
    uint16_t mode;      /* SESSTAB_CACHE_* */
    uint32_t timeout;   /* seconds, 0 to 2^32 - 2 */
    uint32_t seed[2];   /* random; keys the hash, so that nobody can choose ids that collide */
    void *arg;          /* passed to the callbacks */

    /* The time in whole seconds; 0 when it is not known. Required. */
    uint32_t (*clock)(void *arg);

    /* Callbacks, each may be NULL: SSL_CTX_sess_set_new_cb(3). They may call the table, except as said.
     *
     * on_new: a new session was negotiated (sesstab_update_cache). The handle comes with a reference: return 1 to
     * keep it, 0 to have it freed. */
    int (*on_new)(void *arg, sesstab_handle_t h);
    /* on_get: a session was asked for that is not in the table. Returns 0, or the handle of a session with this id
     * and gives away one reference to it. */
    sesstab_handle_t (*on_get)(void *arg, const uint8_t *id, size_t id_len);
    /* on_remove: a session was removed, by anything but another session with the same id. Its handle is good
     * during the call. add_session, remove_session, get_session and flush_sessions return 0 and do nothing
     * meanwhile; docs/openssl.md tells what libssl does. */
    void (*on_remove)(void *arg, sesstab_handle_t h);
} sesstab_config_t;

/* Bytes that a table takes, everything included; 0 when an argument is out of range (see sesstab_config_t). */
size_t sesstab_size(size_t capacity, size_t spare, size_t data_size);

/* The same as a constant, for arguments in range; and what declares that much memory, suitably aligned. */
#define SESSTAB_SIZE(capacity, spare, data_size)                                                                 \
    (SESSTAB_SLOTS_OFFSET((size_t)(capacity), (size_t)(capacity) + (spare)) +                                     \
        ((size_t)(capacity) + (spare)) * SESSTAB_SLOT_SIZE((size_t)(data_size)) + 2)
#define SESSTAB_MEMORY(name, capacity, spare, data_size)                                                         \
    uint64_t name[(SESSTAB_SIZE(capacity, spare, data_size) + 7) / 8]

/* The layout behind it, which sesstab.c explains: header, links, slots. */
#define SESSTAB_ALIGN(n, to) (((n) + (to) - 1) / (to) * (to))
#define SESSTAB_HEADER_SIZE SESSTAB_ALIGN(sizeof(sesstab_config_t) + 4 * sizeof(void *) + 120, sizeof(void *))
#define SESSTAB_IS_WIDE(slots) ((slots) > 255)
#define SESSTAB_BUCKETS(capacity) ((capacity) - (capacity) / 8)
#define SESSTAB_LINKS(capacity, slots) (3 * (slots) + 2 + SESSTAB_BUCKETS(capacity))
#define SESSTAB_SLOT_SIZE(data_size) SESSTAB_ALIGN(46 + (data_size), 4)
#define SESSTAB_SLOTS_OFFSET(capacity, slots)                                                                    \
    SESSTAB_ALIGN(SESSTAB_HEADER_SIZE + (SESSTAB_IS_WIDE(slots) ? 2 : 1) * SESSTAB_LINKS(capacity, slots) - 2,    \
        4)

/* Makes a table in `memory` (4-byte aligned; 8-byte aligned where pointers are) of `size` bytes.
 * Returns the table, which starts at `memory`; NULL when the size is too small, the alignment wrong, the clock
 * missing or a value out of range. To dispose of a table, sesstab_flush_sessions(t, 0), or sesstab_clear(). */
sesstab_t *sesstab_init(void *memory, size_t size, const sesstab_config_t *config);

/* Overwrites and frees every slot, referenced or not: every handle is stale afterwards. No callbacks. Statistics,
 * mode, timeout and callbacks stay. SSL_CTX_free(3), as far as sessions go. */
void sesstab_clear(sesstab_t *t);

/* The clock's time, in seconds. */
uint32_t sesstab_now(const sesstab_t *t);

/* ---- Sessions: SSL_SESSION_new(3), SSL_SESSION_free(3) ---- */

/* Makes a session that is not in the table and holds one reference, for the caller. `timeout` in seconds or
 * SESSTAB_DEFAULT_TIMEOUT; its creation time is now. id_len 1 to 32, data_len 0 to data_size.
 * Returns its handle; 0 when a length does not fit or no slot is free (spare sessions are already referenced
 * outside the table). */
sesstab_handle_t sesstab_new_session(sesstab_t *t, const uint8_t *id, size_t id_len, const uint8_t *data,
    size_t data_len, uint32_t timeout, uint8_t context);

/* Takes another reference. Returns 1; 0 when stale, or when 255 are taken. SSL_SESSION_up_ref(3). */
int sesstab_up_ref(sesstab_t *t, sesstab_handle_t h);

/* Gives a reference back; the last one overwrites a session that is not in the table. Returns 1; 0 when stale, or
 * when no caller holds a reference (the table's own cannot be given back this way). SSL_SESSION_free(3). */
int sesstab_free(sesstab_t *t, sesstab_handle_t h);

/* ---- The table: SSL_CTX_add_session(3), SSL_CTX_flush_sessions(3) ---- */

/* Puts a session into the table, as the most recently used, with a reference of the table's own. Another session
 * with the same id is removed first. A full table (sess_get_cache_size) makes room: all expired sessions go; when
 * there are none, the least recently used.
 * Returns 1; 0 when this very session is in the table already (with SESSTAB_CACHE_UPDATE_TIME its time becomes now;
 * else nothing changes), or stale. */
int sesstab_add_session(sesstab_t *t, sesstab_handle_t h);

/* Removes the session that has the id of `h` (which may be another session than `h`: libssl looks it up by its id),
 * and calls on_remove with `h` whether there is one or not. Returns 1; 0 when there is none, or stale. */
int sesstab_remove_session(sesstab_t *t, sesstab_handle_t h);

/* What a server does when a client offers a session id: looks in the table (unless NO_INTERNAL_LOOKUP), then asks
 * on_get and puts what that gives into the table (unless NO_INTERNAL_STORE). A session found makes a hit, becomes
 * the most recently used, and comes with a reference for the caller. A session of another context is not found.
 * An expired session is removed and counts as a timeout. With UPDATE_TIME a hit sets the session's time to now.
 * Returns the handle, or 0. */
sesstab_handle_t sesstab_get_session(sesstab_t *t, const uint8_t *id, size_t id_len, uint8_t context);

/* 1 when a session with this id is in the table, of any context, expired or not; else 0. Counts nothing.
 * SSL_has_matching_session_id(3). */
int sesstab_has_session(sesstab_t *t, const uint8_t *id, size_t id_len);

/* Removes the sessions that are expired at `now` (seconds), or all for now = 0, as OpenSSL does.
 * Returns how many. */
uint32_t sesstab_flush_sessions(sesstab_t *t, uint32_t now);

/* What a TLS library calls after a full handshake on the side `side` (SESSTAB_CACHE_SERVER or _CLIENT), libssl's
 * ssl_update_cache: where the mode has that side, adds the session (unless NO_INTERNAL_STORE), calls on_new, and
 * after every 255th call removes expired sessions (unless NO_AUTO_CLEAR).
 * Returns 1 when the session was added, else 0. */
int sesstab_update_cache(sesstab_t *t, sesstab_handle_t h, uint32_t side);

/* ---- What a session holds: SSL_SESSION_get_id(3), SSL_SESSION_get_time(3) ---- */

/* Pointers into the slot, good until the session's last free or removal; NULL, and length 0, when stale. */
const uint8_t *sesstab_session_id(sesstab_t *t, sesstab_handle_t h, size_t *len);
const uint8_t *sesstab_session_data(sesstab_t *t, sesstab_handle_t h, size_t *len);

/* Seconds; 0 when stale. */
uint32_t sesstab_session_time(sesstab_t *t, sesstab_handle_t h);
uint32_t sesstab_session_timeout(sesstab_t *t, sesstab_handle_t h);
/* 0 to 255; 0 when stale. */
uint8_t sesstab_session_context(sesstab_t *t, sesstab_handle_t h);
/* 1; 0 when stale. */
int sesstab_set_session_time(sesstab_t *t, sesstab_handle_t h, uint32_t time);
int sesstab_set_session_timeout(sesstab_t *t, sesstab_handle_t h, uint32_t timeout);
/* How many references there are, the table's own included; 0 when stale. For tests. */
uint32_t sesstab_session_refs(sesstab_t *t, sesstab_handle_t h);

/* ---- Settings and statistics: SSL_CTX_set_timeout(3), SSL_CTX_sess_number(3) ---- */

/* The table's settings, as they are now. Through the pointer only arg, clock and the callbacks may be changed. */
sesstab_config_t *sesstab_settings(sesstab_t *t);
uint32_t sesstab_get_timeout(const sesstab_t *t);
void sesstab_set_timeout(sesstab_t *t, uint32_t timeout); /* for sessions made from now on */
uint32_t sesstab_get_mode(const sesstab_t *t);
void sesstab_set_mode(sesstab_t *t, uint32_t mode); /* unknown flags are dropped */
/* How many sessions the table may hold, 1 to capacity. Setting 0, or more than the capacity, sets the capacity.
 * A smaller value takes effect at the next add_session. */
uint32_t sesstab_sess_get_cache_size(const sesstab_t *t);
void sesstab_sess_set_cache_size(sesstab_t *t, uint32_t size);

uint32_t sesstab_sess_number(const sesstab_t *t); /* sessions in the table, now */
/* Counters; each wraps to 0 after 2^30 - 1. */
uint32_t sesstab_sess_hits(const sesstab_t *t);       /* get_session gave a session */
uint32_t sesstab_sess_misses(const sesstab_t *t);     /* get_session did not find the id in the table */
uint32_t sesstab_sess_timeouts(const sesstab_t *t);   /* get_session found an expired one */
uint32_t sesstab_sess_cache_full(const sesstab_t *t); /* sessions removed to make room */
uint32_t sesstab_sess_cb_hits(const sesstab_t *t);    /* on_get gave a session */
uint32_t sesstab_sess_stored(const sesstab_t *t);     /* handshakes told to update_cache */

/* The slot after `h` in the order of use, most recent first; h = 0 starts; 0 ends. For monitors and tests:
 *     for (h = sesstab_next(t, 0); h; h = sesstab_next(t, h)) */
sesstab_handle_t sesstab_next(sesstab_t *t, sesstab_handle_t h);

#ifdef __cplusplus
}
#endif

#endif
