"""Snapshots in files of a virtual board: across a reset; and encrypted as specified, so that OpenSSL can."""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
import subprocess
from binascii import crc32
from collections.abc import Iterator
from pathlib import Path

import pytest
from sesstab_tools.deploy import deploy
from sesstab_tools.repl import Board
from sesstab_tools.virtual import VirtualBoard

ROOT = Path(__file__).resolve().parents[2]
KEY = bytes(range(100, 132))
SETUP = """
from sesstab import SessionTable, snapshot
table = SessionTable(4, clock=lambda: 1000)
"""
FILL = """
for name in (b"a", b"b"):
    h = table.new_session(name * 32, b"state of " + name)
    table.add_session(h)
    table.free(h)
"""


@pytest.fixture
def ready(board: Board) -> Iterator[Board]:
    deploy(board, ROOT)
    board.exec(SETUP)
    yield board


def sealed(content: bytes) -> bytes:
    return content + struct.pack("<I", crc32(content))


def derived(purpose: bytes) -> bytes:
    return hmac.digest(KEY, b"sesstab " + purpose + b" 1", "sha256")


def openssl_aes(direction: str, data: bytes, vector: bytes) -> bytes:
    key = derived(b"encrypt").hex()
    command = ["openssl", "enc", direction, "-aes-256-cbc", "-K", key, "-iv", vector.hex()]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def encrypted(snapshot: bytes, number: int) -> bytes:
    """A file as the specification says, made by OpenSSL and Python's hmac."""
    vector = os.urandom(16)
    content = b"sesF\1\1" + struct.pack("<I", number) + vector + openssl_aes("-e", snapshot, vector)
    return sealed(content + hmac.digest(derived(b"authenticate"), content, hashlib.sha256))


def test_sessions_outlive_a_reset(ready: Board, virtual_board: VirtualBoard) -> None:
    for key in ("None", repr(KEY)):
        ready.exec(FILL)
        ready.exec(f"snapshot.save(table, 'sessions', {key})")
        virtual_board.reset()
        ready.recover()
        ready.exec(SETUP)
        assert ready.eval("table.sess_number()") == 0
        assert ready.eval(f"snapshot.restore(table, 'sessions', 60, {key})") == 2
        assert ready.eval("table.get_session(b'a' * 32) > 0") is True
        assert ready.eval("table.session_time(table.next_session())") == 940
        ready.exec("table.clear()")


def test_an_encrypted_file_is_what_the_specification_says(ready: Board, virtual_board: VirtualBoard) -> None:
    ready.exec(FILL)
    ready.exec(f"snapshot.save(table, 'sessions', {KEY!r})")
    content = (virtual_board.files / "sessions.0").read_bytes()
    assert content[:10] == b"sesF\1\1\1\0\0\0"
    assert content == sealed(content[:-4])
    assert content[-36:-4] == hmac.digest(derived(b"authenticate"), content[:-36], "sha256")
    assert openssl_aes("-d", content[26:-36], content[10:26]) == ready.eval("table.dump()")


def test_a_board_reads_what_openssl_encrypted(ready: Board, virtual_board: VirtualBoard) -> None:
    ready.exec(FILL)
    content = encrypted(ready.eval("table.dump()"), 70000)
    ready.exec("table.clear()")
    (virtual_board.files / "sessions.1").write_bytes(content)
    assert ready.eval(f"snapshot.restore(table, 'sessions', 0, {KEY!r})") == 2
    ready.exec(f"snapshot.save(table, 'sessions', {KEY!r})")
    written = (virtual_board.files / "sessions.0").read_bytes()
    assert written[6:10] == struct.pack("<I", 70001)
    assert written[10:26] != content[10:26]


@pytest.mark.parametrize("padding", [b"", bytes(16), b"\x11" * 17, b"\xff" * 16])
def test_a_padding_that_no_save_makes_loads_nothing(
    ready: Board, virtual_board: VirtualBoard, padding: bytes, tmp_path: Path
) -> None:
    """Only who has the key can make such a file."""
    ready.exec(FILL)
    snapshot = ready.eval("table.dump()")
    text = (snapshot + padding)[: (len(snapshot) + len(padding)) // 16 * 16]
    vector = bytes(16)
    command = [
        "openssl",
        "enc",
        "-e",
        "-aes-256-cbc",
        "-nopad",
        "-K",
        derived(b"encrypt").hex(),
        "-iv",
        vector.hex(),
    ]
    done = subprocess.run(command, input=text, capture_output=True, check=True)
    content = b"sesF\1\1\1\0\0\0" + vector + done.stdout
    content = sealed(content + hmac.digest(derived(b"authenticate"), content, "sha256"))
    (virtual_board.files / "sessions.0").write_bytes(content)
    refused = f"""
table.clear()
try:
    print(snapshot.restore(table, 'sessions', 0, {KEY!r}))
except ValueError as error:
    print(error)
"""
    assert ready.exec(refused).strip() == b"snapshot is damaged"
    assert ready.eval("table.sess_number()") == 0
