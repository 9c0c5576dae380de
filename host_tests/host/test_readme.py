"""The README's example, as it stands there, on a virtual board."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sesstab_tools.certificates import make_certificate
from sesstab_tools.handshakes import client_context, deploy_programs, free_port
from sesstab_tools.repl import Board
from sesstab_tools.virtual import VirtualBoard, unix_board, unix_c_board

README = Path(__file__).parents[2] / "README.md"
ACCEPT = """
connection.close()
connection = context.wrap_socket(listener.accept()[0], server_side=True)
print("ok")
"""


@pytest.fixture(params=["unix", "unix-c"])
def virtual_board(request: pytest.FixtureRequest) -> Iterator[VirtualBoard]:
    with unix_board() if request.param == "unix" else unix_c_board(README.parent) as board:
        yield board


@pytest.fixture
def example() -> str:
    [code] = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    return str(code)


def test_example_of_the_readme_resumes(
    board: Board, virtual_board: VirtualBoard, tmp_path: Path, example: str
) -> None:
    certificate = make_certificate(tmp_path)
    (virtual_board.files / "cert.der").write_bytes(certificate.certificate_der)
    (virtual_board.files / "key.der").write_bytes(certificate.key_der)
    deploy_programs(board)
    port = free_port()
    program = board.start(example.replace("8443", str(port)) + ACCEPT)
    context = client_context(certificate)
    session = None
    for expected in (False, True):
        with (
            connect(port) as raw,
            context.wrap_socket(raw, server_hostname="localhost", session=session) as tls,
        ):
            session = tls.session
            assert tls.session_reused is expected
    assert program.finish(10).strip() == b"ok"
    assert board.eval("table.sess_hits()") == 1


def connect(port: int) -> socket.socket:
    """The board may not listen yet: it says nothing when it does."""
    for _ in range(100):
        try:
            return socket.create_connection(("127.0.0.1", port), 10)
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise TimeoutError(f"nothing listens at {port}")
