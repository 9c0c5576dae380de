"""Tests run every line and branch of the package and the core; what measures it sees what is not run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COVER = ROOT / "host_tests" / "cover"
sys.path.insert(0, str(COVER))

from measured import GCC, Failed, Measured, add_c, measure_python, run  # noqa: E402

PYTHON = "def f(a):\n    if a:\n        return 1\n    return 2\n\n\nf(1)\n"
C = """\
int main(int count, char **words)
{
    (void)words;
    if (count > 0 && count < 9)
        return 0;
    return 1;
}
"""


@pytest.mark.slow
def test_all_lines_and_branches_are_run() -> None:
    done = subprocess.run([sys.executable, COVER / "run.py"], capture_output=True, text=True)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    names = [line.split()[0] for line in done.stdout.splitlines()[1:]]
    files = [f"lib/sesstab/{path.name}" for path in (ROOT / "lib" / "sesstab").glob("*.py")]
    files += [
        "firmware/core/sesstab.c",
        "firmware/core/sesstab_snapshot.c",
        "firmware/core/sesstab_openssl.h",
    ]
    assert sorted(names) == sorted(files)


def test_lines_and_branches_of_python_that_are_not_run(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    program = package / "program.py"
    program.write_text(PYTHON)
    found = measure_python(tmp_path, package, [[program]])
    assert list(found) == [program]
    assert found[program].missing() == ["branch 2", "line 4"]
    assert sorted(found[program].branches.values()) == [0, 1]


def test_lines_and_branches_of_c_that_are_not_run(tmp_path: Path) -> None:
    source = tmp_path / "program.c"
    source.write_text(C)
    run([*GCC, source, "-o", tmp_path / "program"], tmp_path)
    run([tmp_path / "program"], tmp_path)
    measured: dict[Path, Measured] = {}
    add_c(tmp_path, tmp_path, measured)
    assert list(measured) == [source]
    assert measured[source].missing() == ["branch 4", "line 6"]
    add_c(tmp_path, tmp_path / "elsewhere", measured)
    assert set(measured[source].lines.values()) == {0, 1}


def test_what_either_program_runs_is_run(tmp_path: Path) -> None:
    source = tmp_path / "program.c"
    source.write_text(C)
    measured: dict[Path, Measured] = {}
    for words in ([], ["word"] * 9):
        folder = tmp_path / str(len(words))
        folder.mkdir()
        run([*GCC, source, "-o", folder / "program"], folder)
        if words:
            with pytest.raises(Failed, match="program word"):
                run([folder / "program", *words], folder)
        else:
            run([folder / "program"], folder)
        add_c(folder, tmp_path, measured)
    assert measured[source].missing() == ["branch 4"]
    assert sorted(measured[source].branches.values()) == [0, 1, 1, 2]


def test_a_program_that_fails_is_not_measured(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("raise SystemExit('it broke')\n")
    with pytest.raises(Failed, match="it broke"):
        measure_python(tmp_path, tmp_path, [[program]])
