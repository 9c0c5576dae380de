import gc

from sesstab import SessionTable
from support import data_of, id_of, make, put


def test_new_session_holds_one_reference_and_is_not_in_the_table():
    table, _ = make()
    h = table.new_session(b"id", b"data")
    assert table.session_refs(h) == 1
    assert table.has_session(b"id") == 0
    assert table.sess_number() == 0


def test_handles_count_slots_from_generation_1():
    table, _ = make(capacity=4, spare=2)  # 6 slots: 3 bits
    handles = [table.new_session(b"%d" % n, b"") for n in range(6)]
    assert handles == [8, 9, 10, 11, 12, 13]


def test_a_table_of_one_slot_has_handles_without_slot_bits():
    table, _ = make(capacity=1, spare=0)
    h = table.new_session(b"a", b"")
    assert h == 1
    table.free(h)
    assert table.new_session(b"a", b"") == 2


def test_a_freed_slot_is_given_out_next_with_a_new_handle():
    table, _ = make()
    first = table.new_session(b"a", b"")
    second = table.new_session(b"b", b"")
    table.new_session(b"c", b"")
    table.free(first)
    table.free(second)
    assert table.new_session(b"d", b"") == second + 8
    assert table.new_session(b"e", b"") == first + 8


def test_new_session_returns_0_when_no_slot_is_free():
    table, _ = make(capacity=2, spare=1)
    handles = [table.new_session(b"%d" % n, b"") for n in range(3)]
    assert table.new_session(b"x", b"") == 0
    assert table.free(handles[1]) == 1
    assert table.new_session(b"x", b"") != 0
    assert table.new_session(b"y", b"") == 0


def test_a_full_table_leaves_the_spare_slots_free():
    table, _ = make(capacity=3, spare=2)
    for n in range(10):
        put(table, b"%d" % n)
    assert table.new_session(b"x", b"")
    assert table.new_session(b"y", b"")
    assert table.new_session(b"z", b"") == 0


def test_the_last_free_makes_a_handle_stale():
    table, _ = make()
    h = table.new_session(b"id", b"data")
    assert table.up_ref(h) == 1
    assert table.session_refs(h) == 2
    assert table.free(h) == 1
    assert table.session_refs(h) == 1
    assert data_of(table, h) == b"data"
    assert table.free(h) == 1
    assert table.session_refs(h) == 0
    assert table.free(h) == 0
    assert table.up_ref(h) == 0


def test_every_method_refuses_a_stale_handle():
    table, _ = make()
    h = table.new_session(b"id", b"data", 5, 7)
    table.free(h)
    for again in (0, 1):
        assert table.up_ref(h) == 0
        assert table.free(h) == 0
        assert table.add_session(h) == 0
        assert table.remove_session(h) == 0
        assert table.update_cache(h) == 0
        assert table.session_time(h) == 0
        assert table.session_timeout(h) == 0
        assert table.session_context(h) == 0
        assert table.set_session_time(h, 5) == 0
        assert table.set_session_timeout(h, 5) == 0
        assert table.session_refs(h) == 0
        assert table.next_session(h) == 0
        buf = bytearray(b"untouched" * 6)
        assert table.session_id(h, buf) == 0
        assert table.session_data(h, buf) == 0
        assert buf == b"untouched" * 6
        if not again:
            # The same slot, with another session in it.
            other = table.new_session(b"other", b"secret", 6, 8)
            assert other == h + 8
            table.add_session(other)
    assert table.session_refs(other) == 2
    assert table.session_timeout(other) == 6
    assert table.sess_stored() == 0


def test_a_handle_is_good_while_in_the_table_without_callers():
    table, _ = make()
    h = put(table, b"id", b"data")
    assert table.session_refs(h) == 1
    assert data_of(table, h) == b"data"
    assert id_of(table, h) == b"id"


def test_the_tables_own_reference_cannot_be_freed():
    table, _ = make()
    h = put(table, b"id", b"data")
    assert table.free(h) == 0
    assert table.session_refs(h) == 1
    assert table.has_session(b"id") == 1


def test_a_removed_session_lives_on_while_referenced():
    table, _ = make()
    h = table.new_session(b"id", b"data", 5, 7)
    table.add_session(h)
    assert table.session_refs(h) == 2
    assert table.remove_session(h) == 1
    assert table.session_refs(h) == 1
    assert (id_of(table, h), data_of(table, h)) == (b"id", b"data")
    assert table.add_session(h) == 1
    assert table.free(h) == 1
    assert table.get_session(b"id", 7) == h


def test_references_end_at_255():
    table, _ = make()
    h = table.new_session(b"id", b"")
    for _ in range(254):
        assert table.up_ref(h) == 1
    assert table.up_ref(h) == 0
    assert table.session_refs(h) == 255
    assert table.add_session(h) == 1
    assert table.session_refs(h) == 256
    assert table.get_session(b"id") == 0
    assert table.free(h) == 1
    assert table.get_session(b"id") == h
    for _ in range(255):
        assert table.free(h) == 1
    assert table.free(h) == 0
    assert table.has_session(b"id") == 1


def test_a_generation_starts_again_at_1_after_65535():
    table, _ = make(capacity=1, spare=0)
    h = 0
    for generation in range(1, 65536):
        h = table.new_session(b"i", b"")
        assert h == generation
        table.free(h)
    assert h == 65535
    assert table.new_session(b"i", b"") == 1


def test_handles_of_65535_slots_stay_below_2_to_the_30():
    gc.collect()
    if hasattr(gc, "mem_free") and gc.mem_free() < 2 * SessionTable.size_of(65535, 0, 1):
        return  # boards have no room for so many
    table, _ = make(capacity=65535, spare=0, data_size=1)
    h = 0
    for _ in range(16383):
        h = table.new_session(b"i", b"")
        table.free(h)
    assert h == 16383 << 16
    assert table.new_session(b"i", b"") == 1 << 16


def test_clear_frees_every_slot_referenced_or_not():
    table, _ = make(capacity=2, spare=2)
    old = [table.new_session(b"a", b""), put(table, b"b"), put(table, b"c")]
    table.clear()
    assert table.sess_number() == 0
    assert [table.session_refs(h) for h in old] == [0, 0, 0]
    assert [table.free(h) for h in old] == [0, 0, 0]
    # Slots in order again, generations go on.
    assert [table.new_session(b"%d" % n, b"") for n in range(5)] == [8, 9, 10, 7, 0]


def test_clear_keeps_statistics_and_settings():
    table, _ = make()
    put(table, b"a")
    table.free(table.get_session(b"a"))
    table.get_session(b"b")
    table.timeout = 55
    table.cache_size = 3
    table.clear()
    assert (table.sess_hits(), table.sess_misses()) == (1, 1)
    assert (table.timeout, table.cache_size) == (55, 3)
    assert table.get_session(b"a") == 0


def test_session_id_and_data_need_room_or_write_nothing():
    table, _ = make()
    h = table.new_session(b"0123456789", b"abcdef")
    buf = bytearray(b"." * 9)
    assert table.session_id(h, buf) == 0
    assert buf == b"." * 9
    assert table.session_data(h, memoryview(buf)[:5]) == 0
    assert buf == b"." * 9
    assert table.session_data(h, buf) == 6
    assert buf == b"abcdef..."
    buf = bytearray(b"." * 12)
    assert table.session_id(h, memoryview(buf)[1:]) == 10
    assert buf == b".0123456789."


def test_ids_and_data_of_every_length():
    table, _ = make(data_size=70)
    content = bytes(range(1, 71))
    for size in range(1, 33):
        h = table.new_session(content[:size], content[: 2 * size])
        assert id_of(table, h) == content[:size]
        assert data_of(table, h) == content[: 2 * size]
        assert table.add_session(h) == 1
        for other in range(1, 34):
            assert table.has_session(content[:other]) == (1 if other == size else 0)
        table.remove_session(h)
        table.free(h)
    h = table.new_session(b"e", b"")
    assert data_of(table, h) == b""
    assert table.session_data(h, bytearray(0)) == 0


def test_a_short_id_differs_from_the_same_with_a_zero():
    table, _ = make()
    short = put(table, b"id")
    long = put(table, b"id\0")
    assert short != long
    assert table.get_session(b"id") == short
    assert table.get_session(b"id\0") == long
    assert table.has_session(b"id\0\0") == 0


def test_ids_and_data_from_any_buffer():
    table, _ = make()
    for id in (b"bytes", bytearray(b"bytearray"), memoryview(b"xmemoryview")[1:]):
        for data in (b"d1", bytearray(b"d2"), memoryview(b"xd3")[1:]):
            h = table.new_session(id, data)
            assert id_of(table, h) == bytes(id)
            assert data_of(table, h) == bytes(data)
            assert table.add_session(h) == 1
            assert table.has_session(id) == 1
            assert table.get_session(id) == h
            table.free(h)
            table.free(h)


def test_what_was_passed_in_may_change_afterwards():
    table, _ = make()
    id = bytearray(b"id")
    data = bytearray(b"data")
    h = table.new_session(id, data)
    id[0] = 0
    data[0] = 0
    assert (id_of(table, h), data_of(table, h)) == (b"id", b"data")
