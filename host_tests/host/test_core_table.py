"""The C core by itself: its memory, its hash, its limits. What it does as a table: host_tests/device."""

import os
import struct
import subprocess
import sys
from collections import Counter, OrderedDict
from pathlib import Path
from random import Random

import _sesstab
import core_model
import pytest
from _sesstab import SessionTable, ffi, lib

HEADER = lib.sesstab_size(1, 0, 50) - 6 - 96  # what is neither links nor slots: struct sesstab
SECRET = bytes(range(100, 150))
ID = bytes(range(200, 232))
SIZES = [
    (1, 0, 1),
    (1, 2, 50),
    (8, 2, 50),
    (31, 1, 49),
    (64, 2, 50),
    (253, 2, 51),
    (254, 2, 50),
    (1000, 7, 2047),
]


def raw_table(capacity, spare=2, data_size=50, seed=(1, 2), size=None, offset=0, guard=64):
    """A table amid guard bytes: (its pointer or NULL, all the memory)."""
    size = lib.sesstab_size(capacity, spare, data_size) if size is None else size
    memory = ffi.new("uint8_t[]", b"\xa5" * (guard + size + guard))
    config = ffi.new("sesstab_config_t *")
    config.capacity, config.spare, config.data_size = capacity, spare, data_size
    config.timeout, config.mode, config.seed = 7200, 2, seed
    config.clock = fixed_clock
    return lib.sesstab_init(memory + guard + offset, size, config), memory


@ffi.callback("uint32_t(void *)")
def fixed_clock(_arg):
    return 1000


@pytest.fixture
def clock():
    return [1000]


@pytest.fixture
def table(clock):
    return SessionTable(8, 2, 50, timeout=100, clock=lambda: clock[0])


def put(table, id=ID, data=SECRET):
    h = table.new_session(id, data)
    assert table.add_session(h) == 1
    assert table.free(h) == 1
    return h


# Memory


@pytest.mark.parametrize(("capacity", "spare", "data_size"), SIZES)
def test_size_is_exact(capacity, spare, data_size):
    size = lib.sesstab_size(capacity, spare, data_size)
    t, memory = raw_table(capacity, spare, data_size)
    assert t == memory + 64
    data = b"\xff" * data_size
    for i in range(2 * capacity + 3):
        h = lib.sesstab_new_session(t, i.to_bytes(32, "big"), 32, data, data_size, 5, 255)
        assert lib.sesstab_add_session(t, h) == 1
        if i >= spare - 1:  # one slot must be free for the next session
            lib.sesstab_free(t, h)
        if spare == 0:
            lib.sesstab_flush_sessions(t, 0)
    content = bytes(ffi.buffer(memory, 64 + size + 64))
    assert content[:64] == content[-64:] == b"\xa5" * 64
    if spare:  # else the last slot was wiped again
        assert any(content[64 + size - 4 : 64 + size]), "the table's last bytes are never used"
    assert raw_table(capacity, spare, data_size, size=size - 1)[0] == ffi.NULL


def test_init_refuses_wrong_alignment():
    assert raw_table(8, guard=64)[0] != ffi.NULL
    for offset in (1, 2, 3, 4):
        assert raw_table(8, offset=offset)[0] == ffi.NULL


def test_size_is_0_out_of_range():
    for arguments in [
        (0, 2, 50),
        (65535, 1, 50),
        (65536, 0, 50),
        (8, 65528, 50),
        (8, 2, 0),
        (8, 2, 2048),
        (2**63, 2**63, 1),
    ]:
        assert lib.sesstab_size(*arguments) == 0
    links = 2 * (3 * 65535 + 2 + 57344)
    assert lib.sesstab_size(65535, 0, 2047) == HEADER + links + 65535 * 2096


def test_a_tls_12_session_takes_at_most_100_bytes():
    """The header and the last slot's end, which all tables have, come on top. Beyond 255 slots it is 104."""
    for capacity, spare in [(8, 2), (16, 2), (62, 2), (64, 0), (64, 2), (253, 2)]:
        assert lib.sesstab_size(capacity, spare, 50) - HEADER - 2 <= 100 * (capacity + spare)
    assert lib.sesstab_size(65533, 2, 50) - HEADER - 2 <= 104 * 65535


GONE = {
    "free": lambda t, clock: t.free(t.new_session(ID, SECRET)),
    "remove": lambda t, clock: t.remove_session(put(t)),
    "evict": lambda t, clock: [put(t)] and [put(t, bytes([i]), b"") for i in range(8)],
    "replace": lambda t, clock: [put(t), put(t, ID, b"")] and t.remove_session(t.next_session()),
    "clear": lambda t, clock: [t.new_session(ID, SECRET), put(t)] and t.clear(),
    "flush": lambda t, clock: put(t) and t.flush_sessions(0),
    "expired at lookup": lambda t, clock: expire(t, clock) and t.get_session(ID),
    "expired, room needed": lambda t, clock: expire(t, clock) and [put(t, bytes([i]), b"") for i in range(8)],
}


def expire(table, clock):
    h = put(table)
    table.set_session_timeout(h, 10)
    clock[0] += 11
    return True


@pytest.mark.parametrize("way", GONE)
def test_a_gone_session_leaves_nothing(table, clock, way):
    empty = table._memory()
    h = table.new_session(ID, SECRET)
    assert SECRET in table._memory() and ID in table._memory()
    table.free(h)
    GONE[way](table, clock)
    memory = table._memory()
    header = len(empty) - 10 * 96
    for i in range(len(SECRET) - 3):
        assert SECRET[i : i + 4] not in memory[header:]
    for i in range(len(ID) - 3):
        assert ID[i : i + 4] not in memory[header:]


def test_a_referenced_session_is_wiped_by_the_last_free(table):
    h = table.new_session(ID, SECRET)
    table.add_session(h)
    table.remove_session(h)
    assert SECRET in table._memory()
    assert table.free(h) == 1
    assert SECRET not in table._memory()


# Handles


@pytest.mark.parametrize(
    ("slots", "generations"), [(1, 65535), (2, 65535), (16384, 65535), (16385, 2**15 - 1), (65535, 2**14 - 1)]
)
def test_generations_wrap_and_stale_handles_do_not(slots, generations):
    t, _memory = raw_table(slots, 0, 1)
    bits = (slots - 1).bit_length()
    for generation in range(1, generations + 1):
        h = lib.sesstab_new_session(t, b"i", 1, b"", 0, 5, 0)
        assert h == generation << bits
        assert lib.sesstab_free(t, h) == 1
        assert lib.sesstab_session_refs(t, h) == 0
    assert lib.sesstab_new_session(t, b"i", 1, b"", 0, 5, 0) == 1 << bits
    assert h < 2**30


def test_numbers_that_were_never_handles_are_stale(table):
    live = put(table)
    for h in [0, *range(1, 200), 2**29, 2**30 - 1, 2**30, 2**32 - 1]:
        if h != live:
            assert lib.sesstab_session_refs(table._t, h) == 0
            assert lib.sesstab_add_session(table._t, h) == 0
            assert lib.sesstab_free(table._t, h) == 0


def test_a_handle_of_a_slot_beyond_the_last_is_stale():
    """10 slots leave 6 numbers of 4 bits; the memory there looks like sessions of one generation."""
    t, _memory = raw_table(8, 2, guard=6 * 96)
    for slot in range(10, 16):
        assert lib.sesstab_session_refs(t, 0xA5A5 << 4 | slot) == 0
        assert lib.sesstab_up_ref(t, 0xA5A5 << 4 | slot) == 0


# The hash


def chains(t, memory, capacity, slots, offset=64):
    """The table's buckets, each a list of slots: what the opening comment of sesstab.c describes."""
    width = 2 if slots > 255 else 1
    raw = bytes(ffi.buffer(memory))
    after_at = offset + HEADER + 2 * (slots + 1) * width
    count = slots + capacity - capacity // 8
    after = [int.from_bytes(raw[after_at + width * i :][:width], sys.byteorder) for i in range(count)]
    buckets = []
    for slot in after[slots:]:
        bucket = []
        while slot != slots:
            bucket.append(slot)
            slot = after[slot]
        buckets.append(bucket)
    return buckets


def filled(ids, seed):
    """The buckets of a table that holds these, the first of them in slot 0."""
    t, memory = raw_table(len(ids), 1, seed=seed)
    for id in ids:
        h = lib.sesstab_new_session(t, id, len(id), b"", 0, 5, 0)
        assert lib.sesstab_add_session(t, h) == 1 and lib.sesstab_free(t, h) == 1
    buckets = chains(t, memory, len(ids), len(ids) + 1)
    assert sorted(i for bucket in buckets for i in bucket) == list(range(len(ids)))
    return buckets


def longest_chain(ids, seed):
    return max(len(bucket) for bucket in filled(ids, seed))


def flip(bits, positions):
    id = bytearray(32)
    for i, position in enumerate(positions):
        id[position // 8] ^= (bits >> i & 1) << position % 8
    return bytes(id)


def key_of(seed):
    """The hash's key, as the core makes it: 16 words, after as many that are thrown away."""
    x, y = seed
    words = []
    for _ in range(32):
        x = ((x ^ x >> 15) * 0x9E3779B1 + y) % 2**32
        y = ((y ^ y >> 13) * 0x85EBCA6B + x) % 2**32
        words.append(y)
    return words[16:]


def bucket_of(id, key, buckets):
    """MULTILINEAR-HM: a sum of products, each of two characters of 16 bits, with a word of the key added."""
    words = struct.unpack("=8I", id.ljust(32, b"\0"))
    hash = sum((word + key[2 * i]) * ((word >> 16) + key[2 * i + 1]) for i, word in enumerate(words))
    return (hash % 2**32 >> 16) * buckets >> 16


@pytest.mark.parametrize("seed", [(0, 0), (1, 2), (0xFFFFFFFF, 0xFFFFFFFF), (0x12345678, 0x9ABCDEF0)])
def test_the_hash_is_the_one_whose_collisions_are_proved_to_be_rare(seed):
    """Another one might spread ids as well as this, until somebody looks for those that it does not."""
    random = Random(1)
    ids = [random.randbytes(32 - n % 32) for n in range(120)]
    buckets = filled(ids, seed)
    placed = {slot: number for number, bucket in enumerate(buckets) for slot in bucket}
    key = key_of(seed)
    assert [placed[slot] for slot in range(len(ids))] == [bucket_of(id, key, len(buckets)) for id in ids]


HOSTILE = {
    "last bytes differ": [b"p" * 30 + i.to_bytes(2, "big") for i in range(250)],
    "first bytes differ": [i.to_bytes(2, "big") + b"p" * 30 for i in range(250)],
    "top bits of words": [flip(i, range(31, 256, 32)) for i in range(250)],
    "low bits of words": [flip(i, range(0, 256, 32)) for i in range(250)],
    "words permuted": [
        b"".join(bytes([i + (i == k) * j] * 4) for i in range(8)) for k in range(8) for j in range(1, 32)
    ],
    "lengths": [bytes([i]) + b"q" * n for n in range(31) for i in range(8)],
    "wide": [b"p" * 28 + (i * 65536).to_bytes(4, "big") for i in range(4000)],
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_ids_of_a_pattern_spread_over_the_buckets(kind):
    """As well as random ids do: the longest of 250 random chains at this load is 5 or 6, and seldom 8."""
    ids = HOSTILE[kind]
    assert len(set(ids)) == len(ids)
    lengths = Counter(longest_chain(ids, seed=(k * 0x9E3779B9 % 2**32, k)) for k in range(1, 21))
    assert sum(n * length for length, n in lengths.items()) / 20 < 9, lengths
    assert max(lengths) < 24, lengths


def test_a_seed_of_zeros_spreads_too():
    assert longest_chain(HOSTILE["last bytes differ"], (0, 0)) < 24


def test_the_seed_chooses_the_buckets():
    """What collides under one seed does not under another, so it cannot be prepared."""
    ids = colliding_ids(40, 40, seed=(1, 2))
    assert longest_chain(ids, (1, 2)) == 40
    assert longest_chain(ids, (3, 4)) < 12


def colliding_ids(count, capacity, seed):
    """Ids of one bucket, found by putting random ones into a table."""
    slots = capacity + 1
    t, memory = raw_table(capacity, 1, seed=seed)
    found, i = [], 0
    while len(found) < count:
        lib.sesstab_clear(t)
        tried = [(i + k).to_bytes(32, "little") for k in range(capacity)]
        i += capacity
        for id in tried:
            h = lib.sesstab_new_session(t, id, 32, b"", 0, 5, 0)
            lib.sesstab_add_session(t, h)
            lib.sesstab_free(t, h)
        found += [tried[slot] for slot in chains(t, memory, capacity, slots)[capacity // 2]]
    return found[:count]


# As a dict


def follow_a_dict(t, ids, capacity, calls, random):
    """Lookups, insertions and removals on a table and on an OrderedDict, least recently used first."""
    model = OrderedDict()
    for _ in range(calls):
        id = random.choice(ids)
        kind = random.random()
        if kind < 0.5:
            h = lib.sesstab_new_session(t, id, len(id), id[:4], 4, 5, 0)
            assert lib.sesstab_add_session(t, h) == 1 and lib.sesstab_free(t, h) == 1
            model.pop(id, None)
            if len(model) == capacity:
                model.popitem(last=False)
            model[id] = h
        else:
            h = lib.sesstab_get_session(t, id, len(id), 0)
            assert h == model.get(id, 0)
            if h and kind < 0.6:
                assert lib.sesstab_remove_session(t, h) == 1
                del model[id]
            elif h:
                model.move_to_end(id)
            assert lib.sesstab_free(t, h) == (h != 0)
    h, order = lib.sesstab_next(t, 0), []
    while h:
        order.append(h)
        h = lib.sesstab_next(t, h)
    assert order == list(reversed(model.values()))
    for id in ids:
        assert lib.sesstab_has_session(t, id, len(id)) == (id in model)


@pytest.mark.parametrize("capacity", [1, 2, 7, 64, 253, 254, 255, 1000])
def test_lookups_follow_a_dict(capacity):
    random = core_model.random.Random(capacity)
    ids = [b"prefix" * 4 + random.randbytes(8) for _ in range(2 * capacity)]
    t, _memory = raw_table(capacity)
    follow_a_dict(t, ids, capacity, 4000, random)


@pytest.mark.parametrize("capacity", [40, 300])
def test_lookups_follow_a_dict_when_all_ids_share_a_bucket(capacity):
    random = core_model.random.Random(capacity)
    ids = colliding_ids(60, capacity, seed=(5, 6))
    t, memory = raw_table(capacity, 1, seed=(5, 6))
    follow_a_dict(t, ids, capacity, 4000, random)
    assert sum(map(bool, chains(t, memory, capacity, capacity + 1))) == 1


def test_lookups_follow_a_dict_at_65535_slots():
    random = core_model.random.Random(65535)
    ids = [random.randbytes(32) for _ in range(80000)]
    t, _memory = raw_table(65534, 1)
    follow_a_dict(t, ids, 65534, 200000, random)


# Beside the pure engine


@pytest.mark.parametrize("seed", range(5))
def test_core_and_pure_engine_are_equal(seed):
    assert core_model.compare(seed, 4000) > 5 * 4000


def run_sanitized(*arguments):
    """Python in a process of its own, with the core built for ASan and UBSan."""
    libasan = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], check=True, capture_output=True, text=True
    )
    environment = {
        **os.environ,
        "LD_PRELOAD": libasan.stdout.strip(),
        "ASAN_OPTIONS": "detect_leaks=0",
        "PYTHONPATH": str(Path(_sesstab.__file__).parent),
        "SESSTAB_SANITIZE": "1",
    }
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)


def test_core_is_clean_under_asan_and_ubsan():
    run = run_sanitized(core_model.__file__, "77", "20000")
    assert run.returncode == 0, run.stderr[-3000:]
    assert int(run.stdout) > 5 * 20000


@pytest.mark.slow
def test_device_tests_are_clean_under_asan_and_ubsan():
    """The whole contract, as a target runs it."""
    device_tests = Path(__file__).parents[1] / "device"
    run = run_sanitized("-m", "pytest", "-q", str(device_tests), "--target", "cpython", "--engine", "native")
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-1000:]
    assert " passed" in run.stdout


def test_the_sanitizers_are_on():
    """They end the process for a table in less memory than sesstab_init was told of."""
    script = (
        "from _sesstab import ffi, lib\n"
        "c = ffi.new('sesstab_config_t *', {'capacity': 8, 'data_size': 50, 'timeout': 1})\n"
        "c.clock = ffi.callback('uint32_t(void *)', lambda arg: 1)\n"
        "lib.sesstab_init(ffi.new('uint64_t[]', lib.sesstab_size(8, 0, 50) // 8 - 40), 10**6, c)\n"
    )
    run = run_sanitized("-c", script)
    assert run.returncode != 0
    assert "heap-buffer-overflow" in run.stderr and "sesstab.c" in run.stderr
