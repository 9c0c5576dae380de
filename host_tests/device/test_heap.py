# Every method that returns an int runs while the heap is locked. On CPython only the results are tested.

import sesstab
from sesstab import SESS_CACHE_NO_INTERNAL_LOOKUP, SESS_CACHE_SERVER, SESS_CACHE_UPDATE_TIME
from support import Clock, counters, fill, locked, make, order, put, raises

ID = b"i" * 32
OTHER = bytearray(b"another id")
VIEW = memoryview(b"xa view")[1:]
DATA = bytes(range(50))
BUF = bytearray(60)
VIEW_OF_BUF = memoryview(BUF)[3:]


def test_sessions_come_and_go():
    table, _ = make()
    for id in (ID, OTHER, VIEW):
        for data in (DATA, b"", bytearray(b"some"), memoryview(DATA)[5:]):
            h = locked(lambda id=id, data=data: table.new_session(id, data))
            assert h
            assert locked(lambda h=h: table.up_ref(h)) == 1
            assert locked(lambda h=h: table.add_session(h)) == 1
            assert locked(lambda h=h: table.add_session(h)) == 0
            assert locked(lambda id=id: table.get_session(id)) == h
            assert locked(lambda id=id: table.has_session(id)) == 1
            assert locked(lambda h=h: table.session_id(h, BUF)) == len(id)
            assert locked(lambda h=h: table.session_data(h, VIEW_OF_BUF)) == len(data)
            assert locked(lambda h=h: table.session_refs(h)) == 4
            assert locked(lambda h=h: table.remove_session(h)) == 1
            assert locked(lambda h=h: table.remove_session(h)) == 0
            for left in (1, 1, 1, 0):
                assert locked(lambda h=h: table.free(h)) == left


def test_new_session_with_all_arguments():
    table, _ = make()
    h = locked(lambda: table.new_session(ID, DATA, timeout=5, context=1))
    assert h
    assert locked(lambda: table.new_session(OTHER, DATA, 5, 1))
    assert locked(lambda: table.new_session(id=ID, data=DATA, timeout=5, context=1))
    assert locked(lambda: table.session_timeout(h)) == 5
    assert locked(lambda: table.session_context(h)) == 1
    assert locked(lambda: table.session_time(h)) == 1000
    assert locked(lambda: table.set_session_time(h, 990)) == 1
    assert locked(lambda: table.set_session_timeout(h, 50)) == 1
    table.add_session(h)
    assert locked(lambda: table.get_session(ID, 1)) == h
    assert locked(lambda: table.get_session(ID, context=2)) == 0


def test_the_largest_timeout_there_is():
    table, clock = make(timeout=2**32 - 2)
    h = put(table, ID)
    clock.time = 1 << 29
    assert locked(lambda: table.get_session(ID)) == h
    fill(table)
    assert locked(lambda: table.flush_sessions()) == 0
    assert locked(lambda: add(table, OTHER)) == 1


def add(table, id):
    h = table.new_session(id, DATA)
    added = table.add_session(h)
    table.free(h)
    return added


def test_a_full_table_evicts():
    table, _ = make()
    fill(table)
    for _ in range(10):
        assert locked(lambda: add(table, ID)) == 1
        assert locked(lambda: add(table, OTHER)) == 1
        assert locked(lambda: add(table, VIEW)) == 1
    assert table.sess_number() == 4


def test_a_full_table_expires():
    table, clock = make()
    for _ in range(3):
        fill(table)
        clock.time += 101
        assert locked(lambda: add(table, ID)) == 1
        assert order(table) == [ID]
    clock.time = 1
    assert locked(lambda: add(table, OTHER)) == 1
    fill(table)
    clock.time = 0
    assert locked(lambda: add(table, ID)) == 1


def test_no_slot_is_free():
    table, _ = make(capacity=1, spare=0)
    put(table, ID)
    assert locked(lambda: table.new_session(OTHER, DATA)) == 0


def test_expired_sessions_are_found():
    table, clock = make()
    put(table, ID)
    clock.time += 101
    assert locked(lambda: table.get_session(ID)) == 0
    assert table.sess_timeouts() == 1


def test_flush_and_clear():
    table, clock = make()
    fill(table)
    assert locked(lambda: table.flush_sessions()) == 0
    clock.time += 101
    assert locked(lambda: table.flush_sessions()) == 4
    fill(table)
    assert locked(lambda: table.flush_sessions(1102)) == 0
    assert locked(lambda: table.flush_sessions(now=0)) == 4
    fill(table)
    locked(lambda: table.clear())
    assert table.sess_number() == 0


def test_settings():
    table, _ = make()

    def change():
        table.mode = table.mode | SESS_CACHE_UPDATE_TIME
        table.timeout = table.timeout + 1
        table.cache_size = table.cache_size - 1
        table.on_new = table.on_new
        table.on_get = table.on_get
        table.on_remove = table.on_remove
        return table.capacity + table.spare + table.data_size

    assert locked(change) == 56
    assert (table.mode, table.timeout, table.cache_size) == (0x402, 101, 3)


def test_counters():
    table, _ = make()
    for count in (
        table.sess_number,
        table.sess_hits,
        table.sess_misses,
        table.sess_timeouts,
        table.sess_cache_full,
        table.sess_cb_hits,
        table.sess_stored,
        table.next_session,
    ):
        assert locked(count) == 0


def test_a_walk_in_the_order_of_use():
    table, _ = make()
    fill(table)

    def walk():
        count = 0
        h = table.next_session()
        while h:
            count += 1
            h = table.next_session(h)
        return count

    assert locked(walk) == 4


def test_the_tables_own_clock():
    table = sesstab.SessionTable(2)
    assert locked(table.now) == 1
    assert locked(lambda: add(table, ID)) == 1


def test_no_session_is_found():
    table, _ = make()
    fill(table)
    assert locked(lambda: table.get_session(ID)) == 0
    assert locked(lambda: table.get_session(OTHER)) == 0
    assert locked(lambda: table.has_session(VIEW)) == 0


def test_an_id_like_another():
    table, _ = make()
    like = ID[:31] + b"j"
    unlike = b"j" + ID[1:]
    put(table, like)
    assert locked(lambda: add(table, unlike)) == 1
    assert locked(lambda: table.get_session(ID)) == 0
    assert locked(lambda: add(table, unlike)) == 1
    assert table.sess_number() == 2


def test_wrong_values():
    table, _ = make()
    h = put(table, ID)
    long = b"i" * 33
    big = bytes(51)
    assert locked(lambda: table.new_session(long, DATA)) == 0
    assert locked(lambda: table.new_session(b"", DATA)) == 0
    assert locked(lambda: table.new_session(ID, big)) == 0
    assert locked(lambda: table.new_session(ID, DATA, -1)) == 0
    assert locked(lambda: table.new_session(ID, DATA, 5, 256)) == 0
    assert locked(lambda: table.get_session(long)) == 0
    assert locked(lambda: table.get_session(ID, -1)) == 0
    assert locked(lambda: table.has_session(long)) == 0
    assert locked(lambda: table.free(0)) == 0
    assert locked(lambda: table.free(-1)) == 0
    assert locked(lambda: table.up_ref(h + 8)) == 0
    assert locked(lambda: table.update_cache(h, 0)) == 0
    assert locked(lambda: table.set_session_time(h, -1)) == 0


def test_wrong_types_raise_type_error():
    table, _ = make()
    for wrong in (
        lambda: table.free(None),
        lambda: table.add_session("8"),
        lambda: table.get_session(5),
        lambda: table.new_session("id", DATA),
        lambda: table.new_session(ID, None),
        lambda: table.session_data(8, DATA),
        lambda: table.flush_sessions("now"),
    ):
        assert raises(TypeError, locked, wrong)


class Store:
    """Callbacks that use the table, and allocate nothing themselves."""

    def __init__(self):
        self.new = 0
        self.asked = 0
        self.removed = 0

    def on_new(self, table, h):
        self.new += table.session_data(h, BUF)
        return 0

    def on_get(self, table, id):
        self.asked += 1
        return table.new_session(id, DATA)

    def on_remove(self, table, h):
        self.removed += table.session_id(h, BUF)
        return table.flush_sessions(0)


def test_callbacks():
    table, clock = make()
    store = Store()
    table.on_new = store.on_new
    table.on_get = store.on_get
    table.on_remove = store.on_remove

    def handshake():
        h = table.new_session(OTHER, DATA)
        return table.update_cache(h) + table.free(h)

    fill(table)
    assert locked(handshake) == 2
    assert (store.new, store.removed) == (50, 3)
    h = locked(lambda: table.get_session(ID))
    assert h
    assert (store.asked, store.removed) == (1, 6)
    assert locked(lambda: table.free(h)) == 1
    assert locked(lambda: table.remove_session(h)) == 1
    clock.time += 101
    assert locked(lambda: table.flush_sessions()) == 3
    assert counters(table) == (0, 1, 1, 0, 2, 1, 1)


def test_callbacks_that_raise():
    table, _ = make(mode=SESS_CACHE_SERVER | SESS_CACHE_NO_INTERNAL_LOOKUP)

    def fail(table, argument):
        raise ValueError

    table.on_new = table.on_get = table.on_remove = fail
    fill(table)
    h = table.new_session(ID, DATA)
    assert locked(lambda: table.update_cache(h)) == 1
    assert locked(lambda: table.get_session(ID)) == 0
    assert locked(lambda: table.remove_session(h)) == 1


def test_callbacks_that_run_out_of_memory():
    table, _ = make()
    allocated = []

    def greedy(table, argument):
        allocated.append(bytearray(1000))
        return 1

    table.on_new = greedy
    h = table.new_session(ID, DATA)
    assert locked(lambda: table.update_cache(h)) == 1
    # On MicroPython there was no memory, so the callback has not answered.
    assert table.session_refs(h) == 2 + len(allocated)


def test_a_clock_that_fails():
    def fail():
        raise ValueError

    table = sesstab.SessionTable(2, clock=fail)
    assert locked(table.now) == 0
    assert locked(lambda: add(table, ID)) == 1
    assert locked(lambda: table.get_session(ID)) == 0


def test_every_255th_handshake():
    clock = Clock()
    table = sesstab.SessionTable(4, 2, 50, 100, SESS_CACHE_SERVER | SESS_CACHE_UPDATE_TIME, clock)
    put(table, OTHER)
    clock.time += 101
    h = table.new_session(ID, DATA)

    def handshakes():
        for _ in range(255):
            table.update_cache(h)

    locked(handshakes)
    assert order(table) == [ID]


def test_a_long_run():
    table, clock = make(capacity=5)
    ids = [bytes([n * 37 & 0xFF]) * (1 + n % 32) for n in range(64)]

    def work():
        found = 0
        for n in range(400):
            id = ids[n * n % 64]
            h = table.get_session(id)
            if h:
                found += 1
            else:
                h = table.new_session(id, DATA, 3 + n % 7)
                table.add_session(h)
            table.free(h)
            if n % 9 == 0:
                clock.time += 1
        return found

    assert locked(work) > 10
    assert table.sess_number() <= 5
