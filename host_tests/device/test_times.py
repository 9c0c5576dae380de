import time

import sesstab
from support import Clock, fill, make, order, put

MAX = 0xFFFFFFFF


def test_a_session_is_good_until_its_timeout():
    table, clock = make(timeout=100)
    h = put(table, b"id")
    assert table.session_time(h) == 1000
    assert table.session_timeout(h) == 100
    clock.time = 1100
    assert table.get_session(b"id") == h
    table.free(h)
    clock.time = 1101
    assert table.get_session(b"id") == 0
    assert table.sess_timeouts() == 1
    assert table.sess_misses() == 0
    assert table.has_session(b"id") == 0
    assert table.session_refs(h) == 0


def test_timeout_0_is_good_within_the_same_second():
    table, clock = make()
    h = put(table, b"id", timeout=0)
    assert table.get_session(b"id") == h
    clock.time += 1
    assert table.get_session(b"id") == 0


def test_an_expired_session_that_is_referenced_stays_with_its_holder():
    table, clock = make()
    h = put(table, b"id")
    assert table.get_session(b"id") == h
    clock.time += 101
    assert table.get_session(b"id") == 0
    assert table.session_refs(h) == 1
    assert table.sess_number() == 0


def test_a_session_from_the_future_is_expired():
    table, clock = make()
    put(table, b"id")
    clock.time = 999
    assert table.get_session(b"id") == 0
    assert table.sess_timeouts() == 1


def test_when_the_time_is_not_known_every_session_is_expired():
    table, clock = make()
    put(table, b"a")
    put(table, b"b")
    clock.time = 0
    assert table.now() == 0
    assert table.get_session(b"a") == 0
    assert table.flush_sessions() == 1
    put(table, b"c")
    assert table.get_session(b"c") == 0


def test_a_clock_that_fails_means_that_the_time_is_not_known():
    for result in (ValueError, KeyboardInterrupt, SystemExit, MemoryError):

        def clock(result=result):
            raise result("no time")

        table = sesstab.SessionTable(2, clock=clock)
        assert table.now() == 0
        h = table.new_session(b"id", b"")
        assert table.session_time(h) == 0
        assert table.add_session(h) == 1
        assert table.get_session(b"id") == 0
        assert table.sess_timeouts() == 1


def test_a_clock_that_gives_nonsense_means_that_the_time_is_not_known():
    for result in (None, "12", b"12", [], -1, -5.5, MAX + 1, 1 << 70, float("nan"), float("inf"), 1e30):
        table = sesstab.SessionTable(2, clock=lambda result=result: result)
        assert table.now() == 0
        put(table, b"id")
        assert table.get_session(b"id") == 0


def test_a_clock_that_gives_a_float_is_truncated():
    table, clock = make()
    clock.time = 12.99
    assert table.now() == 12
    h = put(table, b"id")
    assert table.session_time(h) == 12
    clock.time = 0.5
    assert table.now() == 0


def test_times_up_to_2_to_the_32():
    table, clock = make(timeout=MAX - 1)
    clock.time = MAX
    assert table.now() == MAX
    h = put(table, b"id")
    assert table.session_time(h) == MAX
    assert table.get_session(b"id") == h
    assert table.set_session_time(h, 1) == 1
    assert table.get_session(b"id") == h
    assert table.set_session_time(h, 0) == 1
    assert table.get_session(b"id") == 0
    assert table.sess_timeouts() == 1


def test_set_session_time_and_timeout():
    table, _ = make()
    h = put(table, b"id")
    assert table.set_session_time(h, 900) == 1
    assert table.session_time(h) == 900
    assert table.get_session(b"id") == h
    assert table.set_session_timeout(h, 99) == 1
    assert table.session_timeout(h) == 99
    assert table.get_session(b"id") == 0
    assert table.set_session_timeout(h, MAX - 1) == 1
    assert table.session_timeout(h) == MAX - 1
    assert table.set_session_timeout(h, 0) == 1
    assert table.session_timeout(h) == 0
    assert table.set_session_time(h, MAX) == 1
    assert table.session_time(h) == MAX


def test_the_tables_timeout_is_for_sessions_made_from_now_on():
    table, _ = make(timeout=100)
    before = put(table, b"a")
    table.timeout = 5
    after = put(table, b"b")
    given = put(table, b"c", timeout=77)
    assert [table.session_timeout(h) for h in (before, after, given)] == [100, 5, 77]


def test_flush_sessions_removes_what_is_expired_then():
    table, _ = make(capacity=5)
    for n in range(5):
        put(table, b"%d" % n, timeout=10 * n)
    assert table.flush_sessions(1000) == 0
    assert table.flush_sessions(1020) == 2
    assert order(table) == [b"4", b"3", b"2"]
    assert table.flush_sessions(1021) == 1
    assert table.flush_sessions(1021) == 0
    assert table.sess_number() == 2
    assert table.sess_timeouts() == 0
    assert table.sess_cache_full() == 0


def test_flush_sessions_uses_the_clock():
    table, clock = make()
    fill(table)
    assert table.flush_sessions() == 0
    clock.time += 101
    assert table.flush_sessions() == 4


def test_flush_sessions_0_removes_all():
    table, _ = make()
    fill(table)
    held = table.get_session(b"id1")
    assert table.flush_sessions(0) == 4
    assert table.sess_number() == 0
    assert table.session_refs(held) == 1
    assert table.flush_sessions(0) == 0


def test_flush_sessions_at_the_end_of_time():
    table, _ = make()
    fill(table)
    assert table.flush_sessions(MAX) == 4


def test_flush_sessions_removes_sessions_from_the_future():
    table, clock = make()
    put(table, b"a")
    clock.time = 2000
    put(table, b"b")
    assert table.flush_sessions(1050) == 1
    assert order(table) == [b"a"]


def test_a_full_table_removes_expired_sessions_before_others():
    table, clock = make(capacity=4)
    put(table, b"old")
    put(table, b"short1", timeout=5)
    put(table, b"long")
    put(table, b"short2", timeout=5)
    clock.time += 6
    put(table, b"new")
    assert order(table) == [b"new", b"long", b"old"]
    assert table.sess_cache_full() == 2
    assert table.sess_timeouts() == 0


def test_a_session_whose_times_were_changed_is_found_expired_by_a_full_table():
    table, clock = make(capacity=3)
    fill(table)
    h = table.get_session(b"id1")
    put(table, b"id3")
    assert order(table) == [b"id3", b"id1", b"id2"]
    table.set_session_timeout(h, 3)
    clock.time += 4
    put(table, b"id4")
    assert order(table) == [b"id4", b"id3", b"id2"]
    table.free(h)
    h = table.get_session(b"id3")
    table.set_session_time(h, 5000)
    put(table, b"id5")
    assert order(table) == [b"id5", b"id4", b"id2"]


def test_a_clock_set_back_empties_a_full_table_of_the_future():
    table, clock = make(capacity=3)
    put(table, b"old")
    clock.time = 2000
    put(table, b"b")
    put(table, b"c")
    clock.time = 1001
    put(table, b"d")
    assert order(table) == [b"d", b"old"]
    assert table.sess_cache_full() == 2


def test_only_a_full_table_removes_expired_sessions_when_adding():
    table, clock = make(capacity=3)
    put(table, b"a")
    put(table, b"b")
    clock.time += 1000
    put(table, b"c")
    assert order(table) == [b"c", b"b", b"a"]


def test_without_a_clock_a_table_counts_seconds_from_1():
    table = sesstab.SessionTable(2)
    assert table.now() == 1
    put(table, b"id", timeout=1)
    for _ in range(2):
        time.sleep(0.7)
        table.now()
    assert table.now() == 2  # after 1.4 seconds
    assert table.get_session(b"id")
    time.sleep(2.2)
    assert 4 <= table.now() <= 5  # after 3.6 seconds
    assert table.get_session(b"id") == 0
    assert table.sess_timeouts() == 1


def test_a_session_made_when_the_time_was_not_known_can_be_flushed():
    table, clock = make()
    clock.time = 0
    put(table, b"a")
    assert table.flush_sessions(0) == 1
    put(table, b"b")
    assert table.flush_sessions() == 1


def test_a_clock_may_be_any_callable():
    class Watch:
        def read(self):
            return 42

    assert sesstab.SessionTable(1, clock=Watch().read).now() == 42
    assert sesstab.SessionTable(1, clock=Clock(43)).now() == 43
    assert sesstab.SessionTable(1, clock=lambda: True).now() == 1
