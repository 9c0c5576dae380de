"""sesstab test: it runs the device tests where it is told to, and reports what happened there."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from cli_user import sesstab
from device_project import make_project
from sesstab_tools.device_report import write_report
from sesstab_tools.errors import BoardError
from sesstab_tools.virtual import VirtualBoard

DEVICE_TESTS = """\
import sesstab


def test_passes():
    assert sesstab.SessionTable(4).capacity == 4


def fail(n):
    raise ValueError("a|b", n)


def test_fails():
    print("printed before")
    fail(1)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path, test_two=DEVICE_TESTS)


def cells(page: str, first: str) -> list[list[str]]:
    """The rows of the page's tables that begin so."""
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    return [row for row in rows if row[0] == first]


def test_arguments_go_to_pytest_and_its_status_comes_back(capfd: pytest.CaptureFixture[str]) -> None:
    status = sesstab("test", "--target", "cpython", "--engine", "pure", "-k", "no_such_test", "-q").returncode
    assert status == pytest.ExitCode.NO_TESTS_COLLECTED
    assert re.search(r"^\d+ deselected", capfd.readouterr().out, re.MULTILINE)


def test_the_report_of_a_port(project: Path, virtual_board: VirtualBoard, tmp_path: Path) -> None:
    junit, report = tmp_path / "junit.xml", tmp_path / "report.md"
    port = virtual_board.port
    arguments = ["--root", str(project), "--port", port, "--junit", str(junit), "--report", str(report)]
    done = sesstab("test", *arguments)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.endswith(f"{report}: written\n")

    suite = ElementTree.parse(junit).getroot().find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")

    page = report.read_text()
    name = Path(port).name
    assert page.startswith("# Device tests: 1 failed, 1 passed\n")
    assert f"sesstab test {' '.join(arguments)}" in page
    counts, board = cells(page, name)
    assert counts[:5] == [name, "pure", "1", "1", "0"]
    assert re.fullmatch(r"\d+\.\d", counts[5])
    assert board[1].startswith("micropython 1.")
    assert 0 < int(board[4]) < int(board[3]) < 2_500_000
    assert board[5] == "0.1.0 (pure)"
    assert f"## test_two.py::test_fails[{name}-pure]" in page
    assert "ValueError: ('a|b', 1)" in page
    assert 'File "host_tests/device/test_two.py", line 14, in test_fails' in page


def test_no_report_of_results_of_an_earlier_run(project: Path, tmp_path: Path) -> None:
    junit, report = tmp_path / "junit.xml", tmp_path / "report.md"
    junit.write_text("<testsuites><testsuite tests='1'><testcase name='old'/></testsuite></testsuites>")
    arguments = ["--target", "nosuch", "--junit", str(junit), "--report", str(report)]
    done = sesstab("test", "--root", str(project), *arguments)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert not report.exists()


def test_a_report_that_cannot_be_written_is_said_before_the_tests(project: Path, tmp_path: Path) -> None:
    (tmp_path / "folder.md").mkdir()
    for name in ("folder.md", "nowhere/report.md"):
        done = sesstab("test", "--root", str(project), "--report", str(tmp_path / name))
        assert done.returncode == 2
        assert "cannot be written" in done.stderr


@pytest.mark.slow
def test_the_report_of_a_port_where_no_board_answers(project: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.md"
    done = sesstab("test", "--root", str(project), "--port", "/dev/nothing", "--report", str(report))
    assert done.returncode == 1
    page = report.read_text()
    assert page.startswith("# Device tests: 2 failed\n")
    assert cells(page, "nothing")[1][1] == "did not answer"
    assert "port /dev/nothing: no such device" in page


@pytest.mark.slow
def test_an_emulated_board_by_its_name_and_workers(project: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.md"
    arguments = ["--root", str(project), "--port", "unix", "--engine", "pure", "-k", "passes", "-n", "1"]
    done = sesstab("test", *arguments, "--report", str(report))
    assert done.returncode == 0, done.stdout + done.stderr
    counts, board = cells(report.read_text(), "unix")
    assert counts[:5] == ["unix", "pure", "0", "1", "0"]
    assert board[1].startswith("micropython 1.")


def test_a_page_stays_a_page(tmp_path: Path) -> None:
    text = "\n".join(f"line {number}" for number in range(100))
    failure = f'" time="1.5"><failure>{text}</failure></testcase>'
    cases = "".join(
        f'<testcase classname="host_tests.device.test_x" name="test_{number}{failure}' for number in range(50)
    )
    junit = tmp_path / "junit.xml"
    junit.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    page = write_report(junit, ["sesstab", "test"])
    assert page.startswith("# Device tests: 50 failed\n")
    assert page.count("\n") < 300
    assert "line 0\n" in page
    assert "line 99\n" in page
    assert "- test_x.py::test_49\n" in page


def test_what_is_no_result_is_refused(tmp_path: Path) -> None:
    junit = tmp_path / "junit.xml"
    for text in ("", "<a/>"):
        junit.write_text(text)
        with pytest.raises(BoardError, match=r"junit\.xml is no JUnit file: "):
            write_report(junit, [])
    done = sesstab("test", "--report", "page.html")
    assert done.returncode == 2
    assert "Markdown" in done.stderr


@pytest.mark.slow
def test_the_report_of_an_emulated_pico(tmp_path: Path) -> None:
    report = tmp_path / "report.md"
    done = sesstab("test", "--port", "RPI_PICO", "-k", "same_session_twice", "--report", str(report))
    assert done.returncode == 0, done.stdout + done.stderr
    native, pure, board = cells(report.read_text(), "RPI_PICO")
    assert (pure[1], native[1]) == ("pure", "native")
    assert (pure[3], native[3]) == ("1", "1")
    assert board[2] == "Raspberry Pi Pico with RP2040"
