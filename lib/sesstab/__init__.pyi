"""A fixed-size TLS session table with the semantics of OpenSSL's session cache.

A session is an id (1 to 32 bytes), secret state ("data"), a creation time, a timeout and a context. A handle
names a session: an int from 1 to 2**30 - 1; 0 is no session. A handle whose session is gone is stale: every
method takes it and returns 0. Times are whole seconds, 0 to 2**32 - 1; time 0 means that the time is not
known, and then every session counts as expired. On a 32-bit board times below 2**30 allocate nothing.

Once a table is made: a wrong type raises TypeError, a wrong value makes a method return 0. Every method that
returns an int runs under micropython.heap_lock(). A buffer is a bytes, bytearray or memoryview of bytes.
"""

from typing import Any, Callable, Final, Literal, Optional, Union, overload

_Buffer = Union[bytes, bytearray, memoryview]
_Writable = Union[bytearray, memoryview]

__version__: Final[str]
ENGINE: Literal["pure", "native"]

SESS_CACHE_OFF: Final[int]
SESS_CACHE_CLIENT: Final[int]
SESS_CACHE_SERVER: Final[int]
SESS_CACHE_BOTH: Final[int]
SESS_CACHE_NO_AUTO_CLEAR: Final[int]
SESS_CACHE_NO_INTERNAL_LOOKUP: Final[int]
SESS_CACHE_NO_INTERNAL_STORE: Final[int]
SESS_CACHE_NO_INTERNAL: Final[int]
SESS_CACHE_UPDATE_TIME: Final[int]

class TLSStream:
    """What wrap_socket gives: an SSLSocket, as far as a program can tell, and a stream for asyncio."""

    @property
    def session_reused(self) -> Optional[bool]:
        """Whether the handshake was resumed; None when the firmware does not tell (ssl.SSLSession)."""

    def read(self, n: int = -1) -> Optional[bytes]:
        """n bytes, fewer at the end; all until the end without n. None when a socket would block."""

    def readinto(self, buf: _Writable, n: int = -1) -> Optional[int]: ...
    def readline(self) -> Optional[bytes]: ...
    def write(self, buf: _Buffer, /) -> Optional[int]: ...
    def setblocking(self, flag: bool) -> None: ...
    def cipher(self) -> tuple[str, str]: ...
    def close(self) -> None:
        """Saves the session, tells the server, closes the socket. Raises nothing; may be repeated."""

    def __enter__(self) -> TLSStream: ...
    def __exit__(self, *error: object) -> None: ...

def session_reused(stream: Any) -> Optional[bool]:
    """TLSStream.session_reused; takes a reader or writer of open_connection as well."""

class SessionTable:
    def __init__(
        self,
        capacity: int,
        spare: int = 2,
        data_size: int = 50,
        timeout: int = 7200,
        mode: int = SESS_CACHE_SERVER,
        clock: Optional[Callable[[], float]] = None,
    ) -> None:
        """Takes all memory that the table will ever use. A bad value raises ValueError.

        capacity: sessions in the table, from 1. spare: further slots, from 0, for sessions that are
        referenced but not in the table; capacity + spare is at most 65535. data_size: bytes of data a session
        can hold, 1 to 2047; the default is for a TLS 1.2 server's session, and where sesstab is compiled into
        firmware with TLS 1.3 it is 54, for a session of that.
        timeout: of new sessions, 0 to 2**32 - 2 seconds. clock: gives the time in seconds; without one the
        table counts seconds by itself from 1, and must be asked at least every twelve days.
        """

    @staticmethod
    def size_of(capacity: int, spare: int = 2, data_size: int = 50) -> int:
        """Bytes of heap that such a table takes; 0 when out of range."""

    def now(self) -> int:
        """The clock's time in seconds; 0 when it failed."""

    def clear(self) -> None:
        """Overwrites and frees every slot, referenced or not. No callbacks. Statistics and settings stay."""

    def new_session(self, id: _Buffer, data: _Buffer, timeout: Optional[int] = None, context: int = 0) -> int:
        """A new session's handle, with one reference for the caller; it is not in the table.

        id: 1 to 32 bytes. data: up to data_size bytes. timeout: 0 to 2**32 - 2 seconds, None for the table's.
        context: 0 to 255. 0 when something does not fit or no slot is free. SSL_SESSION_new(3).
        """

    def up_ref(self, h: int, /) -> int:
        """Takes another reference, of at most 255: 1, else 0. SSL_SESSION_up_ref(3)."""

    def free(self, h: int, /) -> int:
        """Gives a reference back; the last one overwrites a session that is not in the table. 1, or 0 when no
        caller holds one. SSL_SESSION_free(3)."""

    def add_session(self, h: int, /) -> int:
        """Puts a session into the table as the most recently used, in place of another with the same id.

        A full table removes all expired sessions, or the least recently used one if none is. 1; 0 when this
        very session is in the table. SSL_CTX_add_session(3).
        """

    def remove_session(self, h: int, /) -> int:
        """Removes the session that has the id of `h`: 1, or 0 when there is none.
        SSL_CTX_remove_session(3)."""

    def get_session(self, id: _Buffer, context: int = 0) -> int:
        """Looks for a session to resume, in the table and then with on_get: its handle, with a reference for
        the caller, or 0 when it is not found, is of another context, or is expired (then it is removed)."""

    def has_session(self, id: _Buffer, /) -> int:
        """1 when the table has a session with this id, of any context, expired or not; else 0. Counts
        nothing. SSL_has_matching_session_id(3)."""

    def flush_sessions(self, now: Optional[int] = None) -> int:
        """Removes the sessions that are expired at `now` (seconds; None: the clock's time; 0: all) and
        returns how many. SSL_CTX_flush_sessions(3)."""

    def update_cache(self, h: int, side: int = SESS_CACHE_SERVER) -> int:
        """What a TLS library calls after a full handshake: adds the session, calls on_new, and after every
        255th call removes expired sessions, as the mode says. side: SESS_CACHE_SERVER or SESS_CACHE_CLIENT. 1
        when it added the session, else 0. SSL_CTX_set_session_cache_mode(3)."""

    def session_id(self, h: int, buf: _Writable, /) -> int:
        """Copies the id into buf. Bytes written; 0 when buf is too small: then it is left alone.
        SSL_SESSION_get_id(3)."""

    def session_data(self, h: int, buf: _Writable, /) -> int:
        """Copies the data into buf. Bytes written; 0 when buf is too small: then it is left alone."""

    def session_time(self, h: int, /) -> int:
        """When the session was made, in seconds. SSL_SESSION_get_time(3)."""

    def session_timeout(self, h: int, /) -> int:
        """Seconds for which the session is good. SSL_SESSION_get_timeout(3)."""

    def session_context(self, h: int, /) -> int:
        """0 to 255. SSL_SESSION_get0_id_context(3)."""

    def set_session_time(self, h: int, t: int, /) -> int:
        """0 to 2**32 - 1 seconds: 1, else 0. SSL_SESSION_set_time(3)."""

    def set_session_timeout(self, h: int, t: int, /) -> int:
        """0 to 2**32 - 2 seconds: 1, else 0. SSL_SESSION_set_timeout(3)."""

    def session_refs(self, h: int, /) -> int:
        """How many references there are, the table's own included. For tests."""

    def sess_number(self) -> int:
        """Sessions in the table now. SSL_CTX_sess_number(3), as for the counters below, which wrap at
        2**30."""

    def sess_hits(self) -> int:
        """get_session gave a session."""

    def sess_misses(self) -> int:
        """get_session did not find the id in the table."""

    def sess_timeouts(self) -> int:
        """get_session found an expired session."""

    def sess_cache_full(self) -> int:
        """Sessions removed to make room."""

    def sess_cb_hits(self) -> int:
        """on_get gave a session."""

    def sess_stored(self) -> int:
        """Handshakes that update_cache was told of."""

    def session_stats(self) -> dict[str, int]:
        """The counters under the keys of CPython's ssl.SSLContext.session_stats(). Allocates."""

    def next_session(self, h: int = 0) -> int:
        """The session after `h` in the order of use, most recent first; h = 0 starts; 0 ends. For
        monitors."""

    # ---- Snapshots: docs/format.md. To files: sesstab.snapshot.save and restore ----

    @overload
    def dump(self, buf: None = None, max_bytes: Optional[int] = None) -> bytes:
        """A snapshot of the sessions that are not expired, or of the most recently used that fit into
        max_bytes; b"" when not even an empty one (12 bytes) does. It holds secrets in the clear."""

    @overload
    def dump(self, buf: _Writable, max_bytes: Optional[int] = None) -> int:
        """The same, written into buf: how many bytes; 0 when it is too small."""

    def dump_size(self) -> int:
        """Bytes that are enough for a snapshot of all sessions, until the table changes."""

    def load(self, buf: _Buffer, elapsed: int = 0) -> int:
        """Puts the sessions of a snapshot into the table as the most recently used, older by `elapsed`
        seconds: how many. Left out is what is expired by then, what the table has a session of the same id
        for, and the least recently used when not all fit. ValueError when the snapshot is damaged or does not
        fit the table's data_size; then nothing is loaded."""

    def attach(self, ctx: Any, /) -> int:
        """Lets the server side of a TLS context resume sessions from this table: the number, from 1, under
        which it keeps that context's sessions. Native engine only."""

    def detach(self, ctx: Any, /) -> int:
        """Undoes attach, and forgets that context's sessions: 1, or 0 when it was not attached here."""

    def wrap_socket(
        self, ctx: Any, sock: Any, server_hostname: str, port: int = 443, context: int = 0
    ) -> TLSStream:
        """Connects `sock`, a connected socket, to a TLS server: with the session that the table has for this
        name and port, if it has one. Raises what ctx.wrap_socket() raises.

        ctx: a tls.SSLContext or ssl.SSLContext, PROTOCOL_TLS_CLIENT. context: 0 to 255, a number for each
        SSLContext that trusts other certificates: a session is offered under the number it was made under.
        ValueError: the table's mode lacks SESS_CACHE_CLIENT, its data_size is too small, or it has no spare
        slot. NotImplementedError: the firmware gives no access to a client's session.
        """

    async def open_connection(
        self,
        ctx: Any,
        host: str,
        port: int = 443,
        server_hostname: Optional[str] = None,
        context: int = 0,
    ) -> tuple[Any, Any]:
        """The same for asyncio, TCP connection included: (reader, writer), once the handshake is over.
        server_hostname: None for host."""

    # ---- Settings: a wrong type raises TypeError, a wrong value ValueError ----

    @property
    def mode(self) -> int:
        """SESS_CACHE_* flags. SSL_CTX_set_session_cache_mode(3)."""

    @mode.setter
    def mode(self, mode: int) -> None: ...
    @property
    def timeout(self) -> int:
        """Of sessions made from now on, 0 to 2**32 - 2 seconds. SSL_CTX_set_timeout(3)."""

    @timeout.setter
    def timeout(self, timeout: int) -> None: ...
    @property
    def cache_size(self) -> int:
        """How many sessions the table may hold, 1 to capacity; setting 0 or more than the capacity sets the
        capacity. A smaller value takes effect at the next add_session. SSL_CTX_sess_set_cache_size(3)."""

    @cache_size.setter
    def cache_size(self, size: int) -> None: ...

    # Callbacks, each may be None: SSL_CTX_sess_set_new_cb(3). An exception in one is caught, and is no
    # answer.

    @property
    def on_new(self) -> Optional[Callable[[SessionTable, int], object]]:
        """on_new(table, h): update_cache was told of a session. The handle comes with a reference; a true
        result keeps it."""

    @on_new.setter
    def on_new(self, callback: Optional[Callable[[SessionTable, int], object]]) -> None: ...
    @property
    def on_get(self) -> Optional[Callable[[SessionTable, _Buffer], Optional[int]]]:
        """on_get(table, id): get_session did not find the id. Gives a session that has it, and a reference to
        it away; else 0 or None. `id` is good during the call only."""

    @on_get.setter
    def on_get(self, callback: Optional[Callable[[SessionTable, _Buffer], Optional[int]]]) -> None: ...
    @property
    def on_remove(self) -> Optional[Callable[[SessionTable, int], object]]:
        """on_remove(table, h): a session was removed, by anything but another one with the same id. Meanwhile
        add_session, remove_session, get_session, flush_sessions and update_cache return 0."""

    @on_remove.setter
    def on_remove(self, callback: Optional[Callable[[SessionTable, int], object]]) -> None: ...
    @property
    def capacity(self) -> int: ...
    @property
    def spare(self) -> int: ...
    @property
    def data_size(self) -> int: ...
