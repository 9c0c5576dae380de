"""Boards in QEMU: what a board on a serial port must do, with the images of `make firmware`.

`make setup-test` builds them; without them these tests fail and say so.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sesstab_tools.boards import BoardSpec, find_board
from sesstab_tools.deploy import deploy
from sesstab_tools.emulators import emulate
from sesstab_tools.errors import BoardError, BoardReset, DeviceException, PortError
from sesstab_tools.files import Files
from sesstab_tools.qemu import QemuBoard, qemu_board
from sesstab_tools.repl import Board, Program

ROOT = Path(__file__).resolve().parents[2]
M3 = find_board("QEMU_MPS2_AN385", ROOT)
M0 = find_board("QEMU_MICROBIT", ROOT)
RISCV = find_board("QEMU_VIRT_RV32", ROOT)
SPECS = [M3, M0, RISCV]
# A module of each board's that the board must not load. (A Cortex-M3 runs a Cortex-M0's.)
WRONG = {M3.name: "rv32imc", M0.name: "armv7m", RISCV.name: "armv6m"}

slow = pytest.mark.slow


@pytest.fixture(scope="module", params=SPECS, ids=lambda spec: spec.name)
def spec(request: pytest.FixtureRequest) -> BoardSpec:
    chosen: BoardSpec = request.param
    return chosen


@pytest.fixture(scope="module")
def qemu(spec: BoardSpec) -> Iterator[QemuBoard]:
    with qemu_board(spec, ROOT) as running:
        yield running


@pytest.fixture
def board(qemu: QemuBoard) -> Iterator[Board]:
    with Board.open(qemu.port, press_reset=qemu.reset) as client:
        yield client


def is_running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def wait_until(condition: object, seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:  # type: ignore[operator]
        time.sleep(0.02)
    return bool(condition())  # type: ignore[operator]


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def read_line(program: Program) -> bytes:
    said = b""
    while not said.endswith(b"\n") and not program.ended:
        said += program.read(5)
    return said.strip()


def native_module(arch: str) -> bytes:
    """The module for an architecture, as tools/setup/natmod.sh builds it."""
    return next((ROOT / "dist" / "natmod").glob(f"{arch}_*/_sesstab.mpy")).read_bytes()


# What is missing


def test_a_missing_image_says_how_to_build_it(tmp_path: Path) -> None:
    with pytest.raises(PortError) as raised:
        qemu_board(RISCV, tmp_path)
    missing = "no dist/firmware/QEMU_VIRT_RV32/firmware.elf; build it: make firmware BOARD=QEMU_VIRT_RV32"
    assert str(raised.value) == missing


def test_a_missing_emulator_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = tmp_path / "firmware.elf"
    image.write_bytes(b"")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PortError) as raised:
        qemu_board(RISCV, ROOT, image=image)
    message = "no qemu-system-riscv32; get it: tools/setup/emulators.sh, or install qemu-system-misc"
    assert str(raised.value) == message


def test_a_board_of_another_kind_is_refused() -> None:
    with pytest.raises(PortError, match="QEMU does not emulate UNIX"):
        qemu_board(find_board("UNIX", ROOT), ROOT)


@slow
def test_a_file_that_is_no_image_is_an_error(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    image = tmp_path / "firmware.elf"
    image.write_bytes(b"")
    with pytest.raises(PortError, match=r"QEMU ended, status -6: qemu: fatal: Lockup"):
        qemu_board(M3, ROOT, image=image)
    assert set(os.listdir("/proc/self/fd")) == before


@slow
def test_firmware_without_a_prompt_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sesstab_tools.qemu._START_TIME", 1.0)
    image = tmp_path / "firmware.elf"
    image.write_bytes(b"\x6f\x00\x00\x00" * 16)  # jumps to itself
    with pytest.raises(PortError, match=r"no prompt in 1 s; does main"):
        qemu_board(RISCV, ROOT, image=image)


# The board


@slow
def test_exec(spec: BoardSpec, board: Board) -> None:
    machine = {"QEMU_MPS2_AN385": "Cortex-M3", "QEMU_MICROBIT": "nRF51", "QEMU_VIRT_RV32": "rv32imac"}
    assert machine[spec.name] in str(board.eval("__import__('os').uname().machine"))
    assert board.eval("2 ** 70") == 2**70
    with pytest.raises(DeviceException, match="ZeroDivisionError"):
        board.exec("1 / 0")


@slow
def test_it_has_what_boards_have(spec: BoardSpec, board: Board) -> None:
    board.exec(
        "import asyncio, binascii, gc, hashlib, io, json, machine, os, select, ssl, sys, time, tls, vfs"
    )
    assert board.eval("sys.path") == ["", ".frozen", "/lib"]
    assert board.eval("os.getcwd()") == "/"
    assert str(board.eval("tls.MBEDTLS_VERSION")).startswith("Mbed TLS 3.")
    assert spec.heap
    free = board.eval("gc.collect() or gc.mem_free() + gc.mem_alloc()")
    assert isinstance(free, int) and abs(free - spec.heap) < 4096


@slow
def test_sesstab_is_not_in_the_firmware(board: Board) -> None:
    board.exec("import sys; path = sys.path[:]; sys.path[:] = ['.frozen']")
    try:
        for name in ("sesstab", "_sesstab"):
            with pytest.raises(DeviceException, match="ImportError"):
                board.exec(f"import {name}")
    finally:
        board.exec("sys.path[:] = path")


@slow
def test_raw_paste_of_64_kilobytes(board: Board) -> None:
    text = "".join(f"{i:06}" for i in range(10922))
    lines = "\n".join(f"# {text[i : i + 60]}" for i in range(0, len(text), 60))
    assert board.exec(f"{lines}\nprint('the end')", 60) == b"the end\r\n"


@slow
def test_64_kilobytes_of_output_arrive_whole(board: Board) -> None:
    output = board.exec("for i in range(8192): print('%06d' % i)", 60)
    assert output == b"".join(b"%06d\r\n" % i for i in range(8192))


@slow
def test_output_waits_for_a_client_that_does_not_read(qemu: QemuBoard, board: Board) -> None:
    program = board.start("for i in range(16384): print('%06d' % i)")
    time.sleep(1)
    used = cpu_seconds(qemu.pid)
    time.sleep(1)
    assert cpu_seconds(qemu.pid) - used < 0.3
    assert program.finish(60) == b"".join(b"%06d\r\n" % i for i in range(16384))


@slow
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


@slow
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


@slow
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


@slow
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


@slow
def test_a_client_may_come_and_go(qemu: QemuBoard) -> None:
    for number in range(3):
        with Board.open(qemu.port) as client:
            assert client.eval(f"{number} + 1") == number + 1


@slow
def test_two_boards_at_once(spec: BoardSpec, qemu: QemuBoard, board: Board) -> None:
    with emulate(spec, ROOT) as other, Board.open(other.port) as client:
        assert other.port != qemu.port
        board.exec("name = 'one'")
        client.exec("name = 'other'")
        assert (board.eval("name"), client.eval("name")) == ("one", "other")


# Resets and files


@slow
def test_files_survive_resets(qemu: QemuBoard, board: Board) -> None:
    board.exec("with open('kept', 'w') as f: f.write('words')")
    read = "open('kept').read()"
    board.soft_reset()
    assert board.eval(read) == "words"
    qemu.reset()
    board.recover()
    assert board.eval(read) == "words"
    with pytest.raises(BoardReset):
        board.exec("import machine; machine.reset()")
    board.recover()
    assert board.eval(read) == "words"
    board.exec("import os; os.remove('kept')")


@slow
def test_variables_do_not_survive_a_reset(qemu: QemuBoard, board: Board) -> None:
    board.exec("name = 1")
    qemu.reset()
    board.recover()
    assert board.eval("'name' in globals()") is False
    assert board.eval("__import__('time').ticks_ms() < 60000") is True


@slow
def test_boot_and_main_run(qemu: QemuBoard, board: Board) -> None:
    board.exec("with open('boot.py', 'w') as f: f.write('order = [1]')")
    board.exec("with open('main.py', 'w') as f: f.write('order.append(2)')")
    qemu.reset()
    board.recover()
    assert board.eval("order") == [1, 2]
    board.exec("import os; os.remove('boot.py'); os.remove('main.py')")


@slow
def test_a_main_that_runs_for_ever_is_an_error_of_the_reset(
    spec: BoardSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    with qemu_board(spec, ROOT) as qemu:
        with Board.open(qemu.port) as board:
            board.exec("with open('main.py', 'w') as f: f.write('while True: pass')")
        monkeypatch.setattr("sesstab_tools.qemu._START_TIME", 1.0)
        with pytest.raises(BoardError, match=r"no prompt in 1 s; does main\.py run for ever\?"):
            qemu.reset()
        with Board.open(qemu.port) as board:  # which sends Ctrl-C
            assert board.eval("1 + 1") == 2


@slow
def test_reset_ends_what_runs(qemu: QemuBoard, board: Board) -> None:
    for loop in ("while True: pass", "while True: print('x' * 100)"):
        board.start(f"import micropython\nmicropython.kbd_intr(-1)\n{loop}")
        time.sleep(0.3)
        qemu.reset()
        board.recover()
        assert board.eval("1 + 1") == 2


@slow
def test_recover_from_a_program_that_ignores_ctrl_c(board: Board) -> None:
    board.start("import micropython\nmicropython.kbd_intr(-1)\nwhile True: pass")
    time.sleep(0.2)
    board.recover(20)
    assert board.eval("1 + 1") == 2


@slow
def test_the_file_system_holds_its_size(board: Board) -> None:
    board.exec("with open('big', 'w') as f:\n    for i in range(100): f.write('%04d' % i * 1000)")
    assert board.eval("len(open('big').read(8))") == 8
    assert board.eval("__import__('os').stat('big')[6]") == 400000
    with pytest.raises(DeviceException, match="OSError: 28"):
        board.exec("with open('big', 'w') as f:\n    for i in range(300): f.write('%04d' % i * 1000)", 60)
    board.exec("import os; os.remove('big')")


# Time and chance


@slow
def test_equal_work_takes_equal_time(spec: BoardSpec) -> None:
    work = (
        "import time\ndef work():\n    s = 0\n    for i in range(20000): s = s + i & 0xffff\n    return s\n"
    )
    measured = []
    for _ in range(2):
        with qemu_board(spec, ROOT) as qemu, Board.open(qemu.port) as client:
            client.exec(work)
            took = client.exec("t = time.ticks_us(); work(); print(time.ticks_diff(time.ticks_us(), t))")
            measured.append(int(took))
    assert abs(measured[0] - measured[1]) < 50
    assert 1000 < measured[0] < 100000


@slow
def test_sleep_takes_its_time_and_no_computing(qemu: QemuBoard, board: Board) -> None:
    board.exec("import time")
    used, start = cpu_seconds(qemu.pid), time.monotonic()
    took = int(board.exec("t = time.ticks_ms(); time.sleep(1); print(time.ticks_diff(time.ticks_ms(), t))"))
    assert 1000 <= took < 1100
    assert 0.95 < time.monotonic() - start < 3
    assert cpu_seconds(qemu.pid) - used < 0.5


@slow
def test_a_board_that_waits_computes_nothing(qemu: QemuBoard, board: Board) -> None:
    board.exec("pass")
    used = cpu_seconds(qemu.pid)
    time.sleep(2)
    assert cpu_seconds(qemu.pid) - used < 0.1


@slow
def test_time_passes_while_the_board_waits(board: Board) -> None:
    board.exec("import time; start = time.ticks_ms()")
    time.sleep(1)
    passed = board.eval("time.ticks_diff(time.ticks_ms(), start)")
    assert isinstance(passed, int) and 900 < passed < 5000


@slow
def test_the_clock_starts_with_the_host_s(spec: BoardSpec) -> None:
    with qemu_board(spec, ROOT) as qemu, Board.open(qemu.port) as client:
        now = client.eval("__import__('time').time()")
        assert isinstance(now, int) and abs(now - time.time()) < 10
        assert client.eval("__import__('time').gmtime()[0]") == time.gmtime().tm_year


@slow
def test_entropy_differs_and_is_spread(board: Board) -> None:
    samples = [board.eval("__import__('os').urandom(64)") for _ in range(3)]
    assert len(set(samples)) == 3
    for sample in samples:
        assert isinstance(sample, bytes)
        ones = sum(byte.bit_count() for byte in sample)
        assert 180 < ones < 332  # of 512: six standard deviations and more


def test_entropy_of_the_emulator_compiles_for_nothing_else() -> None:
    source = ROOT / "firmware" / "qemu" / "entropy_emulation_only.c"
    result = subprocess.run(["cc", "-fsyntax-only", source], capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "exists in an emulator only" in result.stderr


# Native modules


@slow
def test_a_module_for_another_architecture_is_refused(spec: BoardSpec, board: Board) -> None:
    Files(board).mkdirs("lib")
    Files(board).put("lib/wrong_one.mpy", native_module(WRONG[spec.name]))
    try:
        with pytest.raises(DeviceException, match=r"ValueError: incompatible \.mpy arch"):
            board.exec("import wrong_one")
    finally:
        Files(board).remove("lib/wrong_one.mpy")


@slow
def test_a_module_for_another_architecture_is_not_deployed(
    spec: BoardSpec, board: Board, tmp_path: Path
) -> None:
    (tmp_path / "lib").symlink_to(ROOT / "lib")
    for folder in (ROOT / "dist" / "natmod").glob(f"{WRONG[spec.name]}_*"):
        shutil.copytree(folder, tmp_path / "dist" / "natmod" / folder.name)
    done = deploy(board, tmp_path)
    assert done.engine == "pure"
    assert done.module.startswith("dist/natmod/") and done.module.endswith("is missing: make natmod")
    board.exec("import sesstab")
    assert board.eval("sesstab.ENGINE") == "pure"


@slow
def test_the_module_of_the_board_s_architecture_is_deployed(spec: BoardSpec, board: Board) -> None:
    done = deploy(board, ROOT)
    assert done.engine == "native"
    assert done.module.startswith(f"dist/natmod/{spec.arch}_")
    board.soft_reset()
    board.exec("import sesstab")
    assert board.eval("sesstab.ENGINE") == "native"


# Ends


@slow
def test_close_leaves_nothing(spec: BoardSpec) -> None:
    before = set(os.listdir("/proc/self/fd"))
    qemu = qemu_board(spec, ROOT)
    pid, port = qemu.pid, Path(qemu.port)
    qemu.close()
    qemu.close()
    assert not is_running(pid)
    assert not port.exists()
    assert set(os.listdir("/proc/self/fd")) == before
    with pytest.raises(BoardError, match="the emulator is closed"):
        qemu.reset()


@slow
def test_it_ends_with_its_parent_killed(spec: BoardSpec) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from sesstab_tools.boards import find_board; from sesstab_tools.qemu import qemu_board\n"
        "from sesstab_tools.repl import Board\n"
        f"root = Path({str(ROOT)!r})\n"
        f"qemu = qemu_board(find_board({spec.name!r}, root), root)\n"
        "board = Board.open(qemu.port); board.start('while True: pass')\n"
        "print(qemu.pid, flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.send_signal(signal.SIGKILL)
    assert wait_until(lambda: not is_running(pid))


@slow
def test_an_emulator_that_dies_is_an_error_and_says_so(spec: BoardSpec) -> None:
    with qemu_board(spec, ROOT) as qemu:
        os.kill(qemu.pid, signal.SIGKILL)
        with pytest.raises(BoardError, match="QEMU ended, status -9"):
            qemu.reset()
