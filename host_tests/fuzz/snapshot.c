/*
 * Any bytes into sesstab_load: what it refuses changes no byte of the table, and what it accepts is what docs/format.md
 * says, which a second decoder here, written from that document, decides.
 *
 * The input: numbers for the table and the call, and then the snapshot. Its first byte says how much of it is put
 * right, so that the fuzzer gets past the checksum: nothing; the checksum; magic, version and checksum; or all of it,
 * as records that are made from the input.
 */
#include "input.h"

#include <string.h>

#include "sesstab_snapshot.h"

#define MOST 4096 /* bytes of a snapshot */
#define RECORDS 400

typedef struct {
    uint8_t id[SESSTAB_ID_MAX];
    size_t id_len;
    const uint8_t *data;
    size_t data_len;
    uint64_t timeout, age;
    uint8_t context;
} record_t;

static uint32_t now;

static uint32_t seconds(void *arg)
{
    (void)arg;
    return now;
}

/* ---- The format, once more ---- */

static uint64_t number(const uint8_t *at, size_t n)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++)
        value += (uint64_t)at[i] << (8 * i);
    return value;
}

static uint32_t checksum(const uint8_t *at, size_t n)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < 8 * n; i++) {
        uint32_t bit = (at[i / 8] >> (i % 8) & 1u) ^ (crc & 1u);
        crc = (crc >> 1) ^ (bit ? 0xedb88320u : 0);
    }
    return ~crc;
}

/* How many records, which `records` then has; or the refusal. */
static int32_t decode(const uint8_t *bytes, size_t size, size_t data_size, record_t *records)
{
    if (size < 12 || memcmp(bytes, "sesT", 4) != 0 || number(bytes + size - 4, 4) != checksum(bytes, size - 4))
        return SESSTAB_DAMAGED;
    if (bytes[4] != 1 || bytes[5] != 0)
        return SESSTAB_UNKNOWN_VERSION;
    size_t at = 8, end = size - 4, count = number(bytes + 6, 2);
    int too_long = 0;
    for (size_t i = 0; i < count; i++) {
        record_t *r = &records[i % RECORDS];
        if (end - at < 4)
            return SESSTAB_DAMAGED;
        size_t lengths = number(bytes + at, 2), width = bytes[at + 3];
        r->context = bytes[at + 2];
        r->id_len = lengths % 32 + 1;
        r->data_len = lengths / 32;
        if (width < 1 || width > 4 || end - at < 4 + 2 * width + r->id_len + r->data_len)
            return SESSTAB_DAMAGED;
        r->timeout = number(bytes + at + 4, width);
        r->age = number(bytes + at + 4 + width, width);
        if ((width > 1 && bytes[at + 3 + width] == 0) || r->timeout == 0xffffffff || r->age > r->timeout)
            return SESSTAB_DAMAGED;
        memcpy(r->id, bytes + at + 4 + 2 * width, r->id_len);
        r->data = bytes + at + 4 + 2 * width + r->id_len;
        too_long |= r->data_len > data_size;
        at += 4 + 2 * width + r->id_len + r->data_len;
    }
    if (at != end)
        return SESSTAB_DAMAGED;
    MUST(count < RECORDS);
    return too_long ? SESSTAB_DATA_TOO_LONG : (int32_t)count;
}

/* ---- Snapshots of the input ---- */

static size_t put(uint8_t *to, uint64_t value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (uint8_t)(value >> (8 * i));
    return n;
}

/* A record that may be wrong in one of its fields. */
static size_t make_record(input_t *in, uint8_t *to)
{
    uint8_t kind = take(in);
    size_t id_len = kind % 4 == 3 ? 1 + take(in) % 32u : 1 + kind % 4u, data_len = take(in) % 64u, at;
    uint32_t timeout = take_number(in), age = kind & 64 ? take_number(in) : timeout / (1 + (kind >> 2 & 7u));
    size_t width = 1;
    while (width < 4 && timeout >> (8 * width) != 0)
        width++;
    if (kind >= 248)
        width = take(in);
    if (kind == 240)
        data_len = take_number(in) % 2048;
    at = put(to, data_len * 32 + id_len - 1, 2);
    at += put(to + at, take(in), 1);
    at += put(to + at, width, 1);
    width = width > 6 ? 6 : width;
    at += put(to + at, timeout, width);
    at += put(to + at, age, width);
    memset(to + at, 'i', id_len);
    to[at + id_len - 1] = take(in) % 8;
    memset(to + at + id_len, 'd', data_len);
    return at + id_len + data_len;
}

static size_t make_snapshot(input_t *in, uint8_t *to)
{
    uint8_t fixes = take(in) % 8;
    size_t size = 0;
    if (fixes >= 4) {
        size_t count = 0, wrong = take(in);
        for (size = 8; !is_over(in) && size < MOST - 2200; count++)
            size += make_record(in, to + size);
        memcpy(to, "sesT\1", 6);
        put(to + 6, wrong < 250 ? count : take(in), 2);
        size += 4;
    } else {
        while (!is_over(in) && size < MOST)
            to[size++] = take(in);
        if (fixes >= 2 && size >= 6)
            memcpy(to, "sesT\1", 6);
    }
    if (fixes >= 1 && size >= 4)
        put(to + size - 4, checksum(to, size - 4), 4);
    return size;
}

/* ---- Tables ---- */

typedef struct {
    sesstab_t *t;
    size_t size;
} table_t;

static table_t make_table(uint16_t capacity, uint16_t spare, uint16_t data_size, uint16_t mode)
{
    sesstab_config_t config = {.capacity = capacity, .spare = spare, .data_size = data_size, .mode = mode,
        .timeout = 300, .clock = seconds, .seed = {1, 2}};
    table_t table = {NULL, sesstab_size(capacity, spare, data_size)};
    void *memory = malloc(table.size);
    MUST(memory != NULL);
    table.t = sesstab_init(memory, table.size, &config);
    MUST(table.t != NULL);
    return table;
}

static int has(const table_t *table, const record_t *r)
{
    return sesstab_has_session(table->t, r->id, r->id_len);
}

/* Loads from memory that ends where the snapshot does. */
static int32_t load(const table_t *table, const uint8_t *snapshot, size_t size, uint32_t elapsed)
{
    uint8_t *exact = malloc(size ? size : 1);
    MUST(exact != NULL);
    memcpy(exact, snapshot, size);
    int32_t loaded = sesstab_load(table->t, exact, size, elapsed);
    free(exact);
    return loaded;
}

/* Dumps into memory that ends where it may, and says how much was written. */
static size_t dump(const table_t *table, uint8_t *to, size_t size)
{
    uint8_t *exact = malloc(size ? size : 1);
    MUST(exact != NULL);
    memset(exact, 0xee, size);
    size_t used = sesstab_dump(table->t, exact, size);
    MUST(used <= size);
    for (size_t i = used; i < size; i++)
        MUST(exact[i] == 0xee);
    memcpy(to, exact, used);
    free(exact);
    return used;
}

/* ---- What load must do ---- */

static int is_good(const record_t *r, uint32_t elapsed)
{
    return r->age + elapsed <= r->timeout;
}

/* Which records must be loaded, as flags. Returns how many. */
static int32_t expect(const table_t *table, const record_t *records, int32_t count, uint32_t elapsed, uint32_t room,
    uint8_t *expected)
{
    int32_t wanted = 0;
    for (int32_t i = count - 1; i >= 0; i--)
        expected[i] = now != 0 && is_good(&records[i], elapsed) && !has(table, &records[i]);
    /* Not all fit: the most recently used. Of two with one id, both count, and the second is left out. */
    for (int32_t i = count - 1; i >= 0; i--)
        expected[i] = expected[i] && (uint32_t)wanted++ < room;
    wanted = 0;
    for (int32_t i = 0; i < count; i++) {
        for (int32_t j = 0; j < i; j++)
            if (expected[j] && records[i].id_len == records[j].id_len
                && memcmp(records[i].id, records[j].id, records[i].id_len) == 0)
                expected[i] = 0;
        wanted += expected[i];
    }
    return wanted;
}

/* The most recently used sessions of the table are those of the snapshot. */
static sesstab_handle_t compare(const table_t *table, const record_t *records, int32_t count, const uint8_t *expected,
    uint32_t elapsed)
{
    sesstab_handle_t h = sesstab_next(table->t, 0);
    for (int32_t i = count - 1; i >= 0; i--) {
        const record_t *r = &records[i];
        size_t id_len, data_len;
        if (!expected[i])
            continue;
        const uint8_t *id = sesstab_session_id(table->t, h, &id_len);
        const uint8_t *data = sesstab_session_data(table->t, h, &data_len);
        MUST(id != NULL && id_len == r->id_len && memcmp(id, r->id, id_len) == 0);
        MUST(data_len == r->data_len && memcmp(data, r->data, data_len) == 0);
        MUST(sesstab_session_context(table->t, h) == r->context);
        MUST(sesstab_session_refs(table->t, h) == 1);
        uint64_t time = sesstab_session_time(table->t, h), timeout = sesstab_session_timeout(table->t, h);
        /* It expires when it would have, and is as old as it was, if the clock can say that. */
        MUST(time >= 1 && time <= now);
        MUST(time + timeout + r->age + elapsed == now + r->timeout);
        MUST(time == 1 || now - time == r->age + elapsed);
        h = sesstab_next(table->t, h);
    }
    return h;
}

/* What is in a table, dumped, comes back. */
static void round_trip(const table_t *table, input_t *in)
{
    static uint8_t first[400000], second[400000];
    const sesstab_config_t *settings = sesstab_settings(table->t);
    size_t most = sesstab_dump_size(table->t);
    MUST(most <= sizeof(first));
    size_t size = dump(table, first, most);
    MUST(size >= 12 && size <= most);
    table_t other = make_table(settings->capacity, 1, settings->data_size, SESSTAB_CACHE_SERVER);
    int32_t loaded = load(&other, first, size, 0);
    MUST(loaded == (int32_t)sesstab_sess_number(other.t) && loaded <= (int32_t)sesstab_sess_number(table->t));
    MUST(dump(&other, second, size) == size && memcmp(first, second, size) == 0);
    MUST(sesstab_load(table->t, first, size, 0) == 0);
    /* With less room, some of them. */
    size_t less = size - 1 - take(in) % size, small = dump(table, second, less);
    MUST((small == 0) == (less < 12));
    sesstab_clear(other.t);
    MUST(small == 0 || (load(&other, second, small, 0) >= 0 && sesstab_sess_number(other.t) <= (uint32_t)loaded));
    /* And changed in one bit, none. */
    first[take_number(in) % size] ^= (uint8_t)(1u << take(in) % 8);
    MUST(load(&other, first, size, 0) < 0);
    free(other.t);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static uint8_t snapshot[MOST + 4096], expected[RECORDS];
    static record_t records[RECORDS];
    input_t in = {bytes, size, 0};
    uint32_t elapsed = take_number(&in);
    uint8_t shape = take(&in), kind = take(&in), own = kind % 8;
    now = 1000;
    table_t table = make_table(1 + shape % 12, 1 + (shape >> 4 & 1), shape & 32 ? 64 : 20,
        shape & 64 ? SESSTAB_CACHE_SERVER | SESSTAB_CACHE_UPDATE_TIME : SESSTAB_CACHE_SERVER);
    for (uint8_t i = 0; i < own && i < 1 + shape % 12; i++) {
        uint32_t timeout = kind & 32 ? own - i : i;
        sesstab_handle_t h = sesstab_new_session(table.t, (const uint8_t[]){i}, 1, (const uint8_t *)"x", 1, timeout, 0);
        sesstab_add_session(table.t, h);
        if (kind & 8 && i == 1)
            sesstab_set_session_timeout(table.t, h, UINT32_MAX);
        sesstab_free(table.t, h);
    }
    if (shape & 128)
        sesstab_sess_set_cache_size(table.t, 2);
    uint32_t number_before = sesstab_sess_number(table.t), most = sesstab_sess_get_cache_size(table.t);
    now = take_number(&in);
    if (kind & 16)
        now = 1000 + now % 8;
    size = make_snapshot(&in, snapshot);
    in.at = 0; /* once more, for what follows */

    void *before = malloc(table.size);
    MUST(before != NULL);
    memcpy(before, table.t, table.size);
    int32_t count = decode(snapshot, size, sesstab_settings(table.t)->data_size, records);
    uint32_t room = number_before < most ? most - number_before : 0;
    int32_t wanted = count < 0 ? count : expect(&table, records, count, elapsed, room, expected);
    sesstab_handle_t latest = sesstab_next(table.t, 0);
    MUST(load(&table, snapshot, size, elapsed) == wanted);
    if (wanted <= 0)
        MUST(memcmp(before, table.t, table.size) == 0);
    else
        MUST(compare(&table, records, count, expected, elapsed) == latest
             && sesstab_sess_number(table.t) == number_before + (uint32_t)wanted);
    round_trip(&table, &in);
    free(before);
    free(table.t);
    return 0;
}
