"""What may not resume does not: each attempt ends in a full handshake or a clean refusal.

Told by the client, by what the server's board raised and counted, and by the wire between the two. Stock
firmware has more of these tests, with forged bytes, in test_stock_tls.py.
"""

# ruff: noqa: F811  (fixtures are imported, and arguments have their names)

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from interop.board import BUILT_IN, STOCK, InteropBoard
from interop.clients import PythonClient, python_context, s_client
from interop.fixtures import board, certificates, target  # noqa: F401
from interop.servers import openssl
from interop.session_file import CIPHER, SECRET, SESSION_ID, TICKET, SessionFile
from interop.wire import FULL_12, FULL_13, ID, TICKET_12, TLS13, Tap
from sesstab_tools.certificates import Certificate

# Minutes of the inner loop, so `make test` only.
pytestmark = pytest.mark.slow

WAYS = (ID, TICKET_12, TLS13)
FIELD = {ID: SESSION_ID, TICKET_12: TICKET, TLS13: TICKET}  # what a client shows to resume
BOTH = [(STOCK, ID), *((BUILT_IN, way) for way in WAYS)]
on_both = pytest.mark.parametrize(("target", "way"), BOTH, indirect=["target"])
on_firmware = pytest.mark.parametrize(
    ("target", "way"), [(BUILT_IN, way) for way in WAYS], indirect=["target"]
)
client_on_firmware = on_firmware


def full(way: str) -> str:
    return FULL_13 if way == TLS13 else FULL_12


SUITES = {
    True: ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"),
    False: ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"),
}


class Server:
    """The board as a server with a table on a clock of ours, and a tap before it."""

    def __init__(self, board: InteropBoard, tap: Tap, folder: Path) -> None:
        self.board, self.tap, self.folder = board, tap, folder
        self.errors: object = None
        board.run("now = [100000]; table = SessionTable(16, data_size=54, clock=lambda: now[0])")
        board.run("context = server_context(); table.attach(context)")

    def serve(self, visit: Callable[[], bool | None], to: str = "context") -> bool | None:
        self.board.send(f"serve({to})")
        try:
            return visit()
        finally:
            (self.errors,) = self.board.receive()  # type: ignore[misc]

    def python(self, way: str, certificate: Certificate | None = None) -> PythonClient:
        context = python_context(way)
        if certificate:
            context.load_cert_chain(certificate.certificate_pem, certificate.key_pem)
        return PythonClient(self.tap.port, way, context)

    def openssl(self, way: str, *options: object) -> bool | None:
        return self.serve(lambda: s_client(self.tap.port, way, self.folder, *options))

    def save(self, way: str, *options: object) -> Path:
        """A full handshake with s_client: the file with its session."""
        path = self.folder / "session.pem"
        assert self.openssl(way, "-sess_out", path, *options) is False
        return path

    def offer(self, way: str, path: Path, *options: object) -> bool | None:
        return self.openssl(way, "-sess_in", path, *options)

    @property
    def hits(self) -> int:
        return self.board.number("table.sess_hits()")

    @property
    def last(self) -> str:
        return self.tap.seen[-1]


@pytest.fixture
def server(board: InteropBoard, tmp_path: Path) -> Iterator[Server]:
    with Tap(board.port) as tap:
        yield Server(board, tap, tmp_path)


# ---- Walls between contexts ----


@on_both
def test_session_of_another_context(server: Server, way: str) -> None:
    server.board.run("other = server_context(); table.attach(other)")
    client = server.python(way)
    server.serve(client.connect)
    first = client.session
    assert server.serve(lambda: client.connect(first), to="other") is False
    assert (server.last, server.hits) == (full(way), 0)
    assert server.serve(lambda: client.connect(first)) is True  # and it is no worse for that
    assert (server.last, server.hits) == (way, 1)


@on_both
def test_session_after_a_new_certificate(server: Server, way: str) -> None:
    """The old context is detached, a new one with another certificate attached."""
    client = server.python(way)
    server.serve(client.connect)
    server.board.run("table.detach(context); other = server_context('rsa'); table.attach(other)")
    assert server.board.number("table.sess_number()") == 0
    assert server.serve(client.resume, to="other") is False
    assert (server.last, server.hits, server.errors) == (full(way), 0, None)


@on_both
def test_session_after_detach(server: Server, way: str) -> None:
    client = server.python(way)
    server.serve(client.connect)
    first = client.session
    server.board.run("table.detach(context)")
    assert server.serve(lambda: client.connect(first)) is False
    assert (server.last, server.hits, server.errors) == (full(way), 0, None)
    assert server.board.number("table.sess_number()") == 0


# ---- Clients that have to authenticate ----


@on_firmware
@pytest.mark.parametrize("mode", ["CERT_REQUIRED", "CERT_OPTIONAL"])
def test_client_certificate_asked_for_after_attaching(
    server: Server,
    way: str,
    mode: str,
    certificates: dict[str, Certificate],
) -> None:
    stranger = server.python(way)
    server.serve(stranger.connect)
    old = stranger.session
    server.board.run(f"context.load_verify_locations(read_file('rsa.der')); context.verify_mode = tls.{mode}")
    if mode == "CERT_REQUIRED":
        with pytest.raises((ssl.SSLError, OSError, AssertionError)):
            server.serve(lambda: stranger.connect(old))
        assert server.errors
    else:
        assert server.serve(lambda: stranger.connect(old)) is False
        assert server.errors is None
    assert (server.last, server.hits) == (full(way), 0)
    known = server.python(way, certificates["rsa"])
    assert server.serve(known.connect) is False
    assert server.errors is None
    assert known.session is None or server.serve(lambda: known.connect(known.session)) is False
    server.board.run("context.verify_mode = tls.CERT_NONE")
    assert known.session is None or server.serve(lambda: known.connect(known.session)) is False
    assert (server.last, server.hits) == (full(way), 0)
    assert server.serve(lambda: stranger.connect(old)) is True
    assert (server.last, server.hits) == (way, 1)


# ---- Forgeries ----


@pytest.mark.parametrize("target", [BUILT_IN], indirect=True)
def test_ticket_of_tls13_is_good_once(server: Server) -> None:
    path = server.save(TLS13)
    assert [server.offer(TLS13, path) for _ in range(3)] == [True, False, False]
    assert server.tap.seen == [FULL_13, TLS13, FULL_13, FULL_13]
    assert [connection.offered for connection in server.tap.connections[1:]] == [TLS13] * 3
    assert server.hits == 1


@on_firmware
def test_forged_and_truncated_names_of_sessions(server: Server, way: str) -> None:
    path, forged = server.save(way), server.folder / "forged.pem"
    good = SessionFile(path).get(FIELD[way])
    assert len(good) == 32
    bad = [bytes([good[0] ^ 1]) + good[1:], good[:31] + bytes([good[31] ^ 128]), bytes(32), os.urandom(32)]
    bad += [good[:size] for size in (1, 16, 31)]
    if way != ID:  # ids have 32 bytes at most
        bad += [good + b"\0", good * 2, good + bytes(200)]
    for name in bad:
        session = SessionFile(path)
        session.set(FIELD[way], name)
        session.write(forged)
        assert server.offer(way, forged) is False, name.hex()
        assert (server.last, server.errors, server.tap.connections[-1].offered) == (full(way), None, way)
    assert server.hits == 0
    assert server.offer(way, path) is True
    assert (server.last, server.hits) == (way, 1)


@on_firmware
def test_right_name_and_wrong_secret(server: Server, way: str) -> None:
    """Refused, by both: no connection without the secret."""
    path, forged = server.save(way), server.folder / "forged.pem"
    session = SessionFile(path)
    session.set(SECRET, os.urandom(len(session.get(SECRET))))
    session.write(forged)
    assert server.offer(way, forged) is None
    assert server.errors is not None
    assert server.tap.connections[-1].offered == way
    assert server.openssl(way) is False  # others are served as before


@on_firmware
def test_session_under_a_ciphersuite_that_is_not_offered(server: Server, way: str) -> None:
    option = "-ciphersuites" if way == TLS13 else "-cipher"
    suites = SUITES[way == TLS13]
    path = server.save(way, option, suites[0])
    said = server.offer(way, path, option, suites[1])
    if way == ID:
        # Counted as a hit all the same: Mbed TLS compares the suites after the table has answered.
        assert (said, server.errors, server.last) == (False, None, full(way))
    else:
        # Mbed TLS looks at the ticket before it looks at the suites, and then one of the two sides gives up.
        assert said is None
        assert server.errors is not None
    # Now with the right suite; a ticket of TLS 1.3 is used up by then.
    assert server.offer(way, path, option, suites[0]) is (way != TLS13)


@on_firmware
def test_session_with_another_ciphersuite_than_it_was_made_with(server: Server, way: str) -> None:
    suites = (b"\x13\x01", b"\x13\x02") if way == TLS13 else (b"\xc0\x2b", b"\xc0\x2c")
    path, forged = server.save(way), server.folder / "forged.pem"
    session = SessionFile(path)
    session.set(CIPHER, suites[session.get(CIPHER) == suites[0]])
    session.write(forged)
    assert server.offer(way, forged) in (False, None)
    assert server.openssl(way) is False


# ---- Time ----


@on_both
def test_expired_session(server: Server, way: str) -> None:
    client = server.python(way)
    server.serve(client.connect)
    server.board.run("now[0] += 7200")
    if way != TLS13:
        assert server.serve(client.resume) is True
    server.board.run("now[0] += 1")
    hits = server.hits
    assert server.serve(client.resume) is False
    assert (server.last, server.hits) == (full(way), hits)
    assert server.board.number("table.sess_timeouts()") == 1


@on_both
def test_clock_set_back(server: Server, way: str) -> None:
    client = server.python(way)
    server.serve(client.connect)
    server.board.run("now[0] -= 1")
    assert server.serve(client.resume) is False
    assert (server.last, server.hits) == (full(way), 0)


@on_both
def test_clock_set_forward_and_back(server: Server, way: str) -> None:
    client = server.python(way)
    server.serve(client.connect)
    first = client.session
    server.board.run("now[0] += 7201")
    assert server.serve(lambda: client.connect(first)) is False
    server.board.run("now[0] -= 7201")
    assert server.serve(lambda: client.connect(first)) is False  # expired is gone for good
    assert (server.last, server.hits) == (full(way), 0)


@on_both
def test_clock_that_fails(server: Server, way: str) -> None:
    client = server.python(way)
    server.serve(client.connect)
    server.board.run("now[0] = None")
    assert server.serve(client.resume) is False
    assert (server.last, server.hits, server.errors) == (full(way), 0, None)


# ---- The client on the board ----


class Client:
    """The board as a client of an s_server, through a tap."""

    def __init__(self, board: InteropBoard, tap: Tap) -> None:
        self.board, self.tap = board, tap
        board.run("now = [100000]; table = SessionTable(8, data_size=600, mode=3, clock=lambda: now[0])")
        board.run("context = client_context()")

    def fetch(self, context: str = "context", **options: object) -> object:
        """Whether it was resumed, or the error: its type and text."""
        keywords = "".join(f", {key}={value!r}" for key, value in options.items())
        self.board.run("pages = []")
        error = self.board.run(
            f"refused(lambda: pages.append(fetch(table, {context}, {self.tap.port}{keywords})))"
        )
        return error or self.board.run("pages[0][0]")

    @property
    def offered(self) -> str | None:
        return self.tap.connections[-1].offered


@pytest.fixture
def client(
    board: InteropBoard,
    way: str,
    certificates: dict[str, Certificate],
    tmp_path: Path,
) -> Iterator[Client]:
    with openssl(certificates["ec"], way, tmp_path) as peer, Tap(peer.port) as tap:
        client = Client(board, tap)
        assert client.fetch() is False
        yield client


@client_on_firmware
def test_client_offers_nothing_to_a_server_of_another_name(client: Client, way: str) -> None:
    error = client.fetch(name="other.example")
    assert isinstance(error, list) and error[0] == "ValueError"  # the certificate is localhost's
    assert client.offered is None
    assert client.board.number("table.sess_number()") == 1
    assert client.fetch() is True
    assert client.offered == way


@client_on_firmware
def test_client_offers_nothing_to_another_port(client: Client, way: str) -> None:
    assert client.fetch(key=8443) is False
    assert client.offered is None
    assert client.board.number("table.sess_number()") == 2
    assert client.fetch() is True


@client_on_firmware
def test_client_offers_nothing_under_another_number(client: Client, way: str) -> None:
    assert client.fetch(number=1) is False
    assert client.offered is None
    assert client.fetch(number=1) is True
    assert client.fetch() is False  # a server has one session, under the number of the last connection
    assert client.offered is None


@client_on_firmware
def test_client_that_verifies_offers_nothing_that_was_not_verified(client: Client, way: str) -> None:
    client.board.run("table.clear()")
    client.board.run("naive = client_context('rsa'); naive.verify_mode = tls.CERT_NONE")
    assert client.fetch("naive") is False
    assert client.fetch("naive") is True
    client.board.run("strict = client_context('rsa')")  # which does not trust this server
    error = client.fetch("strict")
    assert isinstance(error, list) and error[0] == "ValueError"
    assert client.offered is None


@client_on_firmware
def test_clients_clock(client: Client, way: str) -> None:
    """Set back, set forward beyond the timeout, failing: nothing is offered."""
    for change in ("now[0] -= 1", "now[0] += 7202", "now[0] = None"):
        client.board.run(change)
        assert client.fetch() is False, change
        assert client.offered is None, change
