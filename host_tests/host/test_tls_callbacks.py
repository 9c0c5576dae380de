"""Callbacks that do what a program should not: detach the context whose handshake calls them, and more.

On stock firmware with the dynamic native module, and where sesstab is compiled in. A handshake then is a full
one, or goes on as it was; nothing crashes, nothing of the context stays in the table, no reference is lost.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sesstab_tools.certificates import Certificate, make_certificate
from sesstab_tools.virtual import find_micropython
from test_stock_tls import NATIVE, ROOT, TIMEOUT, Client, Server
from test_user_module import context_for
from user_module import FIRMWARE, make_server

pytestmark = pytest.mark.slow

WAYS = ["stock 1.2-id", "user 1.2-id", "user 1.2-ticket", "user 1.3"]
TICKETS = [way for way in WAYS if not way.endswith("id")]

BOARD = """
answers = []

def detach(*_):
    answers.append(table.detach(context))
    return 0

def free_slots():
    # A table of 8, and 2 spare ones: all that nobody holds.
    made = [h for h in [table.new_session(b"%d" % i, b"") for i in range(12)] if h]
    for h in made:
        table.free(h)
    return len(made)

class Clock:
    # Detaches at its n-th call.
    n = 0

    def __call__(self):
        self.n -= 1
        if self.n == 0:
            detach()
        return 1000
"""


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Certificate]:
    folder = tmp_path_factory.mktemp("certificates")
    return {"ec": make_certificate(folder, "ec")}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(tmp_path: Path, certificates: dict[str, Certificate], way: str) -> Iterator[Server]:
    server = make_server(tmp_path, certificates, stock=way.startswith("stock"))
    server.run(BOARD)
    yield server
    server.close()


@pytest.fixture
def client(server: Server, way: str) -> Client:
    return Client(server, context_for(way.split()[1]))


def is_clean(server: Server) -> bool:
    return server.run("[table.sess_number(), free_slots()]") == [0, 10]


def serves_again(server: Server, client: Client) -> bool:
    server.run("table.on_new = table.on_get = table.on_remove = None; table.attach(context)")
    return not client.connect() and client.resume()


# ---- detach ----


def test_on_new_may_detach(server: Server, client: Client) -> None:
    server.run("table.on_new = detach")
    assert not client.connect()
    assert client.errors == []
    assert server.run("answers") == [1]
    assert is_clean(server)
    assert not client.connect(client.session)
    assert serves_again(server, client)


def test_on_get_may_detach(server: Server, client: Client) -> None:
    client.connect()
    server.run("table.flush_sessions(0); table.on_get = detach")
    assert not client.resume()
    assert client.errors == []
    assert server.run("answers") == [1]
    assert is_clean(server)
    assert serves_again(server, client)


def test_on_get_may_detach_and_give_a_session(server: Server, client: Client) -> None:
    server.run(
        """
kept = []

def keep(table, h):
    ident, state = bytearray(32), bytearray(54)
    kept.append((ident[: table.session_id(h, ident)], state[: table.session_data(h, state)]))

def give(table, ident):
    detach()
    return table.new_session(*kept[0], None, 1)

table.on_new = keep; table.on_get = give; table.mode = 0x302
"""
    )
    client.connect()
    assert not client.resume()
    assert client.errors == []
    assert server.run("answers") == [1]
    assert is_clean(server)


def test_on_remove_may_detach_when_a_session_makes_room(server: Server, client: Client) -> None:
    client.connect()
    server.run("table.cache_size = 1; table.on_remove = detach")
    assert not client.connect()
    assert client.errors == []
    assert server.run("answers[0]") == 1
    assert is_clean(server)
    assert serves_again(server, client)


def test_on_remove_may_detach_when_a_session_has_expired(server: Server, client: Client) -> None:
    client.connect()
    server.run("now[0] += 7201; table.on_remove = detach")
    assert not client.resume()
    assert client.errors == []
    assert server.run("answers[0]") == 1
    assert is_clean(server)


def test_the_clock_may_detach(server: Server, client: Client) -> None:
    server.run("clock = Clock(); table = SessionTable(8, clock=clock); context = new_context()")
    calls = 0
    while True:
        calls += 1
        server.run("table.attach(context); answers.clear()")
        client.connect()
        server.run(f"clock.n = {calls}")
        client.resume()
        assert client.errors == []
        server.run("clock.n = 0")
        if server.run("answers") == []:
            break
        assert server.run("answers") == [1]
        assert is_clean(server), calls
    assert calls > 1


def test_detach_while_a_handshake_stands_still(server: Server, client: Client, way: str) -> None:
    """As with asyncio: between two messages of the client."""
    server.run(
        """
import io

class Stream(io.IOBase):
    def __init__(self, stream):
        self.stream = stream

    def readinto(self, buf):
        return self.stream.readinto(buf)

    def write(self, buf):
        table.detach(context)
        return self.stream.write(buf)

    def ioctl(self, request, argument):
        return 0

def serve_detached():
    stream, _ = listener.accept()
    connection = context.wrap_socket(Stream(stream), server_side=True)
    connection.write(connection.readline())
    connection.close()
    stream.close()
"""
    )
    for resumes in (False, True):
        if resumes:
            server.run("table.attach(context)")
            client.connect()
        server.send("serve_detached()")
        client.handshake(client.session if resumes else None)
        server.receive()
        assert is_clean(server)
    assert serves_again(server, client)


def test_detach_in_on_remove_changes_nothing_while_sessions_are_left(server: Server, client: Client) -> None:
    server.run(
        """
for i in range(3):
    h = table.new_session(b"id%d" % i, b"s", None, 1); table.add_session(h); table.free(h)
table.on_remove = detach
"""
    )
    assert server.run("table.remove_session(table.next_session())") == 1
    assert server.run("answers + [table.sess_number()]") == [0, 2]
    assert server.run("table.attach(context)") == 1
    server.run("table.on_remove = None; table.clear()")
    assert not client.connect()
    assert client.resume()
    server.run("answers.clear(); table.on_remove = detach")
    # Its own removals call on_remove, for the last of which there is nothing left to forget.
    server.run("h = table.new_session(b'id', b's', None, 1); table.add_session(h); table.free(h)")
    assert server.run("table.detach(context)") == 1
    assert server.run("answers") == [0, 1]
    assert is_clean(server)


# ---- attach ----


def test_attach_that_fails_takes_no_number(server: Server) -> None:
    """Numbers are in snapshots, so that contexts attached in the same order must get the same ones."""
    server.run(
        """
import micropython

def attach_without_memory(table, context):
    micropython.heap_lock()
    try:
        table.attach(context)
    except MemoryError:
        return 0
    finally:
        micropython.heap_unlock()

fresh = SessionTable(4); other = new_context()
"""
    )
    for _ in range(3):
        assert server.run("attach_without_memory(fresh, other)") == 0
    assert server.run("fresh.attach(other)") == 1


@pytest.mark.parametrize("way", ["user 1.3"], indirect=True)
def test_a_tls13_ticket_is_good_once_though_the_context_is_attached_again(
    server: Server, client: Client
) -> None:
    client.connect()
    session = client.session
    seen = []
    for _ in range(3):
        server.run("table.attach(context)")
        seen.append(begins_to_resume(server, client, session))
    assert seen[2] is False, seen
    assert server.run("table.attach(context)") == 1


def begins_to_resume(server: Server, client: Client, session: ssl.SSLSession | None) -> bool:
    """A handshake that is broken off after the server's first answer. Whether that takes the session up."""
    before = int(str(server.run("table.sess_hits()")))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client.context.wrap_bio(incoming, outgoing, session=session)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    server.send("serve(context)")
    with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as stream:
        stream.sendall(outgoing.read())
        assert stream.recv(65536)
    server.receive()
    return int(str(server.run("table.sess_hits()"))) > before


# ---- Names of the program's own ----


def test_globals_with_names_of_builtins(server: Server, client: Client) -> None:
    server.run(
        """
def bytearray(n):
    return 7

def callable(x):
    return False

TypeError = ValueError = RuntimeError = bytes = int = 7
ids = []
table = SessionTable(4); context = new_context(); table.attach(context)
table.on_get = lambda table, ident: ids.append(ident)
"""
    )
    client.connect()
    server.run("table.flush_sessions(0)")
    assert not client.resume()
    assert server.run("[type(ids[0]).__name__, len(ids[0])]") == ["bytearray", 32]
    assert server.refused("table.get_session, 'a str'")[0] == "TypeError"
    assert server.refused("table.new_session, b'id', b'', 'a str'")[0] == "TypeError"
    assert server.refused("SessionTable, 0")[0] == "ValueError"
    server.run(
        """
import micropython
MemoryError = 7

def dump_locked():
    micropython.heap_lock()
    try:
        table.dump()
    finally:
        micropython.heap_unlock()
"""
    )
    assert server.refused("dump_locked,")[0] == "MemoryError"


# ---- Memory ----

DUMP = """
import gc
from _sesstab import SessionTable

table = SessionTable(40, 1, 1500)
for i in range(40):
    table.add_session(table.new_session(b"id%d" % i, b"TOPSECRET-master" * 90))
need = table.dump_size()
expected = bytearray(need)
table.dump(expected)
hog = [None] * 3000
hole = bytearray(need + 4096)

def fill():
    n = 0
    size = 65536
    while size > 2000:
        try:
            hog[n] = bytearray(size)
            n += 1
        except MemoryError:
            size //= 2

def try_to():
    gc.collect()
    try:
        return table.dump() == expected
    except MemoryError:
        return "no memory"

fill()
print(try_to())
hole = None
print(try_to())
"""


@pytest.mark.parametrize("way", WAYS[:2])
def test_dump_takes_memory_for_its_result_and_no_copy(way: str, tmp_path: Path) -> None:
    """So that there is no copy of the secrets that would have to be wiped, also when memory runs out."""
    interpreter = find_micropython() if way.startswith("stock") else str(FIRMWARE)
    (tmp_path / "dump.py").write_text(DUMP)
    done = subprocess.run(
        [interpreter, "-X", "heapsize=900K", "dump.py"],
        cwd=tmp_path,
        env={"MICROPYPATH": f"{ROOT / 'lib'}:{NATIVE}:.frozen"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert done.stdout.split("\n")[:2] == ["no memory", "True"], done.stdout + done.stderr
