"""Snapshots in C: how they compile, the format's very bytes, and the C core beside the pure engine."""

import subprocess
from pathlib import Path

import _sesstab
import pytest
import snapshot_model as model
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_core_build import FLAGS, compilers, run
from test_core_table import run_sanitized

SOURCE = _sesstab.CORE / "sesstab_snapshot.c"


# How it compiles


def compile_to(out, compiler, flags):
    subprocess.run([compiler, *FLAGS, *flags, "-c", str(SOURCE), "-o", str(out)], check=True, cwd=out.parent)
    return out


def needed_symbols(nm, out):
    return {line.split()[-1] for line in run(nm, "-u", out).splitlines()}


@pytest.mark.parametrize("compiler", compilers())
@pytest.mark.parametrize("level", ["-O0", "-Os", "-O2", "-O3"])
def test_compiles_without_warnings_and_needs_the_table_only(compiler, level, tmp_path):
    out = compile_to(tmp_path / "snapshot.o", compiler, [level, "-fno-stack-protector"])
    assert all(name.startswith("sesstab_") for name in needed_symbols("nm", out))


def test_cpp_can_include_the_header(tmp_path):
    program = tmp_path / "use.cpp"
    program.write_text(
        '#include "sesstab_snapshot.h"\nsize_t f(sesstab_t *t) { return sesstab_dump_size(t); }\n'
    )
    command = [
        "g++",
        "-Wall",
        "-Wextra",
        "-Werror",
        f"-I{_sesstab.CORE}",
        "-c",
        program,
        "-o",
        tmp_path / "o",
    ]
    subprocess.run(list(map(str, command)), check=True)


# The format

SESSIONS = [
    (b"A" * 32, b"", 0, 0, 0),
    (b"B", bytes(range(18)), 255, 7200, 9),
    (b"id", b"dat", 1, 604800, 604479),
    (b"C", b"\xff", 2, 2**32 - 2, 0x01020304),
    (b"D", b"", 3, 255, 255),
]


def test_version_1_has_these_bytes():
    lines = Path(__file__).with_name("snapshot_v1.hex").read_text().splitlines()
    golden = bytes.fromhex(" ".join(line.split("#")[0] for line in lines))
    for engine in model.ENGINES:
        made = model.make(engine, 2**32 - 1, SESSIONS)
        assert made.dump() == golden
        table = model.make(engine, 2**32 - 1, [])
        assert table.load(golden) == 5
        assert model.sessions_of(table) == model.sessions_of(made)


# Beside the pure engine

ids = st.binary(min_size=1, max_size=32) | st.sampled_from([b"A", b"AA", b"A\0", b"B"])
numbers = st.integers(0, 2**32 - 1) | st.sampled_from(model.EDGES) | st.integers(0, 300)
timeouts = numbers.map(lambda n: min(n, 2**32 - 2))
good_sessions = st.tuples(ids, st.binary(max_size=20), st.integers(0, 255), timeouts, numbers).map(
    lambda s: (*s[:4], min(s[4], s[3]))
)
sizes = st.fixed_dictionaries({"capacity": st.integers(1, 7), "spare": st.integers(1, 2)})


@given(numbers, st.lists(good_sessions, max_size=9), st.none() | st.integers(0, 500), sizes)
@settings(max_examples=150, deadline=None)
def test_dump_is_what_the_specification_says(now, sessions, most, sizes):
    snapshot = model.same_dump(now, sessions, most, **sizes)
    table = model.make(_sesstab.SessionTable, now, sessions, **sizes)
    order = []
    h = table.next_session()
    while h:
        id, data = bytearray(32), bytearray(20)
        id = bytes(id[: table.session_id(h, id)])
        data = bytes(data[: table.session_data(h, data)])
        age, timeout = now - table.session_time(h), table.session_timeout(h)
        if now and 0 <= age <= timeout:
            order.append((id, data, table.session_context(h), timeout, age, None))
        h = table.next_session(h)
    while most is not None and order and len(model.encode(order)) > most:
        order.pop()
    expected = model.encode(order[::-1])
    assert snapshot == (expected if most is None or most >= 12 else b"")


@given(st.lists(good_sessions, max_size=9), numbers, numbers, st.lists(good_sessions, max_size=4), sizes)
@settings(max_examples=150, deadline=None)
def test_load_takes_what_the_specification_says(sessions, elapsed, now, present, sizes):
    unique = list({session[0]: session for session in sessions}.values())
    loaded = model.same_load(model.encode([(*s, None) for s in unique]), elapsed, now, present, **sizes)
    table = model.make(_sesstab.SessionTable, now, present, **sizes)
    wanted = [s for s in unique if now and s[4] + elapsed <= s[3] and not table.has_session(s[0])]
    assert loaded == min(len(wanted), table.cache_size - table.sess_number())


mostly = st.one_of(st.none(), st.none(), st.none(), st.integers(0, 5))
any_sessions = st.tuples(ids, st.binary(max_size=22), st.integers(0, 255), numbers, numbers, mostly)
near_sessions = st.tuples(good_sessions, mostly).map(lambda s: (*s[0], s[1]))


@given(st.lists(near_sessions | any_sessions, max_size=4), st.none() | st.integers(0, 5), numbers)
@settings(max_examples=300, deadline=None)
def test_exactly_the_encodings_are_loaded(sessions, count, now):
    result = model.same_load(model.encode(sessions, count), 0, now)
    if all(model.is_right(session, 20) for session in sessions) and count in (None, len(sessions)):
        assert isinstance(result, int)
    elif count in (None, len(sessions)):
        assert isinstance(result, str)


@given(st.binary(max_size=200), st.booleans(), numbers)
@settings(max_examples=300, deadline=None)
@example(b"sesT\1\0\0\0", True, 1)
@example(b"", True, 1)
@example(b"", False, 1)
def test_garbage_is_refused(garbage, has_crc, now):
    result = model.same_load(model.sealed(garbage) if has_crc else garbage, 0, now)
    assert isinstance(result, str) or (result == 0 and garbage == b"sesT\1\0\0\0")


def test_a_timeout_that_only_c_can_set(clock=lambda: 2**32 - 1):
    """UINT32_MAX is dumped as the longest timeout that a session can be made with."""
    table = _sesstab.SessionTable(2, clock=clock)
    h = table.new_session(b"i", b"")
    _sesstab.lib.sesstab_set_session_timeout(table._t, h, 2**32 - 1)
    table.set_session_time(h, 1)
    table.add_session(h)
    assert table.dump() == model.encode([(b"i", b"", 0, 2**32 - 2, 2**32 - 2, None)])
    table.set_session_time(h, 0)
    assert table.dump() == model.encode([])


def test_large_tables():
    sessions = [
        (n.to_bytes(2, "big"), n.to_bytes(2, "big") * 9, n % 256, 7200, n % 7000) for n in range(3000)
    ]
    snapshot = model.same_dump(10000, sessions, None, capacity=3000)
    assert len(snapshot) == 12 + 3000 * 28
    assert model.same_load(snapshot, 0, 10000, capacity=2500) == 2500


@pytest.mark.parametrize("seed", range(3))
def test_core_and_pure_engine_are_equal(seed):
    assert model.run(seed, 1500) == 4500


@pytest.mark.slow
def test_core_is_clean_under_asan_and_ubsan(monkeypatch):
    monkeypatch.setenv("PYTHONMALLOC", "malloc")  # so that ASan sees small buffers, too
    done = run_sanitized(model.__file__, "77", "3000")
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) == 9000


def test_the_sanitizers_see_one_byte_too_many(monkeypatch):
    monkeypatch.setenv("PYTHONMALLOC", "malloc")
    script = (
        "from _sesstab import SessionTable, ffi, lib\n"
        "t = SessionTable(1)\n"
        "lib.sesstab_dump(t._t, ffi.new('uint8_t[]', 11), 12)\n"
    )
    done = run_sanitized("-c", script)
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr and "sesstab_snapshot.c" in done.stderr
