"""examples/*.py on virtual boards, against this computer's OpenSSL."""

from __future__ import annotations

import ast
import base64
import http.client
import importlib.util
import json
import re
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from sesstab_tools.certificates import Certificate, make_certificate
from sesstab_tools.deploy import deploy, find_root
from sesstab_tools.errors import DeviceException
from sesstab_tools.handshakes import client_context, free_port
from sesstab_tools.repl import Board, Program
from sesstab_tools.virtual import VirtualBoard, unix_board, unix_c_board
from tls_peers import WAYS, Seen, Server, server_context

EXAMPLES = Path(__file__).parents[2] / "examples"
TIMEOUT = 20.0
ALL_SECRETS = """
table = https_status.table
h = table.next_session()
while h:
    for copy in (table.session_id, table.session_data):
        buf = bytearray(64)
        print(bytes(buf[:copy(h, buf)]))
    h = table.next_session(h)
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


class Page:
    """The page on the board; a connection for each request, which offers the session of the one before."""

    def __init__(self, port: int, certificate: Certificate) -> None:
        self.port = port
        self.context = client_context(certificate)
        self.session: ssl.SSLSession | None = None
        self.seen = ""

    def get(self, path: str = "/", offer: bool = True) -> tuple[bool, str]:
        """Whether the handshake was resumed, and the text."""
        with (
            socket.create_connection(("127.0.0.1", self.port), TIMEOUT) as raw,
            self.context.wrap_socket(
                raw, server_hostname="localhost", session=self.session if offer else None
            ) as tls,
        ):
            tls.sendall(b"GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n" % path.encode())
            response = http.client.HTTPResponse(tls)
            response.begin()
            assert response.status == 200
            text = response.read().decode()
            self.session = tls.session
            self.seen += text + str(response.headers)
            return bool(tls.session_reused), text


def example(name: str) -> bytes:
    return (EXAMPLES / name).read_bytes()


def microdot() -> dict[str, bytes]:
    """The source that PyPI's package carries; the same runs on boards."""
    found = importlib.util.find_spec("microdot")
    assert found and found.origin
    folder = Path(found.origin).parent
    names = ("__init__.py", "helpers.py", "microdot.py")
    return {f"lib/microdot/{name}": (folder / name).read_bytes() for name in names}


@pytest.fixture(params=["unix", "unix-c"])
def server_board(request: pytest.FixtureRequest) -> Iterator[tuple[Board, VirtualBoard]]:
    with (
        unix_board() if request.param == "unix" else unix_c_board(find_root()) as virtual,
        Board.open(virtual.port, press_reset=virtual.reset) as board,
    ):
        yield board, virtual


def start(board: Board, virtual_board: VirtualBoard, certificate: Certificate) -> tuple[Program, Page]:
    (virtual_board.files / "cert.der").write_bytes(certificate.certificate_der)
    (virtual_board.files / "key.der").write_bytes(certificate.key_der)
    deploy(board, find_root(), extra={**microdot(), "https_status.py": example("https_status.py")})
    port = free_port()
    program = board.start(f"import https_status\nhttps_status.run({port})")
    shown = b""
    while b"\n" not in shown:
        more = program.read(TIMEOUT)
        assert more, shown
        shown += more
    assert shown.startswith(b"https://localhost")
    return program, Page(port, certificate)


def stop(program: Program) -> None:
    program.interrupt()
    with pytest.raises(DeviceException, match="KeyboardInterrupt"):
        program.finish(TIMEOUT)


def windows(secret: bytes) -> Iterator[str]:
    """Every four bytes of it, as a page might show them."""
    for i in range(len(secret) - 3):
        part = secret[i : i + 4]
        yield from (part.hex(), part.hex(":"), part.hex(" "), repr(part)[2:-1], ascii(list(part))[1:-1])
        yield from (part.decode("latin-1"), base64.b64encode(secret[i : i + 6]).decode()[:8])


def test_status_page_resumes_and_shows_the_table(
    server_board: tuple[Board, VirtualBoard], certificate: Certificate
) -> None:
    board, virtual_board = server_board
    program, page = start(board, virtual_board, certificate)
    reused, text = page.get()
    assert not reused
    assert "1 handshakes in full, 0 resumed" in text
    assert "1 of 32 sessions" in text
    assert re.findall(r"<td>(\d+)</td><td>(\d+)</td>", text) in ([("0", "7200")], [("1", "7199")])
    for n in (1, 2, 3):
        reused, text = page.get()
        assert reused
        assert f"1 handshakes in full, {n} resumed" in text
    assert page.get(offer=False)[0] is False
    reused, text = page.get("/stats")
    assert reused
    stats = json.loads(text)
    assert (stats["hits"], stats["accept"], stats["number"]) == (4, 6, 2)
    reused, text = page.get()
    assert len(re.findall(r"<td>\d+</td><td>\d+</td>", text)) == 2
    stop(program)
    assert board.eval("https_status.table.session_stats()['hits']") == 5
    secrets = [ast.literal_eval(line) for line in board.exec(ALL_SECRETS).decode().splitlines()]
    assert [len(secret) for secret in secrets] == [32, 50, 32, 50]
    for secret in secrets:
        assert not [shown for shown in windows(secret) if shown.lower() in page.seen.lower()]


# ---- https_client_deepsleep.py ----

WAKE = "import https_client_deepsleep as example\nexample.HOST, example.PORT = 'localhost', {port}\n"


@pytest.fixture
def sleeper(certificate: Certificate) -> Iterator[Board]:
    with unix_c_board(find_root()) as virtual, Board.open(virtual.port, press_reset=virtual.reset) as board:
        (virtual.files / "ca.der").write_bytes(certificate.certificate_der)
        name = "https_client_deepsleep.py"
        deploy(board, find_root(), native=False, extra={name: example(name)})
        yield board


def answer_http(server: Server, stream: socket.socket, seen: Seen) -> None:
    assert server.context
    with server.context.wrap_socket(stream, server_side=True) as connection:
        seen.reused = connection.session_reused
        assert connection.recv(4096).startswith(b"GET /status HTTP/1.0\r\nHost: localhost\r\n")
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n" + b"x" * 5000)
        connection.unwrap()


@pytest.mark.parametrize("way", WAYS)
def test_client_resumes_after_a_reset_from_its_snapshot(
    sleeper: Board, certificate: Certificate, way: str
) -> None:
    with Server(server_context(certificate, way)) as server:
        server.handler = lambda stream, seen: answer_http(server, stream, seen)
        for n in range(4):
            sleeper.soft_reset()  # nothing is left but the files
            output = sleeper.exec(WAKE.format(port=server.port) + "example.wake('/status', '127.0.0.1')")
            how = "resumed" if n else "in full"
            assert output.decode().strip() == f"b'HTTP/1.0 200 OK\\r\\n' 5000 bytes, {how}"
            assert server.reused() == [n > 0]
            assert sleeper.eval("(example.table.sess_hits(), example.table.sess_misses())") == (
                (1, 0) if n else (0, 1)
            )


def test_client_goes_to_sleep_whatever_the_server_does(sleeper: Board, tmp_path: Path) -> None:
    """Awake, it would empty its battery."""
    run = """
import sys
class machine:
    deepsleep = lambda ms: print("deepsleep", ms)
sys.modules["machine"] = machine
wake = example.wake
example.wake = lambda: wake("/status", "127.0.0.1")
example.run()
"""
    port = free_port()
    output = sleeper.exec(WAKE.format(port=port) + run).decode().splitlines()
    assert output[0].startswith("no luck this time: [Errno 111]")
    assert output[1:] == ["deepsleep 600000"]
    sleeper.soft_reset()
    with Server(server_context(make_certificate(tmp_path, "rsa"), "1.2-ticket")) as server:
        output = sleeper.exec(WAKE.format(port=server.port) + run).decode().splitlines()
    assert "not correctly signed by the trusted CA" in " ".join(output)
    assert output[-1] == "deepsleep 600000"


def test_client_begins_anew_when_its_snapshot_is_damaged(sleeper: Board, certificate: Certificate) -> None:
    with Server(server_context(certificate, "1.2-ticket")) as server:
        server.handler = lambda stream, seen: answer_http(server, stream, seen)
        wake = WAKE.format(port=server.port) + "example.wake('/status', '127.0.0.1')"
        sleeper.exec(wake)
        sleeper.soft_reset()
        sleeper.exec("for name in ('sessions.0', 'sessions.1'):\n open(name, 'wb').write(b'no snapshot')")
        assert b"beginning anew" in sleeper.exec(wake)
        sleeper.soft_reset()
        assert b"resumed" in sleeper.exec(wake)
        assert server.reused() == [False, False, True]
