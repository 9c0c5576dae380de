"""Snapshots by the C core and by the pure engine: the same bytes, the same sessions, the same refusals.

Run as a program (SEED ROUNDS) it needs no pytest, so that a process with ASan preloaded can run it.
"""

import binascii
import random
import struct
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "host_tests" / "ccore"), str(ROOT / "lib")]

import _sesstab  # noqa: E402
import sesstab.pure  # noqa: E402
from _sesstab import ffi, lib  # noqa: E402

ENGINES = (_sesstab.SessionTable, sesstab.pure.SessionTable)
EDGES = [0, 1, 2, 255, 256, 65535, 65536, 2**24 - 1, 2**24, 2**31, 2**32 - 3, 2**32 - 2, 2**32 - 1]


class Exact(_sesstab.SessionTable):
    """The core, given buffers that end where they end, so that ASan sees every byte too many."""

    def dump(self, buf=None, max_bytes=None):
        size = self.dump_size() if max_bytes is None else max_bytes
        exact = ffi.new("uint8_t[]", size) if size else ffi.NULL
        return bytes(ffi.buffer(exact, lib.sesstab_dump(self._t, exact, size))) if size else b""

    def load(self, buf, elapsed=0):
        exact = ffi.new("uint8_t[]", list(buf)) if buf else ffi.NULL
        loaded = lib.sesstab_load(self._t, exact, len(buf), elapsed)
        if loaded < 0:
            raise ValueError(_sesstab.REFUSALS[loaded])
        return loaded


def sealed(content):
    """With its CRC."""
    return content + struct.pack("<I", binascii.crc32(content))


def width_of(timeout):
    return max(1, (timeout.bit_length() + 7) // 8)


def encode(sessions, count=None):
    """A snapshot of sessions (id, data, context, timeout, age, width or None), right or wrong."""
    content = b"sesT\1\0" + struct.pack("<H", len(sessions) if count is None else count)
    for id, data, context, timeout, age, width in sessions:
        width = width_of(timeout) if width is None else width
        content += struct.pack("<HBB", len(data) << 5 | (len(id) - 1), context, width)
        content += timeout.to_bytes(8, "little")[:width] + age.to_bytes(8, "little")[:width] + id + data
    return sealed(content)


def is_right(session, data_size):
    """Whether what encode() makes of it can be loaded."""
    _, data, _, timeout, age, width = session
    width = width_of(timeout) if width is None else width
    timeout, age = timeout % 256**width, age % 256**width
    return (
        1 <= width <= 4
        and width == width_of(timeout)
        and age <= timeout < 2**32 - 1
        and len(data) <= data_size
    )


def make(engine, now, sessions, capacity=6, spare=1, data_size=20):
    """A table at the time `now` with sessions (id, data, context, timeout, age), oldest use first."""
    table = engine(capacity, spare, data_size, clock=lambda: now)
    for id, data, context, timeout, age in sessions:
        h = table.new_session(id, data, timeout, context)
        table.set_session_time(h, max(0, now - age))
        table.add_session(h)
        table.free(h)
    return table


def sessions_of(table):
    """The sessions in a table, with all that can be seen of them, most recently used first."""
    sessions = []
    h = table.next_session()
    while h:
        id, data = bytearray(32), bytearray(table.data_size)
        times = table.session_time(h), table.session_timeout(h)
        table.session_id(h, id)
        size = table.session_data(h, data)
        sessions.append((h, id, size, data, times, table.session_context(h), table.session_refs(h)))
        h = table.next_session(h)
    return sessions


def state(table):
    return table.session_stats(), sessions_of(table)


def load(table, snapshot, elapsed):
    """What load() gives, or what it refuses; then nothing may have changed."""
    before = state(table)
    try:
        return table.load(snapshot, elapsed)
    except ValueError as error:
        assert state(table) == before, snapshot
        return str(error)


def same_load(snapshot, elapsed, now, sessions=(), **sizes):
    """Loads into both engines, compares, and returns what load() gave."""
    tables = [make(engine, now, sessions, **sizes) for engine in (Exact, sesstab.pure.SessionTable)]
    results = [load(table, snapshot, elapsed) for table in tables]
    assert results[0] == results[1], (snapshot, elapsed, now, sessions)
    assert state(tables[0]) == state(tables[1]), (snapshot, elapsed, now, sessions)
    return results[0]


def same_dump(now, sessions, most, **sizes):
    """Dumps from both engines, compares, and returns the snapshot."""
    tables = [make(engine, now, sessions, **sizes) for engine in (Exact, sesstab.pure.SessionTable)]
    assert tables[0].dump_size() == tables[1].dump_size()
    results = [table.dump(None, most) for table in tables]
    assert results[0] == results[1], (now, sessions, most)
    assert len(results[0]) <= (tables[0].dump_size() if most is None else most)
    return results[0]


# Random ones


def any_number(r, most=2**32 - 1):
    return min(most, r.choice([r.choice(EDGES), r.randrange(100), r.randrange(2 ** r.randrange(1, 33))]))


def any_session(r):
    id = bytes([r.randrange(65, 75)]) * r.randrange(1, 33)
    timeout = any_number(r, 2**32 - 2)
    return id, r.randbytes(r.randrange(21)), r.randrange(256), timeout, any_number(r, timeout)


def spoil(r, snapshot):
    """A snapshot with something wrong, most of them with a CRC that is right."""
    content = bytearray(snapshot[:-4])
    kind = r.randrange(6)
    if kind == 0:
        return r.randbytes(r.randrange(60))
    if kind == 1:
        return sealed(r.randbytes(r.randrange(60)))
    if kind == 2:
        return sealed(b"sesT\1\0" + r.randbytes(r.randrange(60)))
    if kind == 3:
        return sealed(bytes(content[: r.randrange(len(content) + 1)]))
    content[r.randrange(len(content))] = r.choice([0, 1, 255, r.randrange(256)])
    return sealed(bytes(content)) if kind == 4 else bytes(content) + snapshot[-4:]


def run(seed, rounds):
    """Returns how many snapshots were compared; raises AssertionError at the first difference."""
    r = random.Random(seed)
    for _ in range(rounds):
        now, sessions = any_number(r), [any_session(r) for _ in range(r.randrange(9))]
        sizes = {"capacity": r.randrange(1, 8), "spare": r.randrange(1, 3)}
        snapshot = same_dump(now, sessions, r.choice([None, r.randrange(400)]), **sizes)
        into = {
            "capacity": r.randrange(1, 8),
            "spare": r.randrange(1, 3),
            "data_size": r.choice([19, 20, 40]),
        }
        present = [any_session(r) for _ in range(r.randrange(4))]
        same_load(snapshot, any_number(r), any_number(r), present, **into)
        if snapshot:
            same_load(spoil(r, snapshot), any_number(r), any_number(r), present, **into)
    return 3 * rounds


if __name__ == "__main__":
    print(run(int(sys.argv[1]), int(sys.argv[2])))
