"""Where sesstab differs from libssl: each difference, both sides; docs/openssl.md has the reasons.

Every test has libssl do something and shows what comes of it, then has both engines do the same. What is not
here is alike: test_openssl_differential.py.
"""

import re
import time
from pathlib import Path

import openssl_cache as openssl
import pytest
from openssl_cache import SESS_CACHE_CLIENT, SESS_CACHE_SERVER, SESS_CACHE_UPDATE_TIME, Cache
from openssl_replayer import table_class

ROOT = Path(__file__).resolve().parents[2]
NOW = int(time.time())
HOUR = 3600
SECRET = bytes(48)
SERVER, CLIENT, NO_AUTO_CLEAR, NO_STORE = SESS_CACHE_SERVER, SESS_CACHE_CLIENT, 0x80, 0x200


def sid(n):
    return b"%032d" % n


@pytest.fixture
def cache():
    cache = Cache()
    yield cache
    openssl.check_callbacks()
    cache.close()


@pytest.fixture(params=["pure", "native"])
def make_table(request):
    def make(capacity=4, spare=4, timeout=24 * HOUR, clock=lambda: NOW):
        return table_class(request.param)(capacity, spare, 48, timeout, SERVER, clock)

    return make


def cached(cache, n, lifetime=24 * HOUR, at=NOW):
    """A session that only the cache holds."""
    session = cache.new_session(n, sid(n), at, lifetime)
    assert cache.add_session(session) == 1
    cache.free(session)
    return session


def stored(table, n, lifetime=24 * HOUR, at=NOW):
    """A session that only the table holds."""
    h = table.new_session(sid(n), SECRET, lifetime)
    table.set_session_time(h, at)
    assert table.add_session(h) == 1
    table.free(h)
    return h


def names(cache):
    return sorted(cache.name(s) for s in cache.sessions())


def held(table):
    return [n for n in range(40) if table.has_session(sid(n))]


# ---- Size


def test_libssl_holds_one_session_fewer_than_its_size_and_we_hold_as_many(cache, make_table):
    cache.cache_size = 4
    table = make_table(4)
    for n in range(1, 10):
        cached(cache, n)
        stored(table, n)
    assert cache.number == 3
    assert table.sess_number() == 4


def test_cache_size_0_is_no_limit_in_libssl_and_the_capacity_here(cache, make_table):
    cache.cache_size = 0
    table = make_table(4)
    table.cache_size = 0
    for n in range(1, 10):
        cached(cache, n)
        stored(table, n)
    assert (cache.cache_size, cache.number) == (0, 9)
    assert (table.cache_size, table.sess_number()) == (4, 4)


def test_libssl_makes_any_number_of_sessions_and_we_as_many_as_there_are_slots(cache, make_table):
    table = make_table(2, spare=1)
    for n in range(1, 4):
        assert table.new_session(sid(n), SECRET)
    assert table.new_session(sid(4), SECRET) == 0
    for n in range(1, 40):
        cached(cache, n)
    assert cache.number == 39


def test_references_have_no_limit_in_libssl_and_the_limit_255_here(cache, make_table):
    session = cache.new_session(1, sid(1), NOW, HOUR)
    assert all(cache.up_ref(session) for _ in range(999))
    for _ in range(1000):
        cache.free(session)
    table = make_table()
    h = table.new_session(sid(1), SECRET)
    assert sum(table.up_ref(h) for _ in range(999)) == 254


# ---- Eviction and flushing


def test_libssl_evicts_what_expires_first_and_we_what_is_used_least(cache, make_table):
    cache.cache_size = 4
    table = make_table(3)
    for n, lifetime in (1, 2 * HOUR), (2, 9 * HOUR), (3, 9 * HOUR):
        cached(cache, n, lifetime)
        stored(table, n, lifetime)
    cache.free(cache.get_session(sid(1)))
    table.free(table.get_session(sid(1)))
    cached(cache, 4)
    stored(table, 4)
    assert names(cache) == [2, 3, 4]
    assert held(table) == [1, 3, 4]


def test_a_hit_renews_a_sessions_place_here_and_not_in_libssl(cache, make_table):
    cache.cache_size = 4
    table = make_table(3)
    for n in 1, 2, 3:
        cached(cache, n)
        stored(table, n)
    cache.free(cache.get_session(sid(1)))
    table.free(table.get_session(sid(1)))
    cached(cache, 4)
    stored(table, 4)
    assert names(cache) == [2, 3, 4]
    assert held(table) == [1, 3, 4]


def test_adding_a_session_again_renews_no_place_here(cache, make_table):
    # In 3.0 it does in libssl. 3.5 does as we do, so the outcome there is one of the two.
    cache.cache_size = 3
    table = make_table(2)
    sessions = [cache.new_session(n, sid(n), NOW, 24 * HOUR) for n in (1, 2)]
    for session in [*sessions, sessions[0]]:
        cache.add_session(session)
    cached(cache, 3)
    assert names(cache) == ([1, 3] if openssl.VERSION.startswith("OpenSSL 3.0.") else [2, 3])
    for session in sessions:
        cache.free(session)

    h = stored(table, 1)
    stored(table, 2)
    assert table.add_session(h) == 0
    stored(table, 3)
    assert held(table) == [2, 3]


def test_when_full_libssl_removes_one_expired_session_and_we_all(cache, make_table):
    cache.cache_size = 5
    table = make_table(4)
    for n, lifetime in (1, HOUR), (2, HOUR), (3, HOUR), (4, 24 * HOUR):
        cached(cache, n, lifetime, at=NOW - 2 * HOUR)
        stored(table, n, lifetime, at=NOW - 2 * HOUR)
    cached(cache, 5)
    stored(table, 5)
    assert names(cache) == [2, 3, 4, 5] and cache.counter("cache_full") == 1
    assert held(table) == [4, 5] and table.sess_cache_full() == 3


def test_flush_calls_on_remove_by_expiry_in_libssl_and_by_slot_here(cache, make_table):
    removed = []
    cache.on_remove = lambda session: removed.append(cache.name(session))
    cache.set_callbacks(False, False, True)
    table = make_table()
    handles = {}
    for n, lifetime in (1, 3 * HOUR), (2, 1 * HOUR), (3, 2 * HOUR):
        cached(cache, n, lifetime)
        handles[stored(table, n, lifetime)] = n
    assert cache.flush_sessions(0) == 3 and removed == [2, 3, 1]
    removed.clear()
    table.on_remove = lambda _, h: removed.append(handles[h])
    assert table.flush_sessions(0) == 3 and removed == [1, 2, 3]


def test_libssl_flushes_at_the_256th_handshake_and_we_at_the_255th(cache, make_table):
    for n in range(254):
        cache.free(cache.handshake(n + 1, sid(n)))
    cached(cache, 300, HOUR, at=NOW - 2 * HOUR)
    cache.free(cache.handshake(255, sid(255)))
    assert cache.has_session(sid(300))
    cache.free(cache.handshake(256, sid(256)))
    assert not cache.has_session(sid(300))

    table = make_table()
    h = table.new_session(sid(1), SECRET)
    for _ in range(253):
        table.update_cache(h)
    stored(table, 2, HOUR, at=NOW - 2 * HOUR)
    table.update_cache(h)
    assert held(table) == [1, 2]
    table.update_cache(h)
    assert held(table) == [1]


# ---- Time


def test_a_session_from_the_future_resumes_in_libssl_and_is_expired_here(cache, make_table):
    cached(cache, 1, at=NOW + HOUR)
    session = cache.get_session(sid(1))
    assert cache.name(session) == 1
    cache.free(session)
    table = make_table()
    stored(table, 1, at=NOW + HOUR)
    assert table.get_session(sid(1)) == 0
    assert table.sess_timeouts() == 1


def test_flush_before_a_session_was_made_keeps_it_in_libssl_and_removes_it_here(cache, make_table):
    cached(cache, 1)
    assert cache.flush_sessions(NOW - HOUR) == 0
    table = make_table()
    stored(table, 1)
    assert table.flush_sessions(NOW - HOUR) == 1


def test_an_unknown_time_expires_every_session(make_table):
    # libssl has no such time: time(2) does not fail.
    clock = [NOW]
    table = make_table(clock=lambda: clock[0])
    stored(table, 1)
    clock[0] = 0
    assert table.get_session(sid(1)) == 0 and table.sess_timeouts() == 1


def test_update_time_renews_a_session_on_a_hit_here_and_in_libssl_only_when_added(cache, make_table):
    cache.mode = SERVER
    session = cache.new_session(1, sid(1), NOW - HOUR, 24 * HOUR)
    cache.add_session(session)
    cache.mode = SERVER | SESS_CACHE_UPDATE_TIME
    cache.free(cache.get_session(sid(1)))
    assert cache.session_time(session) == NOW - HOUR
    assert cache.add_session(session) == 0
    assert cache.session_time(session) >= NOW - 2
    cache.free(session)

    table = make_table()
    h = stored(table, 1, at=NOW - HOUR)
    table.mode = SERVER | SESS_CACHE_UPDATE_TIME
    table.free(table.get_session(sid(1)))
    assert table.session_time(h) == NOW


def test_update_time_revives_an_expired_session_of_on_get_in_libssl_and_not_here(cache, make_table):
    expired = cache.new_session(1, sid(1), NOW - 3 * HOUR, HOUR)
    cache.on_get = lambda asked: (expired, 1)
    cache.mode = SERVER | SESS_CACHE_UPDATE_TIME
    cache.set_callbacks(False, True, False)
    session = cache.get_session(sid(1))
    assert cache.name(session) == 1 and cache.counter("timeouts") == 0
    cache.free(session)
    cache.free(expired)

    table = make_table()
    table.mode = SERVER | SESS_CACHE_UPDATE_TIME
    h = table.new_session(sid(1), SECRET, HOUR)
    table.set_session_time(h, NOW - 3 * HOUR)
    table.on_get = lambda table, asked: h
    assert table.get_session(sid(1)) == 0
    assert table.sess_timeouts() == 1 and held(table) == [] and table.session_refs(h) == 0


def test_set_time_returns_the_time_in_libssl_and_1_here(cache, make_table):
    session = cache.new_session(1, sid(1), NOW, HOUR)
    assert cache.set_session_time(session, 77) == 77
    assert cache.set_session_time(session, 0) == 0
    cache.free(session)
    table = make_table()
    h = table.new_session(sid(1), SECRET)
    assert table.set_session_time(h, 77) == 1
    assert table.set_session_time(h, 0) == 1


def test_timeout_0_is_two_hours_in_libssl_and_0_here(cache, make_table):
    cache.timeout = 0
    session = cache.handshake(1, sid(1))
    assert cache.session_timeout(session) == 7200
    cache.free(session)
    table = make_table(timeout=0)
    assert table.session_timeout(table.new_session(sid(1), SECRET)) == 0


def test_a_new_session_lives_304_seconds_in_libssl_and_the_tables_timeout_here(cache, make_table):
    cache.timeout = 9 * HOUR
    session = openssl.ssl.SSL_SESSION_new()
    assert cache.session_timeout(session) == 304
    cache.free(session)
    table = make_table(timeout=9 * HOUR)
    assert table.session_timeout(table.new_session(sid(1), SECRET)) == 9 * HOUR


# ---- Ids, contexts, versions


def test_an_empty_id_is_cached_for_good_in_libssl_and_refused_here(cache, make_table):
    session = cache.new_session(1, b"", NOW, HOUR)
    assert cache.add_session(session) == 1
    assert cache.remove_session(session) == 0
    assert cache.number == 1
    cache.free(session)
    table = make_table()
    assert table.new_session(b"", SECRET) == 0
    assert table.has_session(b"") == 0


def test_a_session_is_found_under_its_protocol_version_in_libssl_and_by_its_id_here(cache, make_table):
    session = cache.new_session(1, sid(1), NOW, HOUR)
    openssl.ssl.SSL_SESSION_set_protocol_version(session, 0x0302)
    assert cache.add_session(session) == 1
    assert cache.has_session(sid(1)) == 0 and cache.get_session(sid(1)) is None
    cache.free(session)
    table = make_table()
    stored(table, 1)
    assert table.has_session(sid(1)) == 1


def test_a_context_is_up_to_32_bytes_in_libssl_and_a_number_here(cache, make_table):
    session = cache.new_session(1, sid(1), NOW, HOUR)
    set_context = openssl.ssl.SSL_SESSION_set1_id_context
    assert set_context(session, bytes(32), 32) == 1 and set_context(session, bytes(33), 33) == 0
    openssl.errors()
    cache.free(session)
    table = make_table()
    assert table.new_session(sid(1), SECRET, HOUR, 255) and not table.new_session(sid(1), SECRET, HOUR, 256)


# ---- Callbacks


def test_on_get_may_answer_with_another_id_in_libssl_and_not_here(cache, make_table):
    other = cache.new_session(2, sid(2), NOW, HOUR)
    cache.on_get = lambda asked: (other, 1)
    cache.set_callbacks(False, True, False)
    session = cache.get_session(sid(1))
    assert cache.name(session) == 2 and cache.counter("cb_hits") == 1
    cache.free(session)
    cache.free(other)

    table = make_table()
    h = table.new_session(sid(2), SECRET)
    table.on_get = lambda table, asked: h
    assert table.get_session(sid(1)) == 0
    assert table.sess_cb_hits() == 0 and table.session_refs(h) == 0


def test_on_get_may_answer_with_a_removed_session_here_and_not_in_libssl(cache, make_table):
    removed = cache.new_session(1, sid(1), NOW, HOUR)
    cache.add_session(removed)
    cache.remove_session(removed)
    assert not cache.is_resumable(removed)
    cache.on_get = lambda asked: (removed, 1)
    cache.set_callbacks(False, True, False)
    assert cache.get_session(sid(1)) is None and cache.counter("cb_hits") == 0
    # Added again, it resumes in libssl as well.
    assert cache.add_session(removed) == 1
    session = cache.get_session(sid(1))
    assert cache.name(session) == 1
    for _ in range(2):
        cache.free(removed)

    table = make_table()
    h = table.new_session(sid(1), SECRET)
    table.add_session(h)
    table.remove_session(h)
    table.on_get = lambda table, asked: h
    assert table.get_session(sid(1)) == h
    assert table.sess_cb_hits() == 1


def test_update_cache_stores_a_removed_session_here_and_not_in_libssl(cache, make_table):
    seen = []
    cache.on_new = lambda session: seen.append("new") or 0
    cache.set_callbacks(True, False, False)
    session = cache.handshake(1, sid(1), midway=lambda session: seen.append(cache.remove_session(session)))
    assert seen == [0] and names(cache) == [] and not cache.is_resumable(session)
    cache.free(session)

    table = make_table()
    h = table.new_session(sid(1), SECRET)
    table.add_session(h)
    table.remove_session(h)
    assert table.update_cache(h) == 1


def test_on_remove_of_remove_session_may_use_the_cache_in_libssl_and_never_here(cache, make_table):
    # In a flush or an eviction libssl holds its lock meanwhile: the same call would wait for ever.
    seen = []
    other = cache.new_session(2, sid(2), NOW, HOUR)
    cache.on_remove = lambda session: seen.append(cache.add_session(other))
    cache.set_callbacks(False, False, True)
    cache.remove_session(cached(cache, 1))
    assert seen == [1] and names(cache) == [2]
    cache.set_callbacks(False, False, False)
    cache.free(other)

    table = make_table()
    other = table.new_session(sid(2), SECRET)
    seen.clear()
    table.on_remove = lambda table, h: seen.extend(
        [
            table.add_session(other),
            table.remove_session(h),
            table.get_session(sid(3)),
            table.flush_sessions(0),
        ]
    )
    table.remove_session(stored(table, 1))
    assert seen == [0, 0, 0, 0] and held(table) == []


def test_on_remove_may_free_the_session_that_is_being_added_and_only_libssl_keeps_it(cache, make_table):
    cache.cache_size = 2
    cached(cache, 1)
    new = cache.new_session(2, sid(2), NOW, HOUR)
    cache.on_remove = lambda session: cache.free(new)
    cache.set_callbacks(False, False, True)
    assert cache.add_session(new) == 1 and names(cache) == [2]
    cache.set_callbacks(False, False, False)

    table = make_table(1)
    stored(table, 1)
    new = table.new_session(sid(2), SECRET)
    table.on_remove = lambda table, h: table.free(new)
    assert table.add_session(new) == 0
    assert held(table) == [] and table.session_refs(new) == 0


def test_an_error_in_a_callback_is_no_answer(make_table):
    # C has no exceptions; libssl's callbacks cannot fail.
    def fail(*arguments):
        raise RuntimeError

    table = make_table()
    table.on_get = table.on_new = table.on_remove = fail
    assert table.get_session(sid(1)) == 0
    h = table.new_session(sid(1), SECRET)
    assert table.update_cache(h) == 1 and table.session_refs(h) == 2
    assert table.remove_session(h) == 1


# ---- References, arguments, counters


def test_one_free_too_many_returns_0(make_table):
    # In libssl it frees the cache's own reference, and one more is a use after free: not done here.
    table = make_table()
    h = stored(table, 1)
    assert table.free(h) == 0 and table.session_refs(h) == 1
    table.remove_session(h)
    assert table.free(h) == 0


def test_a_negative_timeout_is_refused_by_both_and_a_huge_one_here_only(cache, make_table):
    session = cache.new_session(1, sid(1), NOW, HOUR)
    assert cache.set_session_timeout(session, -1) == 0
    assert cache.set_session_timeout(session, 1 << 40) == 1
    cache.free(session)
    table = make_table()
    h = table.new_session(sid(1), SECRET)
    assert table.set_session_timeout(h, -1) == 0
    assert table.set_session_timeout(h, 1 << 40) == 0
    assert table.set_session_timeout(h, 2**32 - 2) == 1


def test_an_unknown_mode_is_taken_by_libssl_and_refused_here(cache, make_table):
    cache.mode = 0x1000
    assert cache.mode == 0x1000
    table = make_table()
    with pytest.raises(ValueError):
        table.mode = 0x1000


def test_libssl_counts_every_handshake_and_we_those_that_the_mode_asks_for(cache, make_table):
    cache.mode = 0
    cache.free(cache.handshake(1, sid(1)))
    assert cache.counter("accept_good") == 1
    table = make_table()
    table.mode = 0
    h = table.new_session(sid(1), SECRET)
    assert table.update_cache(h) == 0
    assert table.sess_stored() == 0 and table.session_stats()["accept_good"] == 0
    table.mode = SERVER
    assert table.update_cache(h) == 1
    assert table.sess_stored() == 1 and table.session_stats()["accept_good"] == 1


def test_libssl_knows_a_resumed_handshake_and_our_update_cache_does_not(cache, make_table):
    # It stores nothing then and tells nobody, but counts it; ours is called for full handshakes only.
    new = []
    cache.on_new = lambda session: new.append(cache.name(session)) or 0
    cache.set_callbacks(True, False, False)
    for resume in False, True:
        cache.free(cache.handshake(1, sid(1), resume=resume))
    assert new == [1] and cache.counter("accept_good") == 2 and cache.counter("hits") == 1

    table = make_table()
    table.on_new = lambda table, h: new.append(h) or 0
    h = table.new_session(sid(1), SECRET)
    assert [table.update_cache(h), table.update_cache(h)] == [1, 0]
    assert new == [1, h, h] and table.sess_stored() == 2


def test_a_connection_that_was_not_shut_down_takes_its_session_out_of_libssls_cache(cache, make_table):
    # Here nothing knows connections: the table keeps a session until it is told.
    session = cache.handshake(1, sid(1), shut_down=False)
    assert not cache.is_resumable(session) and names(cache) == []
    cache.free(session)
    table = make_table()
    h = table.new_session(sid(1), SECRET)
    assert table.update_cache(h) == 1 and table.free(h) == 1
    assert held(table) == [1]


# ---- The documentation


def test_the_documentation_names_every_difference():
    text = (ROOT / "docs" / "openssl.md").read_text()
    tests = {name for name in globals() if name.startswith("test_")}
    tests.remove("test_the_documentation_names_every_difference")
    named = set(re.findall(r"`(test_\w+)`", text))
    assert named == tests
