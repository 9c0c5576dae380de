# A table's clock may call the table, or change what a call was given: nothing is lost, no slot is used twice.

import struct

import sesstab
from sesstab import SESS_CACHE_SERVER, SESS_CACHE_UPDATE_TIME
from support import counters, data_of, id_of, order, put

TIME = 1000


class Calls:
    """A clock that once, when it is told to, does something."""

    def __init__(self):
        self.action = None

    def __call__(self):
        action, self.action = self.action, None
        if action is not None:
            action()
        return TIME


def make(capacity, mode=SESS_CACHE_SERVER):
    clock = Calls()
    return sesstab.SessionTable(capacity, 2, 50, 100, mode, clock), clock


def test_it_may_make_a_session_while_one_is_made():
    table, clock = make(4)
    made = []
    clock.action = lambda: made.append(put(table, b"inner", b"in"))
    h = table.new_session(b"outer", b"out")
    assert h & 7 != made[0] & 7, "one slot for both"
    assert table.add_session(h) == 1
    assert order(table) == [b"outer", b"inner"]
    assert (data_of(table, h), data_of(table, made[0])) == (b"out", b"in")


def test_it_may_take_the_last_slot_while_a_session_is_made():
    table, clock = make(1)
    held = [table.new_session(b"%d" % n, b"") for n in range(2)]
    clock.action = lambda: held.append(table.new_session(b"last", b""))
    assert table.new_session(b"none", b"") == 0
    assert [table.session_refs(h) for h in held] == [1, 1, 1]


def test_it_may_add_the_session_that_is_being_added():
    for mode in (SESS_CACHE_SERVER, SESS_CACHE_SERVER | SESS_CACHE_UPDATE_TIME):
        table, clock = make(1, mode)
        put(table, b"old")
        h = table.new_session(b"new", b"")
        clock.action = lambda table=table, h=h: table.add_session(h)
        assert table.add_session(h) == 0
        assert order(table) == [b"new"]
        assert table.session_refs(h) == 2


def test_it_may_free_the_session_that_is_being_added():
    for mode in (SESS_CACHE_SERVER, SESS_CACHE_SERVER | SESS_CACHE_UPDATE_TIME):
        table, clock = make(1, mode)
        put(table, b"old")
        h = table.new_session(b"new", b"")
        clock.action = lambda table=table, h=h: table.free(h)
        assert table.add_session(h) == 0
        assert order(table) == [b"old"]
        assert table.session_refs(h) == 0
        more = [table.new_session(b"%d" % n, b"") for n in range(2)]
        assert [table.session_refs(h) for h in more] == [1, 1]


def test_it_may_free_the_session_that_is_looked_up():
    table, clock = make(2)
    h = put(table, b"id")

    def free():
        table.remove_session(h)
        table.free(h)

    clock.action = free
    assert table.get_session(b"id") == 0
    assert counters(table) == (0, 0, 1, 0, 0, 0, 0)
    assert table.session_refs(h) == 0


def test_it_may_free_the_session_that_on_get_gave():
    table, clock = make(2, SESS_CACHE_SERVER | SESS_CACHE_UPDATE_TIME)
    given = []

    def on_get(table, id):
        given.append(table.new_session(id, b""))
        clock.action = lambda: table.free(given[0])
        return given[0]

    table.on_get = on_get
    assert table.get_session(b"id") == 0
    assert counters(table) == (0, 0, 1, 0, 0, 1, 0)
    assert table.session_refs(given[0]) == 0


def test_it_may_change_a_snapshot_that_is_loaded():
    for place in range(8, 80):
        table, clock = make(4, SESS_CACHE_SERVER | SESS_CACHE_UPDATE_TIME)
        for n in range(3):
            put(table, b"id%d" % n, b"state%d" % n)
        snapshot = bytearray(table.dump())
        table.clear()

        def change(place=place, snapshot=snapshot):
            for i in range(place, len(snapshot)):
                snapshot[i] = 0xFF

        clock.action = lambda change=change, clock=clock: setattr(clock, "action", change)
        loaded = table.load(snapshot)
        assert loaded == table.sess_number()
        h = table.next_session()
        while h:
            assert len(id_of(table, h)) and table.session_refs(h) == 1
            h = table.next_session(h)


def test_it_may_make_a_session_of_a_snapshot_too_long():
    table, clock = make(8, SESS_CACHE_SERVER | SESS_CACHE_UPDATE_TIME)
    for n in range(3):
        put(table, b"id%d" % n, b"%50d" % n)
    snapshot = bytearray(table.dump())
    table.clear()
    others = [put(table, b"other%d" % n, b"%50d" % n) for n in range(5)]
    for n in (2, 0):  # the second session comes between two others
        table.remove_session(others.pop(n))
    second = 8 + (len(snapshot) - 12) // 3

    def change():
        struct.pack_into("<H", snapshot, second, 51 << 5 | 2)

    clock.action = lambda: setattr(clock, "action", change)
    assert table.load(snapshot) == table.sess_number() - 3 > 0
    assert [data_of(table, h) for h in others] == [b"%50d" % n for n in (1, 3, 4)]


def test_it_may_damage_a_session_of_a_snapshot():
    for which, damage in ((1, b"\x01\x05\0\0"), (2, b"\xa2\x05\0\1")):  # no width; longer than the rest
        table, clock = make(8, SESS_CACHE_SERVER | SESS_CACHE_UPDATE_TIME)
        for n in range(3):
            put(table, b"id%d" % n, b"%40d" % n)
        snapshot = bytearray(table.dump())
        table.clear()
        at = 8 + which * (len(snapshot) - 12) // 3

        def change(snapshot=snapshot, at=at, damage=damage):
            snapshot[at : at + 4] = damage

        clock.action = lambda clock=clock, change=change: setattr(clock, "action", change)
        assert table.load(snapshot) == table.sess_number() > 0
        h = table.next_session()
        while h:
            assert data_of(table, h) == b"%40s" % id_of(table, h)[2:]
            h = table.next_session(h)


def test_it_may_add_a_session_while_a_snapshot_is_made():
    table, clock = make(4)
    put(table, b"one")
    clock.action = lambda: put(table, b"two")
    snapshot = table.dump()
    table.clear()
    assert table.load(snapshot) in (1, 2)
