"""The raw-REPL client against boards that break the protocol: a typed error in time, then recovery."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import serial
from harness_fake import RAW_PROMPT, FakeBoard
from sesstab_tools.errors import (
    BoardError,
    BoardReset,
    DeployError,
    DeviceException,
    Disconnected,
    NoAnswer,
    PortError,
    ProtocolError,
)
from sesstab_tools.files import Files
from sesstab_tools.line import Deadline, open_line
from sesstab_tools.repl import Board
from sesstab_tools.virtual import VirtualBoard

pytestmark = pytest.mark.slow

Script = Callable[[FakeBoard], None]


def then_works(fault: Script) -> Script:
    """The script: the fault happens to the first program; the board then behaves and prints "fine"."""

    def script(fake: FakeBoard) -> None:
        fake.reach_prompt()
        fault(fake)
        fake.reach_prompt()
        fake.accept_paste()
        fake.read_until(b"\x04")
        fake.send(b"\x04fine\r\n\x04\x04>")

    return script


def answer_to_paste(answer: bytes) -> Script:
    def fault(fake: FakeBoard) -> None:
        fake.read_until(b"\x05A\x01")
        fake.send(answer)

    return fault


def after_paste(answer: bytes) -> Script:
    def fault(fake: FakeBoard) -> None:
        fake.accept_paste()
        fake.read_until(b"\x04")
        fake.send(answer)

    return fault


def stall(fake: FakeBoard) -> None:
    """Takes two windows and then opens no other."""
    fake.accept_paste(window=4)


FAULTS: list[tuple[str, Script, type[BoardError], str]] = [
    ("no answer to paste", answer_to_paste(b""), NoAnswer, "no more answer in 0.5 s"),
    ("half an answer to paste", answer_to_paste(b"R"), NoAnswer, "no more answer"),
    ("wrong answer to paste", answer_to_paste(b"login: "), ProtocolError, "b'lo' answers raw paste"),
    ("window of 0 bytes", answer_to_paste(b"R\x01\x00\x00\x01"), ProtocolError, "window of 0 bytes"),
    ("no window", answer_to_paste(b"R\x01\x80"), NoAnswer, "no more answer"),
    (
        "garbage in the flow control",
        answer_to_paste(b"R\x01\x80\x00?!"),
        ProtocolError,
        "b'\\?!' in the middle",
    ),
    ("flow control stalls", stall, NoAnswer, "no more answer"),
    ("no end of the paste", after_paste(b""), NoAnswer, "no more answer"),
    ("truncated output", after_paste(b"\x04out"), NoAnswer, "did not end in 0.5 s"),
    ("truncated traceback", after_paste(b"\x04out\x04Trace"), NoAnswer, "did not end"),
    ("no prompt at the end", after_paste(b"\x04out\x04\x04"), NoAnswer, "did not end"),
    ("byte 4 in the output", after_paste(b"\x04ou\x04t\x04\x04>"), ProtocolError, "does it print byte 4"),
    (
        "soft reset",
        after_paste(b"\x04\x04\x04\r\nMPY: soft reboot\r\n" + RAW_PROMPT),
        BoardReset,
        "was reset",
    ),
    (
        "hard reset",
        after_paste(
            b'\x04out\r\nMicroPython v1.25.0 on 2025-04-15; Board with RP2040\r\nType "help()"\r\n>>> '
        ),
        BoardReset,
        "was reset",
    ),
]


@pytest.mark.parametrize(("fault", "error", "text"), [pytest.param(*f[1:], id=f[0]) for f in FAULTS])
def test_fault_is_typed_and_in_time_and_then_the_board_works(
    fault: Script, error: type[BoardError], text: str
) -> None:
    with FakeBoard(then_works(fault)) as fake, Board.open(fake.port) as board:
        board.enter()
        start = time.monotonic()
        with pytest.raises(error, match=text) as caught:
            board.exec("print('something longer than a window')", timeout=0.5)
        assert type(caught.value) is error
        assert time.monotonic() - start < 2
        assert fake.port in str(caught.value)
        assert board.exec("print('fine')", timeout=3) == b"fine\r\n"


def test_silent_port_is_no_answer() -> None:
    with FakeBoard() as fake, Board.open(fake.port) as board:
        start = time.monotonic()
        with pytest.raises(NoAnswer, match=r"no answer in 0\.7 s; is another program using it\?"):
            board.exec("1", timeout=0.7)
        assert 0.7 <= time.monotonic() - start < 2


def test_port_that_reads_nothing_is_no_answer() -> None:
    master, slave = os.openpty()
    with Board.open(os.ttyname(slave)) as board:
        start = time.monotonic()
        with pytest.raises(NoAnswer, match=r"took no input for 0\.5 s"):
            board.line.send(bytes(1_000_000), Deadline(0.5))
        assert 0.5 <= time.monotonic() - start < 2
    os.close(master)
    os.close(slave)


def test_port_that_talks_for_ever_is_no_answer() -> None:
    def chatter(fake: FakeBoard) -> None:
        while True:
            fake.send(b"\xff\x00garbage" * 100)
            time.sleep(0.01)

    expected = pytest.raises(NoAnswer, match="sends something else")
    with FakeBoard(chatter) as fake, Board.open(fake.port) as board, expected:
        board.enter(0.7)


def test_garbage_before_the_prompt_is_passed_over() -> None:
    def script(fake: FakeBoard) -> None:
        fake.send(b"\xff\xfe\x00 boot: \x04\x04> >>> ets Jul 29 2019\r\n" * 300)
        fake.read_until(b"\x01")
        fake.send(b"raw REPL; CTRL-B\r\n\x80" + RAW_PROMPT + b"late garbage \x04\x04>")
        typed = fake.read_until(b"\x04")
        token = re.search(rb"'(.*)'", typed)
        assert token
        fake.send(b"more\r\nOK" + token[1] + b"\r\n\x04\x04>")
        after_paste(b"\x04clean\x04\x04>")(fake)

    with FakeBoard(script) as fake, Board.open(fake.port) as board:
        assert board.exec("1") == b"clean"


def test_board_that_gives_up_in_the_middle_of_a_paste() -> None:
    def script(fake: FakeBoard) -> None:
        fake.reach_prompt()
        fake.accept_paste(window=16)
        fake.send(b"\x04")
        fake.read_until(b"\x04")
        fake.send(b"\x04Traceback\r\nMemoryError: \r\n\x04>")

    with FakeBoard(script) as fake, Board.open(fake.port) as board:
        with pytest.raises(DeviceException, match="MemoryError"):
            board.exec("x" * 1000, timeout=2)
        assert fake.received == b""


@pytest.mark.parametrize("refusal", [b"R\x00>", b"ra" + RAW_PROMPT[2:]])
def test_board_without_raw_paste_gets_paced_writes(refusal: bytes) -> None:
    arrivals: list[float] = []
    code = "#" * 300 + "\nprint('fine')"

    def script(fake: FakeBoard) -> None:
        fake.reach_prompt()
        answer_to_paste(refusal)(fake)
        for _ in range(2):
            while b"\x04" not in fake.received:
                fake.read_some()
                arrivals.append(time.monotonic())
            assert fake.read_until(b"\x04") == code.encode() + b"\x04"
            fake.send(b"OKfine\r\n\x04\x04>")

    with FakeBoard(script) as fake, Board.open(fake.port) as board:
        assert board.exec(code) == b"fine\r\n"
        assert board.exec(code) == b"fine\r\n"
    assert arrivals[-1] - arrivals[0] > 2 * 9 * 0.005


def test_burst_paces_every_write() -> None:
    with FakeBoard() as fake:
        line = open_line(fake.port, burst=8)
        start = time.monotonic()
        line.send(bytes(80), Deadline(5))
        assert time.monotonic() - start >= 9 * line.gap
        line.close()


def test_unplugged_while_a_program_runs_is_disconnected() -> None:
    def script(fake: FakeBoard) -> None:
        fake.reach_prompt()
        after_paste(b"\x04out")(fake)
        time.sleep(0.1)
        fake.unplug()

    with FakeBoard(script) as fake, Board.open(fake.port) as board:
        with pytest.raises(Disconnected, match="connection lost") as caught:
            board.exec("1", timeout=5)
        assert caught.value.output == b"out"


def test_recover_opens_a_port_that_comes_back(virtual_board: VirtualBoard, tmp_path: Path) -> None:
    port = tmp_path / "board"
    with FakeBoard() as fake:
        port.symlink_to(fake.port)
        board = Board.open(str(port))
        fake.unplug()
        with pytest.raises(Disconnected):
            board.exec("1")
        port.unlink()
        threading.Timer(0.3, port.symlink_to, [virtual_board.port]).start()
        board.recover(5)
        assert board.exec("print('back')") == b"back\n"
        board.close()


def test_closed_line_touches_no_file_that_has_its_descriptor_now() -> None:
    with FakeBoard() as fake:
        line = open_line(fake.port)
        number = line.fileno()  # type: ignore[attr-defined]
        reader, writer = os.pipe()
        line.close()
        os.dup2(writer, number)
        try:
            with pytest.raises(Disconnected, match="closed"):
                line.send(b"not for this file", Deadline(1))
            with pytest.raises(Disconnected, match="closed"):
                line.receive(0)
            os.set_blocking(reader, False)
            with pytest.raises(BlockingIOError):
                os.read(reader, 1)
        finally:
            for descriptor in (reader, writer, number):
                os.close(descriptor)


def test_port_that_does_not_exist() -> None:
    with pytest.raises(PortError, match=r"port /dev/nothing: no such device; is the board plugged in\?"):
        Board.open("/dev/nothing")


def test_port_in_use_by_another_program(virtual_board: VirtualBoard) -> None:
    with (
        Board.open(virtual_board.port),
        pytest.raises(PortError, match="in use by another program; close it"),
    ):
        Board.open(virtual_board.port)


def test_url_that_makes_no_sense() -> None:
    with pytest.raises(PortError, match="cannot be opened"):
        Board.open("nonsense://x")


def test_tcp_port_that_nobody_listens_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"socket://127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(PortError, match=r"cannot be opened.*refused"):
        Board.open(url)


def test_port_that_cannot_be_polled_keeps_its_deadlines() -> None:
    line = open_line("loop://")
    line.send(b"hello", Deadline(1))
    assert line.receive(1) == b"hello"
    start = time.monotonic()
    assert line.receive(0.2) == b""
    assert 0.2 <= time.monotonic() - start < 1
    line.close()


def test_write_that_blocks_on_a_port_that_cannot_be_polled(monkeypatch: pytest.MonkeyPatch) -> None:
    line = open_line("loop://")
    monkeypatch.setattr(line._device, "write", lambda data: time.sleep(2))
    start = time.monotonic()
    with pytest.raises(NoAnswer, match=r"took no input for 0\.3 s"):
        line.send(b"hello", Deadline(0.3))
    assert time.monotonic() - start < 1.5

    def fail(data: bytes) -> None:
        raise serial.SerialException("gone")

    monkeypatch.setattr(line._device, "write", fail)
    with pytest.raises(Disconnected, match="gone"):
        line.send(b"hello", Deadline(0.3))


def test_file_that_arrives_damaged_is_not_installed(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    files = Files(board)
    files.put("data", b"old")
    monkeypatch.setattr("binascii.b2a_base64", lambda data, newline: b"AAAA")
    with pytest.raises(DeployError, match=r"data\.new is not what was sent"):
        files.put("data", b"new contents")
    assert board.eval("open('data').read()") == "old"


def test_file_that_is_not_where_it_should_be_is_an_error(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the line changes a byte of the name that the file is to have."""
    files = Files(board)
    files.put("data", b"old")
    monkeypatch.setattr("sesstab_tools.files._RENAME", "import os\nos.rename({old!r}, {new!r} + 'x')")
    with pytest.raises(DeployError, match=r"data is not what was sent"):
        files.put("data", b"new contents")
    assert board.eval("open('data').read()") == "old"


def test_a_line_that_garbles_one_answer_does_not_cost_flow_control_for_ever() -> None:
    """R, 0 says that there is no raw paste; or that the 1 was damaged."""

    def script(fake: FakeBoard) -> None:
        fake.reach_prompt()
        answer_to_paste(b"R\x00>")(fake)
        fake.read_until(b"\x04")
        fake.send(b"garbage")
        fake.reach_prompt()
        after_paste(b"\x04fine\x04\x04>")(fake)

    with FakeBoard(script) as fake, Board.open(fake.port) as board:
        with pytest.raises(ProtocolError):
            board.exec("1", timeout=1)
        assert board.exec("1", timeout=3) == b"fine"


@pytest.mark.parametrize(
    "ask",
    [
        lambda files: files.sha256(["data"]),
        lambda files: files.exists("data"),
        lambda files: files.remove("data"),
        lambda files: files.listing(),
    ],
    ids=["sha256", "exists", "remove", "listing"],
)
@pytest.mark.parametrize(
    "answer", [b"", b"'\r\n", b"#12\r\n", b"7\r\n", b"[7]\r\n", b"[(1, 2)]\r\n", b"1\x91\r\n"]
)
def test_garbled_answers_about_files_are_errors_of_the_protocol(
    ask: Callable[[Files], object], answer: bytes
) -> None:
    def script(fake: FakeBoard) -> None:
        fake.reach_prompt()
        while True:
            fake.accept_paste(window=1024)
            code = fake.read_until(b"\x04")
            fake.send(b"\x04" + (answer if b"print" in code else b"") + b"\x04\x04>")

    with FakeBoard(script) as fake, Board.open(fake.port) as board, pytest.raises(ProtocolError):
        ask(Files(board, 2))
