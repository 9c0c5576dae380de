# TLS clients that resume: SessionTable.wrap_socket() and open_connection() end up here.
#
# A session's id in the table is the SHA-256 of "host:port", so that a session is offered to the server that
# gave it and to no other. How sessions get into a connection and out of it depends on the firmware. Classes
# with the same methods know: _sesstab.Client where sesstab is compiled into the firmware, _Upstream below
# where the firmware has ssl.SSLSession.

import hashlib
import io
import select
import time

from .modes import SESS_CACHE_CLIENT

_POLL = 3  # requests of ioctl()
_CLOSE = 4
_EINVAL = 22
_DATA_MIN = 144  # bytes: what a client has to remember, and a short ticket

_NO_PRIMITIVES = (
    "this firmware gives no access to a client's TLS session: use one with sesstab in it (docs/building.md), "
    "or one that has ssl.SSLSession"
)


class TLSStream(io.IOBase):
    """A connection to a TLS server, like what SSLContext.wrap_socket() returns."""

    def __init__(self, tls, session, forget):
        self._tls = tls
        self._session = session  # None when closed
        self._forget = forget  # None when the handshake is over
        self._reused = None
        self._poller = None

    @property
    def session_reused(self):
        if self._session:
            self._reused = self._session.resumed()
        return None if self._reused is None else bool(self._reused)

    def handshake(self):
        """Goes on with the handshake. True when it is over, False when it has to wait for the server."""
        over = self._try(self._session.handshake)
        if over:
            self._save()
        return bool(over)

    # A session ticket of TLS 1.3 that arrives ends two reads early, with what came before it: maybe nothing
    # (None). save() tells of both: there may be more to read.

    def read(self, n=-1):
        if n is None:
            n = -1
        data = self._try(self._tls.read, n)
        while self._was_ticket() and (n < 0 or data is None or len(data) < n):
            data = _join(data, self._try(self._tls.read, n if n < 0 else n - len(data or b"")))
        return data

    def readinto(self, buf, n=-1):
        view = memoryview(buf)
        if n >= 0:
            view = view[:n]
        n = self._try(self._tls.readinto, view)
        while self._was_ticket() and (n or 0) < len(view):
            more = self._try(self._tls.readinto, view[n or 0 :])
            n = more if n is None else n + (more or 0)
        return n

    def readline(self):
        line = self._try(self._tls.readline)
        while self._was_ticket() and not (line and line.endswith(b"\n")):
            line = _join(line, self._try(self._tls.readline))
        return line

    def write(self, *args):
        return self._try(self._tls.write, *args)

    def setblocking(self, flag):
        self._tls.setblocking(flag)

    def ioctl(self, request, arg):
        if request == _POLL:
            return self._poll(arg)
        if request == _CLOSE:
            self.close()
            return 0
        return -_EINVAL

    def close(self):
        """Saves what came last, tells the server, closes the socket. Does not raise; may be repeated."""
        session, self._session = self._session, None
        if session:
            try:
                self._reused = session.resumed()
                session.save()
                session.close_notify()
            except Exception:  # of a stream below that is written in Python
                pass
            finally:
                session.done()
                self._close_tls()

    def __getattr__(self, name):
        return getattr(self._tls, name)  # cipher() and what else it has

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def _close_tls(self):
        try:
            self._tls.close()
        except Exception:
            pass

    def _try(self, function, *args):
        try:
            return function(*args)
        except OSError as error:
            # A server that refuses an attempt to resume gets a full handshake the next time. What the network
            # did has a positive number, and says nothing about the session.
            if self._forget and (error.errno or 0) < 0:
                self._forget()
            raise

    def _save(self):
        saved = self._session.save()
        if saved is not None:
            self._forget = None
        return saved

    def _was_ticket(self):
        return self._session and self._save()

    def _poll(self, flags):
        # The TLS socket knows what it has decrypted already, and only a poller can ask it.
        if not self._poller:
            self._poller = select.poll()
        self._poller.register(self._tls, flags)
        for _, ready in self._poller.ipoll(0):
            return ready
        return 0


def wrap_socket(table, ctx, sock, server_hostname, port=443, context=0):
    stream = _new_stream(table, ctx, sock, server_hostname, port, context, True)
    try:
        while not stream.handshake():
            time.sleep_ms(1)  # a socket that does not block
    except BaseException:
        stream.close()
        raise
    return stream


async def open_connection(table, ctx, host, port=443, server_hostname=None, context=0):
    import asyncio

    tcp = (await asyncio.open_connection(host, port))[0].s
    try:
        stream = _new_stream(table, ctx, tcp, server_hostname or host, port, context, False)
        try:
            while not stream.handshake():
                await asyncio.sleep_ms(5)
        except BaseException:
            stream.close()
            raise
    except BaseException:
        tcp.close()  # the TLS socket has let go of it when the handshake failed
        raise
    both = asyncio.StreamReader(stream)
    return both, both


def _new_stream(table, ctx, sock, host, port, context, blocking):
    _check_table(table)
    if not host:
        raise ValueError("server_hostname is needed: a session is offered to the server of that name only")
    if not 0 <= context <= 255:
        raise ValueError("context: %d is not 0 to 255" % context)
    id = hashlib.sha256(("%s:%d" % (host, port)).encode()).digest()

    def forget():
        _remove(table, id)

    client = _client_class(table)
    if client:
        tls = ctx.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
        try:
            session = client(table, tls, id, context)
        except BaseException:
            tls.close()
            raise
    elif _session_class():
        session = _Upstream(table, ctx, id, context)
        tls = session.connect(sock, host, blocking)
    else:
        raise NotImplementedError(_NO_PRIMITIVES)
    return TLSStream(tls, session, forget)


def _check_table(table):
    if not table.mode & SESS_CACHE_CLIENT:
        raise ValueError("the table is not for clients: its mode needs SESS_CACHE_CLIENT")
    if table.data_size < _DATA_MIN or not table.spare:
        raise ValueError(
            "a client's table needs data_size=600 or so, to hold the server's ticket, and spare slots"
        )


def _remove(table, id):
    if table.has_session(id):
        h = table.new_session(id, b"")
        table.remove_session(h)
        table.free(h)


def _join(data, more):
    return data if more is None else more if data is None else data + more


def _client_class(table):
    # The C class takes tables of its own module only, not those of the Python engine.
    try:
        import _sesstab
    except (ImportError, ValueError):  # or one for another firmware
        return None
    return getattr(_sesstab, "Client", None) if isinstance(table, _sesstab.SessionTable) else None


def _session_class():
    # CPython has a class of that name, which cannot be made from bytes.
    import ssl

    found = getattr(ssl, "SSLSession", None)
    return found if hasattr(found, "serialize") else None


class _Upstream:
    """A connection's session through ssl.SSLSession. TLS 1.2: it is complete with the handshake.

    In the table it is a byte that tells how the server was verified, and what SSLSession.serialize() gave.
    """

    def __init__(self, table, ctx, id, context):
        self._table = table
        self._verified = ctx.verify_mode
        self._ctx = ctx
        self._id = id
        self._context = context
        self._offered = None  # the data in the table
        self._tls = None
        self._saved = False

    def connect(self, sock, host, blocking):
        session = self._stored()
        try:
            # A socket that does not block handshakes when it is read or written.
            self._tls = self._ctx.wrap_socket(
                sock, server_hostname=host, session=session, do_handshake_on_connect=blocking
            )
        except OSError as error:
            if (error.errno or 0) < 0:
                _remove(self._table, self._id)
            raise
        return self._tls

    def handshake(self):
        return True

    def resumed(self):
        return None  # the firmware does not tell

    def save(self):
        if self._saved:
            return 0
        try:
            data = bytes([self._verified]) + self._tls.session.serialize()
        except OSError:  # the handshake is not over
            return None
        self._saved = True
        if data != self._offered:  # else it resumed, and the session is no younger for it
            h = self._table.new_session(self._id, data, None, self._context)
            self._table.update_cache(h, SESS_CACHE_CLIENT)
            self._table.free(h)
        return 0  # it comes with the handshake, and ends no read

    def close_notify(self):
        pass  # there is no way to send one

    def done(self):
        pass

    def _stored(self):
        table = self._table
        h = table.get_session(self._id, self._context)
        if not h:
            return None
        data = bytearray(table.data_size)
        size = table.session_data(h, data)
        table.free(h)
        if not size or data[0] < self._verified:
            return None
        offered = bytes(data[:size])
        try:
            session = _session_class()(offered[1:])
        except (OSError, ValueError):  # made by another firmware
            _remove(table, self._id)
            return None
        self._offered = offered
        return session
