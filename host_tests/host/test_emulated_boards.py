"""Emulated boards: what each board on a serial port must do, with the images of `make firmware`.

`make setup-test` builds them; without them these tests fail and say so. What one emulator does beyond that is
in test_qemu.py, test_rp2040.py and test_xtensa.py.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from emulated_boards import (
    BOARDS,
    ROOT,
    WITHOUT_SESSTAB,
    WRONG,
    arch_of,
    cpu_seconds,
    is_running,
    native_module,
    nothing_left,
    wait_until,
)
from sesstab_tools.deploy import deploy
from sesstab_tools.emulators import start
from sesstab_tools.errors import BoardError, BoardReset, DeviceException
from sesstab_tools.files import Files
from sesstab_tools.repl import Board, Program


@pytest.fixture(scope="module", params=BOARDS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def running(name: str) -> Iterator[Any]:
    """The emulator, which has a pid beside what a RunningBoard has."""
    with start(name, ROOT) as board:
        yield board


@pytest.fixture
def board(running: Any) -> Iterator[Board]:
    with Board.open(running.port, press_reset=running.reset) as client:
        yield client


def read_line(program: Program) -> bytes:
    said = b""
    while not said.endswith(b"\n") and not program.ended:
        said += program.read(5)
    return said.strip()


# Talking to it


def test_exec(board: Board) -> None:
    assert board.exec("print(6 * 7)") == b"42\r\n"
    assert board.eval("2 ** 70") == 2**70
    with pytest.raises(DeviceException, match="ZeroDivisionError"):
        board.exec("1 / 0")


def test_raw_paste_of_64_kilobytes(board: Board) -> None:
    text = "".join(f"{i:06}" for i in range(10922))
    lines = "\n".join(f"# {text[i : i + 60]}" for i in range(0, len(text), 60))
    assert board.exec(f"{lines}\nprint('the end')", 60) == b"the end\r\n"


def test_64_kilobytes_of_output_arrive_whole(board: Board) -> None:
    output = board.exec("for i in range(8192): print('%06d' % i)", 60)
    assert output == b"".join(b"%06d\r\n" % i for i in range(8192))


def test_output_waits_for_a_client_that_does_not_read(running: Any, board: Board) -> None:
    program = board.start("for i in range(16384): print('%06d' % i)")

    def waits() -> bool:
        used = cpu_seconds(running.pid)
        time.sleep(1)
        return cpu_seconds(running.pid) - used < 0.3

    assert wait_until(waits, 30)
    assert program.finish(60) == b"".join(b"%06d\r\n" % i for i in range(16384))


def test_input_waits_for_a_program_that_does_not_read(board: Board) -> None:
    program = board.start(
        "import micropython, sys, time\n"
        "micropython.kbd_intr(-1)\n"
        "print('go')\n"
        "time.sleep(1)\n"
        "data = sys.stdin.buffer.read(20000)\n"
        "micropython.kbd_intr(3)\n"
        "print(data == bytes(i & 255 for i in range(20000)))\n"
    )
    assert read_line(program) == b"go"
    program.write(bytes(i & 255 for i in range(20000)), 10)
    assert program.finish(20).strip() == b"True"


def test_ctrl_c_interrupts(board: Board) -> None:
    for code in (
        "while True: pass",
        "import time\nwhile True: time.sleep(60)",
        "import sys; sys.stdin.read(1)",
    ):
        program = board.start(code)
        time.sleep(0.2)
        program.interrupt()
        with pytest.raises(DeviceException, match="KeyboardInterrupt"):
            program.finish(5)


def test_select_tells_when_there_is_input(board: Board) -> None:
    program = board.start(
        "import select, sys, time\n"
        "poll = select.poll(); poll.register(sys.stdin, select.POLLIN)\n"
        "start = time.ticks_ms()\n"
        "print(poll.poll(300), time.ticks_diff(time.ticks_ms(), start) // 100)\n"
        "print(len(poll.poll(5000)), sys.stdin.readline())\n"
        "print(select.select([sys.stdin], [], [], 0)[0])\n"
        "print(select.select([], [sys.stdout], [], 0)[1] == [sys.stdout])\n"
    )
    assert read_line(program) == b"[] 3"
    program.write(b"words\n")
    assert program.finish(5) == b"1 words\r\n\r\n[]\r\nTrue\r\n"


def test_asyncio_reads_the_serial_line(board: Board) -> None:
    program = board.start(
        "import asyncio, sys\n"
        "ticks = 0\n"
        "async def tick():\n"
        "    global ticks\n"
        "    while True:\n"
        "        ticks += 1\n"
        "        await asyncio.sleep_ms(50)\n"
        "async def main():\n"
        "    task = asyncio.create_task(tick())\n"
        "    print('go')\n"
        "    line = await asyncio.StreamReader(sys.stdin).readline()\n"
        "    print(line, ticks > 5)\n"
        "    task.cancel()\n"
        "asyncio.run(main())\n"
    )
    assert read_line(program) == b"go"
    time.sleep(0.6)
    program.write(b"words\n")
    assert program.finish(5) == b"b'words\\n' True\r\n"


def test_a_client_may_come_and_go(running: Any) -> None:
    for number in range(3):
        with Board.open(running.port) as client:
            assert client.eval(f"{number} + 1") == number + 1


def test_two_boards_at_once(name: str, running: Any, board: Board) -> None:
    with start(name, ROOT) as other, Board.open(other.port) as client:
        assert other.port != running.port
        board.exec("name = 'one'")
        client.exec("name = 'other'")
        assert (board.eval("name"), client.eval("name")) == ("one", "other")


# Resets and files


def test_files_survive_resets(running: Any, board: Board) -> None:
    board.exec("with open('kept', 'w') as f: f.write('words')")
    read = "open('kept').read()"
    board.soft_reset()
    assert board.eval(read) == "words"
    running.reset()
    board.recover()
    assert board.eval(read) == "words"
    with pytest.raises(BoardReset):
        board.exec("import machine; machine.reset()")
    board.recover()
    assert board.eval(read) == "words"
    board.exec("import os; os.remove('kept')")


def test_variables_do_not_survive_a_reset(running: Any, board: Board) -> None:
    board.exec("name = 1")
    running.reset()
    board.recover()
    assert board.eval("'name' in globals()") is False


def test_boot_and_main_run(running: Any, board: Board) -> None:
    board.exec("with open('boot.py', 'w') as f: f.write('order = [1]')")
    board.exec("with open('main.py', 'w') as f: f.write('order.append(2)')")
    running.reset()
    board.recover()
    assert board.eval("order") == [1, 2]
    board.exec("import os; os.remove('boot.py'); os.remove('main.py')")


def test_reset_ends_what_runs(running: Any, board: Board) -> None:
    for loop in ("while True: pass", "while True: print('x' * 100)"):
        board.start(f"import micropython\nmicropython.kbd_intr(-1)\n{loop}")
        time.sleep(0.3)
        running.reset()
        board.recover()
        assert board.eval("1 + 1") == 2


def test_recover_from_a_program_that_ignores_ctrl_c(board: Board) -> None:
    board.start("import micropython\nmicropython.kbd_intr(-1)\nwhile True: pass")
    time.sleep(0.2)
    board.recover(20)
    assert board.eval("1 + 1") == 2


# Time and chance


def test_sleep_takes_its_time_and_no_computing(running: Any, board: Board) -> None:
    board.exec("import time")
    used, began = cpu_seconds(running.pid), time.monotonic()
    took = int(board.exec("t = time.ticks_ms(); time.sleep(1); print(time.ticks_diff(time.ticks_ms(), t))"))
    assert 1000 <= took < 1100
    assert 0.95 < time.monotonic() - began < 3
    assert cpu_seconds(running.pid) - used < 0.5


def test_a_board_that_waits_computes_nothing(running: Any, board: Board) -> None:
    board.exec("pass")
    used = cpu_seconds(running.pid)
    time.sleep(2)
    assert cpu_seconds(running.pid) - used < 0.1


def test_time_passes_while_the_board_waits(board: Board) -> None:
    board.exec("import time; start = time.ticks_ms()")
    time.sleep(1)
    passed = board.eval("time.ticks_diff(time.ticks_ms(), start)")
    assert isinstance(passed, int) and 900 < passed < 5000


def test_entropy_differs_and_is_spread(board: Board) -> None:
    samples = [board.eval("__import__('os').urandom(64)") for _ in range(3)]
    assert len(set(samples)) == 3
    for sample in samples:
        assert isinstance(sample, bytes)
        ones = sum(byte.bit_count() for byte in sample)
        assert 180 < ones < 332  # of 512: six standard deviations and more


# Native modules


def test_a_module_for_another_architecture_is_refused(name: str, board: Board) -> None:
    Files(board).mkdirs("lib")
    Files(board).put("lib/wrong_one.mpy", native_module(WRONG[arch_of(name)]).read_bytes())
    try:
        with pytest.raises(DeviceException, match=r"ValueError: incompatible \.mpy arch"):
            board.exec("import wrong_one")
    finally:
        Files(board).remove("lib/wrong_one.mpy")


without_sesstab = pytest.mark.parametrize("name", WITHOUT_SESSTAB, indirect=True, scope="module")


@without_sesstab
def test_a_module_for_another_architecture_is_not_deployed(name: str, board: Board, tmp_path: Path) -> None:
    wrong = native_module(WRONG[arch_of(name)]).relative_to(ROOT)
    (tmp_path / "lib").symlink_to(ROOT / "lib")
    (tmp_path / wrong).parent.mkdir(parents=True)
    shutil.copy(ROOT / wrong, tmp_path / wrong)
    would_be_done = deploy(board, tmp_path, dry_run=True)
    assert would_be_done.engine == "pure"
    assert not any(path.endswith(".mpy") for path in would_be_done.sent)
    assert would_be_done.module.startswith("dist/natmod/")
    assert "/_sesstab.mpy is missing" in would_be_done.module
    assert would_be_done.module.endswith(": make natmod")


@without_sesstab
def test_the_module_of_the_board_s_architecture_is_deployed(name: str, board: Board) -> None:
    done = deploy(board, ROOT)
    assert (done.engine, done.module) == ("native", str(native_module(arch_of(name)).relative_to(ROOT)))
    board.soft_reset()
    assert board.exec("import sesstab; print(sesstab.ENGINE)") == b"native\r\n"


# Ends


def test_close_leaves_nothing(name: str) -> None:
    with nothing_left():
        running: Any = start(name, ROOT)
        pid, port = running.pid, Path(running.port)
        with Board.open(running.port) as board:
            board.start("while True: pass")
        running.close()
        running.close()
    assert not is_running(pid)
    assert not port.exists()
    with pytest.raises(BoardError, match="the emulator is closed"):
        running.reset()


def test_it_ends_with_its_parent_killed(name: str) -> None:
    code = (
        "import time; from pathlib import Path\n"
        "from sesstab_tools.emulators import start; from sesstab_tools.repl import Board\n"
        f"running = start({name!r}, Path({str(ROOT)!r}))\n"
        "board = Board.open(running.port); board.start('while True: pass')\n"
        "print(running.pid, flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.kill()
    assert wait_until(lambda: not is_running(pid))
