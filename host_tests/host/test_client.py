"""TLS clients on a board (unix with the module built in) resume: with CPython's ssl and openssl s_server.

What the client says (session_reused), what the server says, and what the table counted have to agree.
"""

from __future__ import annotations

import contextlib
import ctypes
import re
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tls_peers
from sesstab_tools.certificates import Certificate, make_certificate
from sesstab_tools.deploy import deploy
from sesstab_tools.errors import DeviceException
from sesstab_tools.handshakes import free_port
from sesstab_tools.repl import Board
from sesstab_tools.virtual import unix_c_board
from tls_peers import ROOT, TIMEOUT, WAYS, Server, prepare, server_context

HELLO = b"you said hello\n"
FULL, RESUMED = (False, HELLO), (True, HELLO)

# s_server -www answers with a page on what it saw.
GET_STATUS = """
def get_status(port):
    stream = table.wrap_socket(ctx, dial(port), server_hostname="localhost", port=port)
    stream.write(b"GET / HTTP/1.0\\r\\n\\r\\n")
    page = stream.read()
    stream.close()
    return sesstab.session_reused(stream), page
"""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Certificate]:
    folder = tmp_path_factory.mktemp("certificates")
    return {kind: make_certificate(folder, kind) for kind in ("ec", "rsa")}


@pytest.fixture(scope="module")
def machine() -> Iterator[Board]:
    with (
        unix_c_board(ROOT, heap="4M") as virtual,
        Board.open(virtual.port, press_reset=virtual.reset) as board,
    ):
        deploy(board, ROOT, native=False)
        yield board


@pytest.fixture
def board(machine: Board, certificates: dict[str, Certificate]) -> Board:
    """The board with a table for clients, and a context that trusts the EC certificate."""
    machine.soft_reset()
    return prepare(machine, certificates["ec"])


@pytest.fixture(params=WAYS)
def server(request: pytest.FixtureRequest, certificates: dict[str, Certificate]) -> Iterator[Server]:
    with Server(server_context(certificates["ec"], request.param)) as server:
        yield server


@pytest.fixture
def server12(certificates: dict[str, Certificate]) -> Iterator[Server]:
    with Server(server_context(certificates["ec"], "1.2-ticket")) as server:
        yield server


# ---- Resumption ----


@pytest.mark.parametrize("kind", ["ec", "rsa"])
@pytest.mark.parametrize("way", WAYS)
def test_client_resumes_at_python(
    board: Board, certificates: dict[str, Certificate], kind: str, way: str
) -> None:
    prepare(board, certificates[kind])
    with Server(server_context(certificates[kind], way)) as server:
        for expected in (False, True, True, True):
            assert board.eval(f"connect({server.port})") == (expected, HELLO)
            [seen] = server.take()
            assert seen.reused is expected
            assert seen.closed_properly
            assert seen.name == "localhost"
    stored = 2 + 3 if way == "1.3" else 1  # OpenSSL gives two tickets, and one when it resumes
    assert board.eval("counts()") == (stored, 3, 1, 1)
    assert board.eval("leaks()") == (1, 1, 5)


@pytest.mark.parametrize("kind", ["ec", "rsa"])
@pytest.mark.parametrize("way", WAYS)
def test_client_resumes_at_openssl_s_server(
    board: Board, certificates: dict[str, Certificate], kind: str, way: str
) -> None:
    prepare(board, certificates[kind])
    port = free_port()
    options = {"1.2-id": ["-tls1_2", "-no_ticket"], "1.2-ticket": ["-tls1_2"], "1.3": ["-tls1_3"]}[way]
    if way != "1.3":
        options += ["-sigalgs", "ECDSA+SHA256:RSA+SHA256"]  # see server_context
    files = ["-cert", str(certificates[kind].certificate_pem), "-key", str(certificates[kind].key_pem)]
    command = ["openssl", "s_server", "-accept", str(port), "-www", *files, *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        board.exec(GET_STATUS)
        for expected in (False, True, True):
            reused, page = board.eval(f"get_status({port})")  # type: ignore[misc]
            assert reused is expected
            version = "TLSv1.3" if way == "1.3" else "TLSv1.2"
            assert re.findall(r"^(New|Reused), (TLSv1\.\d)", page.decode(), re.M) == [
                ("Reused" if expected else "New", version)
            ]
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("read", ["read(15)", "read()", "readinto(buf)", "readline()"])
def test_tickets_do_not_show_in_reads(board: Board, certificates: dict[str, Certificate], read: str) -> None:
    """TLS 1.3 tickets arrive before the answer; MicroPython's own read() returns None for each."""
    with Server(server_context(certificates["ec"], "1.3")) as server:
        if read == "read()":
            server.handler = lambda stream, seen: answer_and_close(server, stream)
        board.exec("buf = bytearray(15)")
        board.exec(f"s = table.wrap_socket(ctx, dial({server.port}), 'localhost', {server.port})")
        assert board.eval("s.write(b'hello\\n')") == 6
        assert board.eval(f"s.{read}") in (HELLO, len(HELLO))
        assert board.eval("bytes(buf)") == (HELLO if "buf" in read else bytes(15))
        board.exec("s.close()")
        assert board.eval("counts()") == (2, 0, 1, 1)


@pytest.mark.parametrize("size", [144, 512])
@pytest.mark.parametrize("read", ["read(6)", "readinto(buf)", "readline()"])
def test_ticket_in_mid_stream_does_not_cut_a_read_short(
    board: Board, certificates: dict[str, Certificate], read: str, size: int
) -> None:
    """Whether it fits into the table or not."""
    board.exec(
        f"table = sesstab.SessionTable(4, 2, {size}, mode=sesstab.SESS_CACHE_CLIENT)\nbuf = bytearray(6)"
    )
    with Server(server_context(certificates["ec"], "1.3")) as server:
        server.handler = lambda stream, seen: answer_in_pieces(server, stream)
        board.exec(f"s = table.wrap_socket(ctx, dial({server.port}), 'localhost', {server.port})")
        board.exec("s.write(b'hello\\n')")
        assert board.eval(f"s.{read}") in (b"abcde\n", 6)
        assert board.eval("s.read()") == b"rest"
        board.exec("s.close()")
        assert board.eval("counts()[0]") == (4 if size == 512 else 0)


def answer_in_pieces(server: Server, stream: socket.socket) -> None:
    assert server.context
    with server.context.wrap_socket(stream, server_side=True) as connection:
        connection.recv(100)
        for piece in (b"abc", b"de\n", b"rest"):
            connection.sendall(piece)
            if piece != b"rest":
                send_ticket(connection)
        connection.unwrap()


def send_ticket(connection: ssl.SSLSocket) -> None:
    """Lets OpenSSL send another ticket ahead of what is written next."""
    [library] = {
        line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "libssl" in line
    }
    # CPython's object: its header, the socket, then the SSL that it wraps.
    address = id(connection._sslobj) + object.__basicsize__ + ctypes.sizeof(ctypes.c_void_p)  # type: ignore[attr-defined]
    ssl_pointer = ctypes.c_void_p.from_address(address)
    assert ctypes.CDLL(library).SSL_new_session_ticket(ssl_pointer) == 1


def answer_and_close(server: Server, stream: socket.socket) -> None:
    assert server.context
    with server.context.wrap_socket(stream, server_side=True) as connection:
        connection.sendall(b"you said " + connection.recv(100))
        connection.unwrap()


def test_ticket_that_is_too_large_for_the_table_is_no_end_of_the_stream(
    board: Board, certificates: dict[str, Certificate]
) -> None:
    board.exec("table = sesstab.SessionTable(4, 2, 144, mode=sesstab.SESS_CACHE_CLIENT)")
    with Server(server_context(certificates["ec"], "1.3")) as server:
        assert board.eval(f"connect({server.port})") == FULL
        assert board.eval(f"connect({server.port})") == FULL
    assert board.eval("table.sess_number()") == 0


@pytest.mark.parametrize("read", ["read(4)", "readline()", "readinto(buf)"])
def test_socket_set_to_non_blocking_below_the_stream_does_not_block(
    board: Board, server12: Server, read: str
) -> None:
    board.exec(f"sock = dial({server12.port})\nbuf = bytearray(4)")
    board.exec(f"s = table.wrap_socket(ctx, sock, 'localhost', {server12.port})\nsock.setblocking(False)")
    assert board.eval(f"s.{read}") is None  # the server waits for the client
    board.exec("sock.setblocking(True)\ns.write(b'hello\\n')")
    assert board.eval("s.read(15)") == HELLO
    board.exec("s.close()")


def test_session_ends_up_in_the_table_without_a_read_too(board: Board, server12: Server) -> None:
    """TLS 1.2: right after the handshake."""
    board.exec(f"s = table.wrap_socket(ctx, dial({server12.port}), 'localhost', {server12.port})")
    assert board.eval("table.sess_number()") == 1
    board.exec("s.close()")
    assert board.eval(f"connect({server12.port})") == RESUMED


# ---- Servers that decline ----


def test_server_that_has_forgotten_is_connected_to_in_full_and_remembered_anew(
    board: Board, certificates: dict[str, Certificate], server: Server, request: pytest.FixtureRequest
) -> None:
    way = request.node.callspec.params["server"]
    connect = f"connect({server.port})"
    assert [board.eval(connect), board.eval(connect)] == [FULL, RESUMED]
    server.context = server_context(certificates["ec"], way)
    assert [board.eval(connect), board.eval(connect)] == [FULL, RESUMED]
    assert server.reused() == [False, True, False, True]
    assert board.eval("leaks()") == (1, 1, 5)


def test_server_that_refuses_to_resume_gets_a_full_handshake_the_next_time(
    board: Board, server12: Server
) -> None:
    assert board.eval(f"connect({server12.port})") == FULL
    server12.handler = tls_peers.alert
    with pytest.raises(DeviceException, match="OSError"):
        board.exec(f"connect({server12.port})")
    assert board.eval("table.sess_number()") == 0
    server12.handler = server12.echo
    assert board.eval(f"connect({server12.port})") == FULL
    assert board.eval("leaks()") == (1, 1, 5)


def test_server_without_resumption_is_no_trouble(board: Board, certificates: dict[str, Certificate]) -> None:
    context = server_context(certificates["ec"], "1.3")
    context.num_tickets = 0
    with Server(context) as server:
        for _ in range(3):
            assert board.eval(f"connect({server.port})") == FULL
    assert board.eval("counts()") == (0, 0, 3, 0)


# ---- What is offered to whom ----


def test_nothing_is_offered_to_another_name_or_port(
    board: Board, certificates: dict[str, Certificate], server: Server, request: pytest.FixtureRequest
) -> None:
    assert board.eval(f"connect({server.port})") == FULL
    board.exec("ctx = make_context(verify_mode=tls.CERT_NONE)")
    assert board.eval(f"connect({server.port}, 'example.com')") == FULL
    with Server(server_context(certificates["ec"], request.node.callspec.params["server"])) as other:
        other.context = server.context  # it could resume, were it asked
        assert board.eval(f"connect({other.port})") == FULL
    assert board.eval("(table.sess_hits(), table.sess_misses(), table.sess_number())") == (0, 3, 3)


def test_unverified_session_is_not_offered_when_the_context_verifies(board: Board, server: Server) -> None:
    """A machine in the middle of the first connection must not be in the second one."""
    board.exec("verifying, ctx = ctx, make_context(verify_mode=tls.CERT_NONE)")
    connect = f"connect({server.port})"
    assert [board.eval(connect), board.eval(connect)] == [FULL, RESUMED]
    board.exec("ctx = verifying")
    assert [board.eval(connect), board.eval(connect)] == [FULL, RESUMED]
    assert server.reused() == [False, True, False, True]


def test_contexts_with_other_trust_anchors_have_other_numbers(
    board: Board, certificates: dict[str, Certificate], server: Server
) -> None:
    connect = f"connect({server.port}, context=%d)"
    assert board.eval(connect % 0) == FULL
    board.exec(f"ctx = make_context({certificates['rsa'].certificate_der!r})")
    with pytest.raises(DeviceException, match="not correctly signed"):
        board.exec(connect % 1)  # nothing was offered, so the certificate had to be good, and is not


def test_expired_session_is_not_offered(board: Board, server: Server) -> None:
    board.exec("now = [1000]\ntable = make_table(timeout=100, clock=lambda: now[0])")
    connect = f"connect({server.port})"
    assert [board.eval(connect), board.eval(connect)] == [FULL, RESUMED]
    board.exec("now[0] += 101")
    assert board.eval(connect) == FULL
    board.exec("now[0] = 500")  # back before it was made
    assert board.eval(connect) == FULL
    assert board.eval("table.sess_timeouts()") == 2
    assert server.reused() == [False, True, False, False]


def test_resumed_tls12_session_gets_no_younger(board: Board, server12: Server) -> None:
    board.exec("now = [1000]\ntable = make_table(timeout=100, clock=lambda: now[0])")
    connect = f"connect({server12.port})"
    assert board.eval(connect) == FULL
    for expected in (RESUMED, FULL):
        board.exec("now[0] += 60")
        assert board.eval(connect) == expected


def test_table_smaller_than_the_number_of_servers_keeps_the_last_used(
    board: Board, certificates: dict[str, Certificate]
) -> None:
    board.exec("table = make_table(2)")
    with contextlib.ExitStack() as stack:
        a, b, c = (stack.enter_context(Server(server_context(certificates["ec"], way))).port for way in WAYS)
        assert [board.eval(f"connect({port})")[0] for port in (a, b, a, c, a, b)] == [
            False, False, True, False, True, False,
        ]  # fmt: skip
    assert board.eval("leaks()") == (2, 1, 2)


# ---- What fails ----


@pytest.mark.parametrize("way", ["1.2-ticket", "1.3"])
@pytest.mark.parametrize("handler", [tls_peers.reset, tls_peers.reset_within_a_record])
def test_connection_reset_in_mid_handshake_leaks_nothing(
    board: Board, certificates: dict[str, Certificate], way: str, handler: tls_peers.Handler
) -> None:
    with Server(server_context(certificates["ec"], way)) as server:
        port = server.port
        assert board.eval(f"connect({port})") == FULL
        assert board.eval("leaks()") == (1, 1, 5)
        server.handler = handler
        board.exec(RESETS.replace("PORT", str(port)), 60)
        # A ticket of TLS 1.3 is good once: it is gone when it was offered.
        left = 0 if way == "1.3" else 1
        assert board.eval("leaks()") == (left, 1, 6 - left)
        assert board.eval("grown") < 4096
        server.handler = server.echo
        assert board.eval(f"connect({port})") == (RESUMED if left else FULL)


RESETS = """
def fail(n):
    for i in range(n):
        try:
            connect(PORT)
            raise AssertionError("connected")
        except OSError as error:
            assert error.errno == 104, error
    gc.collect()
    return gc.mem_alloc()
grown = fail(20)
grown = fail(180) - grown
"""


def test_close_does_not_raise_when_the_server_is_gone(board: Board, server: Server) -> None:
    server.handler = lambda stream, seen: handshake_and_reset(server, stream)
    board.exec(f"s = table.wrap_socket(ctx, dial({server.port}), 'localhost', {server.port})")
    assert board.eval("s.session_reused") is False
    with pytest.raises(DeviceException, match="OSError"):
        board.exec("while True: s.write(b'x'); assert s.read(1)")
    board.exec("s.close(); s.close()")
    assert board.eval("s.session_reused") is False
    assert board.eval("leaks()[1]") == 1


# A stream below the TLS socket that is written in Python, and raises when `bad` is set.
PYTHON_STREAM = """
import io

class Below(io.IOBase):
    bad = None
    closed = 0
    def __init__(self, sock):
        self.sock = sock
    def readinto(self, buf):
        return self.sock.readinto(buf)
    def write(self, buf):
        if self.bad:
            raise self.bad
        return self.sock.write(buf)
    def ioctl(self, request, arg):
        if request == 4:
            self.closed += 1
            self.sock.close()
        return 0

def close_badly(port, bad):
    below = Below(dial(port))
    s = table.wrap_socket(ctx, below, "localhost", port)
    line = s.write(b"hello\\n") and s.readline()
    below.bad = bad
    try:
        s.close()
        raised = None
    except BaseException as error:
        raised = repr(error)
    s.close()
    return raised, below.closed, sesstab.session_reused(s), line
"""


def test_close_gives_all_back_when_the_stream_below_raises(
    board: Board, server: Server, request: pytest.FixtureRequest
) -> None:
    with_id = (
        request.node.callspec.params["server"] == "1.2-id"
    )  # OpenSSL forgets it for want of a close_notify
    board.exec(PYTHON_STREAM)
    for bad, raised in (
        ("OSError(104)", None),
        ("ValueError()", None),
        ("KeyboardInterrupt()", "KeyboardInterrupt()"),
    ):
        board.exec("table.clear()")
        for reused in (False, not with_id):
            assert board.eval(f"close_badly({server.port}, {bad})") == (raised, 1, reused, HELLO)
            assert board.eval("leaks()") == (1, 1, 5)


def handshake_and_reset(server: Server, stream: socket.socket) -> None:
    assert server.context
    with server.context.wrap_socket(stream, server_side=True) as connection:
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_refused_certificate_raises_and_leaks_nothing(
    board: Board, certificates: dict[str, Certificate], server: Server
) -> None:
    board.exec(f"ctx = make_context({certificates['rsa'].certificate_der!r})")
    for _ in range(5):
        with pytest.raises(DeviceException, match="not correctly signed"):
            board.exec(f"connect({server.port})")
    assert board.eval("leaks()") == (0, 1, 6)


def test_dropped_streams_leak_no_slot(board: Board, server12: Server) -> None:
    board.exec(f"connect({server12.port})")
    board.exec(f"def drop(): table.wrap_socket(ctx, dial({server12.port}), 'localhost', {server12.port})")
    board.exec("for i in range(12):\n drop()\n gc.collect()")
    board.exec("buf = [0] * 100\ngc.collect()")
    number, _, free = board.eval("leaks()")  # type: ignore[misc]
    assert number == 1
    assert free >= 4  # the collector may take a stray word for a pointer to one of them


# ---- asyncio ----

ASYNC = """
import asyncio, time

async def fetch(port, host="localhost", **more):
    reader, writer = await table.open_connection(ctx, "127.0.0.1", port, server_hostname=host, **more)
    writer.write(b"hello\\n")
    await writer.drain()
    line = await reader.readexactly(15)
    reused = sesstab.session_reused(writer)
    writer.write(b"again\\n" * 4000)
    await writer.drain()
    size = 0
    while size < 24000:
        size += len(await reader.read(1000))
    writer.close()
    await writer.wait_closed()
    return reused, line

async def several(n, port):
    return await asyncio.gather(*[fetch(port) for _ in range(n)])
"""


def test_asyncio_client_resumes(board: Board, server: Server) -> None:
    board.exec(ASYNC)
    for expected in (FULL, RESUMED, RESUMED):
        assert board.eval(f"asyncio.run(fetch({server.port}))") == expected
    assert server.reused() == [False, True, True]
    assert board.eval("leaks()") == (1, 1, 5)


def test_asyncio_clients_side_by_side(board: Board, server: Server) -> None:
    board.exec(ASYNC)
    board.eval(f"asyncio.run(fetch({server.port}))")
    results = board.eval(f"asyncio.run(several(3, {server.port}))")
    assert [line for _, line in results] == [HELLO] * 3  # type: ignore[union-attr]
    assert [reused for reused, _ in results] == server.reused()[1:]  # type: ignore[union-attr]
    assert board.eval("leaks()") == (1, 1, 5)


def test_asyncio_failures_raise_and_leak_nothing(board: Board, server12: Server) -> None:
    board.exec(ASYNC)
    assert board.eval(f"asyncio.run(fetch({server12.port}))") == FULL
    server12.handler = tls_peers.reset
    for _ in range(5):
        with pytest.raises(DeviceException, match="OSError"):
            board.exec(f"asyncio.run(fetch({server12.port}))")
    server12.handler = lambda stream, seen: stream.recv(1) and stream.recv(10**6) and time.sleep(0.5)
    with pytest.raises(DeviceException, match="TimeoutError"):
        board.exec(f"asyncio.run(asyncio.wait_for(fetch({server12.port}), 0.2))")
    with pytest.raises(DeviceException, match="OSError"):
        board.exec(f"asyncio.run(fetch({free_port()}))")
    with pytest.raises(DeviceException, match="ValueError"):
        board.exec(f"asyncio.run(fetch({server12.port}, context=256))")
    assert board.eval("leaks()") == (1, 1, 5)
    server12.handler = server12.echo
    assert board.eval(f"asyncio.run(fetch({server12.port}))") == RESUMED


TICKS = """
ticks = 0

async def tick():
    global ticks
    while True:
        ticks += 1
        await asyncio.sleep_ms(10)

async def both(port):
    task = asyncio.create_task(tick())
    await fetch(port)
    task.cancel()
"""


def test_asyncio_server_that_stalls_holds_up_nobody_else(board: Board, server: Server) -> None:
    """While a handshake waits, other tasks run."""
    board.exec(ASYNC + TICKS)
    echo = server.echo
    server.handler = lambda stream, seen: time.sleep(0.3) or echo(stream, seen)
    board.exec(f"asyncio.run(both({server.port}))")
    assert board.eval("ticks") > 15


TALK = """
async def talk(stream):
    stream.write(b"hello\\n")
    return await stream.readline()
"""


def test_streams_of_wrap_socket_work_in_asyncio(board: Board, server: Server) -> None:
    board.exec(ASYNC + TALK)
    board.exec(f"s = table.wrap_socket(ctx, dial({server.port}), 'localhost', {server.port})")
    board.exec("s.setblocking(False)")
    assert board.eval("asyncio.run(talk(asyncio.StreamReader(s)))") == HELLO
    board.exec("s.close()")


def wait_for(port: int) -> None:
    """Until something listens; a connection that says nothing does s_server no harm."""
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), TIMEOUT).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise TimeoutError(f"nothing listens at {port}")
