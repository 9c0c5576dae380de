"""docs/client.md: its programs run on a board, as they stand there."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
from pathlib import Path

import pytest
from sesstab_tools.certificates import make_certificate
from sesstab_tools.deploy import deploy
from sesstab_tools.repl import Board
from sesstab_tools.virtual import unix_c_board
from tls_peers import ROOT, WAYS, Seen, Server, server_context

DOCUMENT = ROOT / "docs" / "client.md"
BLOCKS = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)

CALLS = """
import asyncio
for _ in range(2):
    print(get("127.0.0.1"))
    print(asyncio.run(get_async("127.0.0.1")))
"""


def test_every_program_of_the_document_is_run() -> None:
    assert len(BLOCKS) == 3


@pytest.mark.parametrize("way", WAYS)
def test_programs_of_the_document_resume(tmp_path: Path, way: str) -> None:
    certificate = make_certificate(tmp_path, name="127.0.0.1")
    with (
        Server(server_context(certificate, way)) as server,
        unix_c_board(ROOT) as virtual,
        Board.open(virtual.port) as board,
    ):
        (virtual.files / "ca.der").write_bytes(certificate.certificate_der)
        deploy(board, ROOT, native=False)
        server.handler = lambda stream, seen: answer(server, stream, seen)
        blocking, with_asyncio, snapshots = (block.replace("443", str(server.port)) for block in BLOCKS)
        # The port is not in the first program: its sessions are those of port 443.
        output = board.exec(blocking + with_asyncio + CALLS).decode().splitlines()
        assert output == ["(False, b'page')", "b'page'", "(True, b'page')", "b'page'"]
        assert server.reused() == [False, False, True, True]
        assert board.eval("table.sess_number()") == 2
        board.exec(snapshots.replace("snapshot.restore", "table.clear()\nsnapshot.restore"))
        assert board.eval("table.sess_number()") == 2


def answer(server: Server, stream: socket.socket, seen: Seen) -> None:
    assert server.context
    with server.context.wrap_socket(stream, server_side=True) as connection:
        seen.reused = connection.session_reused
        connection.recv(4096)
        connection.sendall(b"page")
        connection.setblocking(False)
        with contextlib.suppress(ssl.SSLWantReadError):
            connection.unwrap()  # like HTTP servers, it does not wait for an answer
