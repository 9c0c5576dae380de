"""TLS 1.2 resumption by a server on stock MicroPython: table.attach(context), against real OpenSSL clients.

The server is the unix interpreter as a subprocess, with the dynamic native module. A test sends it lines of
Python and connects to it. What a client saw and what the table counted have to agree.
"""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sesstab_tools.certificates import Certificate, make_certificate
from sesstab_tools.virtual import find_micropython

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "dist" / "natmod" / "x64_6.3"
TIMEOUT = 20

SERVER = r"""
import sys
sys.path.append(sys.argv[1])
sys.path.append(sys.argv[2])
import gc, json, socket, tls
from _sesstab import SessionTable

listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(socket.getaddrinfo("127.0.0.1", int(sys.argv[3]))[0][-1])
listener.listen(5)

def new_context(kind="ec", module=tls):
    context = module.SSLContext(tls.PROTOCOL_TLS_SERVER)
    with open(kind + ".der", "rb") as cert, open(kind + "-key.der", "rb") as key:
        context.load_cert_chain(cert.read(), key.read())
    return context

def serve(context, n=1):
    errors = []
    for _ in range(n):
        stream, _ = listener.accept()
        try:
            connection = context.wrap_socket(stream, server_side=True)
            connection.write(connection.readline())
            connection.close()
        except (OSError, ValueError) as error:
            errors.append(str(error))
        stream.close()
    return errors

def refused(function, *arguments):
    try:
        function(*arguments)
    except Exception as error:
        return [type(error).__name__, str(error)]

print("ready")
while True:
    line = sys.stdin.readline()
    if not line:
        break
    try:
        code = json.loads(line)
        try:
            answer = [True, eval(code)]
        except SyntaxError:
            answer = [True, exec(code)]
    except Exception as error:
        sys.print_exception(error, sys.stderr)
        answer = [False, repr(error)]
    print(json.dumps(answer))
"""


class Server:
    """The interpreter: run() executes code there, or returns an expression's value."""

    def __init__(self, folder: Path, interpreter: str | None = None) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        (folder / "server.py").write_text(SERVER)
        command = [
            interpreter or find_micropython(),
            "server.py",
            str(NATIVE),
            str(ROOT / "lib"),
            str(self.port),
        ]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, cwd=folder, stdin=pipe, stdout=pipe, text=True)
        assert self.process.stdout
        assert self.process.stdout.readline() == "ready\n", (
            "see stderr; is the native module built? make natmod"
        )

    def send(self, code: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(code) + "\n")
        self.process.stdin.flush()

    def receive(self) -> object:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, f"the interpreter ended with {self.process.wait()}"
        good, value = json.loads(line)
        assert good, value
        return value

    def run(self, code: str) -> object:
        self.send(code)
        return self.receive()

    def refused(self, call: str) -> tuple[str, str]:
        """The exception that `function, *arguments` raises: its type and text."""
        answer = self.run(f"refused({call})")
        assert isinstance(answer, list), f"{call} raised nothing"
        return answer[0], answer[1]

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def client_context(certificate: Certificate | None = None, ciphers: str | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_TICKET
    if certificate:
        context.load_cert_chain(certificate.certificate_pem, certificate.key_pem)
    if ciphers:
        context.set_ciphers(ciphers)
    return context


class Client:
    """CPython's ssl as the client of one server: keeps its last session."""

    def __init__(self, server: Server, context: ssl.SSLContext | None = None) -> None:
        self.server = server
        self.context = context or client_context()
        self.session: ssl.SSLSession | None = None

    def handshake(self, session: ssl.SSLSession | None = None) -> bool:
        """One connection, without the server's part. Returns whether it was resumed."""
        stream = socket.create_connection(("127.0.0.1", self.server.port), TIMEOUT)
        with self.context.wrap_socket(stream, session=session) as connection:
            connection.sendall(b"hello\n")
            assert connection.recv(6) == b"hello\n"
            self.session = connection.session
            return bool(connection.session_reused)

    def connect(self, session: ssl.SSLSession | None = None, to: str = "context") -> bool:
        """One connection that the server's context `to` serves."""
        self.server.send(f"serve({to})")
        try:
            return self.handshake(session)
        finally:
            self.errors = self.server.receive()

    def resume(self, to: str = "context") -> bool:
        assert self.session is not None
        return self.connect(self.session, to)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Certificate]:
    folder = tmp_path_factory.mktemp("certificates")
    return {kind: make_certificate(folder, kind) for kind in ("ec", "rsa")}


@pytest.fixture
def server(tmp_path: Path, certificates: dict[str, Certificate]) -> Iterator[Server]:
    """A server with a table of 8 on a clock that stands still, and an attached context."""
    for kind, certificate in certificates.items():
        (tmp_path / f"{kind}.der").write_bytes(certificate.certificate_der)
        (tmp_path / f"{kind}-key.der").write_bytes(certificate.key_der)
    server = Server(tmp_path)
    server.run("now = [1000]")
    server.run("table = SessionTable(8, clock=lambda: now[0])")
    server.run("context = new_context()")
    assert server.run("table.attach(context)") == 1
    yield server
    server.close()


@pytest.fixture
def client(server: Server) -> Client:
    return Client(server)


def stats(server: Server) -> dict[str, int]:
    value = server.run("table.session_stats()")
    assert isinstance(value, dict)
    return value


def counts(server: Server) -> dict[str, object]:
    """What the table counted, and how many sessions it holds."""
    value = stats(server)
    stored = server.run("table.sess_stored()")
    return {"stored": stored, **{key: value[key] for key in ("hits", "misses", "timeouts", "number")}}


def expect(server: Server, **expected: int) -> None:
    assert counts(server) == {"stored": 0, "hits": 0, "misses": 0, "timeouts": 0, "number": 0, **expected}


# ---- Resumption ----


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_openssl_reconnect_is_resumed_each_time(server: Server, kind: str) -> None:
    server.run(f"context = new_context({kind!r}); table.attach(context)")
    server.send("serve(context, 6)")
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_2", "-reconnect"]
    result = subprocess.run(command, input="hello\n", capture_output=True, text=True, timeout=TIMEOUT)
    server.receive()
    assert re.findall(r"^(New|Reused),", result.stdout, re.M) == ["New"] + ["Reused"] * 5
    expect(server, stored=1, hits=5, number=1)


def test_openssl_session_in_a_file_is_resumed(server: Server, tmp_path: Path) -> None:
    kinds = []
    for option in ("-sess_out", "-sess_in"):
        server.send("serve(context)")
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_2", "-ign_eof"]
        command += [option, str(tmp_path / "session")]
        result = subprocess.run(command, input="hello\n", capture_output=True, text=True, timeout=TIMEOUT)
        server.receive()
        kinds += re.findall(r"^(New|Reused),", result.stdout, re.M)
    assert kinds == ["New", "Reused"]
    expect(server, stored=1, hits=1, number=1)


@pytest.mark.parametrize("ciphers", ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"])
def test_python_client_is_resumed(server: Server, ciphers: str) -> None:
    client = Client(server, client_context(ciphers=ciphers))
    assert not client.connect()
    assert client.resume()
    assert client.resume()
    expect(server, stored=1, hits=2, number=1)


def test_clients_without_a_session_are_not_resumed(server: Server, client: Client) -> None:
    assert not client.connect()
    assert not client.connect()
    expect(server, stored=2, number=2)


def test_session_with_another_ciphersuite_than_negotiated_is_not_resumed(server: Server) -> None:
    first = Client(server, client_context(ciphers="ECDHE-ECDSA-AES128-GCM-SHA256"))
    first.connect()
    server.run("buf = bytearray(50); table.session_data(table.next_session(), buf)")
    assert str(server.run("buf.hex()")).startswith("c02b")  # TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
    # The same session, as if it had been negotiated with AES-256.
    server.run("buf[1] = 0x2c")
    server.run("ident = bytearray(32); table.session_id(table.next_session(), ident)")
    server.run("h = table.new_session(ident, buf, None, 1); table.add_session(h); table.free(h)")
    assert not first.resume()


def test_wrapper_of_the_ssl_module_attaches(server: Server, client: Client) -> None:
    server.run("import ssl")
    server.run("context = new_context(module=ssl)")
    assert server.run("table.attach(context)") == 2
    assert server.run("table.attach(context._context)") == 2
    assert not client.connect()
    assert client.resume()
    expect(server, stored=1, hits=1, number=1)


def test_asyncio_server(server: Server, client: Client) -> None:
    server.run("import asyncio")
    server.run(
        """
async def handle(reader, writer):
    writer.write(await reader.readline())
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    left[0] -= 1

async def serve_async(n):
    left[0] = n
    running = await asyncio.start_server(handle, "127.0.0.1", port, ssl=context)
    print("listening")
    while left[0]:
        await asyncio.sleep_ms(5)
    running.close()

left = [0]
"""
    )
    server.run(f"port = {server.port}")
    server.run("listener.close()")
    server.send("asyncio.run(serve_async(4))")
    assert server.process.stdout and server.process.stdout.readline() == "listening\n"
    assert not client.handshake()
    assert all(client.handshake(client.session) for _ in range(3))
    server.receive()
    expect(server, stored=1, hits=3, number=1)


@pytest.mark.slow
def test_memory_stays_flat_and_statistics_add_up_over_500_handshakes(server: Server) -> None:
    clients = [Client(server) for _ in range(12)]  # more than the table holds
    seen = {True: 0, False: 0}
    offered = 0
    heap: list[int] = []
    for i in range(500):
        client = clients[(i * 7 + i // 11) % 12]
        session = client.session if i % 5 else None
        offered += session is not None
        seen[client.connect(session)] += 1
        if i in (99, 299, 499):
            server.run("gc.collect()")
            heap.append(int(str(server.run("gc.mem_alloc()"))))
    assert seen[True] > 100 and seen[False] > 100
    expect(server, stored=seen[False], hits=seen[True], misses=offered - seen[True], number=8)
    assert stats(server)["cache_full"] == seen[False] - 8
    # The collector may take a stray word for a pointer, and keep a connection or two (700 bytes). A leak of
    # its smallest block, 32 bytes, at each handshake would be 6,400 and 12,800.
    assert max(heap) - heap[0] <= 2048, heap


# ---- Walls between contexts, and client certificates ----


def test_session_of_another_context_is_not_resumed(server: Server, client: Client) -> None:
    server.run("other = new_context()")
    assert server.run("table.attach(other)") == 2
    client.connect()
    first = client.session
    assert not client.connect(first, to="other")
    assert client.connect(first, to="context")
    assert server.run("table.session_context(table.next_session())") == 1
    expect(server, stored=2, hits=1, number=2)


@pytest.mark.parametrize("mode", ["CERT_REQUIRED", "CERT_OPTIONAL"])
def test_context_that_asks_for_client_certificates_is_refused(server: Server, mode: str) -> None:
    server.run("other = new_context()")
    server.run(f"other.verify_mode = tls.{mode}")
    kind, text = server.refused("table.attach, other")
    assert kind == "ValueError" and "CERT_NONE" in text


def test_asking_for_client_certificates_later_shuts_sessions_out(
    server: Server, client: Client, certificates: dict[str, Certificate]
) -> None:
    client.connect()
    old = client.session
    server.run("context.load_verify_locations(open('rsa.der', 'rb').read())")
    server.run("context.verify_mode = tls.CERT_REQUIRED")
    with pytest.raises((ssl.SSLError, OSError)):
        client.connect(old)
    assert client.errors
    expect(server, stored=1, number=1)
    known = Client(server, client_context(certificates["rsa"]))
    assert not known.connect()
    assert known.errors == []
    assert not known.resume()
    expect(server, stored=1, number=1)
    server.run("context.verify_mode = tls.CERT_NONE")
    assert client.connect(old)
    assert server.run("table.detach(context)") == 1


def test_session_made_with_a_client_certificate_is_never_resumed(
    server: Server, certificates: dict[str, Certificate]
) -> None:
    server.run("context.load_verify_locations(open('rsa.der', 'rb').read())")
    server.run("context.verify_mode = tls.CERT_REQUIRED")
    known = Client(server, client_context(certificates["rsa"]))
    known.connect()
    server.run("context.verify_mode = tls.CERT_NONE")
    assert not known.resume()


# ---- Sessions that are gone ----


def test_expired_session_is_not_resumed(server: Server, client: Client) -> None:
    client.connect()
    server.run("now[0] += 7200")
    assert client.resume()
    server.run("now[0] += 1")
    assert not client.resume()
    expect(server, stored=2, hits=1, timeouts=1, number=1)


def test_session_from_the_future_and_unknown_time_are_not_resumed(server: Server, client: Client) -> None:
    client.connect()
    server.run("now[0] -= 1")
    assert not client.resume()
    server.run("now[0] = 0")
    assert not client.resume()


@pytest.mark.parametrize(
    "how", ["table.flush_sessions(0)", "table.clear()", "table.remove_session(table.next_session())"]
)
def test_removed_session_is_not_resumed(server: Server, client: Client, how: str) -> None:
    client.connect()
    server.run(how)
    assert not client.resume()
    assert client.resume()
    expect(server, stored=2, hits=1, misses=1, number=1)


def test_detached_context_makes_full_handshakes(server: Server, client: Client) -> None:
    server.run("other = new_context(); table.attach(other)")
    client.connect(to="other")
    client.connect()
    assert server.run("table.detach(context)") == 1
    assert server.run("table.sess_number()") == 1  # the other's
    assert not client.resume()
    assert not client.resume()
    assert server.run("table.detach(context)") == 0
    assert server.run("table.attach(context)") == 3  # never a number twice
    assert not client.resume()
    assert client.resume()


# ---- Modes and callbacks ----


def test_mode_without_server_stores_nothing(server: Server, client: Client) -> None:
    server.run("table.mode = 0")
    client.connect()
    assert not client.resume()
    expect(server, misses=1)


def test_external_store_through_callbacks(server: Server, client: Client) -> None:
    """NO_INTERNAL: the application's own store serves the sessions."""
    server.run(
        """
store = {}
ids = []

def on_new(table, h):
    ident, state = bytearray(32), bytearray(50)
    store[bytes(ident[: table.session_id(h, ident)])] = (state, table.session_context(h))
    table.session_data(h, state)

def on_get(table, ident):
    ids.append(ident)
    state = store.get(bytes(ident))
    return state and table.new_session(ident, state[0], None, state[1])

table.on_new = on_new
table.on_get = on_get
table.mode = 0x302
"""
    )
    client.connect()
    assert server.run("len(store)") == 1
    assert client.resume()
    assert client.resume()
    assert server.run("[type(ids[0]) == bytearray, ids[0] is ids[1]]") == [True, True]
    assert server.run("[table.sess_number(), table.sess_cb_hits(), table.sess_hits()]") == [0, 2, 2]
    server.run("store.clear()")
    assert not client.resume()


def test_exceptions_in_callbacks_do_not_disturb_the_handshake(server: Server, client: Client) -> None:
    server.run(
        """
def fail(table, what):
    seen.append(1)
    raise KeyboardInterrupt

seen = []
table.on_new = table.on_get = table.on_remove = fail
"""
    )
    client.connect()
    assert client.resume()
    server.run("table.flush_sessions(0)")
    assert not client.resume()
    assert server.run("len(seen)") == 4  # new, remove, get, new
    expect(server, stored=2, hits=1, misses=1, number=1)


def test_on_get_that_resizes_the_id(server: Server, client: Client) -> None:
    server.run(
        """
def on_get(table, ident):
    ident.extend(bytes(100))
    ident[:] = b""

table.on_get = on_get
"""
    )
    for _ in range(3):
        client.connect()
        server.run("table.flush_sessions(0)")
        assert not client.resume()
        assert client.resume()


# ---- Forged offers: a ClientHello made by hand ----


def client_hello(session_id: bytes) -> bytes:
    groups = struct.pack(">HHHH", 10, 4, 2, 23)
    formats = struct.pack(">HHBB", 11, 2, 1, 0)
    signatures = struct.pack(">HHHHH", 13, 6, 4, 0x0403, 0x0401)
    extensions = groups + formats + signatures
    body = b"\x03\x03" + os.urandom(32) + bytes([len(session_id)]) + session_id
    body += struct.pack(">HHHBBH", 4, 0xC02B, 0xC02C, 1, 0, len(extensions)) + extensions
    handshake = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + len(handshake).to_bytes(2, "big") + handshake


def offer(server: Server, session_id: bytes) -> bool:
    """Offers a session id to the server. Returns whether it accepts: whether it answers with that id."""
    server.send("serve(context)")
    with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as stream:
        stream.sendall(client_hello(session_id))
        answer = stream.recv(4096)
    server.receive()
    if answer[:1] != b"\x16":
        return False
    size = answer[43]
    return answer[44 : 44 + size] == session_id


def table_id(server: Server) -> bytes:
    server.run("ident = bytearray(32)")
    assert server.run("table.session_id(table.next_session(), ident)") == 32
    return bytes.fromhex(str(server.run("ident.hex()")))


def test_forged_and_truncated_ids_are_not_resumed(server: Server, client: Client) -> None:
    client.connect()
    good = table_id(server)
    assert offer(server, good)
    expect(server, stored=1, hits=1, number=1)
    forged = [good[:31] + bytes([good[31] ^ 1]), bytes([good[0] ^ 128]) + good[1:], bytes(32), b"\xff" * 32]
    truncated = [good[:size] for size in (1, 2, 4, 8, 16, 24, 31)]
    for session_id in forged + truncated:
        assert not offer(server, session_id), session_id.hex()
    assert not offer(server, b"")
    assert not offer(server, good + b"\0")  # not a ClientHello
    expect(server, stored=1, hits=1, misses=len(forged + truncated), number=1)
    assert client.resume()


# ---- What attach refuses ----


@pytest.mark.parametrize(
    "thing",
    ["5", "None", "'context'", "b'x' * 4000", "tls", "tls.SSLContext", "socket.socket()", "table",
     "Pretender()", "Wrapper(5)", "Wrapper(None)", "Wrapper(Pretender())", "Wrapper(Wrapper(context))",
     "SSLContext()", "context.wrap_socket(socket.socket(), server_side=True, do_handshake_on_connect=False)"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["attach", "detach"])
def test_wrong_objects_are_refused(server: Server, thing: str, method: str) -> None:
    server.run(
        """
class Pretender:
    verify_mode = 0

class SSLContext(Pretender):
    def wrap_socket(self, *args):
        return None

class Wrapper:
    def __init__(self, inner):
        self._context = inner
"""
    )
    kind, text = server.refused(f"table.{method}, {thing}")
    assert kind == "TypeError" and "SSLContext" in text


def test_wrapper_of_a_context_attaches_the_context(server: Server) -> None:
    server.run("class Wrapper: _context = context")
    assert server.run("table.attach(Wrapper())") == 1


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        ("tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)", "ValueError", "client"),
        ("tls.SSLContext(tls.PROTOCOL_DTLS_SERVER)", "ValueError", "DTLS"),
        ("tls.SSLContext(tls.PROTOCOL_DTLS_CLIENT)", "ValueError", "client"),
    ],
)
def test_contexts_that_are_no_tls_server_are_refused(server: Server, make: str, kind: str, text: str) -> None:
    server.run(f"other = {make}")
    server.run("import uctypes; before = bytes(uctypes.bytes_at(id(other), 2048))")
    assert server.run("table.detach(other)") == 0
    refusal = server.refused("table.attach, other")
    assert refusal[0] == kind and text in refusal[1]
    assert server.run("bytes(uctypes.bytes_at(id(other), 2048)) == before") is True


def test_tables_that_cannot_serve_tls_are_refused(server: Server) -> None:
    server.run("other = new_context()")
    server.run("small = SessionTable(4, data_size=49); tight = SessionTable(4, spare=0)")
    kind, text = server.refused("small.attach, other")
    assert kind == "ValueError" and "data_size of at least 5" in text and "49" in text
    kind, text = server.refused("tight.attach, other")
    assert kind == "ValueError" and "spare" in text


def test_context_of_another_table_is_refused_until_detached(server: Server) -> None:
    server.run("second = SessionTable(4)")
    kind, text = server.refused("second.attach, context")
    assert kind == "ValueError" and "another table" in text
    assert server.run("second.detach(context)") == 0
    assert server.run("table.detach(context)") == 1
    assert server.run("second.attach(context)") == 1


def test_attaching_again_gives_the_same_number_and_255_are_the_limit(server: Server) -> None:
    assert server.run("table.attach(context)") == 1
    server.run("contexts = [tls.SSLContext(tls.PROTOCOL_TLS_SERVER) for _ in range(255)]")
    assert server.run("[table.attach(c) for c in contexts[:254]]") == list(range(2, 256))
    kind, text = server.refused("table.attach, contexts[254]")
    assert kind == "ValueError" and "255" in text
    assert server.run("table.attach(contexts[253])") == 255


# Offsets in words from p_vrfy: each is changed to a value that the layout does not allow.
@pytest.mark.parametrize(
    ("word", "value"),
    [(-1, 0), (-2, 1), (-3, 1), (-4, 1), (-5, 1), (-6, 1), (-7, 0), (-8, 0), (-9, 1), (-11, 0),
     (-12, 1 << 63 | 0x0100000001 + 1), (-13, 0x0000030400000304), (-13, 0x0000030300000302), (0, 0)],
)  # fmt: skip
def test_unknown_layout_of_the_config_is_refused(server: Server, word: int, value: int) -> None:
    """Damages a context at one place, as seen by a module that was made for another layout."""
    server.run("import uctypes; other = new_context(); at = id(other)")
    server.run("memory = uctypes.bytearray_at(at, 2048)")
    server.run("words = [int.from_bytes(memory[8 * i : 8 * i + 8], 'little') for i in range(256)]")
    server.run(f"place = 8 * (words.index(at) + {word})")
    server.run("saved = bytes(memory[place : place + 8])")
    server.run(f"memory[place : place + 8] = ({value}).to_bytes(8, 'little')")
    server.run("damaged = bytes(memory)")
    kind, text = server.refused("table.attach, other")
    if word in (-4, -5, -6):
        assert kind == "ValueError" and "session cache already" in text
    else:
        assert kind == "RuntimeError" and "user C module" in text
    assert server.run("bytes(memory) == damaged") is True
    server.run("memory[place : place + 8] = saved")
    assert server.run("table.attach(other)") == 2


def test_unknown_layout_of_the_session_stores_nothing_and_says_so(server: Server, client: Client) -> None:
    """In the middle of the handshake the context's list of ciphersuites changes: the session's own is not
    in it, as when the session's fields lie elsewhere."""
    server.run(
        """
import array, io, uctypes
suites = array.array("I", [0xC0AC, 0])
memory = uctypes.bytearray_at(id(context), 2048)
words = [int.from_bytes(memory[8 * i : 8 * i + 8], "little") for i in range(256)]
place = 8 * (words.index(id(context)) - 11)
saved = bytes(memory[place : place + 8])

class Stream(io.IOBase):
    def __init__(self, stream):
        self.stream = stream

    def readinto(self, buf):
        return self.stream.readinto(buf)

    def write(self, buf):
        memory[place : place + 8] = uctypes.addressof(suites).to_bytes(8, "little")
        return self.stream.write(buf)

    def ioctl(self, request, argument):
        return 0

def serve_damaged():
    stream, _ = listener.accept()
    connection = context.wrap_socket(Stream(stream), server_side=True)
    connection.write(connection.readline())
    connection.close()
    stream.close()
    memory[place : place + 8] = saved
"""
    )
    server.send("serve_damaged()")
    assert not client.handshake()
    server.receive()
    assert server.run("bytes(memory[place : place + 8]) == saved") is True
    expect(server)
    for function in ("table.attach, context", "table.attach, new_context()"):
        kind, text = server.refused(function)
        assert kind == "RuntimeError" and "user C module" in text
    assert not client.connect()
    assert not client.resume()
    expect(server)
    assert server.run("table.detach(context)") == 1


# ---- The garbage collector ----


def test_attached_table_outlives_its_name_and_the_module(server: Server, client: Client) -> None:
    server.run(
        """
def stress(n):
    for i in range(n):
        junk = [bytearray(i * 3 % 700) for i in range(60)]
        junk = None
        gc.collect()
"""
    )
    client.connect()
    server.run("first = SessionTable; import sys")
    server.run("del table, SessionTable, first; sys.modules.pop('_sesstab', None)")
    for _ in range(10):
        server.run("stress(20)")
        assert client.resume()
    assert not client.connect()
    assert client.resume()


def test_dropped_contexts_and_tables_are_collected(server: Server) -> None:
    server.run(
        """
def drop(n):
    for _ in range(n):
        SessionTable(64).attach(tls.SSLContext(tls.PROTOCOL_TLS_SERVER))

drop(3); gc.collect(); start = gc.mem_alloc()
drop(50); gc.collect(); grown = gc.mem_alloc() - start
"""
    )
    assert int(str(server.run("grown"))) < 3 * 8000  # a block or two may be mistaken for live
