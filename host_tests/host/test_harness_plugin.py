"""The pytest plugin and the virtual boards: device tests of every kind of outcome, run by pytest itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from device_project import make_project
from sesstab_tools.deploy import find_module, module_names
from sesstab_tools.errors import DeviceException, PortError
from sesstab_tools.repl import Board
from sesstab_tools.targets import ENGINES, default_targets, port_name, readable_traceback, target_names
from sesstab_tools.virtual import VirtualBoard, cpython_board, unix_board

ROOT = Path(__file__).parents[2]

DEVICE_TESTS = """\
import support
import sesstab


def test_passes():
    print("printed")
    assert sesstab.ENGINE == "pure"


def test_fails():
    print("before")
    support.check(1, 2)


def test_hangs():
    while True:
        pass


def test_after_hang():
    assert sesstab.SessionTable


def test_ignores_interrupts():
    import micropython

    micropython.kbd_intr(-1)
    while True:
        pass


def test_resets():
    raise SystemExit


def test_after_reset():
    assert sesstab.SessionTable
"""
SUPPORT = """\
def check(a, b):
    assert a == b
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path, test_outcomes=DEVICE_TESTS, support=SUPPORT)


def run_pytest(project: Path, *arguments: str) -> str:
    environment = {n: v for n, v in os.environ.items() if not n.startswith(("PYTEST", "SESSTAB"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "host_tests", "-rA", "--device-timeout=0.5", *arguments],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        # Other plugins would only take time to load.
        env={**environment, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )
    return done.stdout + done.stderr


def outcome(report: str, test: str) -> str:
    lines = [line for line in report.splitlines() if f"::{test}" in line and "%" not in line]
    assert len(lines) == 1, report
    return lines[0].split()[0]


def test_every_outcome_is_reported_and_the_next_test_runs(project: Path) -> None:
    report = run_pytest(project, "--target=unix", "--engine=pure")
    passed = ["test_passes", "test_after_hang", "test_after_reset"]
    failed = ["test_fails", "test_hangs", "test_ignores_interrupts", "test_resets"]
    assert [outcome(report, f"{test}[unix-pure]") for test in passed] == ["PASSED"] * 3
    assert [outcome(report, f"{test}[unix-pure]") for test in failed] == ["FAILED"] * 4
    assert "device tests on: unix-pure" in report
    assert (
        'File "host_tests/device/test_outcomes.py", line 12, in test_fails\n    support.check(1, 2)' in report
    )
    assert 'File "lib/support.py", line 2, in check' in report
    assert "NoAnswer: port" in report
    assert "when stopped, it was here:\nTraceback" in report
    assert 'File "host_tests/device/test_outcomes.py", line 1' in report.split("it was here")[1]
    assert "BoardReset: port" in report
    assert "before" in report


def test_cpython_is_a_target_like_the_others(project: Path) -> None:
    report = run_pytest(project, "--target=cpython", "--engine=pure", "-k", "not interrupts")
    assert outcome(report, "test_passes[cpython-pure]") == "PASSED"
    assert outcome(report, "test_hangs[cpython-pure]") == "FAILED"
    assert outcome(report, "test_after_hang[cpython-pure]") == "PASSED"
    assert outcome(report, "test_resets[cpython-pure]") == "FAILED"
    assert 'File "host_tests/device/test_outcomes.py", line 12, in test_fails' in report
    assert 'File "host_tests/device/support.py", line 2, in check\n    assert a == b' in report


def test_a_missing_native_module_fails_and_says_what_to_do(project: Path) -> None:
    report = run_pytest(project, "--target=unix", "--engine=native", "-k", "passes")
    assert outcome(report, "test_passes[unix-native]") == "FAILED"
    assert "dist/natmod/x64_6.3/_sesstab.mpy is missing: make natmod" in report


def test_a_board_on_a_port_is_a_target(project: Path, virtual_board: VirtualBoard) -> None:
    report = run_pytest(project, f"--port={virtual_board.port}", "-k", "passes or after")
    name = port_name(virtual_board.port)
    assert f"device tests on: {name}-pure\n" in report
    assert outcome(report, f"test_passes[{name}-pure]") == "PASSED"


def test_a_port_without_a_board_fails_its_tests(project: Path) -> None:
    report = run_pytest(project, "--port=/dev/nothing", "-k", "passes")
    assert outcome(report, "test_passes[nothing-pure]") == "FAILED"
    assert "port /dev/nothing: no such device" in report


def test_each_target_has_a_worker_of_its_own(project: Path, virtual_board: VirtualBoard) -> None:
    arguments = ["--target=cpython", "--target=unix", f"--port={virtual_board.port}", "-k", "passes or after"]
    report = run_pytest(project, *arguments, "--engine=pure", "-p", "xdist.plugin", "-n2", "-v")
    workers: dict[str, set[str]] = {}
    for line in report.splitlines():
        if line.startswith("[gw") and "%" in line:
            workers.setdefault(line.split("[")[-1].strip(), set()).add(line.split("]")[0])
    assert len(workers) == 3, report
    assert all(len(names) == 1 for names in workers.values()), report
    assert "9 passed" in report


def test_workers_start_with_what_has_most_slow_tests(project: Path) -> None:
    folder = project / "host_tests"
    text = "import pytest\n@pytest.mark.parametrize('n', range({}))\n{}def test_{}(n): pass\n"
    for name, tests, mark in (("a", 9, ""), ("b", 2, "slow"), ("c", 3, "slow"), ("d", 9, "")):
        mark = f"@pytest.mark.{mark}\n" if mark else ""
        (folder / f"test_{name}.py").write_text(text.format(tests, mark, name))
    report = run_pytest(
        project, "-p", "xdist", "-n1", "-v", "--target=cpython", "--engine=pure", "-k", "not outcomes"
    )
    started = [line[line.index("/test_") + 6] for line in report.splitlines() if "] PASSED" in line]
    assert "".join(started) == 3 * "c" + 2 * "b" + 9 * "a" + 9 * "d"


@pytest.mark.parametrize(
    ("source", "text"),
    [("def test_x(:", "test_bad.py:1: "), ("def test_x(a): pass", "test_x: device tests take no arguments")],
)
def test_a_module_that_cannot_be_collected_says_why(project: Path, source: str, text: str) -> None:
    (project / "host_tests/device/test_bad.py").write_text(source)
    report = run_pytest(project, "--target=cpython", "--engine=pure", "-k", "test_x")
    assert text in report


def test_a_module_that_cannot_be_loaded_fails_its_tests(project: Path) -> None:
    (project / "host_tests/device/test_bad.py").write_text("\nimport nothing\ndef test_x(): pass\n")
    report = run_pytest(project, "--target=unix", "--engine=pure", "-k", "test_x")
    assert outcome(report, "test_x[unix-pure]") == "FAILED"
    assert 'File "host_tests/device/test_bad.py", line 2, in <module>\n    import nothing' in report


def test_traceback_keeps_lines_that_are_no_frames(tmp_path: Path) -> None:
    module = tmp_path / "test_a.py"
    module.write_text("first\nsecond\n")
    text = 'Traceback (most recent call last):\n  File "<stdin>", line 2, in f\nValueError: a\nb\n'
    assert readable_traceback(text, module, tmp_path) == (
        'Traceback (most recent call last):\n  File "test_a.py", line 2, in f\n    second\nValueError: a\nb'
    )


def test_module_names_follow_the_architecture_and_version() -> None:
    assert module_names(2822) == ["x64_6.3"]
    assert module_names(6 | 3 << 8 | 5 << 10) == ["armv7m_6.3", "armv6m_6.3"]
    assert module_names(6 | 3 << 8 | 7 << 10) == ["armv7emsp_6.3", "armv7em_6.3", "armv7m_6.3", "armv6m_6.3"]
    assert module_names(6 | 3 << 8 | 10 << 10) == ["xtensawin_6.3"]
    assert module_names(6 | 3 << 8) == []
    assert module_names(0) == []


def test_firmware_without_native_code_gets_the_pure_engine(tmp_path: Path) -> None:
    assert find_module(tmp_path, 6) == (None, "the board's firmware loads no native modules")


def test_virtual_board_has_an_empty_file_system_and_no_path_to_the_hosts(tmp_path: Path) -> None:
    leak = tmp_path / ".micropython" / "lib"
    leak.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path))
        patch.setenv("MICROPYPATH", str(tmp_path))
        with unix_board() as virtual, Board.open(virtual.port) as board:
            assert board.eval("__import__('sys').path") == ["", ".frozen", "lib"]
            assert board.eval("__import__('os').listdir()") == []


def test_virtual_board_has_a_bounded_heap() -> None:
    expected = pytest.raises(DeviceException, match="MemoryError")
    with unix_board(heap="300K") as virtual, Board.open(virtual.port) as board, expected:
        board.exec("x = bytearray(400_000)")


def test_virtual_board_leaves_nothing_behind() -> None:
    with unix_board() as virtual, Board.open(virtual.port) as board:
        board.exec("open('file', 'w').close()")
        process, files = virtual.pid, virtual.files
    assert not files.exists()
    assert not Path(f"/proc/{process}").exists()
    virtual.close()


def test_interpreter_that_ends_at_once_is_an_error_with_its_words() -> None:
    with pytest.raises(PortError, match="status 3: no luck"):
        VirtualBoard(["/bin/sh", "-c", "echo no luck; exit 3"])


def test_cpython_board_is_a_fresh_python_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "only_here.py").write_text("value = 7\n")
    with cpython_board([tmp_path]) as virtual, Board.open(virtual.port) as board:
        assert board.eval("__import__('only_here').value") == 7
        assert board.eval("'sesstab_tools' in __import__('sys').modules") is False
        board.exec("x = 1")
        board.soft_reset()
        assert board.eval("'x' in globals()") is False


def test_each_target_runs_each_engine_and_twins_the_pure_one_once() -> None:
    """RPI_PICO_STOCK is RPI_PICO without sesstab's module, so in Python they are the same."""
    targets = {str(target) for target in default_targets(ROOT, ENGINES)}
    every = {f"{name}-{engine}" for name in target_names(ROOT) for engine in ENGINES}
    assert every - targets == {"RPI_PICO_STOCK-pure"}
    assert targets <= every
