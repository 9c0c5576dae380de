"""The Makefile and the setup scripts: what goes wrong around them is told, and what is there is kept."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from sesstab_tools.deploy import find_root

ROOT = find_root()
# Of a make or a setup that these tests run in, nothing goes on to what they run.
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("MAKE", "MFLAGS", "SESSTAB_", "PORT", "BOARD", "ARCH"))
}
SHOW_ROOT = ["sh", "-c", '. tools/setup/common.sh; echo "$root"', "tools/setup/a_script.sh"]
FETCHED = (
    *("download", "apt", "src", "arm-gcc", "riscv-gcc", "xtensa-gcc"),
    *("cbmc", "esp32-image", "mbedtls", "peers", "qemu-xtensa", "rp2040js"),
)


def run(command: list[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env={**ENVIRONMENT, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def repository(folder: Path) -> Path:
    """A copy of what the setup scripts want to be there."""
    shutil.copytree(ROOT / "tools" / "setup", folder / "tools" / "setup")
    for name in ("Makefile", "pyproject.toml", "tools/constraints.txt"):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return repository(tmp_path / "copy")


# The setup scripts


def test_a_path_with_a_space_is_refused(tmp_path: Path) -> None:
    folder = repository(tmp_path / "my boards")
    done = run(["tools/setup/sources.sh"], folder)
    assert done.returncode == 1
    assert done.stderr == (
        f"sesstab: the path {folder} has a space in it, which make cannot take: move the folder\n"
    )


def test_a_cdpath_changes_nothing(copy: Path) -> None:
    done = run(SHOW_ROOT, copy, CDPATH=f"{copy}")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{copy}\n", "")


def test_one_setup_at_a_time(copy: Path) -> None:
    (copy / "build").mkdir()
    with (
        (copy / "build" / "lock").open("w") as lock,
        subprocess.Popen(
            SHOW_ROOT, cwd=copy, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            assert process.stdout and process.stderr
            assert "sesstab: waiting for another setup" in process.stderr.readline()
            assert process.poll() is None
            fcntl.flock(lock, fcntl.LOCK_UN)
            assert process.stdout.read() == f"{copy}\n"
            assert process.wait(10) == 0
        finally:
            process.kill()


def test_a_script_that_a_script_calls_does_not_wait_for_it(copy: Path) -> None:
    program(copy / "tools/setup/outer.sh", '. "$(dirname "$0")/common.sh"\n"$root/tools/setup/sources.sh"')
    done = run(["tools/setup/outer.sh"], copy)
    assert (done.returncode, done.stderr) == (0, "")
    assert (copy / "build" / "lock").exists()


def test_without_flock_there_is_no_lock(copy: Path, tmp_path: Path) -> None:
    found = shutil.which("dirname")
    assert found
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "dirname").symlink_to(found)
    done = run(["/bin/sh", *SHOW_ROOT[1:]], copy, PATH=str(tmp_path / "bin"))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{copy}\n", "")


def test_a_venv_without_pip_is_made_anew(copy: Path, tmp_path: Path) -> None:
    """As an interrupted setup leaves it."""
    venv, made = copy / ".venv", tmp_path / "made"
    program(venv / "bin" / "python", "exit 0")
    # A python that is asked for its version, and then for a venv, which gets a pip that installs all at once.
    python = tmp_path / "python"
    program(
        python,
        f'[ "$1 $2" = "-m venv" ] || exit 0\necho "$3 $4" >>{made}\n'
        'printf "#!/bin/sh\\n" >"$4/bin/pip" && chmod +x "$4/bin/pip"',
    )
    for _ in range(2):
        done = run(["tools/setup/venv.sh"], copy, PYTHON=str(python))
        assert done.returncode == 0, done.stderr
        assert made.read_text() == f"--clear {venv}\n"  # once
        (venv / "ready").unlink()


# The native module


def test_a_module_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    build, dist, micropython = tmp_path / "build", tmp_path / "dist", tmp_path / "micropython"
    build.mkdir()
    (build / "Makefile").write_text("all:\n\tprintf 'new module' > _sesstab.mpy\n")
    (micropython / "py").mkdir(parents=True)
    (micropython / "py" / "persistentcode.h").write_text("#define MPY_VERSION 6\n#define MPY_SUB_VERSION 3\n")
    module = dist / "x64_6.3" / "_sesstab.mpy"
    module.parent.mkdir(parents=True)
    module.write_text("old module")
    program(tmp_path / "bin" / "cp", 'head -c 3 "$1" >"$2"; exit 1')  # as one that is cut off
    command = ["make", "-f", str(ROOT / "firmware" / "module" / "natmod.mk"), "ARCH=x64"]
    command += [f"MPY_DIR={micropython}", f"BUILD={build}", f"DIST={dist}"]
    done = run(command, tmp_path, PATH=f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    assert done.returncode == 2
    assert module.read_text() == "old module"
    done = run(command, tmp_path)
    assert done.returncode == 0, done.stderr
    assert module.read_text() == "new module"
    assert [file.name for file in module.parent.iterdir()] == ["_sesstab.mpy"]


# make


def test_clean_keeps_what_was_fetched(copy: Path) -> None:
    for name in (*FETCHED, "firmware", "natmod", "ccore"):
        (copy / "build" / name).mkdir(parents=True)
    (copy / "dist").mkdir()
    done = run(["make", "clean"], copy)
    assert done.returncode == 0, done.stderr
    assert {folder.name for folder in (copy / "build").iterdir()} == set(FETCHED)
    assert not (copy / "dist").exists()


def test_flash_without_a_board_does_nothing(copy: Path) -> None:
    done = run(["make", "-n", "flash", "PORT=/dev/ttyUSB0"], copy)
    assert (done.returncode, done.stdout) == (2, "")
    assert "which board? make flash BOARD=..." in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_board_and_a_port_are_those_of_the_command_line(copy: Path) -> None:
    environment = {"PORT": "3000", "BOARD": "some", "ARCH": "arm"}
    done = run(["make", "-n", "demo", "natmod"], copy, **environment)
    assert done.stdout.splitlines() == [
        "tools/setup/venv.sh",
        "tools/setup/board.sh UNIX",
        ".venv/bin/python -m sesstab_tools.demo   ",
        "tools/setup/natmod.sh all",
    ]
    done = run(["make", "-n", "flash", "BOARD=RPI_PICO", "PORT=/dev/ttyACM0"], copy, **environment)
    assert ".venv/bin/sesstab flash RPI_PICO --port /dev/ttyACM0\n" in done.stdout
