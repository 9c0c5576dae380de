"""sesstab emulate, and emulated boards as ports: they run, they take options, and nothing is left of them."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli_user import ENDINGS, ENVIRONMENT, ROOT, all_gone, descendants, only_line, running, sesstab
from sesstab_tools.emulators import start
from sesstab_tools.errors import PortError
from sesstab_tools.repl import Board
from sesstab_tools.virtual import find_micropython, unix_board

slow = pytest.mark.slow


@contextmanager
def emulated(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`sesstab emulate`, and the port that it has printed."""
    with running("emulate", *arguments) as process:
        assert process.stdout and process.stderr
        port = process.stdout.readline().strip()
        assert port, process.stderr.read()
        yield process, port


@pytest.mark.parametrize("number", ENDINGS)
def test_emulate_until_told_to_end(number: signal.Signals, tmp_path: Path) -> None:
    link, files = tmp_path / "board", tmp_path / "files"
    with emulated("--link", str(link), "--files", str(files), "--heap", "300K") as (process, port):
        assert os.readlink(link) == port
        with Board.open(str(link)) as board:
            board.exec("open('here', 'w').close()")
            assert board.eval("__import__('gc').mem_free()") < 400_000  # type: ignore[operator]
        started = descendants(process.pid)
        assert started
        process.send_signal(number)
        assert process.wait(10) == 0
        assert all_gone(started)
    assert not link.is_symlink()
    assert (files / "here").exists()


def test_emulate_killed_leaves_no_process() -> None:
    with emulated() as (process, port), Board.open(port) as board:
        board.start("while True: pass")
        folder = Path(os.readlink(f"/proc/{descendants(process.pid)[0]}/cwd"))
        started = descendants(process.pid)
        assert started
        process.kill()
        assert all_gone(started)
    os.rmdir(folder)


@slow
@pytest.mark.parametrize("name", ["RPI_PICO", "QEMU_VIRT_RV32"])
def test_the_end_of_the_emulator_is_an_error(name: str) -> None:
    with emulated(name) as (process, port):
        (emulator,) = descendants(process.pid)
        os.kill(emulator, signal.SIGKILL)
        assert process.wait(10) == 1
        assert process.stderr
        said = process.stderr.read().strip()
        assert port in said
        assert "ended" in said
        assert "\n" not in said


def test_an_interpreter_that_cannot_start_again_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "micropython"
    program.symlink_to(find_micropython())
    monkeypatch.setitem(ENVIRONMENT, "SESSTAB_MICROPYTHON", str(program))
    with running("emulate") as process:
        assert process.stdout and process.stderr
        assert process.stdout.readline().startswith("/dev/")
        program.unlink()
        os.kill(descendants(process.pid)[0], signal.SIGKILL)
        assert process.wait(10) == 1
        assert str(program) in process.stderr.read()


@pytest.mark.parametrize("named", ["here/micropython", "micropython"])
def test_an_interpreter_of_ones_own_is_found_from_here(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "micropython").symlink_to(find_micropython())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"here{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SESSTAB_MICROPYTHON", named)
    assert find_micropython() == str(tmp_path / "here" / "micropython")
    with unix_board() as virtual, Board.open(virtual.port) as board:
        assert board.eval("6 * 7") == 42


def test_an_interpreter_of_ones_own_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSTAB_MICROPYTHON", "no/such/binary")
    with pytest.raises(PortError, match="SESSTAB_MICROPYTHON=no/such/binary: no such program"):
        find_micropython()


def test_a_link_that_is_a_file_is_left_alone(tmp_path: Path) -> None:
    link = tmp_path / "precious"
    link.write_text("data")
    for name in (link, tmp_path / "other"):
        if name != link:
            name.symlink_to(link)
        done = sesstab("emulate", "--link", str(name))
        assert done.returncode == 1
        assert "File exists" in done.stderr
        assert name.read_text() == "data"


def test_a_link_that_another_emulator_has_taken_is_left_to_it(tmp_path: Path) -> None:
    link = tmp_path / "board"
    with emulated("--link", str(link)) as (first, _), emulated("--link", str(link)) as (_, port):
        first.terminate()
        assert first.wait(10) == 0
        assert os.readlink(link) == port


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("RPI_PICO", {"heap": "3M"}, "RPI_PICO has the heap that its firmware gives it; heap is for unix"),
        ("QEMU_MICROBIT", {"files": "kept"}, "QEMU_MICROBIT keeps its files in memory"),
        ("QEMU_XTENSA_DC233C", {"uart": True}, "QEMU_XTENSA_DC233C has one serial port only"),
        ("unix", {"uart": True}, "unix has one serial port only"),
        ("UNIX", {"uart": True}, "unix-c has one serial port only"),
    ],
)
def test_what_a_board_does_not_have_is_refused(
    name: str, options: dict[str, object], message: str, tmp_path: Path
) -> None:
    if "files" in options:
        options = {"files": tmp_path / "kept"}
    with pytest.raises(PortError) as raised:
        start(name, ROOT, **options)  # type: ignore[arg-type]
    assert message in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_a_board_of_ones_own_is_a_port_too(tmp_path: Path) -> None:
    folder = tmp_path / "MINE"
    folder.mkdir()
    (folder / "board.toml").write_text((ROOT / "boards" / "UNIX" / "board.toml").read_text())
    done = sesstab("deploy", "--dry-run", "--json", "--port", "MINE", SESSTAB_BOARDS=str(tmp_path))
    assert '"engine": "native"' in done.stdout, done.stderr


@slow
@pytest.mark.parametrize("name", ["QEMU_MICROBIT", "QEMU_XTENSA_DC233C", "RPI_PICO"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_a_board(name: str, number: signal.Signals, tmp_path: Path) -> None:
    link = tmp_path / "board"
    with emulated(name, "--link", str(link)) as (process, _):
        with Board.open(str(link)) as board:
            assert board.eval("6 * 7") == 42
        started = descendants(process.pid)
        assert started
        process.send_signal(number)
        assert process.wait(10) == (0 if number == signal.SIGTERM else -number)
        assert all_gone(started)
    assert link.is_symlink() == (number == signal.SIGKILL)


@slow
@pytest.mark.parametrize("name", ["QEMU_XTENSA_DC233C", "RPI_PICO"])
def test_files_outlive_an_emulated_board(name: str, tmp_path: Path) -> None:
    for code in ("open('here', 'w').close()", "__import__('os').stat('here')"):
        with emulated(name, "--files", str(tmp_path / "kept")) as (process, port):
            with Board.open(port) as board:
                board.exec(code)
            process.terminate()
            assert process.wait(10) == 0


@slow
@pytest.mark.parametrize("name", ["QEMU_XTENSA_DC233C", "RPI_PICO"])
def test_files_belong_to_one_board_at_a_time(name: str, tmp_path: Path) -> None:
    with emulated(name, "--files", str(tmp_path)) as (process, port):
        with Board.open(port) as board:
            board.exec("open('here', 'w').close()")
        done = sesstab("emulate", name, "--files", str(tmp_path))
        assert done.returncode == 1
        assert only_line(done.stderr) == f"sesstab: {tmp_path}/flash.bin is in use by another emulated board"
        process.terminate()
        assert process.wait(10) == 0
    with emulated(name, "--files", str(tmp_path)) as (process, port):
        with Board.open(port) as board:
            board.exec("__import__('os').stat('here')")
        process.kill()
    with emulated(name, "--files", str(tmp_path)):
        pass


@slow
def test_the_picos_uart_is_a_second_port() -> None:
    with emulated("RPI_PICO", "--uart") as (process, port):
        assert process.stdout
        uart = process.stdout.readline().strip()
        assert uart != port
        assert os.path.exists(uart)


@slow
def test_a_board_for_one_command_as_it_is() -> None:
    done = sesstab("deploy", "--dry-run", "--port", "QEMU_MICROBIT")
    assert done.returncode == 0, done.stderr
    assert "native (dist/natmod/armv6m_" in done.stdout
