import sesstab
from sesstab import (
    SESS_CACHE_BOTH,
    SESS_CACHE_CLIENT,
    SESS_CACHE_NO_AUTO_CLEAR,
    SESS_CACHE_NO_INTERNAL_LOOKUP,
    SESS_CACHE_NO_INTERNAL_STORE,
    SESS_CACHE_OFF,
    SESS_CACHE_SERVER,
    SESS_CACHE_UPDATE_TIME,
)
from support import Clock, counters, make, order, put


def test_update_cache_adds_where_the_mode_has_the_side():
    for mode in (SESS_CACHE_OFF, SESS_CACHE_CLIENT, SESS_CACHE_SERVER, SESS_CACHE_BOTH):
        for side in (SESS_CACHE_CLIENT, SESS_CACHE_SERVER):
            table, _ = make(mode=mode)
            h = table.new_session(b"id", b"")
            expected = 1 if mode & side else 0
            assert table.update_cache(h, side) == expected
            assert table.has_session(b"id") == expected
            assert table.sess_stored() == expected
            assert table.session_refs(h) == 1 + expected


def test_update_cache_is_the_servers_by_default():
    table, _ = make()
    h = table.new_session(b"id", b"")
    assert table.update_cache(h) == 1
    assert table.update_cache(h) == 0
    assert table.sess_stored() == 2


def test_update_cache_keyword():
    table, _ = make(mode=SESS_CACHE_CLIENT)
    h = table.new_session(b"id", b"")
    assert table.update_cache(h, side=SESS_CACHE_CLIENT) == 1


def test_update_cache_replaces_a_session_with_the_same_id():
    table, _ = make()
    old = put(table, b"id", b"old")
    new = table.new_session(b"id", b"new")
    assert table.update_cache(new) == 1
    assert table.session_refs(old) == 0
    assert table.get_session(b"id") == new


def test_no_internal_store_leaves_storing_to_the_application():
    table, _ = make(mode=SESS_CACHE_SERVER | SESS_CACHE_NO_INTERNAL_STORE)
    h = table.new_session(b"id", b"")
    assert table.update_cache(h) == 0
    assert table.has_session(b"id") == 0
    assert table.sess_stored() == 1
    assert table.add_session(h) == 1
    assert table.get_session(b"id") == h


def test_no_internal_lookup_finds_nothing_and_counts_no_miss():
    table, _ = make(mode=SESS_CACHE_SERVER | SESS_CACHE_NO_INTERNAL_LOOKUP)
    h = table.new_session(b"id", b"")
    assert table.update_cache(h) == 1
    assert table.get_session(b"id") == 0
    assert table.get_session(b"other") == 0
    assert table.has_session(b"id") == 1
    assert counters(table) == (1, 0, 0, 0, 0, 0, 1)
    table.mode = SESS_CACHE_SERVER
    assert table.get_session(b"id") == h


def test_mode_off_still_serves_explicit_calls():
    table, _ = make(mode=SESS_CACHE_OFF)
    h = put(table, b"id")
    assert table.get_session(b"id") == h


def test_update_time_makes_a_hit_renew_the_time():
    table, clock = make(timeout=100, mode=SESS_CACHE_SERVER | SESS_CACHE_UPDATE_TIME)
    h = put(table, b"id")
    for _ in range(5):
        clock.time += 100
        assert table.get_session(b"id") == h
        assert table.session_time(h) == clock.time
        table.free(h)
    clock.time += 101
    assert table.get_session(b"id") == 0


def test_without_update_time_a_hit_leaves_the_time():
    table, clock = make()
    h = put(table, b"id")
    clock.time += 50
    assert table.get_session(b"id") == h
    assert table.session_time(h) == 1000


def test_update_time_makes_adding_set_the_time():
    table, clock = make(mode=SESS_CACHE_SERVER | SESS_CACHE_UPDATE_TIME)
    h = table.new_session(b"id", b"")
    clock.time += 10
    assert table.add_session(h) == 1
    assert table.session_time(h) == 1010
    clock.time += 10
    assert table.add_session(h) == 0
    assert table.session_time(h) == 1020
    table.mode = SESS_CACHE_SERVER
    clock.time += 10
    assert table.add_session(h) == 0
    assert table.session_time(h) == 1020


def test_update_time_keeps_what_a_full_table_knows_of_expiry():
    table, clock = make(capacity=2, timeout=100, mode=SESS_CACHE_SERVER | SESS_CACHE_UPDATE_TIME)
    put(table, b"a")
    put(table, b"b")
    clock.time += 90
    table.free(table.get_session(b"a"))
    clock.time += 20
    put(table, b"c")
    assert order(table) == [b"c", b"a"]
    assert table.sess_cache_full() == 1


def test_a_session_renewed_by_a_hit_may_be_from_the_future():
    table, clock = make(capacity=2, mode=SESS_CACHE_SERVER | SESS_CACHE_UPDATE_TIME)
    put(table, b"a")
    put(table, b"b")
    clock.time += 50
    table.free(table.get_session(b"a"))
    clock.time -= 25
    put(table, b"c")
    assert order(table) == [b"c", b"b"]


def test_a_session_renewed_by_adding_may_be_from_the_future():
    table, clock = make(capacity=2, mode=SESS_CACHE_SERVER | SESS_CACHE_UPDATE_TIME)
    put(table, b"b")
    h = table.new_session(b"a", b"")
    table.add_session(h)
    clock.time += 50
    table.add_session(h)
    clock.time -= 25
    put(table, b"c")
    assert order(table) == [b"c", b"b"]


def test_every_255th_handshake_removes_expired_sessions():
    table, clock = make(timeout=10)
    put(table, b"old")
    clock.time += 11
    h = table.new_session(b"new", b"")
    for _ in range(254):
        table.update_cache(h)
        assert table.sess_number() == 2
    table.update_cache(h)
    assert table.sess_stored() == 255
    assert order(table) == [b"new"]
    put(table, b"old")
    clock.time += 11
    for _ in range(255):
        table.update_cache(h)
        assert table.sess_number() == 2
    table.update_cache(h)
    assert table.sess_stored() == 511
    assert table.sess_number() == 0


def test_clients_tables_clear_themselves_too():
    for mode in (SESS_CACHE_CLIENT, SESS_CACHE_CLIENT | SESS_CACHE_NO_AUTO_CLEAR):
        table, clock = make(timeout=10, mode=mode)
        put(table, b"old")
        clock.time += 11
        h = table.new_session(b"new", b"")
        for _ in range(255):
            table.update_cache(h, SESS_CACHE_CLIENT)
        assert table.sess_number() == (1 if mode == SESS_CACHE_CLIENT else 2)


def test_no_auto_clear_leaves_expired_sessions():
    table, clock = make(timeout=10, mode=SESS_CACHE_SERVER | SESS_CACHE_NO_AUTO_CLEAR)
    put(table, b"old")
    clock.time += 11
    h = table.new_session(b"new", b"")
    for _ in range(600):
        table.update_cache(h)
    assert table.sess_number() == 2


def test_handshakes_of_the_other_side_do_not_clear():
    table, clock = make(timeout=10)
    put(table, b"old")
    clock.time += 11
    h = table.new_session(b"new", b"")
    for _ in range(600):
        assert table.update_cache(h, SESS_CACHE_CLIENT) == 0
    assert table.sess_number() == 1
    assert table.sess_stored() == 0


def test_statistics_of_a_client_are_its_connections():
    for mode, connect, accept in (
        (SESS_CACHE_CLIENT, 2, 0),
        (SESS_CACHE_SERVER, 0, 2),
        (SESS_CACHE_BOTH, 0, 2),
        (SESS_CACHE_OFF, 0, 0),
    ):
        table = sesstab.SessionTable(2, mode=SESS_CACHE_BOTH, clock=Clock())
        h = table.new_session(b"id", b"")
        assert table.update_cache(h, SESS_CACHE_CLIENT) == 1
        assert table.get_session(b"id") == h
        table.mode = mode
        stats = table.session_stats()
        assert (stats["connect"], stats["connect_good"]) == (connect, connect)
        assert (stats["accept"], stats["accept_good"]) == (accept, accept)
        assert (stats["connect_renegotiate"], stats["accept_renegotiate"]) == (0, 0)
        assert stats["hits"] == 1


def test_update_cache_for_both_sides():
    for mode in (SESS_CACHE_CLIENT, SESS_CACHE_SERVER, SESS_CACHE_BOTH):
        table, _ = make(mode=mode)
        assert table.update_cache(table.new_session(b"id", b""), SESS_CACHE_BOTH) == 1
