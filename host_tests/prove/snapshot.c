/*
 * What CBMC shows of sesstab_load: any bytes, of any length up to MOST, at any time, with any table: it reads nothing
 * outside of them, ends, and asks the table for nothing that this must refuse. Each proof is a function called
 * prove_*; run.py runs them.
 *
 * The table is replaced by functions that claim what sesstab.h asks of callers and return anything, the checksum by
 * any number: the checksum of a damaged snapshot may be right.
 */
#include "sesstab.h"
#include "sesstab_snapshot.h"
#undef __GNUC__ /* inline assembler means nothing here */
#include "sesstab_snapshot.c"

#define MOST 26 /* bytes: two of the shortest sessions, or a longer one */

uint32_t nondet_u32(void);
uint16_t nondet_u16(void);
uint8_t nondet_u8(void);
size_t nondet_size(void);

#define CLAIM(claim) __CPROVER_assert(claim, #claim)
#define REACH(situation) __CPROVER_assert(!(situation), "reach: " #situation)

static sesstab_config_t settings;
static int most_added;

/* ---- Stand-ins ---- */

uint32_t any_crc_of(const uint8_t *from, size_t n)
{
    CLAIM(__CPROVER_r_ok(from, n));
    return nondet_u32();
}

sesstab_config_t *sesstab_settings(sesstab_t *t)
{
    (void)t;
    return &settings;
}

uint32_t sesstab_now(const sesstab_t *t)
{
    (void)t;
    return nondet_u32();
}

uint32_t sesstab_sess_number(const sesstab_t *t)
{
    (void)t;
    return nondet_u16();
}

uint32_t sesstab_sess_get_cache_size(const sesstab_t *t)
{
    (void)t;
    return nondet_u16();
}

int sesstab_has_session(sesstab_t *t, const uint8_t *id, size_t id_len)
{
    (void)t;
    CLAIM(id_len >= 1 && id_len <= SESSTAB_ID_MAX && __CPROVER_r_ok(id, id_len));
    return nondet_u8() & 1;
}

sesstab_handle_t sesstab_new_session(sesstab_t *t, const uint8_t *id, size_t id_len, const uint8_t *data,
    size_t data_len, uint32_t timeout, uint8_t context)
{
    (void)t, (void)context;
    CLAIM(id_len >= 1 && id_len <= SESSTAB_ID_MAX && __CPROVER_r_ok(id, id_len));
    CLAIM(data_len <= settings.data_size && __CPROVER_r_ok(data, data_len));
    CLAIM(timeout != SESSTAB_DEFAULT_TIMEOUT);
    return nondet_u32();
}

int sesstab_add_session(sesstab_t *t, sesstab_handle_t h)
{
    (void)t, (void)h;
    most_added++;
    return nondet_u8() & 1;
}

int sesstab_set_session_time(sesstab_t *t, sesstab_handle_t h, uint32_t time)
{
    (void)t, (void)h, (void)time;
    return nondet_u8() & 1;
}

int sesstab_free(sesstab_t *t, sesstab_handle_t h)
{
    (void)t, (void)h;
    return nondet_u8() & 1;
}

void prove_load(void)
{
    static uint8_t bytes[MOST];
    size_t size = nondet_size();
    __CPROVER_assume(size <= MOST);
    for (size_t k = 0; k < MOST; k++)
        bytes[k] = nondet_u8();
    settings.data_size = nondet_u16();
    __CPROVER_assume(settings.data_size >= 1 && settings.data_size <= SESSTAB_DATA_MAX);
    int32_t loaded = sesstab_load(NULL, bytes + MOST - size, size, nondet_u32());
    CLAIM(loaded >= SESSTAB_DATA_TOO_LONG && loaded <= most_added);
    REACH(loaded == SESSTAB_DAMAGED);
    REACH(loaded == SESSTAB_UNKNOWN_VERSION);
    REACH(loaded == SESSTAB_DATA_TOO_LONG);
    REACH(loaded == 2);
}
