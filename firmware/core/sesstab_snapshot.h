/*
 * Snapshots of a table: its sessions as bytes, to survive deep sleep or a reset. docs/format.md is the format, and
 * says what dump and load do in every case. Nothing is allocated, and no callback but the clock is called.
 *
 *     size_t n = sesstab_dump(t, rtc_memory, sizeof rtc_memory);    // before deep sleep: keep n, too
 *     ...
 *     sesstab_load(t, rtc_memory, n, seconds_asleep);               // after it
 *
 * A snapshot holds secrets in the clear, and its checksum finds accidents, not forgeries.
 */
#ifndef SESSTAB_SNAPSHOT_H
#define SESSTAB_SNAPSHOT_H

#include "sesstab.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What sesstab_load refuses. */
#define SESSTAB_DAMAGED (-1)         /* truncated, changed, longer than the snapshot, or no snapshot at all */
#define SESSTAB_UNKNOWN_VERSION (-2) /* whole, but of another version of the format */
#define SESSTAB_DATA_TOO_LONG (-3)   /* it has a session with more data than this table's data_size */

/* Bytes that are enough for all sessions of the table, whatever the time. */
size_t sesstab_dump_size(sesstab_t *t);

/* Writes a snapshot of at most `size` bytes: all sessions in the table that are not expired, or the most recently
 * used that fit. The buffer is left alone beyond what is written.
 * Returns how many bytes that were; 0 when not even an empty snapshot (12 bytes) fits. */
size_t sesstab_dump(sesstab_t *t, uint8_t *buffer, size_t size);

/* Checks all of a snapshot of exactly `size` bytes, then puts its sessions into the table as the most recently used,
 * in the order they had, older by `elapsed` seconds. Left out is what is expired by then, what the table has a
 * session of the same id for, and the least recently used when not all fit: nothing is removed from the table.
 * Returns how many sessions were loaded; or one of the codes above, and then nothing has changed. */
int32_t sesstab_load(sesstab_t *t, const uint8_t *snapshot, size_t size, uint32_t elapsed);

#ifdef __cplusplus
}
#endif

#endif
