"""The same random calls on the C core and on the pure engine: all that can be seen of them must be equal.

A callback calls the table in turn, as a user's may. Run as a program (SEED CALLS) it needs no pytest, so that
a process with ASan preloaded can run it.
"""

import random
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "host_tests" / "ccore"), str(ROOT / "lib")]

import _sesstab  # noqa: E402
import sesstab.pure  # noqa: E402

SHAPES = [(1, 0), (1, 1), (3, 2), (8, 4), (40, 10), (253, 2), (250, 6)]
MODES = [2, 2, 2, 0, 1, 0x82, 0x102, 0x202, 0x302, 0x402]


class Run:
    """Random calls on one table; `log` says all that could be seen of them."""

    def __init__(self, engine, seed, capacity, spare):
        self.random = random.Random(seed)
        self.log = []
        self.handles = [0]
        self.window = 2 * (capacity + spare)
        self.capacity = capacity
        self.time = 100
        self.depth = 0
        self.table = engine(capacity, spare, 50, timeout=20, clock=lambda: self.time)
        self.table.on_new, self.table.on_get, self.table.on_remove = self.on_new, self.on_get, self.on_remove

    def on_new(self, table, h):
        return self.called("on_new", h, table.session_refs(h), lambda: self.random.randrange(2))

    def on_remove(self, table, h):
        self.called("on_remove", h, table.session_refs(h), lambda: None)

    def on_get(self, table, id):
        return self.called("on_get", bytes(id), table.sess_number(), lambda: self.external(id))

    def external(self, id):
        kind = self.random.random()
        if kind < 0.4:
            h = self.table.new_session(id, b"secret", context=self.random.randrange(2))
        elif kind < 0.5:
            h = self.table.new_session(b"another", b"secret")
        else:
            h = self.random.choice(self.handles)
        self.handles.append(h)
        return h

    def called(self, *what):
        *seen, answer = what
        self.log.append(seen)
        if self.depth < 2:
            self.depth += 1
            for _ in range(self.random.randrange(3)):
                self.call()
            self.depth -= 1
        return answer()

    def id(self):
        return b"p" * self.random.randrange(32) + bytes([self.random.randrange(3)])

    def call(self):
        t, r = self.table, self.random
        h = r.choice(self.handles[-self.window :])
        choice = r.randrange(20)
        result = None
        if choice < 3:
            timeout = r.choice([None, None, 0, 5, 2**32 - 2])
            result = t.new_session(self.id(), b"secret" * r.randrange(10), timeout, r.randrange(2))
            self.handles.append(result)
        elif choice < 4:
            result = t.up_ref(h)
        elif choice < 7:
            result = t.free(h)
        elif choice < 10:
            result = t.add_session(h)
        elif choice < 11:
            result = t.remove_session(h)
        elif choice < 14:
            result = t.get_session(self.id(), r.randrange(2))
            self.handles.append(result)
        elif choice < 15:
            result = t.has_session(self.id())
        elif choice < 16:
            result = t.update_cache(h, r.choice([0, 1, 2, 2, 2, 3, 4]))
        elif choice < 17:
            result = (
                t.set_session_time(h, self.time + r.randrange(-5, 3)),
                t.set_session_timeout(h, r.randrange(40)),
            )
        elif choice < 18:
            result = [t.session_refs(h), t.session_time(h), t.session_timeout(h), t.session_context(h)]
        else:
            result = self.rare(r.random())
        self.log.append((choice, h, result))

    def rare(self, kind):
        t, r = self.table, self.random
        if kind < 0.3:
            self.time += 1
        elif kind < 0.33:
            self.time = max(self.time - 2, 50)
        elif kind < 0.335:
            self.time = 0
        elif kind < 0.4:
            self.time = max(self.time, 50)
            t.mode = r.choice(MODES)
        elif kind < 0.42:
            t.cache_size = r.randrange(self.capacity + 2)
        elif kind < 0.5:
            return t.flush_sessions(r.choice([None, None, None, self.time + 5, 0]))
        elif kind < 0.505:
            t.clear()
        return t.mode, t.cache_size, self.time

    def state(self):
        t = self.table
        content = [t.session_stats(), t.sess_stored(), t.sess_cb_hits()]
        h = t.next_session()
        while h:
            id, data = bytearray(32), bytearray(50)
            content.append((h, t.session_id(h, id), id, t.session_data(h, data), data))
            h = t.next_session(h)
        return content

    def run(self, calls):
        for i in range(calls):
            self.call()
            if i % 50 == 0:
                self.log.append(self.state())
        self.table.on_new = self.table.on_get = self.table.on_remove = None
        for h in self.handles:
            while self.table.free(h):
                pass
        self.table.flush_sessions(0)
        return self.log


def compare(seed, calls):
    """Returns how many things were compared; raises AssertionError at the first difference."""
    compared = 0
    for capacity, spare in SHAPES:
        core = Run(_sesstab.SessionTable, seed, capacity, spare)
        pure = Run(sesstab.pure.SessionTable, seed, capacity, spare)
        core_log, pure_log = core.run(calls), pure.run(calls)
        for i, (c, p) in enumerate(zip(core_log, pure_log)):
            assert c == p, (
                f"seed {seed}, {capacity}+{spare} slots, {i}: core {c}, pure {p}, after {core_log[i - 5 : i]}"
            )
        assert len(core_log) == len(pure_log)
        memory = core.table._memory()
        assert b"secret" not in memory and b"pppp" not in memory
        compared += len(core_log)
    return compared


if __name__ == "__main__":
    print(compare(int(sys.argv[1]), int(sys.argv[2])))
