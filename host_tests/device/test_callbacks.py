import sesstab
from sesstab import (
    SESS_CACHE_NO_INTERNAL_LOOKUP,
    SESS_CACHE_NO_INTERNAL_STORE,
    SESS_CACHE_SERVER,
    SESS_CACHE_UPDATE_TIME,
)
from support import counters, data_of, fill, id_of, make, order, put


class Raises:
    """A callback that raises."""

    def __init__(self, error):
        self.error = error
        self.calls = 0

    def __call__(self, table, argument):
        self.calls += 1
        raise self.error("from a callback")


class BadTruth:
    def __bool__(self):
        raise ValueError("no truth")


ERRORS = (ValueError, MemoryError, KeyboardInterrupt, SystemExit, GeneratorExit)


def test_on_new_gets_the_session_and_a_reference():
    table, _ = make()
    told = []

    def on_new(told_table, h):
        told.append((told_table is table, h, told_table.session_refs(h), id_of(table, h), data_of(table, h)))
        return 1

    table.on_new = on_new
    h = table.new_session(b"id", b"data")
    assert told == []
    assert table.update_cache(h) == 1
    assert told == [(True, h, 3, b"id", b"data")]
    assert table.session_refs(h) == 3


def test_on_new_with_a_false_result_gives_the_reference_back():
    for result in (0, None, False, "", []):
        table, _ = make()
        table.on_new = lambda table, h, result=result: result
        h = table.new_session(b"id", b"")
        assert table.update_cache(h) == 1
        assert table.session_refs(h) == 2


def test_on_new_is_not_called_where_the_mode_lacks_the_side():
    table, _ = make(mode=sesstab.SESS_CACHE_CLIENT)
    told = []
    table.on_new = lambda table, h: told.append(h)
    h = table.new_session(b"id", b"")
    assert table.update_cache(h) == 0
    assert told == []
    table.add_session(h)
    assert told == []


def test_on_new_is_called_with_no_internal_store():
    table, _ = make(mode=SESS_CACHE_SERVER | SESS_CACHE_NO_INTERNAL_STORE)
    kept = []

    def on_new(table, h):
        kept.append(h)
        return True

    table.on_new = on_new
    h = table.new_session(b"id", b"")
    assert table.update_cache(h) == 0
    assert kept == [h]
    assert table.free(h) == 1
    assert table.session_refs(h) == 1


def test_on_new_that_raises_is_no_answer():
    for error in ERRORS:
        table, _ = make()
        table.on_new = Raises(error)
        h = table.new_session(b"id", b"")
        assert table.update_cache(h) == 1
        assert table.on_new.calls == 1
        assert table.session_refs(h) == 2
    table.on_new = lambda table, h: BadTruth()
    assert table.update_cache(h) == 0
    assert table.session_refs(h) == 2


def test_on_new_may_call_the_table():
    table, _ = make(capacity=2)
    seen = []

    def on_new(table, h):
        seen.append(table.get_session(b"id"))
        seen.append(table.remove_session(h))
        put(table, b"other")
        table.clear()
        return 1

    table.on_new = on_new
    h = table.new_session(b"id", b"")
    assert table.update_cache(h) == 1
    assert seen == [h, 1]
    assert table.session_refs(h) == 0
    assert table.sess_number() == 0


def test_on_get_is_asked_when_the_table_has_no_such_session():
    table, _ = make()
    put(table, b"id")
    asked = []

    def on_get(asked_table, id):
        assert asked_table is table
        asked.append(bytes(id))

    table.on_get = on_get
    assert table.get_session(b"id")
    assert asked == []
    assert table.get_session(b"other") == 0
    assert table.get_session(bytearray(b"third"), 3) == 0
    assert asked == [b"other", b"third"]
    assert counters(table) == (1, 1, 2, 0, 0, 0, 0)


def test_on_get_gets_the_very_object_that_was_searched_for():
    table, _ = make()
    same = []
    id = bytearray(b"id")
    table.on_get = lambda table, asked: same.append(asked is id)
    table.get_session(id)
    assert same == [True]


def test_on_get_gives_a_session_with_its_reference():
    table, _ = make()
    table.on_get = lambda table, id: table.new_session(id, b"from outside")
    h = table.get_session(b"id")
    assert h
    assert data_of(table, h) == b"from outside"
    assert table.session_refs(h) == 2
    assert order(table) == [b"id"]
    assert counters(table) == (1, 1, 1, 0, 0, 1, 0)
    assert table.get_session(b"id") == h
    assert table.sess_cb_hits() == 1


def test_on_get_with_no_internal_store_does_not_fill_the_table():
    table, _ = make(mode=SESS_CACHE_SERVER | SESS_CACHE_NO_INTERNAL_STORE)
    table.on_get = lambda table, id: table.new_session(id, b"")
    h = table.get_session(b"id")
    assert table.session_refs(h) == 1
    assert counters(table) == (0, 1, 1, 0, 0, 1, 0)
    assert table.free(h) == 1


def test_on_get_with_no_internal_lookup_is_asked_always():
    table, _ = make(mode=SESS_CACHE_SERVER | SESS_CACHE_NO_INTERNAL_LOOKUP)
    inside = put(table, b"id", b"inside")
    table.on_get = lambda table, id: table.new_session(id, b"outside")
    h = table.get_session(b"id")
    assert data_of(table, h) == b"outside"
    assert table.session_refs(inside) == 0
    assert table.session_refs(h) == 2
    assert counters(table) == (1, 1, 0, 0, 0, 1, 0)


def test_on_get_may_give_a_session_that_is_in_the_table():
    table, _ = make(mode=SESS_CACHE_SERVER | SESS_CACHE_NO_INTERNAL_LOOKUP)
    h = put(table, b"id")

    def on_get(table, id):
        table.up_ref(h)
        return h

    table.on_get = on_get
    assert table.get_session(b"id") == h
    assert table.session_refs(h) == 2
    assert counters(table) == (1, 1, 0, 0, 0, 1, 0)


def test_on_get_that_gives_no_reference_is_a_miss():
    table, _ = make(mode=SESS_CACHE_SERVER | SESS_CACHE_NO_INTERNAL_LOOKUP)
    h = put(table, b"id")
    table.on_get = lambda table, id: h
    assert table.get_session(b"id") == 0
    assert table.session_refs(h) == 1
    assert table.sess_cb_hits() == 0


def test_on_get_with_a_wrong_result_is_a_miss():
    table, _ = make()
    stale = table.new_session(b"id", b"")
    table.free(stale)
    results = (None, 0, "x", b"id", 1.5, [], stale, -1, 1 << 40, 1 << 70, stale + 16, table, BadTruth())
    for result in results:
        table.on_get = lambda table, id, result=result: result
        assert table.get_session(b"id") == 0
    assert counters(table) == (0, 0, len(results), 0, 0, 0, 0)


def test_on_get_with_another_sessions_id_frees_that():
    table, _ = make()
    given = []

    def on_get(table, id):
        given.append(table.new_session(b"wrong", b"secret"))
        return given[-1]

    table.on_get = on_get
    for _ in range(10):
        assert table.get_session(b"id") == 0
        assert table.session_refs(given[-1]) == 0
    assert counters(table) == (0, 0, 10, 0, 0, 0, 0)


def test_on_get_with_an_id_that_is_like_the_one_asked_for_is_a_miss():
    for given in (b"id", b"id\0", b"idid", b"i", b"Id", b"iD"):
        for asked in (b"id", b"id\0", b"idid", b"i"):
            table, _ = make()
            table.on_get = lambda table, id, given=given: table.new_session(given, b"")
            assert (table.get_session(asked) > 0) == (given == asked)
            assert table.sess_cb_hits() == (given == asked)


def test_on_get_that_raises_is_a_miss():
    for error in ERRORS:
        table, _ = make()
        table.on_get = Raises(error)
        assert table.get_session(b"id") == 0
        assert table.on_get.calls == 1
        assert counters(table) == (0, 0, 1, 0, 0, 0, 0)


def test_on_get_with_another_context_gives_the_session_back():
    table, _ = make()
    table.on_get = lambda table, id: table.new_session(id, b"", None, 5)
    assert table.get_session(b"id", 6) == 0
    assert counters(table) == (1, 0, 1, 0, 0, 1, 0)
    h = table.get_session(b"id", 5)
    assert table.session_refs(h) == 2


def test_on_get_with_an_expired_session_removes_it():
    table, _ = make()
    removed = []

    def on_get(table, id):
        h = table.new_session(id, b"")
        table.set_session_time(h, 10)
        return h

    table.on_get = on_get
    table.on_remove = lambda table, h: removed.append(h)
    assert table.get_session(b"id") == 0
    assert counters(table) == (0, 0, 1, 1, 0, 1, 0)
    assert len(removed) == 1
    assert table.session_refs(removed[0]) == 0


def test_on_get_with_an_expired_session_does_not_make_it_fresh():
    table, _ = make(mode=SESS_CACHE_SERVER | SESS_CACHE_UPDATE_TIME)

    def on_get(table, id):
        h = table.new_session(id, b"")
        table.set_session_time(h, 10)
        return h

    table.on_get = on_get
    assert table.get_session(b"id") == 0
    assert counters(table) == (0, 0, 1, 1, 0, 1, 0)
    table.on_get = lambda table, id: table.new_session(id, b"")
    h = table.get_session(b"id")
    assert table.session_refs(h) == 2


def test_on_get_may_search_too():
    table, _ = make()
    put(table, b"alias")

    def on_get(table, id):
        if id != b"id":
            return 0
        table.get_session(b"nothing")
        table.has_session(b"alias")
        table.free(table.get_session(b"alias"))
        return table.new_session(id, b"found")

    table.on_get = on_get
    h = table.get_session(b"id")
    assert data_of(table, h) == b"found"
    assert counters(table) == (2, 2, 2, 0, 0, 1, 0)


def test_on_get_may_clear_the_table():
    table, _ = make()
    fill(table)

    def on_get(table, id):
        h = table.new_session(id, b"")
        table.clear()
        return h

    table.on_get = on_get
    assert table.get_session(b"new") == 0
    assert table.sess_number() == 0
    assert [table.new_session(b"%d" % n, b"") != 0 for n in range(7)] == [True] * 6 + [False]


def test_on_get_that_searches_for_the_same_ends():
    table, _ = make()
    depth = []

    def on_get(table, id):
        depth.append(1)
        return table.get_session(id) if len(depth) < 5 else table.new_session(id, b"deep")

    table.on_get = on_get
    h = table.get_session(b"id")
    assert data_of(table, h) == b"deep"
    assert len(depth) == 5


def test_on_get_into_a_full_table_evicts():
    table, _ = make(capacity=3)
    fill(table)
    table.on_get = lambda table, id: table.new_session(id, b"")
    h = table.get_session(b"new")
    assert order(table) == [b"new", b"id2", b"id1"]
    assert table.sess_cache_full() == 1
    assert table.free(h) == 1


def removals(table):
    told = []
    table.on_remove = lambda table, h: told.append((h, id_of(table, h), table.session_refs(h)))
    return told


def test_on_remove_is_told_of_a_removal_with_a_good_handle():
    table, _ = make()
    told = removals(table)
    h = put(table, b"id")
    assert table.remove_session(h) == 1
    assert told == [(h, b"id", 1)]
    assert table.session_refs(h) == 0


def test_on_remove_is_told_even_if_nothing_was_in_the_table():
    table, _ = make()
    told = removals(table)
    h = table.new_session(b"id", b"")
    assert table.remove_session(h) == 0
    assert told == [(h, b"id", 1)]
    table.free(h)
    assert table.remove_session(h) == 0
    assert len(told) == 1


def test_on_remove_is_told_the_handle_that_remove_session_was_given():
    table, _ = make()
    told = removals(table)
    cached = put(table, b"id")
    h = table.new_session(b"id", b"")
    assert table.remove_session(h) == 1
    assert told == [(h, b"id", 1)]
    assert table.session_refs(cached) == 0


def test_on_remove_is_told_of_an_eviction():
    table, _ = make(capacity=2)
    told = removals(table)
    first = put(table, b"0")
    for n in range(1, 4):
        put(table, b"%d" % n)
    assert [id for _, id, _ in told] == [b"0", b"1"]
    assert told[0][0] == first


def test_on_remove_is_told_of_expiry_in_the_order_of_slots():
    table, clock = make(capacity=3)
    told = removals(table)
    fill(table)
    table.free(table.get_session(b"id0"))
    clock.time += 101
    put(table, b"new")
    assert [id for _, id, _ in told] == [b"id0", b"id1", b"id2"]
    clock.time += 101
    assert table.get_session(b"new") == 0
    assert [id for _, id, _ in told] == [b"id0", b"id1", b"id2", b"new"]
    assert told[-1][2] == 2  # the table's and the lookup's
    put(table, b"last")
    assert table.flush_sessions(0) == 1
    assert told[-1][1] == b"last"


def test_on_remove_is_not_told_of_a_replacement_or_clear():
    table, _ = make()
    told = removals(table)
    put(table, b"id")
    put(table, b"id")
    table.clear()
    assert told == []


def test_on_remove_that_raises_changes_nothing():
    for error in ERRORS:
        table, _ = make(capacity=2)
        table.on_remove = Raises(error)
        h = put(table, b"id")
        assert table.remove_session(h) == 1
        assert table.session_refs(h) == 0
        fill(table)
        put(table, b"new")
        assert table.flush_sessions(0) == 2
        assert table.on_remove.calls == 4
        assert table.sess_number() == 0
        # The table is open again.
        put(table, b"again")
        assert table.get_session(b"again")


def test_on_remove_cannot_change_the_table():
    table, _ = make(capacity=3)
    fill(table)
    waiting = table.new_session(b"waiting", b"")
    told = []

    def on_remove(table, h):
        inside = table.next_session()
        told.append(
            (
                table.add_session(waiting),
                table.add_session(h),
                table.remove_session(inside),
                table.get_session(b"id2"),
                table.get_session(b"nothing"),
                table.flush_sessions(0),
                table.flush_sessions(),
                table.update_cache(waiting),
            )
        )
        table.clear()
        told.append((table.sess_number(), table.has_session(b"id2"), table.sess_misses()))

    table.on_remove = on_remove
    put(table, b"new")
    assert told == [(0,) * 8, (2, 1, 0)]
    assert order(table) == [b"new", b"id2", b"id1"]
    assert counters(table) == (3, 0, 0, 0, 1, 0, 0)


def test_on_remove_may_keep_the_session():
    table, _ = make(capacity=2)
    kept = []

    def on_remove(table, h):
        assert table.up_ref(h) == 1
        kept.append(h)

    table.on_remove = on_remove
    fill(table)
    put(table, b"new")
    assert data_of(table, kept[0]) == b"state"
    assert table.session_refs(kept[0]) == 1
    assert table.free(kept[0]) == 1
    assert table.session_refs(kept[0]) == 0


def test_on_remove_may_take_and_give_references():
    table, _ = make(capacity=2)
    seen = []

    def on_remove(table, h):
        seen.append((table.free(h), table.up_ref(h), table.free(h), table.free(h), table.session_refs(h)))

    table.on_remove = on_remove
    h = put(table, b"id")
    assert table.remove_session(h) == 1
    assert seen == [(0, 1, 1, 0, 1)]
    assert table.session_refs(h) == 0
    # Every slot is still there, once.
    handles = [table.new_session(b"%d" % n, b"") for n in range(5)]
    assert handles[4] == 0
    assert len(set(handles[:4])) == 4


def test_on_remove_may_free_the_session_that_is_being_added():
    table, _ = make(capacity=1)
    put(table, b"old")
    table.on_remove = lambda table, h: table.free(new)
    new = table.new_session(b"new", b"")
    assert table.add_session(new) == 0
    assert table.session_refs(new) == 0
    assert table.sess_number() == 0


def test_on_remove_may_free_the_session_that_is_being_added_and_unset_itself():
    table, _ = make(capacity=1)
    put(table, b"old")

    def on_remove(table, h):
        table.on_remove = None
        table.free(new)

    table.on_remove = on_remove
    new = table.new_session(b"new", b"")
    assert table.add_session(new) == 0
    assert table.session_refs(new) == 0
    assert table.sess_number() == 0
    assert not table.has_session(b"new")


def test_on_remove_may_free_the_session_that_on_get_gave():
    table, _ = make(capacity=1)
    put(table, b"old")
    given = []

    def on_get(table, id):
        given.append(table.new_session(id, b""))
        return given[0]

    table.on_get = on_get
    table.on_remove = lambda table, h: table.free(given[0])
    assert table.get_session(b"new") == 0
    assert table.session_refs(given[0]) == 0
    assert counters(table) == (0, 0, 1, 0, 1, 1, 0)


def test_on_remove_may_make_sessions():
    table, _ = make(capacity=3, spare=3)
    made = []
    table.on_remove = lambda table, h: made.append(table.new_session(b"made", b""))
    fill(table)
    assert table.flush_sessions(0) == 3
    assert [table.session_refs(h) for h in made] == [1, 1, 1]
    assert len(set(made)) == 3


def test_on_remove_may_change_times_and_settings():
    table, clock = make(capacity=4)
    fill(table)
    table.set_session_time(table.get_session(b"id0"), 1)

    def on_remove(table, h):
        table.cache_size = 2
        table.set_session_timeout(table.next_session(), 1)

    table.on_remove = on_remove
    put(table, b"new")  # id0 is expired; then the least recently used go
    assert order(table)[0] == b"new"
    assert table.sess_number() == 2
    clock.time += 50
    table.on_remove = None
    h = put(table, b"later")
    assert table.sess_number() <= 2
    assert table.get_session(b"later") == h


def test_a_callback_can_be_a_bound_method_and_be_taken_off():
    class Store:
        def __init__(self):
            self.told = []

        def on_new(self, table, h):
            self.told.append(h)
            return 0

    store = Store()
    table, _ = make()
    table.on_new = store.on_new
    h = table.new_session(b"id", b"")
    table.update_cache(h)
    table.on_new = None
    table.update_cache(h)
    assert store.told == [h]


def test_a_callback_may_take_itself_off():
    table, _ = make(capacity=1)
    told = []

    def on_remove(table, h):
        told.append(h)
        table.on_remove = None

    table.on_remove = on_remove
    for n in range(3):
        put(table, b"%d" % n)
    assert len(told) == 1


def test_an_external_store_serves_what_the_table_has_lost():
    table, _ = make(capacity=2, spare=2)
    store = {}

    def on_new(table, h):
        store[id_of(table, h)] = data_of(table, h)
        return 0

    def on_get(table, id):
        return table.new_session(id, store[bytes(id)]) if bytes(id) in store else None

    table.on_new = on_new
    table.on_get = on_get
    for n in range(10):
        h = table.new_session(b"%d" % n, b"data%d" % n)
        table.update_cache(h)
        table.free(h)
    for n in range(10):
        h = table.get_session(b"%d" % n)
        assert data_of(table, h) == b"data%d" % n
        table.free(h)
    assert table.get_session(b"10") == 0
    assert table.sess_hits() == 10
    assert table.sess_cb_hits() >= 8
