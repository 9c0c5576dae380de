# A table with its own clock, which is the usual one: what a hit took for granted, the next one notices
# when it is so no longer.

import sesstab
from own_clock import IS_CPYTHONS, Ticks, with_ticks
from support import order, put

IDS = [bytes([n]) * 32 for n in range(1, 5)]
A30, B30 = b"a" * 30, b"b" * 30


def used(timeout=100, capacity=4):
    """A table of one session, which was found already."""
    table = sesstab.SessionTable(capacity, timeout=timeout)
    put(table, IDS[0])
    assert hits(table, IDS[0])
    assert hits(table, IDS[0])
    return table


def hits(table, id, context=0):
    h = table.get_session(id, context)
    table.free(h)
    return h > 0


def check(work):
    if not IS_CPYTHONS:
        with_ticks(Ticks(1 << 29), work)


def test_a_second_is_over_after_1000_milliseconds():
    def work(ticks):
        table = sesstab.SessionTable(4)
        for milliseconds, seconds in ((999, 1), (1, 2), (999, 2), (1, 3), (2500, 5), (499, 5), (1, 6)):
            ticks.now += milliseconds
            assert table.now() == seconds

    check(work)


def test_a_session_expires_to_the_second():
    def work(ticks):
        table = used()
        ticks.wait(100)
        assert hits(table, IDS[0])
        ticks.wait(1)
        assert not hits(table, IDS[0])
        assert (table.sess_hits(), table.sess_timeouts(), table.sess_number()) == (3, 1, 0)

    check(work)


def test_to_ask_for_the_time_does_not_lengthen_it():
    def work(ticks):
        table = used()
        ticks.wait(50)
        assert table.now() == 51
        ticks.wait(51)
        assert table.now() == 102
        assert not hits(table, IDS[0])

    check(work)


def test_a_session_that_is_found_every_second_expires_all_the_same():
    def work(ticks):
        table = used()
        found = 0
        while hits(table, IDS[0]):
            found += 1
            ticks.wait(1)
        assert found == 101

    check(work)


def test_a_session_of_a_long_time_is_found_when_ticks_come_round():
    def work(ticks):
        table = used(timeout=40 * 86400)
        for _ in range(40):
            ticks.wait(86400)
            assert hits(table, IDS[0])
        ticks.wait(1)
        assert not hits(table, IDS[0])

    check(work)


def test_each_session_has_its_own_time():
    def work(ticks):
        table = used()
        ticks.wait(10)
        put(table, IDS[1], timeout=5)
        assert hits(table, IDS[0]) and hits(table, IDS[1])
        ticks.wait(6)
        assert not hits(table, IDS[1])
        assert hits(table, IDS[0])

    check(work)


def test_a_shorter_timeout_counts_at_once():
    def work(ticks):
        table = used()
        ticks.wait(10)
        h = table.get_session(IDS[0])
        table.set_session_timeout(h, 9)
        table.free(h)
        assert not hits(table, IDS[0])

    check(work)


def test_a_creation_time_in_the_future_counts_at_once():
    def work(ticks):
        table = used()
        h = table.get_session(IDS[0])
        table.set_session_time(h, table.now() + 1)
        table.free(h)
        assert not hits(table, IDS[0])

    check(work)


def test_a_session_of_the_future_is_not_found_after_another():
    def work(ticks):
        table = used()
        h = put(table, IDS[1])
        table.set_session_time(h, table.now() + 1)
        assert hits(table, IDS[0])
        assert not hits(table, IDS[1])

    check(work)


def test_a_mode_counts_at_once():
    def work(ticks):
        table = used()
        table.mode = sesstab.SESS_CACHE_SERVER | sesstab.SESS_CACHE_NO_INTERNAL_LOOKUP
        assert not hits(table, IDS[0])
        table.mode = sesstab.SESS_CACHE_SERVER | sesstab.SESS_CACHE_UPDATE_TIME
        ticks.wait(100)
        assert hits(table, IDS[0])
        ticks.wait(100)
        assert hits(table, IDS[0])

    check(work)


def test_without_internal_lookup_on_get_is_asked_every_time():
    asked = []

    def on_get(table, id):
        asked.append(bytes(id))
        h = table.next_session()
        table.up_ref(h)
        return h

    def work(ticks):
        table = used()
        table.mode = sesstab.SESS_CACHE_SERVER | sesstab.SESS_CACHE_NO_INTERNAL_LOOKUP
        table.on_get = on_get
        assert hits(table, IDS[0]) and hits(table, IDS[0])
        assert asked == [IDS[0]] * 2

    check(work)


def test_nothing_is_found_while_on_remove_runs():
    found = []

    def on_remove(table, h):
        found.append(hits(table, IDS[0]))

    def work(ticks):
        table = used()
        put(table, IDS[1])
        table.on_remove = on_remove
        h = table.get_session(IDS[1])
        table.remove_session(h)
        assert found == [False]
        assert hits(table, IDS[0])

    check(work)


def test_a_hit_goes_first_in_the_order_of_use():
    def work(ticks):
        table = used()
        for id in IDS[1:]:
            put(table, id)
        assert hits(table, IDS[1])
        for n in (0, 2, 2, 3, 1):
            assert hits(table, IDS[n])
        assert order(table) == [IDS[n] for n in (1, 3, 2, 0)]

    check(work)


def test_a_hit_is_evicted_last():
    def work(ticks):
        table = used()
        for id in IDS[1:]:
            put(table, id)
        for n in (1, 0, 2):
            assert hits(table, IDS[n])
        for n in (3, 1, 0, 2):
            put(table, b"new%d" % n)
            assert not table.has_session(IDS[n])

    check(work)


def test_a_session_is_found_under_its_context_only():
    def work(ticks):
        table = used()
        assert not hits(table, IDS[0], 1)
        assert hits(table, IDS[0])
        for wrong in (256, -1):
            assert table.get_session(IDS[0], wrong) == 0
        put(table, IDS[1], context=7)
        assert hits(table, IDS[1], 7)
        assert not hits(table, IDS[1])

    check(work)


def test_a_reference_too_many_is_not_given():
    def work(ticks):
        table = used()
        for _ in range(255):
            assert table.get_session(IDS[0])
        before = table.sess_hits()
        assert table.get_session(IDS[0]) == 0
        assert table.sess_hits() == before

    check(work)


def test_ids_that_share_their_ends_and_ids_padded_with_zeros_are_told_apart():
    def work(ticks):
        table = used(capacity=8)
        zeros = b"\0\0"
        ids = [A30 + zeros, A30, B30 + zeros, B30 + b"\0", b"a" + zeros, b"\1" * 31 + b"\0"]
        for n, id in enumerate(ids):
            assert not hits(table, id)
            put(table, id, b"%d" % n)
            assert hits(table, id)
        buf = bytearray(50)
        for n, id in enumerate(ids):
            for kind in (bytes, bytearray, memoryview):
                h = table.get_session(kind(id))
                assert buf[: table.session_data(h, buf)] == b"%d" % n
                table.free(h)

    check(work)
