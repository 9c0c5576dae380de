"""examples/https_status.py on virtual boards, against this computer's OpenSSL."""

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
from sesstab_tools.demo import client_context, free_port
from sesstab_tools.deploy import deploy, find_root
from sesstab_tools.errors import DeviceException
from sesstab_tools.repl import Board, Program
from sesstab_tools.virtual import VirtualBoard

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


def start(board: Board, virtual_board: VirtualBoard, certificate: Certificate) -> tuple[Program, Page]:
    (virtual_board.files / "cert.der").write_bytes(certificate.certificate_der)
    (virtual_board.files / "key.der").write_bytes(certificate.key_der)
    deploy(board, find_root(), extra={**microdot(), "https_status.py": example("https_status.py")})
    port = free_port()
    program = board.start(f"import https_status\nhttps_status.run({port})")
    shown = b""
    while b"\n" not in shown:
        shown += program.read(TIMEOUT)
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
    board: Board, virtual_board: VirtualBoard, certificate: Certificate
) -> None:
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
