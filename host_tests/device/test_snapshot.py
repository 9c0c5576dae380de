# dump and load: what comes back, what is left out, what is refused. docs/format.md.

import binascii
import struct

import sesstab
import sesstab.format
import sesstab.pure
from support import Clock, Random, counters, data_of, id_of, locked, make, memory_of, order, put, raises

EMPTY = b"sesT\1\0\0\0"
EXAMPLE = b"sesT\1\0\1\0\x81\0\3\2\x2c\1\7\0iddata"
DATA = bytes(range(50))


def sealed(content):
    """With its CRC."""
    return content + struct.pack("<I", binascii.crc32(content))


def state(table):
    """All sessions of the table, most recently used first, with their ages."""
    now = table.now()
    sessions = []
    h = table.next_session()
    while h:
        sessions.append(
            (
                id_of(table, h),
                data_of(table, h),
                table.session_context(h),
                table.session_timeout(h),
                now - table.session_time(h),
                table.session_refs(h),
            )
        )
        h = table.next_session(h)
    return sessions


def varied(capacity=8):
    """A table with sessions of all sizes and widths."""
    table, clock = make(capacity)
    sizes = ((7, 9, 2**32 - 2), (32, 50, 255), (31, 49, 256), (2, 1, 65536), (16, 25, 1 << 24), (1, 0, 0))
    for n, (id_size, data_size, timeout) in enumerate(sizes):
        clock.time += 3
        h = put(table, bytes([65 + n]) * id_size, DATA[:data_size], timeout, n * 51)
        if n == 0:
            table.set_session_time(h, 5)
    return table, clock


def other(table, clock, **sizes):
    """Another table, with a clock that shows something else."""
    result, its_clock = make(**sizes)
    its_clock.time = clock.time + 5000
    return result, its_clock


# What is written


def test_an_empty_table_makes_12_bytes():
    table, _ = make()
    assert table.dump() == sealed(EMPTY)
    assert table.dump_size() == 12
    assert make()[0].load(sealed(EMPTY)) == 0


def test_the_example_of_the_specification():
    table, clock = make(timeout=300)
    put(table, b"id", b"data", None, 3)
    clock.time += 7
    assert table.dump() == sealed(EXAMPLE) == EXAMPLE + b"\x6a\xdb\xa1\xb4"


def test_a_server_session_takes_90_bytes():
    table, _ = make(capacity=30, timeout=64800)
    for n in range(30):
        put(table, bytes([n]) * 32, DATA)
    assert table.dump_size() == len(table.dump()) == 12 + 30 * 90
    assert len(table.dump(None, 2048)) == 12 + 22 * 90


def test_least_recently_used_comes_first():
    table, _ = make()
    for id in (b"a", b"b", b"c"):
        put(table, id, b"")
    table.free(table.get_session(b"a"))
    snapshot = table.dump()
    assert snapshot.find(b"b") < snapshot.find(b"c") < snapshot.find(b"a")


def test_only_sessions_in_the_table_are_dumped():
    table, _ = make()
    put(table, b"in")
    assert table.new_session(b"referenced", DATA)
    assert table.dump().find(b"referenced") < 0
    assert table.dump_size() == len(table.dump())


def test_expired_sessions_are_not_dumped():
    table, clock = make()
    put(table, b"old", timeout=10)
    put(table, b"young")
    clock.time += 10
    assert table.dump().find(b"old") > 0
    clock.time += 1
    assert table.dump().find(b"old") < 0
    assert table.dump().find(b"young") > 0
    assert order(table) == [b"young", b"old"]


def test_sessions_of_the_future_are_not_dumped():
    table, clock = make()
    put(table, b"now")
    for timeout in (100, 2**32 - 2):
        table.set_session_time(put(table, b"future%d" % timeout, timeout=timeout), clock.time + 1)
    snapshot = table.dump()
    assert snapshot.find(b"future") < 0 < snapshot.find(b"now")
    assert table.dump_size() >= len(snapshot)


def test_nothing_is_dumped_when_the_time_is_not_known():
    table, clock = make()
    put(table, b"id")
    clock.time = 0
    assert table.dump() == sealed(EMPTY)


# Room


def test_max_bytes_keeps_the_most_recently_used():
    table, _ = varied()
    whole = table.dump()
    ids = order(table)
    seen = set()
    for most in range(12, len(whole) + 3):
        snapshot = table.dump(None, most)
        assert len(snapshot) <= most
        fresh, _ = make(8)
        count = fresh.load(snapshot)
        assert order(fresh) == ids[:count]
        seen.add(count)
    assert seen == set(range(7))
    assert snapshot == whole


def test_a_session_that_does_not_fit_ends_the_snapshot():
    table, _ = make()
    put(table, b"small", b"")
    put(table, b"large", DATA)
    put(table, b"last", b"")
    assert len(table.dump(None, 50)) == 12 + 6 + 4


def test_too_small_for_anything():
    table, _ = make()
    put(table, b"id")
    for most in (11, 0, -1, -(1 << 70)):
        assert table.dump(None, most) == b""
        assert table.dump(bytearray(50), most) == 0
    assert table.dump(bytearray(11)) == 0
    assert table.dump(bytearray()) == 0


def test_huge_max_bytes():
    table, _ = make()
    put(table, b"id")
    assert (
        table.dump(None, 1 << 70)
        == table.dump(None, 1 << 31)
        == table.dump(max_bytes=1 << 29)
        == table.dump()
    )


def test_a_buffer_is_written_as_far_as_said():
    table, _ = varied()
    whole = table.dump()
    for size in (12, 13, 40, 90, len(whole) - 1, len(whole), len(whole) + 30):
        for most in (None, 70, 500):
            buf = bytearray(b"\xa5" * (size + 9))
            used = table.dump(memoryview(buf)[3 : 3 + size], most)
            assert bytes(buf[3 : 3 + used]) == table.dump(None, size if most is None else min(size, most))
            assert buf[:3] == b"\xa5" * 3
            assert bytes(buf[3 + used :]) == b"\xa5" * (len(buf) - used - 3)


def test_dump_size_holds_while_sessions_age():
    table, clock = make(timeout=70000)
    put(table, b"id")
    size = table.dump_size()
    for age in (0, 255, 256, 65535, 65536, 70000):
        clock.time = 1000 + age
        assert len(table.dump()) == table.dump_size() == size
    clock.time += 1
    assert table.dump_size() == size
    assert len(table.dump()) == 12


# What comes back


def test_everything_comes_back():
    table, clock = varied()
    fresh, _ = other(table, clock, capacity=8)
    snapshot = table.dump()
    assert fresh.load(snapshot) == 6
    assert state(fresh) == state(table)
    assert fresh.dump() == snapshot
    for n, id in enumerate(reversed(order(fresh))):
        assert fresh.get_session(id, n * 51)


def test_any_buffer_can_be_loaded():
    table, clock = varied()
    snapshot = table.dump()
    for buf in (snapshot, bytearray(snapshot), memoryview(b"x" + snapshot + b"x")[1:-1]):
        fresh, _ = other(table, clock, capacity=8)
        assert fresh.load(buf) == 6
        assert state(fresh) == state(table)


def test_it_comes_back_with_the_tables_own_clock():
    table = sesstab.SessionTable(4)
    put(table, b"id", DATA)
    fresh = sesstab.SessionTable(4)
    assert fresh.load(table.dump(), 100) == 1
    assert fresh.session_time(fresh.next_session()) == 1
    assert fresh.session_timeout(fresh.next_session()) == 7100
    assert fresh.get_session(b"id")


def test_elapsed_makes_sessions_older():
    table, clock = make()
    put(table, b"old", timeout=20)
    put(table, b"young", timeout=100)
    clock.time += 5
    for elapsed, ids in ((0, 2), (15, 2), (16, 1), (95, 1), (96, 0), (2**32 - 1, 0), (2**32, 0), (-1, 0)):
        fresh, its_clock = other(table, clock)
        assert fresh.load(table.dump(), elapsed) == ids
        assert [s[4] for s in state(fresh)] == [5 + elapsed] * ids
    its_clock.time = 0
    assert fresh.load(table.dump()) == 0
    assert fresh.load(table.dump(), elapsed=True) == 0


def test_the_longest_timeout_ends_before_the_longest_sleep():
    table, _ = make(timeout=2**32 - 2)
    put(table, b"id")
    for elapsed, loaded in ((2**32 - 1, 0), (2**70, 0), (-1, 0), (2**32 - 2, 1)):
        fresh, clock = make()
        clock.time = 2**32 - 1
        assert fresh.load(table.dump(), elapsed) == loaded


def test_a_session_expires_when_it_would_have():
    for start in (1, 2, 30, 59, 60, 61, 62, 5000):
        table, clock = make(timeout=100)
        put(table, b"id")
        clock.time += 40
        snapshot = table.dump()
        fresh, its_clock = make()
        its_clock.time = start
        assert fresh.load(snapshot, 20) == 1
        h = fresh.next_session()
        assert fresh.session_time(h) == max(1, start - 60)
        its_clock.time = start + 40
        assert fresh.get_session(b"id") == h
        its_clock.time += 1
        assert fresh.get_session(b"id") == 0


def test_a_clock_set_back_and_dumped_again():
    """Sessions that outlive several resets: each starts the clock anew."""
    table, clock = make(timeout=100)
    put(table, b"id")
    for life in range(4):
        clock.time += 25
        snapshot = table.dump()
        table, clock = make()
        clock.time = 1
        assert table.load(snapshot) == 1, life
    clock.time += 1
    assert table.get_session(b"id") == 0


def test_a_full_timeout_survives_a_clock_started_anew():
    table, clock = make(timeout=2**32 - 2)
    put(table, b"id")
    clock.time += 500
    fresh, its_clock = make()
    its_clock.time = 1
    assert fresh.load(table.dump()) == 1
    assert fresh.session_timeout(fresh.next_session()) == 2**32 - 2 - 500


def test_nothing_is_loaded_when_the_time_is_not_known():
    table, _ = varied()
    fresh, clock = make(8)
    clock.time = 0
    assert fresh.load(table.dump()) == 0
    assert order(fresh) == []


def test_a_smaller_table_takes_the_most_recently_used():
    table, clock = varied()
    for capacity in range(1, 6):
        fresh, _ = other(table, clock, capacity=capacity)
        assert fresh.load(table.dump()) == capacity
        assert state(fresh) == state(table)[:capacity]
        assert counters(fresh) == (capacity, 0, 0, 0, 0, 0, 0)


def test_a_lowered_cache_size():
    table, clock = varied()
    fresh, _ = other(table, clock, capacity=8)
    fresh.cache_size = 2
    assert fresh.load(table.dump()) == 2
    assert state(fresh) == state(table)[:2]
    put(fresh, b"more")
    fresh.cache_size = 1
    assert fresh.load(table.dump()) == 0


def test_what_expires_takes_no_room():
    table, clock = make()
    for n, timeout in enumerate((100, 100, 10, 10)):
        put(table, b"%d" % n, timeout=timeout)
    fresh, _ = other(table, clock, capacity=2)
    assert fresh.load(table.dump(), 11) == 2
    assert order(fresh) == [b"1", b"0"]


def test_what_the_table_has_stays():
    table, clock = make()
    for id in (b"a", b"b", b"c"):
        put(table, id, b"snapshot")
    fresh, _ = other(table, clock)
    put(fresh, b"x", b"newer")
    put(fresh, b"b", b"newer")
    assert fresh.load(table.dump()) == 2
    assert order(fresh) == [b"c", b"a", b"b", b"x"]
    assert data_of(fresh, fresh.get_session(b"b")) == b"newer"
    assert fresh.load(table.dump()) == 0
    assert sorted(order(fresh)) == [b"a", b"b", b"c", b"x"]


def test_what_the_table_has_stays_whatever_the_length_of_its_id():
    for size in (1, 31, 32):
        table, clock = make()
        put(table, b"i" * size, b"snapshot")
        fresh, _ = other(table, clock)
        put(fresh, b"i" * size, b"newer")
        assert fresh.load(table.dump()) == 0
        assert data_of(fresh, fresh.next_session()) == b"newer"


def test_a_full_table_loads_nothing():
    table, clock = varied()
    fresh, _ = other(table, clock, capacity=2)
    put(fresh, b"x")
    put(fresh, b"y")
    assert fresh.load(table.dump()) == 0
    assert order(fresh) == [b"y", b"x"]


def test_slots_that_are_referenced_elsewhere():
    table, clock = varied()
    fresh, _ = other(table, clock, capacity=2, spare=1)
    held = [fresh.new_session(b"held", DATA) for _ in range(2)]
    assert fresh.load(table.dump()) == 1
    assert [fresh.free(h) for h in held] == [1, 1]
    assert fresh.load(table.dump()) == 1


def test_two_sessions_with_one_id():
    """No table makes such a snapshot; of a forged one the first session is loaded."""
    record = b"\x20\0\0\1\x64\0i"
    fresh, _ = make(capacity=1)
    assert fresh.load(sealed(b"sesT\1\0\2\0" + record + b"1" + record + b"2")) <= 1
    fresh, _ = make()
    assert fresh.load(sealed(b"sesT\1\0\2\0" + record + b"1" + record + b"2")) == 1
    assert data_of(fresh, fresh.next_session()) == b"1"


def test_no_callbacks_and_no_counters():
    table, clock = varied()
    fresh, _ = other(table, clock, capacity=3)
    told = []
    fresh.on_new = fresh.on_get = fresh.on_remove = table.on_new = table.on_remove = lambda t, a: told.append(
        a
    )
    before = counters(table)
    assert fresh.load(table.dump()) == 3
    assert told == []
    assert counters(fresh) == (3, 0, 0, 0, 0, 0, 0)
    assert counters(table) == before


def test_update_time_does_not_make_sessions_younger():
    table, clock = varied()
    fresh, _ = other(table, clock, capacity=8)
    fresh.mode = sesstab.SESS_CACHE_SERVER | sesstab.SESS_CACHE_UPDATE_TIME
    assert fresh.load(table.dump(), 0) == 6
    assert state(fresh) == state(table)


def test_nothing_is_loaded_during_on_remove():
    table, _ = varied()
    snapshot = table.dump()
    fresh, _ = make(8)
    results = []
    fresh.on_remove = lambda t, h: results.append((t.load(snapshot), len(t.dump())))
    fresh.remove_session(put(fresh, b"x"))
    assert results == [(0, 12)]
    assert fresh.load(snapshot) == 6


def test_loaded_sessions_hold_no_references():
    table, clock = varied()
    fresh, _ = other(table, clock, capacity=8)
    fresh.load(table.dump())
    assert [session[5] for session in state(fresh)] == [1] * 6


def test_loaded_sessions_are_overwritten_like_others():
    secret = bytes([171, 205, 18, 52, 86, 120, 154, 188, 222, 240]) * 5
    table, clock = make()
    put(table, b"id", secret)
    fresh, _ = other(table, clock)
    snapshot = table.dump()
    fresh.load(snapshot)
    assert memory_of(fresh).find(secret) >= 0
    fresh.remove_session(fresh.next_session())
    for at in range(0, 50, 10):
        assert memory_of(fresh).find(secret[at : at + 10]) < 0


# What is refused


def assert_refused(buf, message="snapshot is damaged", **sizes):
    table, _ = make(**sizes)
    put(table, b"before", b"")
    before = state(table)
    try:
        table.load(buf)
    except ValueError as error:
        assert str(error) == message, error
    else:
        raise AssertionError("loaded %r" % bytes(buf))
    assert state(table) == before
    assert counters(table) == (1, 0, 0, 0, 0, 0, 0)


def small():
    table, clock = make()
    put(table, b"first", b"some data", 300, 3)
    put(table, b"2", b"", 9, 255)
    clock.time += 7
    return table.dump()


def test_every_truncation_is_refused():
    snapshot = small()
    for size in range(len(snapshot)):
        assert_refused(snapshot[:size])
        assert_refused(snapshot[len(snapshot) - size :])


def test_every_changed_bit_is_refused():
    snapshot = bytearray(small())
    table, _ = make()
    for i in range(len(snapshot) * 8):
        snapshot[i >> 3] ^= 1 << (i & 7)
        assert raises(ValueError, table.load, snapshot)
        snapshot[i >> 3] ^= 1 << (i & 7)
    assert counters(table) == (0, 0, 0, 0, 0, 0, 0)
    assert table.load(snapshot) == 2


def test_more_bytes_than_a_snapshot_are_refused():
    snapshot = small()
    for more in (b"\0", b"\0\0\0\0", snapshot, bytes(2048)):
        assert_refused(snapshot + more)
        assert_refused(more + snapshot)


def test_memory_that_was_never_written_is_refused():
    for size in (1, 12, 100, 2048):
        assert_refused(bytes(size))
        assert_refused(b"\xff" * size)


def test_other_magic_is_refused():
    assert_refused(sealed(b"sesF\1\0\0\0"))
    assert_refused(sealed(b""))
    assert_refused(sealed(b"sesT"))
    assert_refused(sealed(b"sesT\1\0\0"))


def test_unknown_versions_are_refused():
    unknown = "snapshot has an unknown version"
    for version in (0, 2, 255):
        assert_refused(sealed(b"sesT" + bytes([version]) + b"\0\0\0"), unknown)
        assert_refused(sealed(b"sesT" + bytes([version]) + b"\0\1\0 whatever"), unknown)
    assert_refused(sealed(b"sesT\1\1\0\0"), unknown)
    assert_refused(sealed(b"sesT\1\x80\0\0"), unknown)


def test_wrong_counts_are_refused():
    record = EXAMPLE[8:]
    for count in (0, 2, 3, 255, 256, 257, 65535):
        assert_refused(sealed(b"sesT\1\0" + struct.pack("<H", count) + record))
    assert_refused(sealed(b"sesT\1\0\1\0"))
    assert_refused(sealed(b"sesT\1\0\1\0" + record + b"\0"))


def session(lengths, width, timeout, age, rest):
    return sealed(b"sesT\1\0\1\0" + struct.pack("<HBB", lengths, 0, width) + timeout + age + rest)


def test_whatever_dump_would_not_write_is_refused():
    table, _ = make()
    assert table.load(session(0, 1, b"\5", b"\5", b"i")) == 1
    for wrong in (
        session(0, 1, b"\5", b"\6", b"i"),  # expired
        session(0, 2, b"\5\0", b"\5\0", b"i"),  # wider than needed
        session(0, 2, b"\0\0", b"\0\0", b"i"),
        session(0, 4, b"\5\0\0\0", b"\5\0\0\0", b"i"),
        session(0, 4, b"\xff\xff\xff\xff", b"\0\0\0\0", b"i"),  # not a timeout
        session(0, 0, b"", b"", b"i"),
        session(0, 5, b"\5\0\0\0\1", b"\0\0\0\0\0", b"i"),
        session(0, 255, b"\5" * 255, b"\1" * 255, b"i"),
        session(1, 1, b"\5", b"\5", b"i"),  # id or data end too soon
        session(32, 1, b"\5", b"\5", b"i"),
        session(0xFFFF, 1, b"\5", b"\5", b"i"),
        session(0, 1, b"\5", b"\5", b""),
        session(0, 1, b"\5", b"\5", b"ix"),
        session(0, 1, b"", b"", b""),
        session(0, 4, b"", b"", b""),
    ):
        assert_refused(wrong)


def test_a_session_that_begins_too_early_is_refused():
    """What comes before it is counted as a session, too, but is none, whatever is seen in it."""
    for record in (EXAMPLE[8:], b"\0\0\1\1\5\5i"):
        table, _ = make()
        assert table.load(sealed(b"sesT\1\0\1\0" + record)) == 1
        assert_refused(sealed(b"sesT\1\0\2\0" + b"\0" + record))


def test_data_longer_than_data_size_is_refused():
    table, _ = make()
    put(table, b"long", DATA, 10)
    put(table, b"short", b"")
    for size in (49, 1):
        assert_refused(table.dump(), "snapshot has data longer than data_size", data_size=size)
    fresh, _ = make(data_size=51)
    assert fresh.load(table.dump()) == 2
    assert_refused(sealed(table.dump()[:-5]), data_size=1)


def test_wrong_types():
    table, _ = make()
    for wrong in ("text", 5, b"bytes"):
        assert raises(TypeError, table.dump, wrong), wrong
    for wrong in ("text", 5, None):
        assert raises(TypeError, table.load, wrong), wrong
    for wrong in ("5", b"5", (), 5.0):
        assert raises(TypeError, table.dump, None, wrong), wrong
        assert raises(TypeError, table.dump, bytearray(20), wrong), wrong
        assert raises(TypeError, table.load, table.dump(), wrong), wrong
    assert raises(TypeError, table.load, table.dump(), None)
    assert raises(TypeError, table.load)


# The heap


def test_dump_and_load_run_while_the_heap_is_locked():
    table, clock = make(8)
    for n in range(8):
        put(table, bytes([65 + n]) * (n * 4 + 1), DATA[: n * 7], 100 << n * 3, n)
    fresh, _ = other(table, clock, capacity=7)
    buf = bytearray(table.dump_size())
    view = memoryview(buf)
    assert locked(table.dump_size) == len(buf)
    assert locked(lambda: table.dump(buf)) == len(buf)
    expected = table.dump()
    assert buf == expected
    assert locked(lambda: table.dump(view, max_bytes=150)) > 12
    assert bytes(buf[: table.dump(view, 150)]) == table.dump(None, 150)
    table.dump(view)
    assert locked(lambda: fresh.load(buf)) == 7
    assert locked(lambda: fresh.load(view, elapsed=5)) == 0
    assert state(fresh) == state(table)[:7]


def test_the_checksum_in_halves():
    content = bytes([n * 73 & 0xFF for n in range(300)])
    out = bytearray(6)
    for size in (0, 1, 2, 12, 299, 300):
        sesstab.format._crc_in_halves(content, size, out, 1)
        assert bytes(out[1:5]) == struct.pack("<I", binascii.crc32(content[:size]))
    assert out[0] == out[5] == 0


def test_without_memory_the_checksum_is_computed_in_halves():
    def no_memory(*_):
        raise MemoryError

    table = sesstab.pure.SessionTable(4, clock=Clock())
    put(table, b"id")
    expected = table.dump()
    crc32, sesstab.format.crc32 = sesstab.format.crc32, no_memory
    try:
        assert table.dump() == expected
        assert sesstab.pure.SessionTable(4, clock=Clock()).load(expected) == 1
    finally:
        sesstab.format.crc32 = crc32


# Both engines


def used(table_class, seed):
    """A table after random use."""
    random = Random(seed)
    clock = Clock()
    table = table_class(1 + random.below(9), random.below(3), 50, 60, clock=clock)
    for _ in range(random.below(60)):
        id = bytes([65 + random.below(12)]) * (1 + random.below(3))
        timeout = (random.below(90), 300, 70000, 1 << 25)[random.below(4)]
        h = table.new_session(id, DATA[: random.below(51)], timeout, random.below(3))
        table.add_session(h)
        table.free(h)
        table.free(table.get_session(bytes([65 + random.below(12)])))
        clock.time += random.below(9)
    return table, clock, random


def test_both_engines_write_and_load_the_same():
    for seed in range(40):
        sides = []
        for table_class in (sesstab.SessionTable, sesstab.pure.SessionTable):
            table, _, random = used(table_class, seed)
            most = random.below(300)
            snapshot = table.dump()
            fresh, fresh_clock, _ = used(table_class, random.below(1000))
            fresh_clock.time = random.below(2000)
            loaded = fresh.load(snapshot, random.below(80))
            h = fresh.new_session(b"x", b"")
            sides.append(
                (
                    snapshot,
                    table.dump(None, most),
                    table.dump_size(),
                    loaded,
                    h,
                    state(fresh),
                    counters(fresh),
                )
            )
        assert sides[0] == sides[1], seed
