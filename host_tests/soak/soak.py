# What a soak runs, on CPython and on boards.
#
#     Churn            one table, full and busy, the heap locked, the clock jumping; its counters are known
#     lockstep_turn()  both engines and their model: random calls (lockstep.py), counters about to come round
#     reuse()          a slot used again until its generation comes round
#
# Each returns how many calls of a table it made, or raises AssertionError at the first thing that is wrong.

import gc

import sesstab
import sesstab.pure
from lockstep import Lockstep
from support import Clock, Random, locked, order, preset_counters
from table_model import TableModel

ENGINES = (TableModel, sesstab.pure.SessionTable, sesstab.SessionTable)
SHAPES = ((3, 4, 20), (1, 0, 20), (1, 3, 20), (9, 7, 31), (16, 2, 50), (60, 4, 20))
CAPACITY = 16
TIMEOUT = 60
COUNTERS_END = 1 << 30


class Churn:
    def __init__(self, table_class):
        self.clock = Clock()
        self.table = table_class(CAPACITY, 2, 20, TIMEOUT, clock=self.clock)
        self.ids = [b"session %d" % n * (1 + n % 2) for n in range(2 * CAPACITY)]
        self.recent = self.ids[CAPACITY:]
        self.random = Random(1)
        self.rounds = 0
        self.calls = 0

    def turn(self, rounds):
        before = self.calls
        for _ in range(rounds):
            self.clock.time = 1000 + self.random.below(1 << 20) * 1000
            locked(self.round)
            self.rounds += 1
            self.check()
        return self.calls - before

    def round(self):
        """The table is empty before and after."""
        clock = self.clock
        self.handshakes(self.ids)  # twice as many as fit: the last ones stay
        self.resume(self.recent, 1)
        clock.time += TIMEOUT
        self.resume(self.recent, 1)
        clock.time += 1
        self.resume(self.recent, 0)
        self.handshakes(self.recent)
        clock.time -= 1  # all sessions are from the future
        self.resume(self.recent, 0)
        self.handshakes(self.recent)
        time = clock.time
        clock.time = 0  # not known
        self.resume(self.recent, 0)
        clock.time = time

    def handshakes(self, ids):
        """Of clients that offer sessions which are gone."""
        table = self.table
        for id in ids:
            assert table.get_session(id) == 0
            h = table.new_session(id, b"state")
            assert table.update_cache(h) == 1
            assert table.free(h) == 1
            self.calls += 4

    def resume(self, ids, expected):
        table = self.table
        for id in ids:
            h = table.get_session(id)
            assert (h > 0) == expected
            assert table.free(h) == expected
            self.calls += 2

    def check(self):
        table = self.table
        n = self.rounds * CAPACITY
        assert table.sess_number() == 0
        assert table.sess_hits() == 2 * n % COUNTERS_END
        assert table.sess_misses() == 4 * n % COUNTERS_END
        assert table.sess_timeouts() == 3 * n % COUNTERS_END
        assert table.sess_cache_full() == n % COUNTERS_END
        assert table.sess_stored() == 4 * n % COUNTERS_END


def reuse(table_classes, sizes, times):
    """Uses a slot `times` times, when its generation comes round: until then, the first handle is refused."""
    tables = [table_class(sizes[0], sizes[1], 20, TIMEOUT, clock=Clock()) for table_class in table_classes]
    first = None
    for n in range(times):
        handles = [table.new_session(b"id", b"") for table in tables]
        h = handles[0]
        assert handles.count(h) == len(handles), (n, handles)
        first = first or h
        assert h != first or n == 0, n
        for table in tables:
            assert table.session_refs(first) == (n == 0)
            assert table.free(h) == 1
            assert table.free(h) == 0
    for table in tables:
        assert table.new_session(b"id", b"") == first
    return 4 * times * len(tables)


def lockstep_turn(seed, shape, count):
    """Tables of one shape, whose counters wrap on the way."""
    lockstep = Lockstep(seed, SHAPES[shape % len(SHAPES)], ENGINES, 32)
    lockstep.run(count // 4)
    for side in lockstep.sides:
        preset_counters(side.table, COUNTERS_END - 1 - seed % 3)
    lockstep.run(count - count // 4)
    check_snapshots(lockstep)
    gc.collect()
    return count * len(ENGINES)


def check_snapshots(lockstep):
    """Both engines dump the same bytes, and load from them the model's sessions, in its order."""
    model = lockstep.sides[0].table
    now = model.now()
    expected = [s.id for s in reversed(model.order) if not s.is_expired(now)]
    snapshots = []
    for side in lockstep.sides[1:]:
        table = side.table
        snapshots.append(table.dump())
        fresh = type(table)(table.capacity, table.spare, table.data_size, clock=side.clock)
        assert fresh.load(snapshots[0]) == len(expected)
        assert order(fresh) == expected
    assert snapshots.count(snapshots[0]) == len(snapshots)
