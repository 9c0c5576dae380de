from support import counters, data_of, fill, make, order, raises

HUGE = (
    1 << 30,
    1 << 31,
    (1 << 32) - 1,
    1 << 32,
    1 << 64,
    1 << 70,
    -1,
    -8,
    -(1 << 30),
    -(1 << 31),
    -(1 << 70),
)
NO_INT = (None, "8", b"8", 8.0, [8], (8,), {8: 8}, object)
NO_BUFFER = (None, 5, 5.0, "id", "", "s" * 40, [1, 2], (1, 2), {0: 1}, [], {}, object)
NO_WRITABLE = (None, 5, "buf", b"bytes" * 10, [1, 2], ())


def state(table):
    ids = order(table)
    return (
        counters(table),
        ids,
        [(table.session_refs(h), data_of(table, h)) for h in handles(table)],
    )


def handles(table):
    found = []
    h = table.next_session()
    while h:
        found.append(h)
        h = table.next_session(h)
    return found


def methods_of_a_handle(table):
    buf = bytearray(60)
    return (
        table.up_ref,
        table.free,
        table.add_session,
        table.remove_session,
        table.update_cache,
        lambda h: table.session_id(h, buf),
        lambda h: table.session_data(h, buf),
        table.session_time,
        table.session_timeout,
        table.session_context,
        lambda h: table.set_session_time(h, 1000),
        lambda h: table.set_session_timeout(h, 100),
        table.session_refs,
        table.next_session,
    )


def test_wrong_handles_return_0_and_damage_nothing():
    table, _ = make()
    fill(table)
    inside = handles(table)[0]
    before = state(table)
    for method in methods_of_a_handle(table):
        for h in HUGE + (7, inside + 8, inside - 8, inside | 1 << 30, inside | 1 << 32, inside - (1 << 32)):
            assert method(h) == 0
    assert state(table) == before


def test_handle_0_is_no_session():
    table, _ = make()
    fill(table)
    before = state(table)
    for method in methods_of_a_handle(table)[:-1]:
        assert method(0) == 0
        assert method(False) == 0
    assert state(table) == before
    assert table.next_session(0) == table.next_session() != 0


def test_handles_of_a_wrong_type_raise_type_error():
    table, _ = make()
    fill(table)
    before = state(table)
    for method in methods_of_a_handle(table):
        for h in NO_INT:
            assert raises(TypeError, method, h)
    assert state(table) == before


def test_handles_outside_of_a_table_whose_size_is_no_power_of_2():
    table, _ = make(capacity=3, spare=2)
    fill(table)
    for method in methods_of_a_handle(table):
        for slot in (5, 6, 7):
            for generation in range(3):
                assert method(generation << 3 | slot) == 0
    assert table.sess_number() == 3


def test_ids_of_a_wrong_length_return_0():
    table, _ = make()
    fill(table)
    before = state(table)
    for id in (b"", b"i" * 33, b"i" * 255, b"i" * 256, b"i" * 288, b"i" * 1000, bytearray(), memoryview(b"")):
        assert table.new_session(id, b"data") == 0
        assert table.get_session(id) == 0
        assert table.has_session(id) == 0
    assert state(table) == before


def test_a_wrong_id_is_not_asked_of_on_get():
    table, _ = make()
    asked = []
    table.on_get = lambda table, id: asked.append(id)
    table.get_session(b"")
    table.get_session(b"i" * 33)
    table.get_session(b"id", 256)
    assert asked == []
    assert table.sess_misses() == 0


def test_ids_of_a_wrong_type_raise_type_error():
    table, _ = make()
    fill(table)
    before = state(table)
    for id in NO_BUFFER:
        assert raises(TypeError, table.new_session, id, b"data")
        assert raises(TypeError, table.get_session, id)
        assert raises(TypeError, table.has_session, id)
    assert state(table) == before


def test_data_that_does_not_fit_returns_0():
    table, _ = make(data_size=50)
    for size in (51, 100, 2047, 2048, 5000):
        assert table.new_session(b"id", bytes(size)) == 0
    h = table.new_session(b"id", bytes(50))
    assert h == 8
    assert table.session_data(h, bytearray(50)) == 50


def test_data_of_a_wrong_type_raises_type_error():
    table, _ = make()
    for data in NO_BUFFER:
        assert raises(TypeError, table.new_session, b"id", data)
    assert table.new_session(b"id", b"data") == 8


def test_data_of_2047_bytes():
    table, _ = make(capacity=1, spare=0, data_size=2047)
    data = bytes(range(256)) * 8
    assert table.new_session(b"id", data) == 0
    h = table.new_session(b"id", data[:2047])
    assert data_of(table, h) == data[:2047]


def test_contexts_out_of_range_return_0():
    table, _ = make()
    fill(table)
    before = state(table)
    for context in (256, -1, 1 << 30, 1 << 32, 1 << 70, -(1 << 70)):
        assert table.new_session(b"id", b"", None, context) == 0
        assert table.get_session(b"id0", context) == 0
    for context in NO_INT:
        assert raises(TypeError, table.new_session, b"id", b"", None, context)
        assert raises(TypeError, table.get_session, b"id0", context)
    assert state(table) == before
    h = table.new_session(b"id", b"", None, True)
    assert table.session_context(h) == 1


def test_timeouts_out_of_range_return_0():
    table, _ = make()
    h = table.new_session(b"id", b"", 33)
    for timeout in (-1, (1 << 32) - 1, 1 << 32, 1 << 70, -(1 << 70)):
        assert table.new_session(b"other", b"", timeout) == 0
        assert table.set_session_timeout(h, timeout) == 0
    for timeout in NO_INT[1:]:
        assert raises(TypeError, table.new_session, b"other", b"", timeout)
    for timeout in NO_INT:
        assert raises(TypeError, table.set_session_timeout, h, timeout)
    assert table.session_timeout(h) == 33
    assert table.session_timeout(table.new_session(b"third", b"", (1 << 32) - 2)) == (1 << 32) - 2


def test_times_out_of_range_return_0():
    table, _ = make()
    fill(table)
    h = handles(table)[0]
    before = state(table)
    for time in (-1, 1 << 32, 1 << 70, -(1 << 70)):
        assert table.set_session_time(h, time) == 0
        assert table.flush_sessions(time) == 0
    for time in NO_INT:
        assert raises(TypeError, table.set_session_time, h, time)
    for time in NO_INT[1:]:
        assert raises(TypeError, table.flush_sessions, time)
    assert table.session_time(h) == 1000
    assert state(table) == before


def test_sides_out_of_range_return_0():
    table, _ = make()
    h = table.new_session(b"id", b"")
    for side in (0, -1, 4, 1 << 32, -(1 << 70)):
        assert table.update_cache(h, side) == 0
    for side in NO_INT:
        assert raises(TypeError, table.update_cache, h, side)
    assert counters(table) == (0,) * 7


def test_buffers_that_cannot_be_written_raise_type_error():
    table, _ = make()
    h = table.new_session(b"id", b"data")
    for buf in NO_WRITABLE:
        assert raises(TypeError, table.session_id, h, buf)
        assert raises(TypeError, table.session_data, h, buf)


def test_a_wrong_number_of_arguments_raises_type_error():
    table, _ = make()
    assert raises(TypeError, table.new_session)
    assert raises(TypeError, table.new_session, b"id")
    assert raises(TypeError, table.new_session, b"id", b"", None, 0, 0)
    for method in methods_of_a_handle(table)[:5]:
        assert raises(TypeError, method)
    assert raises(TypeError, table.get_session)
    assert raises(TypeError, table.get_session, b"id", 0, 0)
    assert raises(TypeError, table.has_session)
    assert raises(TypeError, table.flush_sessions, 0, 0)
    assert raises(TypeError, table.sess_number, 0)


def test_keyword_arguments():
    table, _ = make()
    h = table.new_session(id=b"id", data=b"data", timeout=5, context=6)
    assert (table.session_timeout(h), table.session_context(h), data_of(table, h)) == (5, 6, b"data")
    table.add_session(h)
    assert table.get_session(b"id", context=6) == h
    assert table.get_session(id=b"id", context=7) == 0
    assert table.flush_sessions(now=1005) == 0
    assert table.flush_sessions(now=1006) == 1
    assert table.next_session(h=0) == 0


def test_every_context_and_byte_of_an_id():
    table, _ = make(capacity=1, spare=1, data_size=4)
    for n in range(256):
        id = bytes([n]) * (1 + n % 32)
        h = table.new_session(id, bytes([n]), None, n)
        assert table.add_session(h) == 1
        assert table.free(h) == 1
        assert table.get_session(id, n) == h
        assert data_of(table, h) == bytes([n])
        assert table.free(h) == 1
