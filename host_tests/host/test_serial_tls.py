"""TLS between the host's OpenSSL and a board over the board's serial line, and the link that carries it."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sesstab_tools.certificates import Certificate, make_certificate
from sesstab_tools.errors import DeviceException
from sesstab_tools.handshakes import client_context, deploy_programs, over_serial, start_server
from sesstab_tools.link import LinkError, SerialLine, SerialTLS
from sesstab_tools.repl import Board

Connection = tuple[ssl.SSLSession | None, bool, dict[str, Any]]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Certificate]:
    folder: Path = tmp_path_factory.mktemp("certificates")
    return {kind: make_certificate(folder, kind) for kind in ("ec", "rsa")}


@pytest.fixture
def server(board: Board, certificates: dict[str, Certificate]) -> Board:
    """A board with `context`, a TLS server's, and `table`, attached to it."""
    deploy_programs(board)
    start_server(board, certificates["ec"])
    return board


def connect(board: Board, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> Connection:
    """One connection to the board's server: its session, whether it resumed, and the board's report."""
    program = board.start("tls_server.serve_serial(context, table, 1)")
    line = SerialLine(program)
    tls = SerialTLS(line, context, session=session, server_hostname="localhost")
    tls.do_handshake()
    tls.write(b"ping\n")
    answer = tls.read()
    tls.close()
    report = json.loads(line.output())
    program.finish()
    assert answer == (b"resumed ping\n" if tls.session_reused else b"full ping\n")
    assert report["resumed"] == tls.session_reused
    return tls.session, tls.session_reused, report


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_session_resumes_over_serial(board: Board, certificates: dict[str, Certificate], kind: str) -> None:
    deploy_programs(board)
    start_server(board, certificates[kind])
    context = client_context(certificates[kind])
    session, reused, full = connect(board, context)
    assert not reused
    for expected_hits in (1, 2):
        session, reused, resumed = connect(board, context, session)
        assert reused
        assert resumed["hits"] == expected_hits
        assert resumed["sent"] < full["sent"] / 3


def test_session_of_another_context_does_not_resume(
    server: Board, certificates: dict[str, Certificate]
) -> None:
    context = client_context(certificates["ec"])
    session, _, _ = connect(server, context)
    server.exec("first = context")
    start = f"tls_server.make_context({certificates['ec'].certificate_der!r}, {certificates['ec'].key_der!r})"
    server.exec(f"context = {start}\ntable.attach(context)")
    assert not connect(server, context, session)[1]
    server.exec("context = first")
    assert connect(server, context, session)[1]


def test_session_does_not_resume_where_a_client_certificate_is_required(
    server: Board, certificates: dict[str, Certificate]
) -> None:
    context = client_context(certificates["ec"])
    session, _, _ = connect(server, context)
    server.exec("import tls\ncontext.verify_mode = tls.CERT_REQUIRED")
    program = server.start("tls_server.serve_serial(context, table, 1)")
    line = SerialLine(program)
    client = SerialTLS(line, context, session=session, server_hostname="localhost")
    # The server asks for a certificate, which only a full handshake does, and gets none.
    with pytest.raises((ssl.SSLError, LinkError)):
        client.do_handshake()
        client.write(b"ping\n")
        client.read()
    assert not client.session_reused
    client.close()
    assert "Traceback" in line.output()
    program.finish()
    assert server.eval("table.sess_hits()") == 0


def test_session_does_not_resume_after_the_table_forgot_it(
    server: Board, certificates: dict[str, Certificate]
) -> None:
    context = client_context(certificates["ec"])
    session, _, _ = connect(server, context)
    assert server.eval("table.flush_sessions(0)") == 1
    _, reused, report = connect(server, context, session)
    assert not reused
    assert report["misses"] >= 1


def test_a_handshake_that_fails_is_told_in_the_board_s_words(server: Board, tmp_path: Path) -> None:
    stranger = make_certificate(tmp_path)
    with pytest.raises(
        LinkError, match=r"self-signed certificate.*; the board says .OSError: .*ALERT_MESSAGE"
    ):
        over_serial(server, client_context(stranger), rounds=1)
    server.recover()
    assert server.eval("table.sess_number()") == 0


# The link itself, against a scripted program


class Script:
    """A program that prints `lines` and records what it is sent."""

    def __init__(self, lines: bytes, failure: Exception | None = None) -> None:
        self._lines = lines
        self._failure = failure
        self.written = b""

    @property
    def ended(self) -> bool:
        return not self._lines

    def read(self, timeout: float) -> bytes:
        data, self._lines = self._lines[:7], self._lines[7:]
        return data

    def write(self, data: bytes) -> None:
        self.written += data

    def finish(self) -> bytes:
        if self._failure:
            raise self._failure
        return b""


class Silent(Script):
    """A program that runs on and says nothing more."""

    @property
    def ended(self) -> bool:
        return False


def handshake(program: Script, timeout: float = 5) -> Callable[[], None]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return SerialTLS(SerialLine(program, timeout), context, server_hostname="localhost").do_handshake


def test_client_hello_goes_out_in_the_pieces_that_the_board_asks_for() -> None:
    program = Script(b"~?10\r\nprinted\r\n~?20\r\n")
    with pytest.raises(LinkError, match="ended"):
        handshake(program)()
    first, second = program.written.splitlines()
    assert first.startswith(b"~FgMB")  # a handshake record of TLS
    assert (len(first), len(second)) == (1 + 16, 1 + 28)


def test_both_sides_waiting_is_an_error_not_a_hang() -> None:
    with pytest.raises(LinkError, match="both wait"):
        handshake(Script(b"~?4000\n~?4000\n"))()


def test_damaged_frame_is_named() -> None:
    with pytest.raises(LinkError, match="AA!A"):
        handshake(Script(b"~AA!A\n"))()


def test_exception_on_the_board_comes_through() -> None:
    with pytest.raises(DeviceException, match="OSError"):
        handshake(Script(b"~?10\n", DeviceException("pty", "Traceback\nOSError: -1", b"")))()


def test_silent_board_ends_in_an_error_with_its_last_words() -> None:
    with pytest.raises(LinkError, match="about to hang"):
        handshake(Silent(b"about to hang\n"), timeout=0.2)()
