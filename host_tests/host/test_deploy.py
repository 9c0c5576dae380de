"""sesstab deploy, run as a user runs it: what is sent, compared, chosen and refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from cli_user import Done, only_line, sesstab
from sesstab_tools.deploy import deploy, module_names, mpy_of, verify
from sesstab_tools.errors import DeployError
from sesstab_tools.files import Files
from sesstab_tools.installed import find_installed
from sesstab_tools.repl import Board
from sesstab_tools.virtual import VirtualBoard, unix_board, unix_c_board

ROOT = Path(__file__).parents[2]
VERSION = re.findall(r'__version__ = "(.*)"', (ROOT / "lib/sesstab/__init__.py").read_text())[0]
INIT = "lib/sesstab/__init__.py"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a small library."""
    package = tmp_path / "lib" / "sesstab"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from . import pure\n__version__ = '1'\n")
    (package / "pure.py").write_text("#" * 5000)
    (package / "client.py").write_text("# client\n")
    return tmp_path


@pytest.fixture
def deploy_again(virtual_board: VirtualBoard, repository: Path) -> list[str]:
    command = ["deploy", "--port", virtual_board.port, "--root", str(repository)]
    assert names(sesstab(*command)) == ["client.py", "pure.py", "__init__.py"]
    return command


def names(done: Done) -> list[str]:
    """The files that were sent, without their folder."""
    assert done.returncode == 0, done.stderr
    return [line.split()[0].split("/")[-1] for line in done.stdout.splitlines() if line.startswith("lib/")]


def folders(virtual_board: VirtualBoard) -> list[Path]:
    return [path for path in (virtual_board.files / "lib" / "sesstab").iterdir() if path.is_dir()]


def test_deploying_twice_sends_nothing_the_second_time(
    virtual_board: VirtualBoard, deploy_again: list[str]
) -> None:
    second = sesstab(*deploy_again)
    assert names(second) == []
    assert "dist/natmod/x64_6.3/_sesstab.mpy is missing: make natmod" in second.stdout
    (folder,) = folders(virtual_board)
    assert (folder / "pure.py").read_text() == "#" * 5000


def test_what_changed_is_sent_and_the_rest_copied_on_the_board(
    virtual_board: VirtualBoard, repository: Path, deploy_again: list[str]
) -> None:
    (repository / "lib/sesstab/pure.py").write_text("new = 1\n")
    done = json.loads(sesstab(*deploy_again, "--json").stdout)
    (folder,) = folders(virtual_board)
    assert done["sent"] == {f"lib/sesstab/{folder.name}/pure.py": 8, INIT: 61}
    assert done["copied"] == [f"lib/sesstab/{folder.name}/client.py"]
    assert len(done["removed"]) == 1
    assert (folder / "pure.py").read_text() == "new = 1\n"
    assert (folder / "client.py").read_text() == "# client\n"


def test_damaged_file_is_sent_again_and_no_other(
    virtual_board: VirtualBoard, deploy_again: list[str]
) -> None:
    (folder,) = folders(virtual_board)
    (folder / "pure.py").write_text("damaged")
    assert sesstab(*deploy_again, "--verify").returncode == 1
    assert names(sesstab(*deploy_again)) == ["pure.py"]
    assert sesstab(*deploy_again, "--verify").returncode == 0


def test_dry_run_says_what_would_be_done_and_does_nothing(
    virtual_board: VirtualBoard, repository: Path, deploy_again: list[str]
) -> None:
    (repository / "lib/sesstab/pure.py").write_text("new")
    before = sorted(virtual_board.files.rglob("*"))
    done = sesstab(*deploy_again, "--dry-run")
    assert names(done) == ["pure.py", "__init__.py"]
    assert "would remove" in done.stdout
    assert sorted(virtual_board.files.rglob("*")) == before


def test_verify_lists_every_file_and_changes_nothing(
    virtual_board: VirtualBoard, repository: Path, deploy_again: list[str]
) -> None:
    (folder,) = folders(virtual_board)
    (folder / "client.py").unlink()
    (repository / "lib/sesstab/pure.py").write_text("new")
    done = sesstab(*deploy_again, "--verify", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout) == {
        f"lib/sesstab/{folder.name}/client.py": "missing",
        f"lib/sesstab/{folder.name}/pure.py": "different",
        INIT: "same",
    }
    assert not (folder / "client.py").exists()


def test_verify_and_dry_run_exclude_each_other() -> None:
    assert sesstab("deploy", "--verify", "--dry-run", "--port", "unix").returncode == 2


def native_repository(repository: Path) -> Path:
    module = repository / "dist" / "natmod" / "x64_6.3" / "_sesstab.mpy"
    module.parent.mkdir(parents=True)
    module.write_bytes(b"M\x06")
    return repository


def test_native_module_is_chosen_and_one_that_is_not_wanted_removed(
    virtual_board: VirtualBoard, repository: Path, deploy_again: list[str]
) -> None:
    native_repository(repository)
    done = sesstab(*deploy_again)
    assert names(done) == ["_sesstab.mpy", "__init__.py", "_sesstab.py"]
    assert "native (dist/natmod/x64_6.3/_sesstab.mpy)" in done.stdout
    assert sesstab(*deploy_again, "--verify").returncode == 0
    assert sesstab(*deploy_again, "--verify", "--pure").returncode == 1
    done = sesstab(*deploy_again, "--pure")
    assert "removed    lib/_sesstab.py" in done.stdout
    assert not list(virtual_board.files.rglob("_sesstab.*"))


def plain(virtual_board: VirtualBoard, init: str = "") -> Path:
    """What mip or a copy by hand makes of the library, with a native module."""
    package = virtual_board.files / "lib" / "sesstab"
    package.mkdir(parents=True)
    for name in ("pure.py", "modes.py"):
        (package / name).write_text(f"# old {name}\n")
    (package / "__init__.py").write_text(init)
    (virtual_board.files / "lib" / "_sesstab.mpy").write_bytes(b"old")
    return package


@pytest.mark.parametrize("native", [True, False])
def test_library_that_other_tools_put_there_is_replaced(
    virtual_board: VirtualBoard, board: Board, repository: Path, native: bool
) -> None:
    package = plain(virtual_board)
    native_repository(repository)
    states = verify(board, repository, native=native)
    assert states[INIT] == states["lib/sesstab/pure.py"] == "different"
    assert states["lib/_sesstab.mpy"] == ("different" if native else "not wanted")
    done = deploy(board, repository, native=native)
    assert "lib/_sesstab.mpy" in done.removed
    (folder,) = folders(virtual_board)
    assert sorted(path.name for path in package.iterdir()) == sorted(["__init__.py", folder.name])
    assert find_installed(board).active == folder.name
    assert set(verify(board, repository, native=native).values()) == {"same"}
    assert deploy(board, repository, native=native).sent == {}


def test_native_module_is_the_versions_own_whoever_imports_it_first() -> None:
    check = "import sys\nprint(sesstab.ENGINE, _sesstab.SessionTable is sesstab.SessionTable)\n"
    with unix_board() as virtual, Board.open(virtual.port) as board:
        deploy(board, ROOT)
        for first in ("_sesstab, sesstab", "sesstab, _sesstab"):
            board.soft_reset()
            assert board.exec(f"import {first}\n" + check) == b"native True\n"
        deploy(board, ROOT, native=False)
        board.soft_reset()
        assert board.exec("import sesstab\nprint(sesstab.ENGINE)") == b"pure\n"


def test_what_is_compiled_in_is_not_sent() -> None:
    with unix_c_board(ROOT) as virtual, Board.open(virtual.port) as board:
        done = deploy(board, ROOT)
        assert (done.engine, done.module, done.frozen) == ("native", "built into the firmware", None)
        assert "lib/_sesstab.py" not in done.sent
        board.soft_reset()
        assert (
            board.exec("import sesstab\nprint(sesstab.ENGINE, sesstab.__path__[:11])")
            == b"native lib/sesstab\n"
        )


FROZEN_FIRST = "import sys\nsys.path[:] = ['', '.frozen', 'lib']"


def test_frozen_library_that_comes_first_is_left_alone_and_said() -> None:
    with unix_c_board(ROOT) as virtual, Board.open(virtual.port) as board:
        board.exec(FROZEN_FIRST)
        done = deploy(board, ROOT, extra={"lib/support.py": b"x = 1\n"})
        assert done.frozen == VERSION
        assert list(done.sent) == ["lib/support.py"]
        assert verify(board, ROOT) == {}
        assert not (virtual.files / "lib" / "sesstab").exists()
        assert board.eval("'sesstab' in __import__('sys').modules") is False


def test_frozen_library_of_another_version_is_an_error_that_says_what_to_do(repository: Path) -> None:
    with unix_c_board(ROOT) as virtual, Board.open(virtual.port) as board:
        board.exec(FROZEN_FIRST)
        with pytest.raises(DeployError, match=r"sesstab .* is frozen .* for 1 flash newer firmware"):
            deploy(board, repository)
        assert not (virtual.files / "lib").exists()


def test_another_sesstab_that_comes_first_is_an_error(virtual_board: VirtualBoard, repository: Path) -> None:
    (virtual_board.files / "sesstab.py").write_text("")
    with Board.open(virtual_board.port) as board:
        board.exec("import sys\nsys.path[:] = ['', '.frozen', 'lib']")
        with pytest.raises(
            DeployError, match=r"sesstab\.py on the board comes before lib/sesstab .* remove it"
        ):
            deploy(board, repository)


def test_no_room_is_one_line_and_the_old_version_stays(board: Board, repository: Path) -> None:
    board.exec(SMALL_DISK)
    deploy(board, repository)
    (repository / "lib/sesstab/pure.py").write_text("VERSION = 'new'\n" + "#" * 30_000)
    before = Files(board).sha256([INIT])
    with pytest.raises(DeployError, match=r"no room on the board .* as it was$") as error:
        deploy(board, repository)
    assert "\n" not in str(error.value)
    assert Files(board).sha256([INIT]) == before
    assert len(find_installed(board).folders) == 1
    (repository / "lib/sesstab/pure.py").write_text("VERSION = 'newer'\n")
    deploy(board, repository)
    assert board.exec("import sesstab\nprint(sesstab.pure.VERSION)") == b"newer\n"


# littlefs on 32 KB of memory; relative paths begin there, as on a board.
SMALL_DISK = """
import os, sys, vfs
class Memory:
    def __init__(self, blocks):
        self.data = bytearray(blocks * 512)
    def readblocks(self, block, buf, offset=0):
        at = block * 512 + offset
        buf[:] = self.data[at : at + len(buf)]
    def writeblocks(self, block, buf, offset=0):
        at = block * 512 + offset
        self.data[at : at + len(buf)] = buf
    def ioctl(self, op, value):
        return {4: len(self.data) // 512, 5: 512}.get(op, 0)
disk = Memory(64)
vfs.VfsLfs2.mkfs(disk)
vfs.mount(vfs.VfsLfs2(disk), "/flash")
os.chdir("/flash")
sys.path[:] = [".frozen", "/flash/lib"]
"""


@pytest.mark.parametrize(
    "in_the_way", ["open('lib', 'w').close()", "import os\nos.mkdir('lib')\nopen('lib/sesstab', 'w').close()"]
)
def test_a_file_in_the_way_is_one_line(virtual_board: VirtualBoard, in_the_way: str) -> None:
    with Board.open(virtual_board.port) as board:
        board.exec(in_the_way)
    done = sesstab("deploy", "--port", virtual_board.port)
    assert done.returncode == 1
    line = only_line(done.stderr)
    assert line.startswith(f"sesstab: port {virtual_board.port}: the board's files cannot be used: OSError")


def test_a_repository_without_the_library_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "lib" / "sesstab").mkdir(parents=True)
    done = sesstab("deploy", "--port", "unix", "--root", str(tmp_path))
    assert done.returncode == 1
    assert f"{tmp_path}/lib/sesstab has no __init__.py" in only_line(done.stderr)


def test_a_damaged_native_module_is_refused(board: Board, repository: Path) -> None:
    module = repository / "dist/natmod" / f"{module_names(mpy_of(board))[0]}/_sesstab.mpy"
    module.parent.mkdir(parents=True, exist_ok=True)
    module.write_bytes(b"")
    with pytest.raises(DeployError, match=r"_sesstab\.mpy is damaged; make it again: make natmod"):
        deploy(board, repository)


def test_a_native_module_of_other_firmware_leaves_the_pure_engine(board: Board, tmp_path: Path) -> None:
    """As after an update of the firmware: the module was right when it was deployed."""
    (tmp_path / "lib").symlink_to(ROOT / "lib")
    module = tmp_path / "dist/natmod" / f"{module_names(mpy_of(board))[0]}/_sesstab.mpy"
    module.parent.mkdir(parents=True)
    module.write_bytes(b"M\x06\x7f\x1f" + bytes(4096))
    assert deploy(board, tmp_path).engine == "native"
    assert board.exec("import sesstab\nprint(sesstab.ENGINE)") == b"pure\n"


def test_deploy_to_nowhere_is_one_line() -> None:
    done = sesstab("deploy", "--port", "/dev/nothing")
    assert done.returncode == 1
    assert "no such device" in only_line(done.stderr)
