"""The raw-REPL client against a real interpreter: what it promises, and faults of the program that runs."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import serial
import serial.rfc2217
from sesstab_tools.errors import BoardReset, DeviceException, Disconnected, NoAnswer, ProtocolError
from sesstab_tools.files import Entry, Files
from sesstab_tools.repl import Board, Program
from sesstab_tools.virtual import VirtualBoard


def works(board: Board) -> bool:
    return board.exec("print(6 * 7)", timeout=10) == b"42\n"


def wait_for(program: Program, output: bytes) -> None:
    got = b""
    while got != output:
        got += program.read(5)
        assert output.startswith(got)


@contextmanager
def takes(least: float, most: float) -> Iterator[None]:
    start = time.monotonic()
    yield
    assert least <= time.monotonic() - start <= most


def test_exec_gives_the_output_byte_for_byte(board: Board) -> None:
    assert board.exec("print('a'); print('\u00e4')") == "a\n\u00e4\n".encode()
    assert board.exec("") == b""


def test_eval_gives_the_value(board: Board) -> None:
    assert board.eval("(1, b'x', 'y')") == (1, b"x", "y")
    with pytest.raises(ProtocolError, match="no literal"):
        board.eval("object()")


@pytest.mark.parametrize("text", ["{[]: 1}", "-" * 5000 + "1"])
def test_eval_of_what_only_looks_like_a_literal_is_a_protocol_error(board: Board, text: str) -> None:
    board.exec(f"class Odd:\n    def __repr__(self):\n        return {text!r}")
    with pytest.raises(ProtocolError, match="no literal"):
        board.eval("Odd()")


def test_code_longer_than_any_window_arrives_whole(board: Board) -> None:
    text = "".join(chr(97 + index % 26) for index in range(20_000))
    assert board.exec(f"print('{text}')") == f"{text}\n".encode()


def test_code_with_bytes_that_the_repl_takes_for_commands_is_refused(board: Board) -> None:
    with pytest.raises(ValueError, match=r"write \\x04"):
        board.exec("print('\x04')")
    assert works(board)


def test_exception_brings_the_boards_traceback_and_the_output_before_it(board: Board) -> None:
    with pytest.raises(DeviceException) as caught:
        board.exec("def f():\n    raise ValueError('\u00fc 7')\nprint('before')\nf()")
    assert caught.value.output == b"before\n"
    assert caught.value.type_name == "ValueError"
    assert caught.value.last_line == "ValueError: \u00fc 7"
    assert '  File "<stdin>", line 2, in f\n' in caught.value.traceback
    assert works(board)


@pytest.mark.parametrize("code", ["def f(:", "x = (" + "1, " * 5000, "#" * 5000 + "\n)" + "#" * 5000])
def test_syntax_error_in_short_and_long_code(board: Board, code: str) -> None:
    with pytest.raises(DeviceException, match="SyntaxError"):
        board.exec(code)
    assert works(board)


def test_exception_text_that_is_not_utf8_is_readable(board: Board) -> None:
    with pytest.raises(DeviceException) as caught:
        board.exec("import sys\nsys.stdout.buffer.write(b'\\xff')\nraise ValueError")
    assert caught.value.output == b"\xff"


def test_output_that_is_not_utf8_arrives(board: Board) -> None:
    data = bytes(byte for byte in range(256) if byte != 4)
    code = "import sys\nsys.stdout.buffer.write(bytes([b for b in range(256) if b != 4]))"
    assert board.exec(code + "\nNone") == data


def test_output_of_more_than_a_megabyte_is_exact(board: Board) -> None:
    expected = b"".join(b"%07d\n" % number for number in range(200_000))
    assert board.exec("for number in range(200000): print('%07d' % number)", timeout=30) == expected


def test_output_streams_while_the_program_runs(board: Board) -> None:
    chunks: list[tuple[float, bytes]] = []
    board.exec(
        "import time\nprint(1)\ntime.sleep_ms(300)\nprint(2)",
        on_output=lambda data: chunks.append((time.monotonic(), data)),
    )
    assert b"".join(data for _, data in chunks) == b"1\n2\n"
    assert chunks[-1][0] - chunks[0][0] > 0.2


def test_endless_loop_is_no_answer_within_the_deadline(board: Board) -> None:
    with takes(0.5, 2), pytest.raises(NoAnswer, match=r"did not end in 0\.5 s") as caught:
        board.exec("print('x')\nwhile True: pass", timeout=0.5)
    assert caught.value.output == b"x\n"
    assert works(board)


def test_endless_output_is_no_answer_within_the_deadline(board: Board) -> None:
    with takes(0.5, 2), pytest.raises(NoAnswer):
        board.exec("while True: print('x')", timeout=0.5)
    assert works(board)


def test_program_that_catches_ctrl_c_is_stopped_by_a_reset(board: Board) -> None:
    with pytest.raises(NoAnswer):
        board.exec("while True:\n try:\n  while True: pass\n except: pass", timeout=0.3)
    board.recover()
    assert works(board)


def test_program_that_ignores_ctrl_c_is_stopped_by_a_reset(board: Board) -> None:
    with pytest.raises(NoAnswer):
        board.exec("import micropython\nmicropython.kbd_intr(-1)\nwhile True: pass", timeout=0.3)
    with pytest.raises(NoAnswer):
        board.enter(0.6)
    board.recover()
    assert works(board)


def test_without_a_reset_button_the_error_says_what_to_do(virtual_board: VirtualBoard) -> None:
    with Board.open(virtual_board.port) as board:
        with pytest.raises(NoAnswer):
            board.exec("import micropython\nmicropython.kbd_intr(-1)\nwhile True: print('x')", timeout=0.3)
        with pytest.raises(NoAnswer, match="ignore Ctrl-C: reset the board"):
            board.recover(1.0)


def test_exit_is_a_reset(board: Board) -> None:
    with takes(0, 3), pytest.raises(BoardReset) as caught:
        board.exec("print('bye')\nraise SystemExit")
    assert caught.value.output == b"bye\n"
    assert works(board)


def test_crash_is_a_reset(board: Board, virtual_board: VirtualBoard) -> None:
    program = board.start("print('on'); import time\nwhile True: time.sleep_ms(1)")
    wait_for(program, b"on\n")
    os.kill(virtual_board.pid, signal.SIGKILL)
    with takes(0, 3), pytest.raises(BoardReset):
        program.finish(5)
    assert works(board)


def test_reset_button_while_a_program_runs_is_a_reset(board: Board, virtual_board: VirtualBoard) -> None:
    program = board.start("while True: pass")
    time.sleep(0.1)
    virtual_board.reset()
    with takes(0, 3), pytest.raises(BoardReset):
        program.finish(5)
    assert works(board)


def test_soft_reset_forgets_everything(board: Board) -> None:
    board.exec("x = 1")
    board.soft_reset()
    assert board.eval("'x' in globals()") is False


def test_device_that_dies_is_disconnected(board: Board, virtual_board: VirtualBoard) -> None:
    program = board.start("while True: pass")
    virtual_board.close()
    with takes(0, 3), pytest.raises(Disconnected, match=virtual_board.port):
        program.finish(5)
    with pytest.raises(Disconnected):
        board.exec("1")


def test_heap_lock_left_held_is_recovered_from(board: Board) -> None:
    with pytest.raises((NoAnswer, BoardReset, DeviceException, ProtocolError)):
        board.exec("import micropython\nmicropython.heap_lock()", timeout=1)
        board.exec("x = [1, 2, 3]", timeout=1)
    board.recover()
    board.soft_reset()
    assert works(board)


def test_programs_take_input(board: Board) -> None:
    code = """
import sys, micropython
micropython.kbd_intr(-1)
print("ready")
data = sys.stdin.buffer.read(256)
print(data == bytes(range(256)))
"""
    program = board.start(code)
    wait_for(program, b"ready\n")
    program.write(bytes(range(256)))
    assert program.finish(5) == b"True\n"
    assert program.ended
    assert works(board)


def test_program_read_ends_at_its_end(board: Board) -> None:
    program = board.start("print('a')\nraise ValueError(5)")
    output = b""
    while not program.ended:
        output += program.read(5)
    assert output == b"a\n"
    assert program.read(5) == b""
    with pytest.raises(DeviceException, match="ValueError: 5"):
        program.finish()


def test_write_that_blocks_is_no_answer_within_the_deadline(board: Board) -> None:
    program = board.start("import micropython\nmicropython.kbd_intr(-1)\nwhile True: pass")
    with takes(0.5, 2), pytest.raises(NoAnswer, match=r"took no input for 0\.5 s"):
        program.write(bytes(1_000_000), timeout=0.5)
    board.recover()
    assert works(board)


def test_host_and_board_that_both_write_do_not_lock_up(board: Board) -> None:
    program = board.start(
        "import sys\nfor _ in range(100):\n print('y' * 5000)\nprint(len(sys.stdin.readline()))"
    )
    program.write(b"x" * 100_000 + b"\n", timeout=10)
    assert program.finish(10)[-7:] == b"100001\n"


def test_whatever_state_the_board_was_left_in(virtual_board: VirtualBoard) -> None:
    for leftover in (
        b"\x05half a paste",
        b"\x01\x05A\x01half a raw paste",
        b"\x01half a line",
        b"if 1:\r",
        b"'\x1b[",
    ):
        descriptor = os.open(virtual_board.port, os.O_RDWR | os.O_NOCTTY)
        os.write(descriptor, leftover)
        os.close(descriptor)
        with Board.open(virtual_board.port) as board:
            assert works(board), leftover


def test_a_link_to_the_port_works(virtual_board: VirtualBoard, tmp_path: Path) -> None:
    link = tmp_path / "board"
    link.symlink_to(virtual_board.port)
    with Board.open(str(link)) as board:
        assert works(board)


def test_files(board: Board) -> None:
    files = Files(board)
    data = os.urandom(3000)
    files.mkdirs("a/b")
    files.put("a/b/data", b"old")
    files.put("a/b/data", data)
    files.put("a/empty", b"")
    assert files.listing("a") == [Entry("b", True, 0), Entry("empty", False, 0)]
    assert files.listing("a/b") == [Entry("data", False, 3000)]
    assert board.eval("open('a/b/data', 'rb').read()") == data
    assert files.sha256(["a/nothing"]) == {"a/nothing": None}
    assert files.remove("a/empty")
    assert not files.remove("a/empty")


@contextmanager
def tcp_bridge(port: str) -> Iterator[str]:
    """Puts a serial port on a TCP port, for one connection."""
    with serial.Serial(port, timeout=0.01) as device, socket.create_server(("127.0.0.1", 0)) as server:
        done = threading.Event()

        def serve() -> None:
            connection, _ = server.accept()
            connection.settimeout(0.01)
            with connection:
                while not done.is_set():
                    connection.sendall(device.read(max(1, device.in_waiting)))
                    try:
                        data = connection.recv(4096)
                    except TimeoutError:
                        continue
                    if not data:
                        return
                    device.write(data)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"socket://127.0.0.1:{server.getsockname()[1]}"
        done.set()
        thread.join()


def test_a_board_behind_tcp(virtual_board: VirtualBoard) -> None:
    with tcp_bridge(virtual_board.port) as url, Board.open(url) as board:
        assert works(board)
        with pytest.raises(NoAnswer):
            board.exec("while True: pass", timeout=0.3)
        assert len(board.exec("print('x' * 5000)")) == 5001


class PtyAsSerial(serial.Serial):
    """A pty has no modem lines; a server of RFC 2217 asks for them."""

    cts = dsr = ri = cd = True

    def _update_rts_state(self) -> None: ...

    def _update_dtr_state(self) -> None: ...


@contextmanager
def rfc2217_server(port: str) -> Iterator[str]:
    """Puts a serial port on a TCP port as RFC 2217 has it, for one connection."""
    with PtyAsSerial(port, timeout=0.01) as device, socket.create_server(("127.0.0.1", 0)) as server:
        done = threading.Event()

        def serve() -> None:
            connection, _ = server.accept()
            connection.settimeout(0.01)
            sending = threading.Lock()

            class Network:
                def write(self, data: bytes) -> None:
                    with sending:
                        connection.sendall(data)

            network = Network()
            manager = serial.rfc2217.PortManager(device, network)
            with connection, suppress(ConnectionError):
                while not done.is_set():
                    network.write(b"".join(manager.escape(device.read(max(1, device.in_waiting)))))
                    with suppress(TimeoutError):
                        device.write(b"".join(manager.filter(connection.recv(4096))))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"rfc2217://127.0.0.1:{server.getsockname()[1]}"
        done.set()
        thread.join()


@pytest.mark.filterwarnings("ignore::DeprecationWarning:serial")
def test_a_board_behind_rfc2217(virtual_board: VirtualBoard) -> None:
    with rfc2217_server(virtual_board.port) as url, Board.open(url) as board:
        assert works(board)
        with pytest.raises(NoAnswer):
            board.exec("while True: pass", timeout=0.3)
        assert len(board.exec("print('x' * 5000)")) == 5001
