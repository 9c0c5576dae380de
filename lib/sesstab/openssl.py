# The table under OpenSSL's names, for those who port code or know the manual.
#
# OpenSSL's SSL_CTX is a SessionTable here, and its SSL_SESSION a handle. A handle means something within its
# table only, so every function takes the table first, also those that take just a session in OpenSSL.
# SSL_add_session and SSL_remove_session are synonyms of the functions with CTX in their names.

# ruff: noqa: F401
import sesstab

from .modes import SESS_CACHE_BOTH as SSL_SESS_CACHE_BOTH
from .modes import SESS_CACHE_CLIENT as SSL_SESS_CACHE_CLIENT
from .modes import SESS_CACHE_NO_AUTO_CLEAR as SSL_SESS_CACHE_NO_AUTO_CLEAR
from .modes import SESS_CACHE_NO_INTERNAL as SSL_SESS_CACHE_NO_INTERNAL
from .modes import SESS_CACHE_NO_INTERNAL_LOOKUP as SSL_SESS_CACHE_NO_INTERNAL_LOOKUP
from .modes import SESS_CACHE_NO_INTERNAL_STORE as SSL_SESS_CACHE_NO_INTERNAL_STORE
from .modes import SESS_CACHE_OFF as SSL_SESS_CACHE_OFF
from .modes import SESS_CACHE_SERVER as SSL_SESS_CACHE_SERVER
from .modes import SESS_CACHE_UPDATE_TIME as SSL_SESS_CACHE_UPDATE_TIME


def SSL_CTX_new(*args, **kwargs):
    return sesstab.SessionTable(*args, **kwargs)


# ---- Sessions: SSL_SESSION_new(3), SSL_SESSION_free(3), SSL_SESSION_get_time(3) ----


def SSL_SESSION_new(ctx, id, data, timeout=None, context=0):
    return ctx.new_session(id, data, timeout, context)


def SSL_SESSION_up_ref(ctx, session):
    return ctx.up_ref(session)


def SSL_SESSION_free(ctx, session):
    return ctx.free(session)


def SSL_SESSION_get_id(ctx, session, buf):
    return ctx.session_id(session, buf)


def SSL_SESSION_get_time(ctx, session):
    return ctx.session_time(session)


def SSL_SESSION_set_time(ctx, session, time):
    return ctx.set_session_time(session, time)


def SSL_SESSION_get_timeout(ctx, session):
    return ctx.session_timeout(session)


def SSL_SESSION_set_timeout(ctx, session, timeout):
    return ctx.set_session_timeout(session, timeout)


# ---- The table: SSL_CTX_add_session(3), SSL_CTX_flush_sessions(3), SSL_has_matching_session_id(3) ----


def SSL_CTX_add_session(ctx, session):
    return ctx.add_session(session)


def SSL_CTX_remove_session(ctx, session):
    return ctx.remove_session(session)


SSL_add_session = SSL_CTX_add_session
SSL_remove_session = SSL_CTX_remove_session


def SSL_CTX_flush_sessions(ctx, time):
    return ctx.flush_sessions(time)


def SSL_has_matching_session_id(ctx, id):
    return ctx.has_session(id)


# ---- Settings: SSL_CTX_set_session_cache_mode(3), SSL_CTX_set_timeout(3), SSL_CTX_sess_set_cache_size(3),
# SSL_CTX_sess_set_new_cb(3). What sets a number returns the old one ----


def SSL_CTX_set_session_cache_mode(ctx, mode):
    old = ctx.mode
    ctx.mode = mode
    return old


def SSL_CTX_get_session_cache_mode(ctx):
    return ctx.mode


def SSL_CTX_set_timeout(ctx, timeout):
    old = ctx.timeout
    ctx.timeout = timeout
    return old


def SSL_CTX_get_timeout(ctx):
    return ctx.timeout


def SSL_CTX_sess_set_cache_size(ctx, size):
    old = ctx.cache_size
    ctx.cache_size = size
    return old


def SSL_CTX_sess_get_cache_size(ctx):
    return ctx.cache_size


def SSL_CTX_sess_set_new_cb(ctx, callback):
    ctx.on_new = callback


def SSL_CTX_sess_get_new_cb(ctx):
    return ctx.on_new


def SSL_CTX_sess_set_get_cb(ctx, callback):
    ctx.on_get = callback


def SSL_CTX_sess_get_get_cb(ctx):
    return ctx.on_get


def SSL_CTX_sess_set_remove_cb(ctx, callback):
    ctx.on_remove = callback


def SSL_CTX_sess_get_remove_cb(ctx):
    return ctx.on_remove


# ---- Statistics: SSL_CTX_sess_number(3) ----


def SSL_CTX_sess_number(ctx):
    return ctx.sess_number()


def SSL_CTX_sess_hits(ctx):
    return ctx.sess_hits()


def SSL_CTX_sess_misses(ctx):
    return ctx.sess_misses()


def SSL_CTX_sess_timeouts(ctx):
    return ctx.sess_timeouts()


def SSL_CTX_sess_cache_full(ctx):
    return ctx.sess_cache_full()


def SSL_CTX_sess_cb_hits(ctx):
    return ctx.sess_cb_hits()


# Handshakes, resumed ones included, count as connections when the mode is that of a client only.


def SSL_CTX_sess_accept(ctx):
    return ctx.sess_stored() + ctx.sess_hits() if ctx.mode & SSL_SESS_CACHE_SERVER else 0


def SSL_CTX_sess_connect(ctx):
    is_client = ctx.mode & SSL_SESS_CACHE_BOTH == SSL_SESS_CACHE_CLIENT
    return ctx.sess_stored() + ctx.sess_hits() if is_client else 0


SSL_CTX_sess_accept_good = SSL_CTX_sess_accept
SSL_CTX_sess_connect_good = SSL_CTX_sess_connect
