# TLS clients without TLS: what TLSStream does around a connection, and the way through upstream's
# ssl.SSLSession (MicroPython's pull request 12780), which no firmware here has. The stand-ins behave as that
# request's tests and code do: a socket's session can be had once, after the handshake; a context takes
# session=; bytes make a session.

import sys

import sesstab
import sesstab.pure
from sesstab import client
from support import Clock, counters, put, raises

CERT_NONE, CERT_OPTIONAL, CERT_REQUIRED = 0, 1, 2


class SSLSession:
    def __init__(self, data):
        if bytes(data[:4]) != b"TLS:":
            raise ValueError("invalid session")
        self.data = bytes(data)

    def serialize(self):
        return self.data


class Server:
    """All servers of the world: a session that it gave is good at the host that gave it."""

    def __init__(self):
        self.given = {}
        self.log = []  # (host, offered, resumed)
        self.error = None

    def handshake(self, host, session):
        data = session.serialize() if session else None
        resumed = data is not None and self.given.get(data) == host
        self.log.append((host, data is not None, resumed))
        if self.error:
            raise self.error
        if not resumed:
            data = b"TLS:%d" % len(self.log)
            self.given[data] = host
        return SSLSession(data)


class SSLSocket:
    def __init__(self, server, host, session):
        self._work = (server, host, session)
        self._session = None
        self._connected = False
        self.waits = 0  # reads and writes that would block
        self.calls = 0
        self.error = None
        self.closed = 0

    def handshake(self):
        self._session = self._work[0].handshake(self._work[1], self._work[2])
        self._connected = True

    @property
    def session(self):
        session, self._session = self._session, None
        if session is None:
            raise OSError(-0x7100, "MBEDTLS_ERR_SSL_BAD_INPUT_DATA")
        return session

    def _do(self, result):
        self.calls += 1
        if self.waits:
            self.waits -= 1
            return None
        if not self._connected:
            self.handshake()
        if self.error:
            raise self.error
        return result

    def read(self, n=-1):
        return self._do(b"answer")

    def readline(self):
        return self._do(b"answer")

    def readinto(self, buf):
        buf[:6] = b"answer"
        return self._do(6)

    def write(self, buf):
        return self._do(len(buf))

    def close(self):
        self.closed += 1


class SSLContext:
    def __init__(self, server, verify_mode=CERT_REQUIRED):
        self.server = server
        self.verify_mode = verify_mode
        self.socket = None

    def wrap_socket(self, sock, server_hostname=None, do_handshake_on_connect=True, session=None):
        self.socket = SSLSocket(self.server, server_hostname, session)
        if do_handshake_on_connect:
            self.socket.handshake()
        return self.socket


the_firmwares_client_class = client._client_class
the_firmwares_session_class = client._session_class
client._client_class = lambda table: None
client._session_class = lambda: SSLSession


def slots_left(table):
    """How many sessions can be made yet."""
    n = 0
    while table.new_session(b"one more", b""):
        n += 1
    return n


def make(capacity=4, timeout=100):
    clock = Clock()
    table = sesstab.SessionTable(capacity, 2, 400, timeout, sesstab.SESS_CACHE_CLIENT, clock)
    return table, SSLContext(Server()), clock


def connect(table, context, host="a.example", port=443, number=0):
    """One connection, closed again. Whether a session was offered, and whether it was resumed."""
    stream = table.wrap_socket(context, "socket", server_hostname=host, port=port, context=number)
    assert stream.read(6) == b"answer"
    stream.close()
    assert context.socket.closed == 1
    assert table.session_refs(table.next_session()) == 1
    return context.server.log[-1][1:]


# ---- Through ssl.SSLSession ----


def test_second_connection_resumes():
    table, context, _ = make()
    assert connect(table, context) == (False, False)
    assert connect(table, context) == (True, True)
    assert connect(table, context) == (True, True)
    assert table.sess_number() == 1
    assert table.sess_hits() == 2
    assert table.sess_stored() == 1


def test_session_that_the_server_declines_is_replaced():
    table, context, _ = make()
    connect(table, context)
    context.server.given.clear()
    assert connect(table, context) == (True, False)
    assert connect(table, context) == (True, True)
    assert table.sess_number() == 1


def test_no_session_is_offered_to_another_name_port_or_context():
    table, context, _ = make()
    connect(table, context)
    assert connect(table, context, host="b.example") == (False, False)
    assert connect(table, context, port=8443) == (False, False)
    assert table.sess_number() == 3
    assert connect(table, context, number=1) == (False, False)
    assert connect(table, context, number=1) == (True, True)


def test_unverified_session_is_not_offered_when_the_context_verifies():
    table, context, _ = make()
    for mode in (CERT_NONE, CERT_OPTIONAL):
        context.verify_mode = mode
        connect(table, context)
        assert connect(table, context) == (True, True)
    context.verify_mode = CERT_REQUIRED
    assert connect(table, context) == (False, False)
    context.verify_mode = CERT_NONE
    assert connect(table, context) == (True, True)


def test_resumed_session_gets_no_younger():
    table, context, clock = make(timeout=100)
    connect(table, context)
    clock.time += 60
    assert connect(table, context) == (True, True)
    clock.time += 60
    assert connect(table, context) == (False, False)
    assert table.sess_timeouts() == 1


def test_least_recently_used_servers_are_forgotten():
    table, context, _ = make(capacity=2)
    for host in ("a", "b", "a", "c"):
        connect(table, context, host)
    assert table.sess_number() == 2
    assert connect(table, context, "a") == (True, True)
    assert connect(table, context, "b") == (False, False)


def test_session_that_this_firmware_does_not_know_is_forgotten():
    table, context, _ = make()
    connect(table, context)
    id = bytearray(32)
    assert table.session_id(table.next_session(), id) == 32
    h = table.new_session(id, b"\x02of another version")
    table.add_session(h)
    table.free(h)
    assert connect(table, context) == (False, False)
    assert connect(table, context) == (True, True)
    h = table.new_session(id, b"\x02of another version")
    table.add_session(h)
    table.free(h)
    context.server.error = OSError(104, "")
    assert raises(OSError, table.wrap_socket, context, "socket", "a.example")
    assert table.sess_number() == 0
    assert slots_left(table) == 6


def test_session_of_a_socket_that_handshakes_later_is_saved_when_it_has():
    table, context, _ = make()
    stream = client._new_stream(table, context, "socket", "a.example", 443, 0, False)
    stream.close()
    assert table.sess_number() == 0
    stream = client._new_stream(table, context, "socket", "a.example", 443, 0, False)
    assert stream.handshake()
    assert table.sess_number() == 0
    stream.read(6)
    assert table.sess_number() == 1
    stream.close()
    assert connect(table, context) == (True, True)


def test_reads_are_no_longer_than_the_servers_answers():
    table, context, _ = make()
    stream = table.wrap_socket(context, "socket", "a.example")
    assert [stream.read(10) for n in range(3)] == [b"answer"] * 3
    assert context.socket.calls == 3
    stream.close()
    assert table.sess_stored() == 1


def test_upstream_does_not_tell_whether_it_resumed():
    table, context, _ = make()
    stream = table.wrap_socket(context, "socket", "a.example")
    assert sesstab.session_reused(stream) is None
    stream.close()
    assert sesstab.session_reused(stream) is None


def test_failed_handshake_forgets_what_was_refused_but_not_for_a_bad_network():
    table, context, _ = make()
    connect(table, context)
    for error, left in ((OSError(104, ""), 1), (OSError(), 1), (OSError(-0x7780, ""), 0)):
        context.server.error = error
        assert raises(OSError, table.wrap_socket, context, "socket", "a.example")
        assert table.sess_number() == left
    context.server.error = None
    assert connect(table, context) == (False, False)


# Upstream's socket, where it does not block, shakes hands when it is read or written.
LATER = (
    lambda stream: stream.read(6),
    lambda stream: stream.read(),
    lambda stream: stream.readline(),
    lambda stream: stream.readinto(bytearray(6)),
    lambda stream: stream.write(b"hello\n"),
)


def connect_later(table, context):
    return client._new_stream(table, context, "socket", "a.example", 443, 0, False)


def test_socket_that_handshakes_later_waits_for_nobody():
    for use in LATER:
        table, context, _ = make()
        stream = connect_later(table, context)
        assert stream.handshake()
        context.socket.waits = 3
        for n in (1, 2, 3):
            assert use(stream) is None
            assert context.socket.calls == n
        assert table.sess_number() == 0
        assert use(stream) in (b"answer", 6)
        stream.close()
        assert table.sess_number() == 1


def test_refusal_of_a_handshake_that_comes_later_is_forgotten():
    for use in LATER:
        for errno, left in ((104, 1), (None, 1), (-0x7780, 0)):
            table, context, _ = make()
            connect(table, context)
            context.server.error = OSError(errno, "") if errno else OSError()
            stream = connect_later(table, context)
            assert stream.handshake()
            assert raises(OSError, use, stream)
            assert table.sess_number() == left
            stream.close()
            context.server.error = None
            assert connect(table, context) == (bool(left), bool(left))


def test_session_of_a_connection_that_breaks_after_its_handshake_stays():
    for blocking in (True, False):
        for use in LATER:
            table, context, _ = make()
            stream = client._new_stream(table, context, "socket", "a.example", 443, 0, blocking)
            assert stream.handshake()
            assert stream.read(6) == b"answer"
            context.socket.error = OSError(-0x7180, "MBEDTLS_ERR_SSL_INVALID_MAC")
            assert raises(OSError, use, stream)
            stream.close()
            assert table.sess_number() == 1
            assert raises(OSError, use, stream)


# ---- What is refused ----


def test_table_that_is_not_for_clients_is_refused():
    _, context, _ = make()
    for mode, size, spare in (
        (sesstab.SESS_CACHE_SERVER, 400, 2),
        (sesstab.SESS_CACHE_CLIENT, 143, 2),
        (sesstab.SESS_CACHE_CLIENT, 400, 0),
    ):
        table = sesstab.SessionTable(4, spare, size, mode=mode)
        assert raises(ValueError, table.wrap_socket, context, "socket", "a.example")
    table = sesstab.SessionTable(4, data_size=144, mode=sesstab.SESS_CACHE_BOTH)
    assert connect(table, context) == (False, False)


def test_name_and_context_are_checked():
    table, context, _ = make()
    assert raises(ValueError, table.wrap_socket, context, "socket", None)
    assert raises(ValueError, table.wrap_socket, context, "socket", "")
    assert raises(ValueError, table.wrap_socket, context, "socket", "a", 443, 256)
    assert raises(ValueError, table.wrap_socket, context, "socket", "a", 443, -1)
    assert raises(TypeError, table.wrap_socket, context, "socket", "a", "443")
    assert raises(TypeError, table.wrap_socket, context)
    assert context.server.log == []
    assert connect(table, context, number=255) == (False, False)
    assert connect(table, context, number=0) == (False, False)


def test_firmware_without_either_way_says_so():
    table, context, _ = make()
    client._session_class = lambda: None
    try:
        table.wrap_socket(context, "socket", "a.example")
        raise AssertionError("wrapped")
    except NotImplementedError as error:
        assert "docs/building.md" in str(error)
    finally:
        client._session_class = lambda: SSLSession
    assert counters(table) == (0, 0, 0, 0, 0, 0, 0)


def with_module(name, module, function):
    """Calls the function where `import name` gives this."""
    there = name in sys.modules
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        return function()
    finally:
        if there:
            sys.modules[name] = before
        else:
            del sys.modules[name]


class Ssl:
    """The module ssl of upstream's pull request."""

    SSLSession = SSLSession


def test_session_class_is_one_that_can_be_made_from_bytes():
    assert the_firmwares_session_class() is None
    assert with_module("ssl", Ssl, the_firmwares_session_class) is SSLSession


# ---- Around a connection ----


class Pieces:
    """A TLS socket whose reads give what is listed; a tuple is what a ticket cuts short.

    `saved` is what save() says of it: 1 stored, 2 there is more to read.
    """

    def __init__(self, *pieces):
        self.pieces = list(pieces)
        self.ticket = False
        self.saved = 1
        self.raises = {}
        self.log = []
        self.asked = []

    def read(self, n=-1):
        self.asked.append(n)
        return self.next()

    def next(self):
        piece = self.pieces.pop(0)
        self.ticket = isinstance(piece, tuple)
        return piece[0] if self.ticket else piece

    readline = read

    def readinto(self, buf):
        self.asked.append(len(buf))
        piece = self.next()
        if piece is None:
            return None
        buf[: len(piece)] = piece
        return len(piece)

    def write(self, data):
        self.log.append(data)
        return len(data)

    def cipher(self):
        return "a cipher", "TLSv1.2"

    # The session's side

    def may_raise(self, what):
        if what in self.raises:
            raise self.raises[what]

    def save(self):
        self.may_raise("save")
        ticket, self.ticket = self.ticket, False
        return self.saved if ticket else 0

    def resumed(self):
        return 1

    def close_notify(self):
        self.log.append("close_notify")
        self.may_raise("close_notify")
        return 0

    def done(self):
        self.log.append("done")

    def setblocking(self, flag):
        self.blocking = flag

    def close(self):
        self.log.append("close")
        self.may_raise("close")


def stream_of(*pieces, blocking=True, saved=1):
    tls = Pieces(*pieces)
    tls.saved = saved
    stream = client.TLSStream(tls, tls, None)
    stream.setblocking(blocking)
    assert tls.blocking is blocking
    return stream, tls


def test_reads_go_on_after_a_ticket():
    assert stream_of((None,), b"abc")[0].read(3) == b"abc"
    assert stream_of((None,), (None,), b"abc")[0].read() == b"abc"
    assert stream_of((b"a",), b"bc")[0].read(3) == b"abc"
    assert stream_of((b"a",), (b"b",), b"")[0].read(3) == b"ab"
    assert stream_of((b"abc",))[0].read(3) == b"abc"
    assert stream_of((b"ab",), b"c\n")[0].readline() == b"abc\n"
    assert stream_of((None,), b"abc\n")[0].readline() == b"abc\n"
    assert stream_of((b"abc\n",))[0].readline() == b"abc\n"
    for pieces in ([(None,), b"abc"], [(b"a",), b"bc"], [(b"abc",)]):
        buf = bytearray(3)
        assert stream_of(*pieces)[0].readinto(buf) == 3
        assert buf == b"abc"
    buf = bytearray(5)
    assert stream_of((b"a",), b"bc")[0].readinto(buf, 3) == 3


def test_reads_ask_for_what_is_left():
    for pieces, n, asked in (
        ([b"abc"], (), [-1]),
        ([b"abc"], (None,), [-1]),
        ([(b"ab",), b"cd"], (), [-1, -1]),
        ([(b"a",), b"bc"], (3,), [3, 2]),
        ([(None,), b"abc"], (3,), [3, 3]),
        ([(b"",), b"a"], (0,), [0]),
    ):
        stream, tls = stream_of(*pieces)
        stream.read(*n)
        assert tls.asked == asked
    for pieces, arguments, asked in (
        ([b"abc"], (5,), [5]),
        ([b"abc"], (5, -1), [5]),
        ([b"abc"], (5, 3), [3]),
        ([b""], (5, 0), [0]),
        ([(b"a",), b"bc", b""], (5, 3), [3, 2]),
        ([(None,), b"a"], (1,), [1, 1]),
    ):
        stream, tls = stream_of(*pieces)
        stream.readinto(bytearray(arguments[0]), *arguments[1:])
        assert tls.asked == asked


def test_ticket_that_is_not_stored_does_not_end_a_read():
    for blocking in (True, False):
        for pieces in ([(None,), b"abc\n"], [(b"a",), b"bc\n"], [(None,), (b"ab",), b"c\n"]):
            for use in (lambda stream: stream.read(4), lambda stream: stream.readline()):
                assert use(stream_of(*pieces, blocking=blocking, saved=2)[0]) == b"abc\n"
            assert stream_of(*pieces, b"", blocking=blocking, saved=2)[0].read(9) == b"abc\n"
            buf = bytearray(4)
            assert stream_of(*pieces, blocking=blocking, saved=2)[0].readinto(buf) == 4
            assert buf == b"abc\n"
    assert stream_of((b"a",), b"bc", saved=2)[0].read() == b"abc"


def test_socket_that_is_set_not_to_block_behind_the_streams_back_is_noticed():
    for use in (
        lambda stream: stream.read(3),
        lambda stream: stream.readline(),
        lambda stream: stream.readinto(bytearray(3)),
    ):
        stream, tls = stream_of(None, None, b"abc")
        for left in (2, 1):
            assert use(stream) is None
            assert len(tls.pieces) == left


def test_reads_that_would_block_or_end_are_left_alone():
    assert stream_of(None, blocking=False)[0].read(3) is None
    assert stream_of((None,), None, blocking=False)[0].read(3) is None
    assert stream_of((b"a",), None, blocking=False)[0].read(3) == b"a"
    assert stream_of(b"a", blocking=False)[0].read(3) == b"a"
    assert stream_of(b"", blocking=False)[0].read() == b""
    assert stream_of(None, blocking=False)[0].readline() is None
    assert stream_of((b"a",), None, blocking=False)[0].readline() == b"a"
    assert stream_of(None, blocking=False)[0].readinto(bytearray(3)) is None
    assert stream_of((b"a",), None, blocking=False)[0].readinto(bytearray(3)) == 1


def test_close_tells_the_server_first_and_can_be_repeated():
    stream, tls = stream_of()
    stream.close()
    stream.close()
    assert tls.log == ["close_notify", "done", "close"]
    assert stream.session_reused is True
    with stream_of()[0] as stream:
        tls = stream._tls
    assert tls.log == ["close_notify", "done", "close"]


def test_closed_stream_reads_what_its_socket_says():
    for pieces, read in (((b"abc",), b"abc"), ((None,), None)):
        stream = stream_of(*pieces)[0]
        stream.close()
        assert stream.read(9) == read


def test_session_reused_takes_streams_of_asyncio():
    class Writer:
        s = stream_of()[0]

    assert sesstab.session_reused(Writer()) is True


class Poller:
    """select, and the poller that it makes: says that what it polls is ready as `ready` tells."""

    def __init__(self, *ready):
        self.ready = list(ready)
        self.polled = []
        self.made = 0

    def poll(self):
        self.made += 1
        return self

    def register(self, what, flags):
        self.polled.append((what, flags))

    def ipoll(self, timeout):
        assert timeout == 0
        ready = self.ready.pop(0)
        return [(self.polled[-1][0], ready)] if ready else []


def test_polling_asks_the_tls_socket():
    stream, tls = stream_of()
    poller = Poller(1, 0)
    select, client.select = client.select, poller
    try:
        assert stream.ioctl(3, 5) == 1
        assert stream.ioctl(3, 4) == 0
    finally:
        client.select = select
    assert poller.polled == [(tls, 5), (tls, 4)]
    assert poller.made == 1


def test_what_else_a_stream_is_asked():
    stream, tls = stream_of(b"abc")
    assert stream.write(b"hello") == 5
    assert stream.cipher() == ("a cipher", "TLSv1.2")
    assert stream.read(None) == b"abc"
    assert stream.ioctl(1, 0) == -22
    assert tls.log == [b"hello"]
    assert stream.ioctl(4, 0) == 0
    assert tls.log == [b"hello", "close_notify", "done", "close"]


def test_close_closes_whatever_fails():
    for failing in (("save",), ("close_notify",), ("close",), ("save", "close_notify", "close")):
        stream, tls = stream_of()
        tls.raises = {what: OSError(104) for what in failing}
        assert stream.close() is None
        assert tls.log[-2:] == ["done", "close"]
        assert stream.session_reused is True
        del tls.log[:]
        stream.close()
        assert tls.log == []


def test_interrupt_comes_through_close_once_it_has_closed():
    for failing in ("save", "close_notify", "close"):
        stream, tls = stream_of()
        tls.raises = {failing: KeyboardInterrupt()}
        assert raises(KeyboardInterrupt, stream.close)
        assert tls.log[-2:] == ["done", "close"]
        stream.close()
        assert stream.session_reused is True


# ---- Through _sesstab.Client, which is in firmware with sesstab in it ----


class Native(Pieces):
    """Context, socket and client in one. A handshake takes steps: an error, or whether it is over."""

    def __init__(self, *steps):
        super().__init__()
        self.steps = list(steps)
        self.verify_mode = CERT_REQUIRED

    def wrap_socket(self, sock, server_hostname, do_handshake_on_connect):
        assert not do_handshake_on_connect
        self.name = server_hostname
        self.sock = sock
        return self

    def client(self, table, tls, id, context):
        if not self.steps:
            raise ValueError("not a socket of this firmware")
        self.made = (table, tls, id, context)
        return self

    def handshake(self):
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    def save(self):
        self.log.append("save")
        return super().save()

    # As time and asyncio

    def sleep_ms(self, ms):
        self.log.append(ms)


def with_native(native, function):
    """Calls the function where _sesstab has a Client."""
    client_class, client._client_class = client._client_class, lambda table: native.client
    time, client.time = client.time, native
    try:
        return function()
    finally:
        client._client_class = client_class
        client.time = time


def test_handshake_that_has_to_wait_goes_on_and_is_saved():
    table, _, _ = make()
    native = Native(0, 0, 1)
    stream = with_native(native, lambda: table.wrap_socket(native, "tcp", "a.example", 8443, 3))
    assert (native.sock, native.name) == ("tcp", "a.example")
    assert native.made[0] is table
    assert native.made[1] is native
    assert native.made[3] == 3
    assert native.log == [1, 1, "save"]
    native.pieces = [None]
    assert stream.read(3) is None  # it does not block


def test_refused_attempt_to_resume_is_forgotten():
    for errno, left in ((104, 1), (None, 1), (-0x7780, 0)):
        table, _, _ = make()
        native = Native(1)
        with_native(native, lambda table=table, native=native: table.wrap_socket(native, "", "a.example"))
        put(table, native.made[2])
        native = Native(0, OSError(errno, "") if errno else OSError())
        function = lambda table=table, native=native: table.wrap_socket(native, "", "a.example")  # noqa: E731
        assert raises(OSError, with_native, native, function)
        assert native.log == [1, "save", "close_notify", "done", "close"]
        assert table.sess_number() == left
        assert native.made[2] == client.hashlib.sha256(b"a.example:443").digest()
        assert native.made[3] == 0
        assert slots_left(table) == 6 - left


def test_socket_is_closed_when_there_is_no_client_for_it():
    table, _, _ = make()
    native = Native()
    function = lambda: table.wrap_socket(native, "tcp", "a.example")  # noqa: E731
    assert raises(ValueError, with_native, native, function)
    assert native.log == ["close"]


def test_refusal_of_a_session_that_is_gone_changes_nothing():
    table, _, _ = make()
    native = Native(OSError(-0x7780, ""))
    assert raises(OSError, with_native, native, lambda: table.wrap_socket(native, "tcp", "a.example"))
    assert counters(table) == (0, 0, 0, 0, 0, 0, 0)
    assert not table.next_session()


class Module:
    """_sesstab, as far as the choice of a way needs it."""

    SessionTable = sesstab.SessionTable
    Client = Native


def test_client_class_takes_tables_of_its_own_module():
    table, _, _ = make()
    other = sesstab.pure.SessionTable(4) if sesstab.ENGINE == "native" else None
    assert with_module("_sesstab", Module, lambda: the_firmwares_client_class(table)) is Native
    assert with_module("_sesstab", Module, lambda: the_firmwares_client_class(other)) is None


def test_table_of_the_pure_engine_has_no_client_class():
    assert the_firmwares_client_class(sesstab.pure.SessionTable(4)) is None


# ---- asyncio ----


class Tcp:
    def __init__(self):
        self.log = []

    def close(self):
        self.log.append("close")


class Asyncio(Native):
    """The module, a StreamReader that it gives, and the context."""

    def __init__(self, *steps):
        super().__init__(*steps)
        self.s = Tcp()

    async def open_connection(self, host, port):
        self.dialed = (host, port)
        return self, None

    async def sleep_ms(self, ms):
        self.log.append(ms)

    def StreamReader(self, stream):
        return [stream]


def run(coroutine):
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits")


def open_connection(table, native, *args):
    connection = lambda: run(table.open_connection(native, *args))  # noqa: E731
    return with_native(native, lambda: with_module("asyncio", native, connection))


def test_asyncios_streams_are_of_the_tls_stream():
    table, _, _ = make()
    for args, name in ((("a.example", 8443), "a.example"), (("10.0.0.1", 8443, "b.example"), "b.example")):
        native = Asyncio(0, 0, 1)
        reader, writer = open_connection(table, native, *args)
        assert native.dialed == args[:2]
        assert native.name == name
        assert native.sock is native.s
        assert native.made[2] == client.hashlib.sha256(name.encode() + b":8443").digest()
        assert native.made[3] == 0
        assert reader is writer
        assert isinstance(reader[0], client.TLSStream)
        assert native.log == [5, 5, "save"]
        assert native.s.log == []


def test_port_is_443_unless_another_is_named():
    table, _, _ = make()
    native = Asyncio(1)
    open_connection(table, native, "a.example")
    assert native.dialed == ("a.example", 443)


def test_upstreams_socket_of_asyncio_handshakes_later():
    table, context, _ = make()
    connection = lambda: run(table.open_connection(context, "a.example"))  # noqa: E731
    stream = with_module("asyncio", Asyncio(), connection)[0][0]
    assert context.server.log == []
    assert stream.read(6) == b"answer"
    assert context.server.log == [("a.example", False, False)]
    assert table.sess_number() == 1


def test_connection_is_closed_when_its_handshake_fails():
    table, _, _ = make()
    for native, log in (
        (Asyncio(), ["close"]),
        (Asyncio(OSError(104)), ["save", "close_notify", "done", "close"]),
    ):
        assert raises((OSError, ValueError), open_connection, table, native, "a.example")
        assert native.log == log
        assert native.s.log == ["close"]
