from support import counters, data_of, fill, make, order, put


def test_add_new_session_returns_1():
    table, _ = make()
    h = table.new_session(b"id", b"")
    assert table.add_session(h) == 1
    assert table.session_refs(h) == 2
    assert table.sess_number() == 1


def test_add_same_session_twice_returns_0():
    table, _ = make()
    h = table.new_session(b"a", b"")
    assert table.add_session(h) == 1
    put(table, b"b")
    assert table.add_session(h) == 0
    assert table.session_refs(h) == 2
    assert table.sess_number() == 2
    assert order(table) == [b"b", b"a"]


def test_add_another_session_with_the_same_id_replaces_it():
    table, _ = make()
    old = table.new_session(b"id", b"old")
    table.add_session(old)
    new = table.new_session(b"id", b"new")
    assert table.add_session(new) == 1
    assert table.sess_number() == 1
    assert table.session_refs(old) == 1
    assert table.session_refs(new) == 2
    assert table.get_session(b"id") == new
    assert table.sess_cache_full() == 0


def test_a_replaced_session_without_references_is_gone():
    table, _ = make()
    old = put(table, b"id", b"old")
    put(table, b"id", b"new")
    assert table.session_refs(old) == 0
    assert data_of(table, table.get_session(b"id")) == b"new"


def test_replacing_in_a_full_table_removes_nothing_else():
    table, _ = make(capacity=3)
    fill(table)
    put(table, b"id0")
    assert order(table) == [b"id0", b"id2", b"id1"]
    assert table.sess_cache_full() == 0


def test_remove_session_returns_1_then_0():
    table, _ = make()
    h = table.new_session(b"id", b"")
    table.add_session(h)
    assert table.remove_session(h) == 1
    assert table.session_refs(h) == 1
    assert table.remove_session(h) == 0
    assert table.session_refs(h) == 1
    assert table.sess_number() == 0
    assert order(table) == []


def test_remove_session_without_references_frees_it():
    table, _ = make()
    h = put(table, b"id")
    assert table.remove_session(h) == 1
    assert table.session_refs(h) == 0


def test_remove_session_removes_the_one_in_the_table_with_this_id():
    table, _ = make()
    cached = put(table, b"id", b"cached")
    other = table.new_session(b"id", b"other")
    assert table.remove_session(other) == 1
    assert table.session_refs(cached) == 0
    assert table.session_refs(other) == 1
    assert table.has_session(b"id") == 0


def test_remove_session_that_was_never_added_returns_0():
    table, _ = make()
    put(table, b"a")
    h = table.new_session(b"b", b"")
    assert table.remove_session(h) == 0
    assert order(table) == [b"a"]


def test_get_session_takes_a_reference_and_counts_a_hit():
    table, _ = make()
    h = put(table, b"id")
    assert table.get_session(b"id") == h
    assert table.get_session(b"id") == h
    assert table.session_refs(h) == 3
    assert counters(table) == (1, 2, 0, 0, 0, 0, 0)


def test_get_session_of_an_unknown_id_counts_a_miss():
    table, _ = make()
    put(table, b"id")
    assert table.get_session(b"ie") == 0
    assert table.get_session(b"i") == 0
    assert counters(table) == (1, 0, 2, 0, 0, 0, 0)


def test_has_session_counts_and_references_nothing():
    table, clock = make()
    h = put(table, b"id", context=3)
    assert table.has_session(b"id") == 1
    assert table.has_session(b"ie") == 0
    clock.time += 1000
    assert table.has_session(b"id") == 1
    assert table.session_refs(h) == 1
    assert counters(table) == (1, 0, 0, 0, 0, 0, 0)


def test_has_session_does_not_change_the_order():
    table, _ = make()
    fill(table)
    table.has_session(b"id0")
    assert order(table) == [b"id3", b"id2", b"id1", b"id0"]


def test_a_hit_makes_a_session_the_most_recently_used():
    table, _ = make()
    fill(table)
    for id, expected in (
        (b"id0", [b"id0", b"id3", b"id2", b"id1"]),
        (b"id2", [b"id2", b"id0", b"id3", b"id1"]),
        (b"id2", [b"id2", b"id0", b"id3", b"id1"]),
        (b"id1", [b"id1", b"id2", b"id0", b"id3"]),
    ):
        table.free(table.get_session(id))
        assert order(table) == expected


def test_a_full_table_evicts_the_least_recently_used():
    table, _ = make(capacity=4)
    fill(table)
    assert table.sess_number() == 4
    table.free(table.get_session(b"id0"))
    put(table, b"new")
    assert table.sess_number() == 4
    assert table.sess_cache_full() == 1
    assert order(table) == [b"new", b"id0", b"id3", b"id2"]


def test_the_order_does_not_depend_on_the_clock():
    table, clock = make(capacity=3)
    for n in range(20):
        clock.time += n % 3
        put(table, b"%d" % n)
        assert order(table) == [b"%d" % k for k in range(n, max(n - 3, -1), -1)]


def test_a_table_of_one():
    table, _ = make(capacity=1, spare=1)
    for n in range(5):
        h = put(table, b"%d" % n)
        assert order(table) == [b"%d" % n]
        assert table.get_session(b"%d" % n) == h
        table.free(h)
    assert table.sess_cache_full() == 4


def test_an_evicted_session_that_is_referenced_keeps_its_slot():
    table, _ = make(capacity=2, spare=2)
    held = table.new_session(b"held", b"data")
    table.add_session(held)
    for n in range(10):
        put(table, b"%d" % n)
    assert table.has_session(b"held") == 0
    assert table.session_refs(held) == 1
    assert data_of(table, held) == b"data"
    assert table.free(held) == 1
    assert table.session_refs(held) == 0


def test_a_full_table_never_refuses_while_a_slot_is_spare():
    table, _ = make(capacity=3, spare=1)
    for n in range(100):
        h = table.new_session(b"%d" % n, b"")
        assert h
        assert table.add_session(h) == 1
        assert table.free(h) == 1
    assert table.sess_number() == 3
    assert table.sess_cache_full() == 97


def test_a_session_is_found_under_its_own_context_only():
    table, _ = make()
    h = put(table, b"id", context=7)
    for context in range(256):
        assert table.get_session(b"id", context) == (h if context == 7 else 0)
    assert table.session_context(h) == 7
    assert table.session_refs(h) == 2
    assert counters(table) == (1, 1, 0, 0, 0, 0, 0)


def test_another_context_does_not_renew_the_order():
    table, _ = make()
    fill(table)
    assert table.get_session(b"id0", 1) == 0
    assert order(table) == [b"id3", b"id2", b"id1", b"id0"]


def test_contexts_do_not_make_ids_different():
    table, _ = make()
    put(table, b"id", context=1)
    h = put(table, b"id", context=2)
    assert table.sess_number() == 1
    assert table.get_session(b"id", 1) == 0
    assert table.get_session(b"id", 2) == h


def test_a_smaller_cache_size_takes_effect_at_the_next_add():
    table, _ = make(capacity=4)
    fill(table)
    table.cache_size = 2
    assert table.sess_number() == 4
    put(table, b"new")
    assert order(table) == [b"new", b"id3"]
    assert table.sess_cache_full() == 3


def test_a_smaller_cache_size_takes_effect_when_a_session_is_replaced():
    table, _ = make(capacity=4)
    fill(table)
    table.cache_size = 2
    put(table, b"id0")
    assert order(table) == [b"id0", b"id3"]
    assert table.sess_cache_full() == 2


def test_cache_size_0_or_more_than_the_capacity_is_the_capacity():
    table, _ = make(capacity=4)
    table.cache_size = 3
    assert table.cache_size == 3
    table.cache_size = 0
    assert table.cache_size == 4
    table.cache_size = 2
    table.cache_size = 5
    assert table.cache_size == 4
    table.cache_size = 1 << 40
    assert table.cache_size == 4


def test_a_table_holds_capacity_sessions():
    for capacity in (1, 2, 7, 8, 9, 33):
        table, _ = make(capacity=capacity)
        fill(table)
        assert table.sess_number() == capacity
        assert table.sess_cache_full() == 0
        for n in range(capacity):
            assert table.has_session(b"id%d" % n) == 1


def test_sessions_with_ids_that_look_alike():
    table, _ = make(capacity=40, spare=2, data_size=4)
    ids = [bytes([n]) + bytes(30) + bytes([n]) for n in range(20)] + [bytes(n) + b"x" for n in range(20)]
    for n, id in enumerate(ids):
        put(table, id, b"%d" % n)
    for n, id in enumerate(ids):
        h = table.get_session(id)
        assert data_of(table, h) == b"%d" % n
        table.free(h)
    for id in ids[::2]:
        h = table.get_session(id)
        assert table.remove_session(h) == 1
        table.free(h)
    for n, id in enumerate(ids):
        assert table.has_session(id) == n % 2
    assert table.sess_number() == 20


def test_next_session_of_a_session_that_left_the_table_is_0():
    table, _ = make()
    fill(table)
    h = table.get_session(b"id2")
    table.remove_session(h)
    assert table.next_session(h) == 0
    assert len(order(table)) == 3


def test_session_stats_has_the_keys_of_cpython():
    table, _ = make()
    put(table, b"a")
    table.free(table.get_session(b"a"))
    table.get_session(b"b")
    assert table.session_stats() == {
        "number": 1,
        "connect": 0,
        "connect_good": 0,
        "connect_renegotiate": 0,
        "accept": 1,
        "accept_good": 1,
        "accept_renegotiate": 0,
        "hits": 1,
        "misses": 1,
        "timeouts": 0,
        "cache_full": 0,
    }


def test_tables_are_independent():
    one, _ = make()
    two, _ = make()
    h = put(one, b"id")
    assert two.has_session(b"id") == 0
    assert two.session_refs(h) == 0
    assert two.free(h) == 0
    two.clear()
    assert one.has_session(b"id") == 1
