"""`make demo` for one board: what it shows of an emulated board, and of a board on a port."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sesstab_tools.board_handshakes import BOARDS, Clock, columns, rows
from sesstab_tools.handshakes import Handshake
from sesstab_tools.virtual import unix_board

ROOT = Path(__file__).resolve().parents[2]


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sesstab_tools.demo", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)


def test_an_emulated_board_is_called_emulated_and_does_all_it_can() -> None:
    done = demo("--board", "UNIX")
    assert done.returncode == 0, done.stderr
    assert "Its time is emulated" in done.stdout and "emulated ms" in done.stdout
    for way in ("server, 1.2 id", "server, 1.2 ticket", "server, 1.3", "client, 1.2", "client, 1.3"):
        assert f" {way} " in done.stdout


def test_a_board_on_a_port_is_not_called_emulated() -> None:
    with unix_board() as virtual:
        done = demo("--port", virtual.port)
    assert done.returncode == 0, done.stderr
    assert virtual.port in done.stdout and " server, 1.2 id " in done.stdout
    assert "emulated" not in done.stdout
    assert "client" not in done.stdout  # for that it needs sesstab in its firmware


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--board", "RPI_PICO2"), "sesstab: nothing emulates RPI_PICO2"),
        (("--board", "PICO"), "sesstab: no board 'PICO'; there are "),
        (("--port", "/dev/nothing"), "sesstab: port /dev/nothing: no such device"),
    ],
)
def test_what_it_cannot_show_is_an_error_of_one_line(arguments: tuple[str, ...], message: str) -> None:
    done = demo(*arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(message) and done.stderr.count("\n") == 1


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("arguments", [(), ("--board", "UNIX")])
def test_an_end_before_its_time_leaves_nothing(
    arguments: tuple[str, ...], number: signal.Signals, status: int, tmp_path: Path
) -> None:
    command = [sys.executable, "-u", "-m", "sesstab_tools.demo", *arguments]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as process:
        assert process.stdout and process.stderr
        assert "on a virtual board" in process.stdout.readline() or arguments
        assert list(tmp_path.glob("*/ec-key.pem"))
        process.send_signal(number)
        assert process.wait(10) == status
        assert process.stderr.read() == ""
    assert not list(tmp_path.iterdir())


def test_figures_are_medians_and_cycles_follow_from_the_clock() -> None:
    measured = [
        *(Handshake(False, us, 300, 700, 23000, 24000, None) for us in (1000, 9000, 2000)),
        *(Handshake(True, us, 150, 100, 23000, 23500, None) for us in (40, 50, 90)),
    ]
    clock = Clock(125, "cycles")
    assert list(columns(clock)) == ["ms", "M cycles", "bytes in", "bytes out", "heap kept", "heap at most"]
    assert rows(measured, clock) == [
        ["full", "2.00", "0.25", "300", "700", "23000", "24000"],
        ["resumed", "0.05", "0.01", "150", "100", "23000", "23500"],
        ["ratio", "40.0", "40.0", "2.0", "7.0", "1.0", "1.0"],
    ]
    assert [row[1] for row in rows(measured, None)] == ["2.00", "0.05", "40.0"]


def test_the_page_has_figures_for_each_board() -> None:
    page = (ROOT / "docs" / "performance.md").read_text()
    measured = page.split("<!-- make bench: board handshakes begin -->")[1].split("<!-- make bench: ")[0]
    assert [line.split()[1] for line in measured.splitlines() if line.startswith("### ")] == [
        f"{name}:" for name in BOARDS
    ]
