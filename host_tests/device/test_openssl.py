import sesstab.openssl as o
from sesstab import SessionTable
from support import Clock, make


def test_a_context_takes_what_a_table_takes():
    ctx = o.SSL_CTX_new(4, 3, 20, 100, o.SSL_SESS_CACHE_BOTH, Clock(7))
    assert (ctx.capacity, ctx.spare, ctx.data_size, ctx.timeout, ctx.mode, ctx.now()) == (4, 3, 20, 100, 3, 7)
    assert o.SSL_CTX_new(4).data_size == SessionTable(4).data_size


def test_sessions_under_openssls_names():
    ctx = o.SSL_CTX_new(4, clock=Clock())
    s = o.SSL_SESSION_new(ctx, b"id", b"state", 50, 3)
    assert ctx.session_context(s) == 3
    assert o.SSL_SESSION_up_ref(ctx, s) == 1
    assert o.SSL_SESSION_free(ctx, s) == 1
    assert o.SSL_SESSION_get_time(ctx, s) == 1000
    assert o.SSL_SESSION_set_time(ctx, s, 990) == 1
    assert o.SSL_SESSION_get_time(ctx, s) == 990
    assert o.SSL_SESSION_get_timeout(ctx, s) == 50
    assert o.SSL_SESSION_set_timeout(ctx, s, 60) == 1
    assert o.SSL_SESSION_get_timeout(ctx, s) == 60
    buf = bytearray(32)
    assert o.SSL_SESSION_get_id(ctx, s, buf) == 2
    assert buf[:2] == b"id"
    assert o.SSL_SESSION_free(ctx, s) == 1
    assert o.SSL_SESSION_free(ctx, s) == 0
    assert ctx.session_context(o.SSL_SESSION_new(ctx, b"id", b"state")) == 0


def test_the_table_under_openssls_names():
    ctx, _ = make()
    s = o.SSL_SESSION_new(ctx, b"id", b"state")
    assert o.SSL_CTX_add_session(ctx, s) == 1
    assert o.SSL_add_session(ctx, s) == 0
    assert o.SSL_has_matching_session_id(ctx, b"id") == 1
    assert o.SSL_has_matching_session_id(ctx, b"other") == 0
    assert o.SSL_CTX_remove_session(ctx, s) == 1
    assert o.SSL_remove_session(ctx, s) == 0
    assert o.SSL_add_session(ctx, s) == 1
    assert o.SSL_CTX_flush_sessions(ctx, 1000) == 0
    assert o.SSL_CTX_flush_sessions(ctx, 0) == 1
    assert o.SSL_CTX_sess_number(ctx) == 0


def test_setting_a_number_returns_the_old_one():
    ctx, _ = make(capacity=4, timeout=100)
    assert o.SSL_CTX_set_timeout(ctx, 5) == 100
    assert o.SSL_CTX_get_timeout(ctx) == 5
    assert o.SSL_CTX_set_session_cache_mode(ctx, o.SSL_SESS_CACHE_BOTH) == o.SSL_SESS_CACHE_SERVER
    assert o.SSL_CTX_get_session_cache_mode(ctx) == 3
    assert o.SSL_CTX_sess_set_cache_size(ctx, 2) == 4
    assert o.SSL_CTX_sess_get_cache_size(ctx) == 2


def test_callbacks_under_openssls_names():
    ctx, _ = make()
    told = []

    def new(ctx, session):
        told.append(("new", session))

    def get(ctx, id):
        told.append(("get", id))

    def remove(ctx, session):
        told.append(("remove", session))

    o.SSL_CTX_sess_set_new_cb(ctx, new)
    o.SSL_CTX_sess_set_get_cb(ctx, get)
    o.SSL_CTX_sess_set_remove_cb(ctx, remove)
    assert o.SSL_CTX_sess_get_new_cb(ctx) is new
    assert o.SSL_CTX_sess_get_get_cb(ctx) is get
    assert o.SSL_CTX_sess_get_remove_cb(ctx) is remove
    s = o.SSL_SESSION_new(ctx, b"id", b"")
    ctx.update_cache(s)
    ctx.get_session(b"other")
    o.SSL_CTX_remove_session(ctx, s)
    assert told == [("new", s), ("get", b"other"), ("remove", s)]


def test_statistics_under_openssls_names():
    ctx, clock = make(capacity=1)
    for id in (b"a", b"b"):
        s = o.SSL_SESSION_new(ctx, id, b"")
        ctx.update_cache(s)
        o.SSL_SESSION_free(ctx, s)
    ctx.free(ctx.get_session(b"b"))
    ctx.get_session(b"a")
    clock.time += 1000
    ctx.get_session(b"b")
    assert o.SSL_CTX_sess_number(ctx) == 0
    assert o.SSL_CTX_sess_hits(ctx) == 1
    assert o.SSL_CTX_sess_misses(ctx) == 1
    assert o.SSL_CTX_sess_timeouts(ctx) == 1
    assert o.SSL_CTX_sess_cache_full(ctx) == 1
    assert o.SSL_CTX_sess_cb_hits(ctx) == 0
    assert o.SSL_CTX_sess_accept(ctx) == o.SSL_CTX_sess_accept_good(ctx) == 3
    assert o.SSL_CTX_sess_connect(ctx) == o.SSL_CTX_sess_connect_good(ctx) == 0
    ctx.mode = o.SSL_SESS_CACHE_CLIENT
    assert o.SSL_CTX_sess_accept(ctx) == 0
    assert o.SSL_CTX_sess_connect(ctx) == 3
