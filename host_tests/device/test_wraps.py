# What happens after years: the counters come round at 2^30, and so does the clock that a table has by itself.

import sesstab
from own_clock import IS_CPYTHONS, LAST, Ticks, with_ticks
from support import counters, is_native, make, preset_counters, put


def used():
    """A table, each of whose calls count() counts once more."""
    table, clock = make(1, 2)
    table.on_get = lambda table, id: table.new_session(id, b"external") if id == b"external" else 0
    count(table, clock)
    return table, clock


def count(table, clock):
    """Everything that is counted, once; evicted are two."""
    h = table.new_session(b"id", b"")
    table.update_cache(h)
    table.free(h)
    table.free(table.get_session(b"id"))
    clock.time += 1000
    assert table.get_session(b"id") == 0
    put(table, b"other")
    table.free(table.get_session(b"external"))
    table.clear()


def test_counters_come_round():
    table, _ = used()
    assert counters(table) == (0, 2, 1, 1, 1, 1, 1)
    # In C they have 32 bits, of which 30 are shown.
    for last in (LAST, 0xFFFFFFFF) if is_native(table) else (LAST,):
        table, clock = used()
        preset_counters(table, last)
        assert counters(table) == (0, LAST, LAST, LAST, LAST, LAST, LAST)
        count(table, clock)
        assert counters(table) == (0, 1, 0, 0, 0, 0, 0)
        assert table.session_stats()["accept"] == 1


def test_the_tables_own_clock_goes_on_when_ticks_come_round():
    def work(ticks):
        table = sesstab.SessionTable(2)
        seconds = []
        for _ in range(6):
            seconds.append(table.now())
            ticks.now = (ticks.now + 700) & LAST
        return seconds

    if not IS_CPYTHONS:
        assert with_ticks(Ticks(LAST - 1500), work) == [1, 1, 2, 3, 3, 4]
