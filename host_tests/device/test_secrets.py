# A session that is gone is overwritten: its secret is nowhere in the memory that the table has.

import sesstab.format
import sesstab.pure
from support import data_of, make, memory_of, put

SECRET = bytes([171, 205, 18, 52, 86, 120, 154, 188, 222, 240]) * 5
ID = b"IDidIDidID" * 3 + b"!?"


def is_kept(table, secret=SECRET):
    return memory_of(table).find(secret[:20]) >= 0


def put_secret(table):
    h = put(table, ID, SECRET)
    assert is_kept(table)
    assert is_kept(table, ID)
    return h


def put_others(table, count):
    for n in range(count):
        put(table, b"%d" % n, b"")


def assert_is_gone(table):
    assert not is_kept(table)
    assert not is_kept(table, ID)
    # In part neither.
    memory = memory_of(table)
    for at in range(0, 50, 10):
        assert memory.find(SECRET[at : at + 10]) < 0


def test_the_last_free():
    table, _ = make()
    h = table.new_session(ID, SECRET)
    table.up_ref(h)
    table.free(h)
    assert is_kept(table)
    table.free(h)
    assert_is_gone(table)


def test_slots_of_every_size_are_wiped():
    for size in range(46, 55):
        table, _ = make(data_size=size)
        secret = (SECRET + SECRET)[:size]
        h = table.new_session(ID, secret)
        at = memory_of(table).find(secret)
        assert at >= 0
        table.free(h)
        assert_is_gone(table)
        assert memory_of(table)[at : at + size] == bytes(size)


def test_a_removal():
    table, _ = make()
    table.remove_session(put_secret(table))
    assert_is_gone(table)


def test_a_removal_while_referenced_and_the_last_free():
    table, _ = make()
    h = put_secret(table)
    table.up_ref(h)
    table.remove_session(h)
    assert data_of(table, h) == SECRET
    table.free(h)
    assert_is_gone(table)


def test_a_replacement():
    table, _ = make()
    put_secret(table)
    put(table, ID, b"")
    assert not is_kept(table)


def test_an_eviction():
    table, _ = make(capacity=3)
    put_secret(table)
    put_others(table, 3)
    assert_is_gone(table)


def test_an_eviction_by_cache_size():
    table, _ = make(capacity=5)
    put_secret(table)
    put_others(table, 2)
    table.cache_size = 1
    put(table, b"x", b"")
    assert_is_gone(table)


def test_an_expiry_in_a_full_table():
    table, clock = make(capacity=3)
    put_others(table, 2)
    put_secret(table)
    clock.time += 1000
    put(table, b"x", b"")
    assert_is_gone(table)


def test_an_expiry_when_asked_for():
    table, clock = make()
    put_secret(table)
    clock.time += 1000
    assert table.get_session(ID) == 0
    assert not is_kept(table)


def test_a_flush():
    table, clock = make()
    put_secret(table)
    clock.time += 1000
    table.flush_sessions()
    assert_is_gone(table)
    put_secret(table)
    table.flush_sessions(0)
    assert_is_gone(table)


def test_a_clear():
    table, _ = make()
    put_secret(table)
    held = table.new_session(ID, SECRET)
    table.clear()
    assert table.session_refs(held) == 0
    assert_is_gone(table)


def test_a_refused_result_of_on_get():
    table, _ = make()
    table.on_get = lambda table, id: table.new_session(ID, SECRET)
    assert table.get_session(b"x") == 0
    assert_is_gone(table)


def test_a_session_of_another_context_from_on_get():
    table, _ = make(mode=0x202)
    table.on_get = lambda table, id: table.new_session(id, SECRET, None, 1)
    assert table.get_session(b"x", 2) == 0
    assert not is_kept(table)


def test_a_session_that_on_new_does_not_keep():
    table, _ = make(mode=0x202)
    table.on_new = lambda table, h: table.free(h) and 0
    table.update_cache(table.new_session(ID, SECRET))
    assert_is_gone(table)


def test_a_session_that_on_remove_looks_at():
    table, _ = make()
    seen = []
    table.on_remove = lambda table, h: seen.append(data_of(table, h))
    table.remove_session(put_secret(table))
    assert seen == [SECRET]
    assert_is_gone(table)


def test_a_shorter_session_in_the_same_slot():
    table, _ = make(capacity=1, spare=0)
    h = table.new_session(ID, SECRET)
    table.free(h)
    h = table.new_session(b"i", b"d")
    buf = bytearray(50)
    assert table.session_data(h, buf) == 1
    assert buf == b"d" + bytes(49)
    assert_is_gone(table)


def test_what_a_snapshot_is_made_in():
    made = []

    def remembered(size):
        made.append(bytearray(size))
        return made[-1]

    table = sesstab.pure.SessionTable(4)
    put_secret(table)
    sesstab.format.bytearray = remembered  # before the built-in one
    try:
        snapshot = table.dump()
    finally:
        del sesstab.format.bytearray
    assert snapshot.find(SECRET) > 0
    assert made == [bytes(len(snapshot))]


def test_a_dump_without_memory_for_its_result():
    """The pure engine's: what was written so far is wiped."""
    buffers = []

    def no_more(buffer):
        buffers.append(buffer)
        raise MemoryError

    table = sesstab.pure.SessionTable(2)
    put(table, b"id", SECRET)
    sesstab.format.memoryview = no_more
    try:
        table.dump()
    except MemoryError:
        pass
    finally:
        del sesstab.format.memoryview
    assert bytes(buffers[0]) == bytes(len(buffers[0]))
    assert SECRET in table.dump()


def test_a_removal_without_stack_for_its_callback():
    """The pure engine's: it cannot be called, but the session is gone all the same."""

    def too_deep(*args):
        raise RuntimeError("maximum recursion depth exceeded")

    table = sesstab.pure.SessionTable(2)
    h = put(table, ID, SECRET)
    table.on_remove = lambda table, h: None
    call = sesstab.pure._call
    sesstab.pure._call = too_deep
    try:
        table.remove_session(h)
    except RuntimeError:
        pass
    finally:
        sesstab.pure._call = call
    assert_is_gone(table)
    assert table.session_refs(h) == 0
    assert table.remove_session(put(table, ID, SECRET)) == 1
