# sesstab: a fixed-size TLS session table with the semantics of OpenSSL's session cache.
#
# Two engines with one class and one behaviour: the native module _sesstab where there is one, else Python.

# ruff: noqa: F401
from .modes import (
    SESS_CACHE_BOTH,
    SESS_CACHE_CLIENT,
    SESS_CACHE_NO_AUTO_CLEAR,
    SESS_CACHE_NO_INTERNAL,
    SESS_CACHE_NO_INTERNAL_LOOKUP,
    SESS_CACHE_NO_INTERNAL_STORE,
    SESS_CACHE_OFF,
    SESS_CACHE_SERVER,
    SESS_CACHE_UPDATE_TIME,
)

try:
    from _sesstab import SessionTable

    ENGINE = "native"
except (ImportError, ValueError):  # ValueError: there is one, and it is for another firmware
    from .pure import SessionTable

    ENGINE = "pure"

__version__ = "0.1.0"


def session_reused(stream):
    """Whether a connection of wrap_socket() or open_connection() was resumed; None when that is not known."""
    return getattr(stream, "s", stream).session_reused
