# What happens after years: the counters come round at 2^30, and so does the clock that a table has by itself.

import sys

import sesstab
import sesstab.pure
from support import counters, is_native, make, preset_counters, put

LAST = (1 << 30) - 1


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


class Ticks:
    """Stands for the module time."""

    def __init__(self):
        self.now = LAST - 1500

    def ticks_ms(self):
        return self.now


def with_ticks(ticks, function):
    """Calls it while tables get their time from there."""
    pure, time = sesstab.pure._ticks_ms, sys.modules.get("time")
    sesstab.pure._ticks_ms = ticks.ticks_ms
    sys.modules["time"] = ticks
    try:
        return function()
    finally:
        sesstab.pure._ticks_ms = pure
        if time:
            sys.modules["time"] = time
        else:
            del sys.modules["time"]


def test_the_tables_own_clock_goes_on_when_ticks_come_round():
    ticks = Ticks()

    def work():
        table = sesstab.SessionTable(2)
        seconds = []
        for _ in range(6):
            seconds.append(table.now())
            ticks.now = (ticks.now + 700) & LAST
        return seconds

    if sys.implementation.name == "cpython" and sesstab.ENGINE == "native":
        return  # the clock is CPython's there
    assert with_ticks(ticks, work) == [1, 1, 2, 3, 3, 4]
