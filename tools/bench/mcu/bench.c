/*
 * Instructions per operation of a session table on a board without an operating system.
 *
 * An operation is done in batches, since a tick of the board's counter is tens of instructions: how many, a loop of
 * known length tells first. From a batch the cost of the loop around the operation is taken. Prints a line for each
 * size and operation: size, operation, instructions per operation in tenths.
 */
#include "board.h"
#include "peer.h"

enum { BATCH = 64, ROUNDS = 32, SPIN = 100000, TICKS_MASK = 0xffffff };

typedef uint32_t session_id[ID_SIZE / 4];
typedef void (*operation_t)(const uint8_t *id);

uint32_t seconds;

static session_id live[SESSIONS_MAX], batch[BATCH]; /* live: a ring of the ids in the table */
static uint32_t size, newest;
static uint32_t data[(DATA_SIZE + 3) / 4];
static uint64_t spin_ticks;

/* ---- Output ---- */

static void print_number(uint32_t n)
{
    char text[11], *at = text + sizeof text;
    *--at = 0;
    do
        *--at = (char)('0' + n % 10);
    while (n /= 10);
    print(at);
}

static void fail(const char *what)
{
    print(peer.name);
    print(": ");
    print(what);
    print("\n");
    leave(1);
}

/* ---- Ids ---- */

static uint32_t random_word(void)
{
    static uint32_t x = 0x2545f491;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return x;
}

static void random_id(session_id id)
{
    for (uint32_t i = 0; i < ID_SIZE / 4; i++)
        id[i] = random_word();
}

static void copy_id(session_id to, const session_id from)
{
    for (uint32_t i = 0; i < ID_SIZE / 4; i++)
        to[i] = from[i];
}

/* ---- Operations ---- */

static uint32_t wrong;

static void do_nothing(const uint8_t *id)
{
    (void)id;
    __asm__ volatile("");
}

static void do_hit(const uint8_t *id)
{
    wrong += !peer.get(id);
}

static void do_miss(const uint8_t *id)
{
    wrong += (uint32_t)peer.get(id);
}

static void do_insert(const uint8_t *id)
{
    wrong += !peer.add(id, (const uint8_t *)data, 7200);
}

/* Sessions with timeouts from 1 to 64 seconds, and a second passes each time. */
static void do_insert_mixed(const uint8_t *id)
{
    seconds++;
    wrong += !peer.add(id, (const uint8_t *)data, 1 + (id[0] & 63u));
}

static void do_remove(const uint8_t *id)
{
    wrong += !peer.remove(id);
}

/* ---- Measuring ---- */

static uint32_t ticks_of(operation_t operation, uint32_t n)
{
    uint32_t start = ticks();
    for (uint32_t i = 0; i < n; i++)
        operation((const uint8_t *)batch[i]);
    return (ticks() - start) & TICKS_MASK;
}

/* The ids of the batch come into the table, and into the ring for those that go: the oldest. */
static void remember(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        newest = newest + 1 == size ? 0 : newest + 1;
        copy_id(live[newest], batch[i]);
    }
}

static void new_ids(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        random_id(batch[i]);
}

/* All of the table in the order of age, which is the order of use then, too: a second passes each time, since there is
 * a table that tells age by its clock alone. */
static void refill(void)
{
    for (uint32_t i = 0; i < size; i++) {
        seconds++;
        random_id(live[i]);
        do_insert((const uint8_t *)live[i]);
    }
    newest = size - 1;
}

/* Every session is found. That renews all of them in the order of age, so the order stays. */
static void check_full(void)
{
    for (uint32_t i = 0; i < size; i++)
        if (!peer.get((const uint8_t *)live[i]))
            fail("the table is not full");
}

static void report(const char *name, uint64_t ticks_taken, uint32_t operations)
{
    /* SPIN rounds are 2 * SPIN instructions, and took spin_ticks / ROUNDS. */
    uint64_t tenths = ticks_taken * 20 * SPIN * ROUNDS / (spin_ticks * operations);
    print_number(size);
    print("\t");
    print(name);
    print("\t");
    print_number((uint32_t)tenths);
    print("\n");
    if (wrong)
        fail(name);
}

static void measure(const char *name, operation_t operation, operation_t kind)
{
    uint32_t n = size < BATCH ? size : BATCH;
    uint64_t sum = 0, around = 0;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        new_ids(n);
        if (kind == do_hit)
            for (uint32_t i = 0; i < n; i++)
                copy_id(batch[i], live[random_word() % size]);
        if (kind == do_remove)
            for (uint32_t i = 0, start = random_word(); i < n; i++)
                copy_id(batch[i], live[(start + 5 * i) % size]);
        around += ticks_of(do_nothing, n);
        sum += ticks_of(operation, n);
        if (kind == do_insert)
            remember(n);
        if (kind == do_remove)
            refill();
    }
    report(name, sum > around ? sum - around : 0, n * ROUNDS);
}

/* All sessions have expired, and one is added: instructions per session that went. */
static void measure_expiry(void)
{
    uint64_t sum = 0;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        refill();
        new_ids(1);
        seconds += 7201;
        sum += ticks_of(do_insert, 1);
        if (peer.number() != 1)
            fail("expired sessions are left");
    }
    report("expiry of all, a session", sum, ROUNDS * size);
}

int main(void)
{
    static const uint16_t sizes[] = {16, 64, 256};
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint32_t start = ticks();
        spin(SPIN);
        spin_ticks += (ticks() - start) & TICKS_MASK;
    }
    for (uint32_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size = sizes[i];
        seconds = 1000000;
        peer.init(size);
        refill();
        refill();
        check_full();
        measure("hit", do_hit, do_hit);
        measure("miss", do_miss, do_miss);
        refill();
        measure("insert when full", do_insert, do_insert);
        if (peer.remove)
            measure("remove", do_remove, do_remove);
        if (peer.expires) {
            measure_expiry();
            measure("insert, a second passes each time", do_insert_mixed, do_insert);
        }
    }
    return 0;
}
