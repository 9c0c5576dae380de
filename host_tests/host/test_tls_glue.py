"""The glue between the table and Mbed TLS 2.28 and 3.6: servers and clients against OpenSSL, sanitized.

host_tests/tls/peer.c is the program under test: it serves and connects as the lines on its stdin say. What
its peer saw and what the table counted have to agree.
"""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sesstab_tools.certificates import Certificate, make_certificate

# Minutes of the inner loop, so `make test` only.
pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = ROOT / "build" / "mbedtls"
SOURCES = ["host_tests/tls/peer.c", "firmware/tls/sesstab_mbedtls.c", "firmware/core/sesstab.c"]
INCLUDE = ["-Ifirmware/core", "-Ifirmware/tls"]
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wpedantic", "-Wshadow"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
VERSIONS = ["2.28", "3.6"]
TIMEOUT = 20

TICKETS, NAMES_ARE_ONE = 1, 2
NOT_VERIFIED, OPTIONAL, REQUIRED = 0, 1, 2
TLS12, TLS13 = 2, 3
UPDATE_TIME, NO_INTERNAL_STORE = 0x400, 0x200
WEEK = 604800


def library(version: str) -> Path:
    subprocess.run([ROOT / "tools" / "setup" / "mbedtls_host.sh", version], check=True)
    return LIBRARIES / version


def link_flags(folder: Path) -> list[str]:
    names = ["mbedtls", "mbedx509", "mbedcrypto"]
    return [str(path) for path in (folder / "lib" / f"lib{name}.a" for name in names) if path.exists()]


def compile_c(version: str, out: Path, *arguments: str) -> Path:
    folder = library(version)
    command = ["gcc", "-std=c99", "-D_DEFAULT_SOURCE", "-g", "-O1", *WARNINGS[:3], *INCLUDE]
    command += ["-isystem", str(folder / "include"), *arguments, *link_flags(folder), "-o", str(out)]
    subprocess.run(command, check=True, cwd=ROOT)
    return out


@pytest.fixture
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The peer, compiled once with this version of Mbed TLS; its name ends with the version."""
    out = tmp_path_factory.getbasetemp() / f"peer-{request.param}"
    if not out.exists():
        compile_c(request.param, out, *SANITIZERS, *SOURCES, "-Wl,--wrap=calloc")
    return out


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Certificate]:
    folder = tmp_path_factory.mktemp("certificates")
    made = {kind: make_certificate(folder, kind) for kind in ("ec", "rsa")}
    (folder / "all.pem").write_bytes(b"".join(c.certificate_pem.read_bytes() for c in made.values()))
    return made


class Peer:
    """The program: ask() sends a command and returns the answer."""

    def __init__(self, program: Path, certificate: Certificate) -> None:
        pem = certificate.certificate_pem
        command = [program, pem, certificate.key_pem, pem.with_name("all.pem")]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1)
        self.has_tls13 = program.name.endswith("3.6")
        self.certificate = certificate

    def ask(self, command: str) -> str:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(command + "\n")
        answer = self.process.stdout.readline()
        assert answer, f"{command}: the program ended with {self.process.wait()}"
        return answer.strip()

    def listen(
        self, context: int = 1, flags: int = 0, max: int = TLS12, hrr: int = 0, own: int = 0, min: int = TLS12
    ) -> Listener:
        number, port, ret = map(int, self.ask(f"listen {context} {flags} {min} {max} {hrr} {own}").split())
        assert ret == 0
        return Listener(self, number, port)

    def stats(self, side: str = "server") -> dict[str, int]:
        names = ("number", "hits", "misses", "timeouts", "stored")
        return dict(zip(names, map(int, self.ask(f"stats {side}").split())))

    def sessions(self, side: str = "server") -> list[tuple[int, bytes, bytes, int]]:
        """Context, id, data, timeout of each session, most recent first."""
        rows = [row.split(":") for row in self.ask(f"sessions {side}").split()]
        return [(int(c), bytes.fromhex(i), bytes.fromhex(d), int(t)) for c, i, d, t in rows]

    def connect(
        self, port: int, name: str = "localhost", id: str = "key", context: int = 0,
        authmode: int = NOT_VERIFIED, max: int = TLS12, min: int = TLS12,
    ) -> dict[str, str]:  # fmt: skip
        answer = self.ask(f"connect {port} {name} {id} {context} {authmode} {min} {max}")
        return {k: v for k, _, v in (word.partition("=") for word in answer.split())}

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        assert self.process.wait(TIMEOUT) == 0, "a sanitizer has complained"


class Listener:
    """One config of the peer's, and clients of CPython's for it."""

    def __init__(self, peer: Peer, number: int, port: int) -> None:
        self.peer, self.number, self.port = peer, number, port

    def connect(
        self, context: ssl.SSLContext, session: ssl.SSLSession | None = None
    ) -> tuple[bool, ssl.SSLSession]:
        """One connection. Whether it was resumed, and its session."""
        stream = socket.create_connection(("127.0.0.1", self.port), TIMEOUT)
        with stream, context.wrap_socket(stream, session=session) as connection:
            assert connection.recv(6) == b"hello\n"
            result = bool(connection.session_reused), connection.session
            version = connection.version()
        assert self.peer.ask("wait").startswith(f"ok {version}")
        assert result[1] is not None
        return result

    def refused(self, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> str:
        """A connection that fails: the server's error."""
        stream = socket.create_connection(("127.0.0.1", self.port), TIMEOUT)
        with stream, pytest.raises((ssl.SSLError, ConnectionError)):  # noqa: SIM117
            with context.wrap_socket(stream, session=session) as connection:
                assert connection.recv(6) == b"hello\n"
        answer = self.peer.ask("wait")
        assert answer.startswith("error")
        return answer


@pytest.fixture
def peer(program: Path, certificates: dict[str, Certificate]) -> Iterator[Peer]:
    it = Peer(program, certificates["ec"])
    yield it
    it.close()


def client_context(
    max: int = TLS12,
    tickets: bool = False,
    ciphers: str | None = None,
    certificate: Certificate | None = None,
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_3 if max == TLS13 else ssl.TLSVersion.TLSv1_2
    if not tickets:
        context.options |= ssl.OP_NO_TICKET
    if ciphers:
        context.set_ciphers(ciphers)
    if certificate:
        context.load_cert_chain(certificate.certificate_pem, certificate.key_pem)
    return context


class Way:
    """A way to resume: what the listener and the client need."""

    def __init__(self, name: str, max: int, tickets: bool, hrr: int = 0) -> None:
        self.name, self.max, self.tickets, self.hrr = name, max, tickets, hrr

    def listen(self, peer: Peer, context: int = 1, flags: int = 0) -> Listener:
        flags |= TICKETS if self.tickets else 0
        return peer.listen(context, flags, self.max, self.hrr)

    def client(self, **options: object) -> ssl.SSLContext:
        return client_context(self.max, self.tickets, **options)  # type: ignore[arg-type]


ID = Way("id", TLS12, False)
TICKET12 = Way("ticket12", TLS12, True)
TICKET13 = Way("ticket13", TLS13, True)
HRR = Way("ticket13-hrr", TLS13, True, hrr=1)
WAYS = [ID, TICKET12, TICKET13, HRR]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test with each version of Mbed TLS and each way to resume that it has: 2.28 has no TLS 1.3."""
    names = metafunc.fixturenames
    versions = ["3.6"] if "tls13" in names else VERSIONS
    if "program" not in names:
        return
    if "server" in names:
        kinds = [("ec", ID), ("rsa", ID), ("ec", TICKET12), ("ec", TICKET13), ("rsa", TICKET13)]
        pairs = [(v, k) for v in versions for k in kinds if v != "2.28" or k[1].max == TLS12]
        ids = [f"{v} {kind} {way.name}" for v, (kind, way) in pairs]
        metafunc.parametrize("program,server", pairs, indirect=True, ids=ids)
    elif "way" in names or "way13" in names:
        name, ways = ("way13", [TICKET13, HRR]) if "way13" in names else ("way", WAYS)
        both = [(v, way) for v in versions for way in ways if v != "2.28" or way.max == TLS12]
        ids = [f"{v} {way.name}" for v, way in both]
        metafunc.parametrize(f"program,{name}", both, indirect=["program"], ids=ids)
    else:
        metafunc.parametrize("program", versions, indirect=True)


@pytest.fixture
def tls13(peer: Peer) -> Peer:
    """The peer, of a version that has TLS 1.3."""
    return peer


# The source


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("level", ["-O0", "-Os", "-O3"])
def test_compiles_without_warnings(version: str, level: str, tmp_path: Path) -> None:
    flags = ["-std=c99", *WARNINGS, level, *INCLUDE, "-isystem", str(library(version) / "include")]
    subprocess.run(
        ["gcc", *flags, "-c", "firmware/tls/sesstab_mbedtls.c", "-o", tmp_path / "o"], check=True, cwd=ROOT
    )


LEAN = {
    "no tickets": ["SESSION_TICKETS", "TICKET_C", "EARLY_DATA"],
    "tls 1.2": ["PROTO_TLS1_3", "EARLY_DATA"],
    "tls 1.3": ["PROTO_TLS1_2", "RENEGOTIATION", "ENCRYPT_THEN_MAC", "EXTENDED_MASTER_SECRET", "PROTO_DTLS",
                "DTLS_ANTI_REPLAY", "DTLS_HELLO_VERIFY", "DTLS_CLIENT_PORT_REUSE", "DTLS_CONNECTION_ID",
                "DTLS_CONNECTION_ID_COMPAT"],
    "lean": ["SESSION_TICKETS", "TICKET_C", "PROTO_TLS1_3", "KEEP_PEER_CERTIFICATE", "ENCRYPT_THEN_MAC",
             "MAX_FRAGMENT_LENGTH", "SERVER_NAME_INDICATION", "EXTENDED_MASTER_SECRET"],
    "server": ["CLI_C"],
    "client": ["SRV_C", "CACHE_C", "TICKET_C", "COOKIE_C"],
}  # fmt: skip


@pytest.mark.parametrize("build", LEAN)
def test_compiles_with_other_configurations_of_the_library(build: str, tmp_path: Path) -> None:
    lines = [f"#undef MBEDTLS_SSL_{name}" for name in LEAN[build]]
    (tmp_path / "user.h").write_text("\n".join(lines) + "\n")
    flags = ["-std=c99", *WARNINGS, *INCLUDE, "-isystem", str(library("3.6") / "include")]
    flags += [f'-DMBEDTLS_USER_CONFIG_FILE="{tmp_path}/user.h"', "-c", "firmware/tls/sesstab_mbedtls.c"]
    subprocess.run(["gcc", *flags, "-o", tmp_path / "o"], check=True, cwd=ROOT)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_server_calls_nothing_that_allocates(version: str, tmp_path: Path) -> None:
    """Of Mbed TLS a server needs setters and zeroize. There is no allocator among what it calls."""
    (tmp_path / "user.h").write_text("#undef MBEDTLS_SSL_CLI_C\n")
    flags = ["-std=c99", "-Os", *INCLUDE, "-isystem", str(library(version) / "include")]
    flags += [f'-DMBEDTLS_USER_CONFIG_FILE="{tmp_path}/user.h"', "-c", "firmware/tls/sesstab_mbedtls.c"]
    subprocess.run(["gcc", *flags, "-o", tmp_path / "o"], check=True, cwd=ROOT)
    listing = subprocess.run(["nm", "-u", tmp_path / "o"], check=True, capture_output=True, text=True).stdout
    names = set(re.findall(r"U (\w+)", listing))
    allowed = {"memcpy", "memset", "memmove", "memcmp", "mbedtls_platform_zeroize", "mbedtls_ms_time",
               "mbedtls_ssl_conf_session_cache", "mbedtls_ssl_conf_session_tickets_cb",
               "mbedtls_ssl_session_init", "__stack_chk_fail"}  # fmt: skip
    assert {name for name in names if not name.startswith("sesstab_")} <= allowed


# Resuming


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_a_session_is_resumed(program: Path, certificates: dict[str, Certificate], kind: str) -> None:
    peer = Peer(program, certificates[kind])
    for way in WAYS:
        if way.max == TLS13 and not peer.has_tls13:
            continue
        peer.ask("remove_all")
        listener, client = way.listen(peer), way.client()
        before = peer.stats()["hits"]
        resumed, session = listener.connect(client)
        assert not resumed
        for _ in range(3):
            resumed, renewed = listener.connect(client, session)
            assert resumed, way.name
            session = renewed if way.max == TLS13 else session
        assert peer.stats()["hits"] == before + 3
        assert peer.stats()["number"] == 1
    peer.close()


def test_data_is_compact(peer: Peer, way: Way) -> None:
    listener = way.listen(peer)
    listener.connect(way.client())
    ((context, _, data, timeout),) = peer.sessions()
    assert (context, timeout) == (1, 300)
    if way.max == TLS13:
        assert len(data) == 54 and data[0] == 0x13  # AES-256-GCM with SHA-384
    else:
        assert len(data) == 50 and data[:2] in (b"\xc0\x2c", b"\xcc\xa9")  # as on stock firmware


def test_a_sha256_suite_takes_38_bytes(tls13: Peer) -> None:
    listener = TICKET13.listen(tls13)
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{listener.port}", "-ciphersuites"]
    command += ["TLS_AES_128_GCM_SHA256"]
    subprocess.run(command, input=b"x\n", capture_output=True, check=False, timeout=TIMEOUT)
    assert [len(data) for _, _, data, _ in tls13.sessions()] == [38]


def test_encrypt_then_mac_survives_resumption(peer: Peer) -> None:
    for way in (ID, TICKET12):
        peer.ask("remove_all")
        listener, client = way.listen(peer), way.client(ciphers="ECDHE-ECDSA-AES128-SHA256")
        _, session = listener.connect(client)
        ((_, _, data, _),) = peer.sessions()
        assert len(data) == 50 and data[:2] == b"\xe0\x23"  # 0xc023 with the flag
        assert listener.connect(client, session)[0]


def test_fragment_length_survives_resumption(peer: Peer, tmp_path: Path) -> None:
    listener = ID.listen(peer)
    file = tmp_path / "session.pem"
    command = ["openssl", "s_client", "-tls1_2", "-no_ticket", "-maxfraglen", "512"]
    command += ["-connect", f"127.0.0.1:{listener.port}"]
    run = {"input": b"x\n", "capture_output": True, "timeout": TIMEOUT}
    first = subprocess.run([*command, "-sess_out", file], check=False, **run)  # type: ignore[call-overload]
    assert b"New, TLSv1.2" in first.stdout
    ((_, _, data, _),) = peer.sessions()
    assert data[0] & 0x33 & ~0x20 == 0x01
    second = subprocess.run([*command, "-sess_in", file], check=False, **run)  # type: ignore[call-overload]
    assert b"Reused, TLSv1.2" in second.stdout


def test_resumption_allocates_what_the_library_itself_does(peer: Peer) -> None:
    """Counted against Mbed TLS's own cache, in the same program; the table takes nothing."""
    counts = []
    for own in (1, 0):
        listener, client = peer.listen(own=own), client_context()
        _, session = listener.connect(client)
        full = int(peer.ask("callocs"))
        assert listener.connect(client, session)[0]
        counts.append(int(peer.ask("callocs")))
        assert counts[-1] < full
    theirs, ours = counts
    assert ours <= theirs
    assert ours <= 30


def test_tls13_handshakes_store_no_session_ids(tls13: Peer) -> None:
    """There, the id is the client's choice."""
    listener = tls13.listen(1, 0, TLS13)
    listener.connect(client_context(TLS13))
    assert tls13.stats()["number"] == 0


def test_without_the_flag_there_are_no_tickets(tls13: Peer) -> None:
    listener = tls13.listen(1, 0, TLS13)
    stream = socket.create_connection(("127.0.0.1", listener.port), TIMEOUT)
    with client_context(TLS13, True).wrap_socket(stream) as connection:
        assert connection.recv(6) == b"hello\n"
        assert not connection.session or not connection.session.has_ticket
    assert tls13.stats()["number"] == 0


def test_tickets_tell_their_lifetime(peer: Peer) -> None:
    for way in (TICKET12, TICKET13):
        if way.max == TLS13 and not peer.has_tls13:
            continue
        for timeout, hint in ((300, 300), (1000000, WEEK)):
            peer.ask(f"timeout {timeout}")
            _, session = way.listen(peer).connect(way.client())
            assert session.ticket_lifetime_hint == hint
            assert peer.sessions()[0][3] == hint


# What must not resume


def test_contexts_are_walls(peer: Peer, way: Way) -> None:
    one, two = way.listen(peer, 1), way.listen(peer, 2)
    client = way.client()
    _, session = one.connect(client)
    assert not two.connect(client, session)[0]
    assert one.connect(client, session)[0]


def test_a_session_without_client_certificate_never_resumes_where_one_is_required(
    peer: Peer, way: Way, certificates: dict[str, Certificate]
) -> None:
    listener, client = way.listen(peer), way.client()
    _, session = listener.connect(client)
    peer.ask(f"authmode {listener.number} {REQUIRED}")
    listener.refused(client, session)
    peer.ask(f"authmode {listener.number} {NOT_VERIFIED}")
    assert listener.connect(client, session)[0]


@pytest.mark.parametrize("authmode", [OPTIONAL, REQUIRED])
def test_contexts_that_ask_for_certificates_store_nothing(
    peer: Peer, way: Way, certificates: dict[str, Certificate], authmode: int
) -> None:
    listener, client = way.listen(peer), way.client(certificate=certificates["ec"])
    peer.ask(f"authmode {listener.number} {authmode}")
    _, session = listener.connect(client)
    assert peer.stats()["number"] == 0
    assert not listener.connect(client, session)[0]
    peer.ask(f"authmode {listener.number} {NOT_VERIFIED}")
    assert not listener.connect(client, session)[0]


def test_configs_that_ask_for_certificates_are_not_attached(peer: Peer) -> None:
    listener = ID.listen(peer)
    assert peer.ask(f"detach {listener.number}") == "1"
    peer.ask(f"authmode {listener.number} {REQUIRED}")
    assert peer.ask(f"attach {listener.number} 1 0") == "3"


def test_a_callback_that_chooses_by_name_turns_caching_off(peer: Peer, way: Way) -> None:
    listener, client = way.listen(peer), way.client()
    _, session = listener.connect(client)
    peer.ask(f"sni {listener.number}")
    assert not listener.connect(client, session)[0]
    assert peer.stats()["number"] == 1
    tickets = TICKETS if way.tickets else 0
    assert peer.ask(f"attach {listener.number} 1 {tickets}") == "8"
    assert peer.ask(f"attach {listener.number} 1 {tickets | NAMES_ARE_ONE}") == "0"
    assert listener.connect(client, session)[0]


def test_an_expired_session_is_not_resumed(peer: Peer, way: Way) -> None:
    listener, client = way.listen(peer), way.client()
    _, session = listener.connect(client)
    peer.ask("time 301")
    assert not listener.connect(client, session)[0]
    assert peer.stats()["timeouts"] == 1


def test_a_clock_set_back_resumes_nothing(peer: Peer, way: Way) -> None:
    listener, client = way.listen(peer), way.client()
    _, session = listener.connect(client)
    peer.ask("time -500")
    assert not listener.connect(client, session)[0]


def test_a_tls13_ticket_of_another_age_than_the_client_says_is_not_resumed(tls13: Peer) -> None:
    listener, client = TICKET13.listen(tls13), TICKET13.client()
    _, session = listener.connect(client)
    tls13.ask("time 60")
    assert not listener.connect(client, session)[0]


def test_update_time_does_not_prolong_tickets(peer: Peer) -> None:
    for way in (TICKET12, TICKET13):
        if way.max == TLS13 and not peer.has_tls13:
            continue
        peer.ask(f"mode {2 | UPDATE_TIME}")
        listener, client = way.listen(peer), way.client()
        _, session = listener.connect(client)
        peer.ask("time 4")
        assert listener.connect(client, session)[0]
        if way is TICKET12:
            peer.ask("time 297")
            assert not listener.connect(client, session)[0]


def test_a_removed_session_is_not_resumed(peer: Peer, way: Way) -> None:
    listener, client = way.listen(peer), way.client()
    _, session = listener.connect(client)
    assert peer.ask("remove_all") == "1"
    assert not listener.connect(client, session)[0]


def test_detached_contexts_resume_nothing_and_forget(peer: Peer, way: Way) -> None:
    listener, other, client = way.listen(peer, 1), way.listen(peer, 2), way.client()
    _, session = listener.connect(client)
    _, others = other.connect(client)
    assert peer.ask(f"detach {listener.number}") == "1"
    assert peer.ask(f"detach {listener.number}") == "0"
    assert [context for context, *_ in peer.sessions()] == [2]
    stream = socket.create_connection(("127.0.0.1", listener.port), TIMEOUT)
    with client.wrap_socket(stream, session=session) as connection:
        assert not connection.session_reused
    assert peer.ask("wait").startswith("ok")
    assert other.connect(client, others)[0]
    tickets = TICKETS if way.tickets else 0
    assert peer.ask(f"attach {listener.number} 3 {tickets}") == "0"
    assert not listener.connect(client, session)[0]


class Detaching:
    """A listener that is detached in a callback's n-th call, and a client."""

    def __init__(self, peer: Peer, way: Way) -> None:
        self.peer, self.tickets = peer, TICKETS if way.tickets else 0
        self.listener, self.client = way.listen(peer), way.client()
        self.callback("none", 0)

    def callback(self, name: str, n: int) -> str:
        return self.peer.ask(f"detach_in {name} {self.listener.number} {n}")

    def goes_on(self, session: ssl.SSLSession | None) -> str:
        """A connection, which may resume; what detach has returned. The context is attached again."""
        stream = socket.create_connection(("127.0.0.1", self.listener.port), TIMEOUT)
        with stream, self.client.wrap_socket(stream, session=session) as connection:
            assert connection.recv(6) == b"hello\n"
        assert self.peer.ask("wait").startswith("ok")
        result = self.callback("none", 0)
        assert self.peer.stats()["number"] == 0 or result != "1"
        assert self.peer.ask(f"attach {self.listener.number} 1 {self.tickets}") == "0"
        return result


def test_callbacks_may_detach(peer: Peer, way: Way) -> None:
    it = Detaching(peer, way)
    it.callback("new", 1)
    assert it.goes_on(None) == "1"
    _, session = it.listener.connect(it.client)
    peer.ask("remove_all")
    it.callback("get", 1)
    assert it.goes_on(session) == "1"
    _, session = it.listener.connect(it.client)
    peer.ask("time 301")
    it.callback("remove", 1)
    assert it.goes_on(session) == "1"
    it.listener.connect(it.client)
    peer.ask("cache_size 1")
    it.callback("remove", 1)
    assert it.goes_on(None) == "1"
    _, session = it.listener.connect(it.client)
    assert it.listener.connect(it.client, session)[0]


def test_the_clock_may_detach(peer: Peer, way: Way) -> None:
    it = Detaching(peer, way)
    for resumes in (False, True):
        for call in range(1, 20):
            _, session = it.listener.connect(it.client)
            it.callback("clock", call)
            result = it.goes_on(session if resumes else None)
            if result == "-1":
                break
            assert result == "1"
        assert 1 < call < 19
    _, session = it.listener.connect(it.client)
    assert it.listener.connect(it.client, session)[0]


def test_detach_between_two_messages(peer: Peer, way: Way) -> None:
    it = Detaching(peer, way)
    _, session = it.listener.connect(it.client)
    for offered in (session, None):
        slow = Handshake(it.listener, it.client, offered)
        assert not slow.step()
        slow.incoming.write(slow.stream.recv(65536))
        assert peer.ask(f"detach {it.listener.number}") == "1"
        while not slow.step():
            pass
        slow.close()
        assert peer.ask("wait").startswith("ok")
        assert peer.stats()["number"] == 0
        assert peer.ask(f"attach {it.listener.number} 1 {it.tickets}") == "0"
        _, session = it.listener.connect(it.client)


def test_detach_in_on_remove_while_there_are_sessions_changes_nothing(peer: Peer, way: Way) -> None:
    it = Detaching(peer, way)
    for _ in range(2):
        _, session = it.listener.connect(it.client)
    peer.ask("cache_size 2")
    it.callback("remove", 1)
    assert not it.listener.connect(it.client)[0]
    assert it.callback("none", 0) == "0"
    assert peer.stats()["number"] == 2
    assert it.listener.connect(it.client, session)[0]


def test_a_tls13_ticket_is_good_once_though_the_context_is_attached_again(tls13: Peer, way13: Way) -> None:
    listener, client = way13.listen(tls13), way13.client()
    _, session = listener.connect(client)
    seen = []
    for _ in range(3):
        assert tls13.ask(f"attach {listener.number} 1 {TICKETS}") == "0"
        lost = Handshake(listener, client, session)
        before = tls13.stats()["hits"]
        assert not lost.step()
        assert lost.stream.recv(1)
        lost.close()
        assert tls13.ask("wait").startswith("error")
        seen.append(tls13.stats()["hits"] > before)
    assert seen[0] and not seen[2]
    assert not listener.connect(client, session)[0]


def test_another_ciphersuite_does_not_resume(peer: Peer) -> None:
    """Session ids make a full handshake. Tickets of TLS 1.2 Mbed TLS resumes under the new one, which OpenSSL
    refuses; nothing of the old session is used without its secret."""
    strong, other = "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256"
    listener, client = ID.listen(peer), ID.client(ciphers=strong)
    _, session = listener.connect(client)
    client.set_ciphers(other)
    assert not listener.connect(client, session)[0]
    listener, client = TICKET12.listen(peer), TICKET12.client(ciphers=strong)
    _, session = listener.connect(client)
    client.set_ciphers(other)
    assert listener.refused(client, session)


# Tickets of TLS 1.3, once


def save_session(listener: Listener, file: Path) -> None:
    stdout = s_client(listener, ["-sess_out", str(file)])
    assert "New, TLSv1.3" in stdout


def s_client(listener: Listener, options: list[str]) -> str:
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{listener.port}", *options]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as run:
        assert run.stdin and run.stdout
        seen = b""
        while b"\nhello\n" not in seen:
            line = run.stdout.readline()
            if not line:
                break
            seen += line
        run.stdin.close()
        seen += run.stdout.read()
    answer = listener.peer.ask("wait")
    return f"{seen.decode()}\n{answer}"


def test_a_tls13_ticket_is_good_once(tls13: Peer, way13: Way, tmp_path: Path) -> None:
    listener, file = way13.listen(tls13), tmp_path / "session.pem"
    save_session(listener, file)
    (used,) = tls13.sessions()
    assert "Reused, TLSv1.3" in s_client(listener, ["-sess_in", str(file)])
    assert used[1] not in [id for _, id, _, _ in tls13.sessions()]
    assert tls13.stats()["number"] == 1
    assert "New, TLSv1.3" in s_client(listener, ["-sess_in", str(file)])
    assert tls13.stats()["hits"] == 1


def test_a_tls13_ticket_is_good_once_with_the_application_s_certificate_callback(
    tls13: Peer, way13: Way, tmp_path: Path
) -> None:
    listener, file = way13.listen(tls13, flags=NAMES_ARE_ONE), tmp_path / "session.pem"
    tls13.ask(f"cert_cb {listener.number}")
    save_session(listener, file)
    assert "Reused, TLSv1.3" in s_client(listener, ["-sess_in", str(file)])
    assert "New, TLSv1.3" in s_client(listener, ["-sess_in", str(file)])


class Handshake:
    """A client whose bytes are carried by hand, so that handshakes can stand still side by side."""

    def __init__(self, listener: Listener, context: ssl.SSLContext, session: ssl.SSLSession | None) -> None:
        self.stream = socket.create_connection(("127.0.0.1", listener.port), TIMEOUT)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, session=session)

    def step(self) -> bool:
        """Goes on until it has sent something. Whether the handshake is over, on this side."""
        over = False
        while not over and not self.outgoing.pending:
            try:
                self.tls.do_handshake()
                over = True
            except ssl.SSLWantReadError:
                if not self.outgoing.pending:
                    self.incoming.write(self.stream.recv(65536))
        self.stream.sendall(self.outgoing.read())
        return over

    def close(self) -> None:
        self.stream.close()


def test_a_tls13_handshake_that_was_given_up_does_not_spoil_its_ticket(tls13: Peer, way13: Way) -> None:
    listener, client = way13.listen(tls13), way13.client()
    _, session = listener.connect(client)
    lost = Handshake(listener, client, session)
    assert not lost.step()
    assert lost.stream.recv(1)
    lost.close()
    assert tls13.ask("wait").startswith("error")
    if way13 is TICKET13:
        assert listener.connect(client, session)[0]
    else:  # the second of two hellos is the last
        listener.connect(client, session)
    assert not listener.connect(client, session)[0]


def test_full_handshakes_meanwhile_do_not_take_a_ticket_away_between_two_hellos(tls13: Peer) -> None:
    listener, client = HRR.listen(tls13), HRR.client()
    _, session = listener.connect(client)
    slow = Handshake(listener, client, session)
    assert not slow.step()
    for _ in range(3):
        assert not listener.connect(HRR.client())[0]
    assert not slow.step()  # in answer to a HelloRetryRequest
    assert slow.step()
    assert tls13.ask("wait").startswith("ok TLSv1.3")
    assert slow.tls.session_reused
    slow.close()


def test_many_handshakes_side_by_side_cost_at_most_their_resumption(tls13: Peer) -> None:
    """More than are kept track of: the oldest make full handshakes, none fails, no ticket is good twice."""
    listener, clients = HRR.listen(tls13), [HRR.client() for _ in range(8)]
    sessions = [listener.connect(client)[1] for client in clients]
    slow = [Handshake(listener, client, session) for client, session in zip(clients, sessions)]
    for other in (False, False, True):
        for one in slow:
            assert one.step() == other
    resumed = 0
    for one in slow:
        assert tls13.ask("wait").startswith("ok TLSv1.3")
        resumed += bool(one.tls.session_reused)
        one.close()
    assert resumed >= 4
    for client, session in zip(clients, sessions):
        assert not listener.connect(client, session)[0]


def test_two_connections_at_once_with_one_ticket_are_the_most_there_are(tls13: Peer) -> None:
    listener, client = TICKET13.listen(tls13), TICKET13.client()
    _, session = listener.connect(client)
    both = [Handshake(listener, client, session) for _ in range(3)]
    for one in both:
        assert not one.step()
        one.incoming.write(one.stream.recv(65536))
    for one in both:
        assert one.step()
        assert tls13.ask("wait").startswith("ok TLSv1.3")
    assert [bool(one.tls.session_reused) for one in both] == [True, True, False]
    for one in both:
        one.close()


# Forgeries


def hello_with(session_id: bytes = b"", ticket: bytes | None = None) -> bytes:
    """A TLS 1.2 ClientHello that offers a session."""
    suites = bytes.fromhex("c02cc02b")
    groups = bytes.fromhex("000a00040002 0017 000b00020100 000d00080006 0403 0503 0603".replace(" ", ""))
    extensions = groups
    if ticket is not None:
        extensions += b"\x00\x23" + len(ticket).to_bytes(2, "big") + ticket
    body = b"\x03\x03" + bytes(32) + bytes([len(session_id)]) + session_id
    body += len(suites).to_bytes(2, "big") + suites + b"\x01\x00"
    body += len(extensions).to_bytes(2, "big") + extensions
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message


def answer_to(listener: Listener, hello: bytes) -> bool:
    """Whether the server starts a full handshake: a certificate follows its hello."""
    with socket.create_connection(("127.0.0.1", listener.port), TIMEOUT) as stream:
        stream.sendall(hello)
        answer = b""
        while len(answer) < 5 or (b"\x14\x03\x03\x00\x01\x01" not in answer and b"localhost" not in answer):
            more = stream.recv(65536)
            if not more:
                break
            answer += more
    assert listener.peer.ask("wait").startswith("error")
    assert answer[0] == 0x16
    return b"localhost" in answer


def test_forged_and_truncated_ids_make_full_handshakes(peer: Peer) -> None:
    listener = ID.listen(peer)
    _, session = listener.connect(ID.client(ciphers="ECDHE-ECDSA-AES256-GCM-SHA384"))
    id = session.id
    assert not answer_to(listener, hello_with(id)), "the true one resumes"
    forged = [bytes([id[0] ^ 1]) + id[1:], id[:31], id[:1], bytes(32), id[:16] + bytes(16), id[::-1]]
    for one in forged:
        assert answer_to(listener, hello_with(one))
    assert peer.stats()["hits"] == 1


def test_forged_and_truncated_tickets_make_full_handshakes(peer: Peer) -> None:
    listener = TICKET12.listen(peer)
    listener.connect(TICKET12.client(ciphers="ECDHE-ECDSA-AES256-GCM-SHA384"))
    ((_, ticket, _, _),) = peer.sessions()
    assert not answer_to(listener, hello_with(bytes(32), ticket)), "the true one resumes"
    forged = [ticket[:31], ticket + b"\0", ticket[1:] + ticket[:1], b"", b"\0", bytes(32), ticket * 20]
    for one in forged:
        assert answer_to(listener, hello_with(bytes(32), one))
    assert peer.stats()["hits"] == 1


def edited(session_pem: Path, edit: tuple[bytes, bytes]) -> Path:
    """A session file of OpenSSL's with other bytes in it, of the same length."""
    der = ssl.PEM_cert_to_DER_cert(session_pem.read_text().replace("SSL SESSION PARAMETERS", "CERTIFICATE"))
    assert der.count(edit[0]) == 1 and len(edit[0]) == len(edit[1])
    pem = ssl.DER_cert_to_PEM_cert(der.replace(*edit)).replace("CERTIFICATE", "SSL SESSION PARAMETERS")
    out = session_pem.with_name("edited.pem")
    out.write_text(pem)
    return out


def test_a_forged_tls13_ticket_makes_a_full_handshake(tls13: Peer, way13: Way, tmp_path: Path) -> None:
    listener, file = way13.listen(tls13), tmp_path / "session.pem"
    save_session(listener, file)
    ((_, ticket, _, _),) = tls13.sessions()
    forged = edited(file, (ticket, ticket[:31] + bytes([ticket[31] ^ 1])))
    assert "New, TLSv1.3" in s_client(listener, ["-sess_in", str(forged)])
    assert tls13.stats()["hits"] == 0


def test_a_tls13_ticket_with_the_wrong_secret_is_refused(tls13: Peer, way13: Way, tmp_path: Path) -> None:
    listener, file = way13.listen(tls13), tmp_path / "session.pem"
    save_session(listener, file)
    ((_, _, data, _),) = tls13.sessions()
    forged = edited(file, (data[6:], bytes(len(data) - 6)))
    assert "\nerror -" in s_client(listener, ["-sess_in", str(forged)])
    assert tls13.stats()["number"] == 1


def test_a_tls13_ticket_leads_nowhere_in_tls12(tls13: Peer, tmp_path: Path) -> None:
    """Mbed TLS takes the session as it is given it, and with it a master secret. Nobody must know that."""
    listener, file = TICKET13.listen(tls13), tmp_path / "session.pem"
    save_session(listener, file)
    ((_, ticket, _, _),) = tls13.sessions()
    old = TICKET12.listen(tls13)
    session = tmp_path / "tls12.pem"
    s_client(old, ["-tls1_2", "-sess_out", str(session)])
    (_, its_ticket, data, _) = tls13.sessions()[0]
    forged = edited(session, (its_ticket, ticket))
    forged = edited(forged, (data[2:], bytes(48)))
    assert "\nerror -" in s_client(old, ["-tls1_2", "-sess_in", str(forged)])


def test_a_tls12_ticket_is_none_in_tls13(tls13: Peer, tmp_path: Path) -> None:
    listener, file = TICKET13.listen(tls13), tmp_path / "session.pem"
    s_client(listener, ["-tls1_2", "-sess_out", str(tmp_path / "tls12.pem")])
    ((_, ticket, _, _),) = tls13.sessions()
    save_session(listener, file)
    its_ticket = tls13.sessions()[0][1]
    forged = edited(file, (its_ticket, ticket))
    assert "New, TLSv1.3" in s_client(listener, ["-sess_in", str(forged)])


# Attaching


def test_a_context_has_one_attachment(peer: Peer) -> None:
    own = peer.listen(own=1)
    assert peer.ask(f"attach {own.number} 1 0") == "4"
    listener = ID.listen(peer)
    assert peer.ask(f"attach {listener.number} 1 0") == "0"


# Clients


class Server:
    """CPython's ssl as a server: greets each client with a line. What it saw is in `resumed`."""

    def __init__(self, certificate: Certificate, max: int = TLS12, tickets: bool = True) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate.certificate_pem, certificate.key_pem)
        self.context.maximum_version = ssl.TLSVersion.TLSv1_3 if max == TLS13 else ssl.TLSVersion.TLSv1_2
        if not tickets:
            self.context.options |= ssl.OP_NO_TICKET
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.resumed: list[bool] = []
        self.way = ID
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                return
            try:
                with self.context.wrap_socket(stream, server_side=True) as connection:
                    self.resumed.append(bool(connection.session_reused))
                    connection.recv(6)
                    connection.sendall(b"hello\n")
                    connection.settimeout(5)
                    connection.recv(1)
                    connection.unwrap()
            except OSError:
                self.resumed.append(False)

    def close(self) -> None:
        self.listener.close()


@pytest.fixture
def server(
    request: pytest.FixtureRequest, peer: Peer, certificates: dict[str, Certificate]
) -> Iterator[Server]:
    kind, way = request.param
    it = Server(certificates[kind], way.max, way.tickets)
    it.way = way
    yield it
    it.close()


def saw(server: Server) -> list[bool]:
    """What the server saw last, which it may still be busy with."""
    time.sleep(0.05)
    return server.resumed


def test_a_client_resumes(peer: Peer, server: Server) -> None:
    way = server.way
    first = peer.connect(server.port, max=way.max)
    assert (first["offered"], first["resumed"], first["error"]) == ("0", "0", "-0x0")
    assert first["early"] == "0" and int(first["saved"]) >= 1
    for _ in range(3):
        again = peer.connect(server.port, max=way.max)
        assert (again["offered"], again["resumed"], again["early"]) == ("1", "1", "0"), again
        assert (int(again["saved"]) >= 1) == (way.max == TLS13)
    assert saw(server) == [False, True, True, True]
    assert peer.stats("client")["number"] == 1


def test_a_client_s_data_is_compact(peer: Peer, server: Server) -> None:
    way = server.way
    peer.connect(server.port, max=way.max)
    ((_, _, data, timeout),) = peer.sessions("client")
    assert timeout == 300
    if way is ID:
        assert len(data) == 101 and data[0] == 0x82
    else:
        assert data[0] == (0x82 if way is TICKET12 else 0x83)
        assert len(data) <= 77 + 256


def test_a_client_makes_a_full_handshake_when_the_server_has_forgotten(
    peer: Peer, server: Server, certificates: dict[str, Certificate]
) -> None:
    way = server.way
    peer.connect(server.port, max=way.max)
    for _ in range(2):
        other = Server(certificates["ec"], way.max, way.tickets)
        again = peer.connect(other.port, max=way.max)
        assert (again["offered"], again["resumed"], again["error"]) == ("1", "0", "-0x0")
        assert int(again["saved"]) >= 1
        once_more = peer.connect(other.port, max=way.max)
        assert once_more["resumed"] == "1"
        other.close()


def test_a_server_that_stops_giving_tickets_is_not_offered_old_ones(
    peer: Peer, certificates: dict[str, Certificate]
) -> None:
    """Mbed TLS leaves the offered ticket in the new session: with the new secret it would break the next."""
    with_tickets = Server(certificates["ec"])
    peer.connect(with_tickets.port)
    without = Server(certificates["ec"], tickets=False)
    for resumed in ("0", "1", "1"):
        assert peer.connect(without.port)["resumed"] == resumed
    assert peer.connect(with_tickets.port)["error"] == "-0x0"
    with_tickets.close()
    without.close()


def test_sessions_of_unverified_servers_are_not_offered_when_verifying(peer: Peer, server: Server) -> None:
    way = server.way
    for made, wanted, offered in (
        (NOT_VERIFIED, REQUIRED, "0"), (NOT_VERIFIED, OPTIONAL, "0"), (REQUIRED, REQUIRED, "1"),
        (REQUIRED, NOT_VERIFIED, "1"), (OPTIONAL, REQUIRED, "1"), (REQUIRED, OPTIONAL, "1"),
    ):  # fmt: skip
        id = f"{made}{wanted}"
        assert peer.connect(server.port, id=id, authmode=made, max=way.max)["error"] == "-0x0"
        again = peer.connect(server.port, id=id, authmode=wanted, max=way.max)
        assert (again["offered"], again["resumed"]) == (offered, offered), (made, wanted)
        assert again["error"] == "-0x0"
        assert again["verify"] == "0"


def test_sessions_of_servers_found_wanting_are_not_saved(peer: Peer, server: Server) -> None:
    """Mbed TLS 3.6 forgets the result in a resumed TLS 1.3 handshake: the server would look verified."""
    for _ in range(2):
        answer = peer.connect(server.port, name="wrong.example", authmode=OPTIONAL, max=server.way.max)
        assert answer["verify"] != "0" and answer["error"] == "-0x0"
        assert (answer["offered"], answer["saved"]) == ("0", "0")
    strict = peer.connect(server.port, name="wrong.example", authmode=REQUIRED, max=server.way.max)
    assert strict["offered"] == "0" and strict["error"] != "-0x0"


def test_raising_the_authmode_before_saving_does_not_mark_as_verified(peer: Peer, server: Server) -> None:
    way = server.way
    peer.ask(f"authmode_after {REQUIRED + 1}")
    peer.connect(server.port, authmode=NOT_VERIFIED, max=way.max)
    peer.ask("authmode_after 0")
    assert peer.connect(server.port, authmode=REQUIRED, max=way.max)["offered"] == "0"


def test_sessions_are_for_the_name_they_were_made_for(peer: Peer, server: Server) -> None:
    way = server.way
    peer.connect(server.port, name="localhost", max=way.max)
    assert peer.connect(server.port, name="other", max=way.max)["offered"] == "0"
    assert peer.connect(server.port, name="-", max=way.max)["offered"] == "0"
    assert peer.connect(server.port, name="-", max=way.max)["resumed"] == "1"
    assert peer.connect(server.port, name="localhost", max=way.max)["offered"] == "0"


def test_sessions_are_for_the_context_they_were_made_for(peer: Peer, server: Server) -> None:
    way = server.way
    peer.connect(server.port, context=1, max=way.max)
    assert peer.connect(server.port, context=2, max=way.max)["offered"] == "0"


def test_an_expired_session_is_not_offered(peer: Peer, server: Server) -> None:
    way = server.way
    peer.connect(server.port, max=way.max)
    peer.ask("time 301")
    assert peer.connect(server.port, max=way.max)["offered"] == "0"


def test_using_a_tls12_session_does_not_make_it_younger(
    peer: Peer, certificates: dict[str, Certificate]
) -> None:
    for way in (ID, TICKET12):
        server = Server(certificates["ec"], way.max, way.tickets)
        for offered in ("0", "1", "1", "0"):
            assert peer.connect(server.port, id=way.name)["offered"] == offered
            peer.ask("time 120")
        server.close()


def test_a_tls12_session_is_not_offered_where_only_tls13_is_wanted(
    tls13: Peer, certificates: dict[str, Certificate]
) -> None:
    server = Server(certificates["ec"], TLS13)
    assert tls13.connect(server.port, max=TLS12)["offered"] == "0"
    assert tls13.connect(server.port, min=TLS13, max=TLS13)["offered"] == "0"
    assert tls13.connect(server.port, max=TLS12)["offered"] == "0"
    server.close()


def test_a_tls13_ticket_leaves_the_table_when_it_is_offered(
    tls13: Peer, certificates: dict[str, Certificate]
) -> None:
    server = Server(certificates["ec"], TLS13)
    tls13.connect(server.port, max=TLS13)
    server.context.num_tickets = 0
    assert tls13.connect(server.port, max=TLS13)["resumed"] == "1"
    assert tls13.stats("client")["number"] == 0
    server.close()


def test_client_and_server_of_ours(peer: Peer, way: Way, certificates: dict[str, Certificate]) -> None:
    """Two programs, since each waits for the other."""
    other = Peer(Path(peer.process.args[0]), certificates["ec"])  # type: ignore[index]
    listener = way.listen(peer)
    for resumed in ("0", "1", "1"):
        answer = other.connect(listener.port, max=way.max, authmode=REQUIRED)
        assert (answer["resumed"], answer["error"]) == (resumed, "-0x0")
        assert peer.ask("wait").startswith("ok")
    other.close()
