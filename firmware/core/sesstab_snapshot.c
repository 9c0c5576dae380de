/*
 * Snapshots, as docs/format.md specifies them, by the table's public interface.
 *
 * A snapshot begins with the least recently used session, but what fits is decided from the most recently used on.
 * So dump first walks the table to see how many fit, and then writes them from the end of the snapshot downwards.
 * load walks the snapshot three times, since nothing may change before all is checked: it checks, counts what it
 * will take, and takes the last of it, which are the most recently used.
 */
#include "sesstab_snapshot.h"

#define HEADER_SIZE 8u
#define CRC_SIZE 4u
#define FIXED_SIZE 4u /* of a session, before timeout and age */
#define MAGIC 0x54736573u
#define VERSION 1u

/* Keeps a compiler from making a call of memcpy out of a loop: dynamic native modules have no libc. */
#if defined(__GNUC__)
#define LOOP() __asm__ volatile("")
#else
#define LOOP()
#endif

/* A session, in the table or in a snapshot. */
typedef struct {
    const uint8_t *id;
    const uint8_t *data;
    size_t id_len;
    size_t data_len;
    uint32_t timeout;
    uint32_t age;
    uint8_t context;
} record_t;

/* ---- Bytes ---- */

static uint32_t get(const uint8_t *from, size_t n)
{
    uint32_t value = 0;
    while (n-- > 0)
        value = value << 8 | from[n];
    return value;
}

static uint8_t *put(uint8_t *to, uint32_t value, size_t n)
{
    for (; n > 0; n--, value >>= 8)
        *to++ = (uint8_t)value;
    return to;
}

static uint8_t *put_bytes(uint8_t *to, const uint8_t *from, size_t n)
{
    for (; n > 0; n--) {
        *to++ = *from++;
        LOOP();
    }
    return to;
}

/* Bit by bit: a table would be faster and larger, and 2 KB take a millisecond on the slowest boards. */
static uint32_t crc_of(const uint8_t *from, size_t n)
{
    uint32_t crc = UINT32_MAX;
    for (; n > 0; n--) {
        crc ^= *from++;
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0xedb88320u & (0u - (crc & 1)));
    }
    return ~crc;
}

/* ---- Sessions ---- */

/* How many bytes a timeout needs. */
static uint32_t width_of(uint32_t timeout)
{
    uint32_t width = 1;
    while (timeout >>= 8)
        width++;
    return width;
}

static size_t size_of(const record_t *r)
{
    return FIXED_SIZE + 2 * (size_t)width_of(r->timeout) + r->id_len + r->data_len;
}

/* Describes a session of the table. Returns 0 when it is expired. */
static int describe(sesstab_t *t, sesstab_handle_t h, uint32_t now, record_t *r)
{
    uint32_t time = sesstab_session_time(t, h);
    r->id = sesstab_session_id(t, h, &r->id_len);
    r->data = sesstab_session_data(t, h, &r->data_len);
    r->context = sesstab_session_context(t, h);
    r->timeout = sesstab_session_timeout(t, h);
    if (r->timeout == SESSTAB_DEFAULT_TIMEOUT) /* which new_session understands otherwise */
        r->timeout--;
    r->age = now - time;
    return now != 0 && time <= now && r->age <= r->timeout;
}

static void write_record(uint8_t *to, const record_t *r)
{
    uint32_t width = width_of(r->timeout);
    to = put(to, (uint32_t)(r->data_len << 5 | (r->id_len - 1)), 2);
    *to++ = r->context;
    *to++ = (uint8_t)width;
    to = put(to, r->timeout, width);
    to = put(to, r->age, width);
    put_bytes(put_bytes(to, r->id, r->id_len), r->data, r->data_len);
}

/* Describes the session at the start of `left` bytes. Returns its size, or 0 when there is none. */
static size_t read_record(const uint8_t *from, size_t left, record_t *r)
{
    if (left < FIXED_SIZE)
        return 0;
    uint32_t lengths = get(from, 2), width = from[3];
    size_t fields = FIXED_SIZE + 2 * (size_t)width;
    r->id_len = (lengths & 31u) + 1;
    r->data_len = lengths >> 5;
    if (width - 1 > 3 || left < fields + r->id_len + r->data_len)
        return 0;
    r->context = from[2];
    r->timeout = get(from + FIXED_SIZE, width);
    r->age = get(from + FIXED_SIZE + width, width);
    r->id = from + fields;
    r->data = r->id + r->id_len;
    if (width_of(r->timeout) != width || r->timeout == SESSTAB_DEFAULT_TIMEOUT || r->age > r->timeout)
        return 0;
    return fields + r->id_len + r->data_len;
}

/* ---- Dump ---- */

size_t sesstab_dump_size(sesstab_t *t)
{
    size_t size = HEADER_SIZE + CRC_SIZE;
    record_t r;
    for (sesstab_handle_t h = sesstab_next(t, 0); h; h = sesstab_next(t, h)) {
        describe(t, h, 0, &r);
        size += size_of(&r);
    }
    return size;
}

size_t sesstab_dump(sesstab_t *t, uint8_t *buffer, size_t size)
{
    uint32_t now = sesstab_now(t);
    size_t used = HEADER_SIZE + CRC_SIZE;
    uint32_t count = 0, written = 0;
    record_t r;
    if (size < used)
        return 0;
    for (sesstab_handle_t h = sesstab_next(t, 0); h; h = sesstab_next(t, h)) {
        if (!describe(t, h, now, &r))
            continue;
        if (size_of(&r) > size - used)
            break;
        used += size_of(&r);
        count++;
    }
    uint8_t *end = buffer + used - CRC_SIZE, *to = end;
    for (sesstab_handle_t h = sesstab_next(t, 0); written < count; h = sesstab_next(t, h)) {
        if (!describe(t, h, now, &r))
            continue;
        to -= size_of(&r);
        write_record(to, &r);
        written++;
    }
    to = put(buffer, MAGIC, 4);
    to = put(to, VERSION, 2); /* and no flags */
    put(to, count, 2);
    put(end, crc_of(buffer, used - CRC_SIZE), CRC_SIZE);
    return used;
}

/* ---- Load ---- */

/* Returns how many sessions a snapshot has, or what is wrong with it. */
static int32_t check(sesstab_t *t, const uint8_t *snapshot, size_t size)
{
    if (size < HEADER_SIZE + CRC_SIZE)
        return SESSTAB_DAMAGED;
    const uint8_t *end = snapshot + size - CRC_SIZE, *at = snapshot + HEADER_SIZE;
    if (get(snapshot, 4) != MAGIC || get(end, CRC_SIZE) != crc_of(snapshot, size - CRC_SIZE))
        return SESSTAB_DAMAGED;
    if (get(snapshot + 4, 2) != VERSION)
        return SESSTAB_UNKNOWN_VERSION;
    uint32_t count = get(snapshot + 6, 2);
    int too_long = 0;
    record_t r;
    for (uint32_t i = 0; i < count; i++) {
        size_t n = read_record(at, (size_t)(end - at), &r);
        if (n == 0)
            return SESSTAB_DAMAGED;
        too_long |= r.data_len > sesstab_settings(t)->data_size;
        at += n;
    }
    if (at != end)
        return SESSTAB_DAMAGED;
    return too_long ? SESSTAB_DATA_TOO_LONG : (int32_t)count;
}

/* Can a session be resumed `elapsed` seconds after the snapshot, and has the table none with its id? */
static int is_wanted(sesstab_t *t, const record_t *r, uint32_t elapsed)
{
    return elapsed <= r->timeout - r->age && !sesstab_has_session(t, r->id, r->id_len);
}

/* Returns 1, or 0 when there is no slot or on_remove is running. */
static int insert(sesstab_t *t, const record_t *r, uint32_t now, uint32_t elapsed)
{
    uint32_t age = r->age + elapsed;
    uint32_t missing = age < now ? 0 : age - (now - 1); /* the clock was started later than the session */
    sesstab_handle_t h =
        sesstab_new_session(t, r->id, r->id_len, r->data, r->data_len, r->timeout - missing, r->context);
    int added = sesstab_add_session(t, h);
    sesstab_set_session_time(t, h, now - (age - missing)); /* after it: with UPDATE_TIME, adding sets it */
    sesstab_free(t, h);
    return added;
}

int32_t sesstab_load(sesstab_t *t, const uint8_t *snapshot, size_t size, uint32_t elapsed)
{
    uint32_t now = sesstab_now(t);
    int32_t count = check(t, snapshot, size);
    if (count < 0 || now == 0)
        return count < 0 ? count : 0;
    uint32_t number = sesstab_sess_number(t), most = sesstab_sess_get_cache_size(t);
    int32_t room = number < most ? (int32_t)(most - number) : 0;
    int32_t wanted = 0, loaded = 0;
    size_t at = HEADER_SIZE;
    record_t r;
    for (int32_t i = 0; i < count; i++) {
        at += read_record(snapshot + at, size - at, &r);
        wanted += is_wanted(t, &r, elapsed);
    }
    at = HEADER_SIZE;
    for (int32_t i = 0; i < count; i++) {
        size_t n = read_record(snapshot + at, size - at, &r);
        if (n == 0) /* the clock, which insert asks, has changed the snapshot */
            break;
        if (is_wanted(t, &r, elapsed) && wanted-- <= room)
            loaded += insert(t, &r, now, elapsed);
        at += n;
    }
    return loaded;
}
