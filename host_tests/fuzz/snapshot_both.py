"""Any bytes into load() of the C core and of the pure engine: both load the same sessions, or refuse alike.

The bytes are numbers for tables and call, and then a snapshot, put right to a degree that the fuzzer chooses
(as in snapshot.c): nothing, its checksum, magic and version too, or all of it. Each engine starts with the
same sessions.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "host_tests" / folder) for folder in ("host", "ccore", "fuzz")]

import snapshot_model  # noqa: E402
from taken import Taken  # noqa: E402


def a_session(taken):
    kind = taken.byte()
    id = b"i" * (kind % 32) + bytes([taken.byte() % 8])
    timeout = min(taken.number(), 2**32 - 2)
    age = taken.number() if kind >= 224 else timeout // (1 + (kind >> 5))
    width = taken.byte() % 6 if kind == 223 else None
    return id, b"d" * (taken.byte() % 64), taken.byte(), timeout, age % 2**32, width


def a_snapshot(taken):
    fixes = taken.byte() % 5
    if fixes == 4:
        count = taken.byte()
        sessions = [a_session(taken) for _ in range(count % 8)]
        return snapshot_model.encode(sessions, None if count < 200 else taken.byte())
    content = taken.rest()
    if fixes >= 2:
        content = b"sesT\1\0"[: 4 + fixes - 1] + content
    return snapshot_model.sealed(content) if fixes >= 1 else content


def test_one_input(data):
    taken = Taken(data)
    elapsed, now, shape = taken.number(), taken.number(), taken.byte()
    present = [
        (bytes([taken.byte() % 8]), b"x", 0, taken.number() % (2**32 - 1), taken.byte())
        for _ in range(shape % 4)
    ]
    sizes = {"capacity": 1 + (shape >> 2) % 8, "spare": 1 + (shape >> 5) % 2}
    sizes["data_size"] = 60 if shape >> 7 else 20
    snapshot_model.same_load(a_snapshot(taken), elapsed, now, present, **sizes)
    snapshot_model.same_dump(now, present, None if shape % 3 else shape, **sizes)
