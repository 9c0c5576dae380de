"""A deployment that is cut off: what an import on the board takes is the old version or the new one, whole.

The line is cut at every kilobyte and at random bytes; and power fails after every write to the flash, and in
the middle of each, on a file system in the memory of a virtual board.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import select
import shutil
import threading
import tty
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sesstab_tools.deploy import Deployment, deploy, verify
from sesstab_tools.errors import BoardError
from sesstab_tools.installed import find_installed
from sesstab_tools.repl import Board
from sesstab_tools.virtual import VirtualBoard, unix_board

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "lib" / "sesstab"
MODULE = next((ROOT / "dist" / "natmod").glob("x64_*/_sesstab.mpy"), None)
SAME = ("modes.py", "format.py")  # of the modules, those that both versions have alike, where half may change

# Prints which versions the modules are of, the native one by the end of its file, which its loader ignores.
CHECK = """
def versions():
    import sys

    for name in list(sys.modules):
        if name.split(".")[0] in ("sesstab", "_sesstab"):
            del sys.modules[name]
    try:
        import sesstab
        found = {sesstab.VERSION}
        for name in NAMES:
            module = __import__("sesstab." + name, None, None, (name,))
            found.add(getattr(module, "VERSION", sesstab.VERSION))
        if sesstab.ENGINE == "native":
            with open(sys.modules["_sesstab"].__file__, "rb") as file:
                found.add(file.read()[-3:].decode())
        return sesstab.ENGINE + " " + " ".join(sorted(found))
    except Exception as error:
        return repr(error)
"""


def repository(folder: Path, version: str, size: int | None = None, same: tuple[str, ...] = ()) -> Path:
    """This library and module with a version in each; the first `size` bytes only, as comments."""
    package = folder / "lib" / "sesstab"
    package.mkdir(parents=True)
    for source in sorted(LIBRARY.glob("*.py")):
        text = source.read_text()
        if size and source.name not in ("__init__.py", "modes.py"):
            text = "class SessionTable: pass\n" + re.sub("(?m)^", "#", text[:size]) + "\n"
        marker = "" if source.name in same else f"\nVERSION = '{version}'\n"
        (package / source.name).write_text(text + marker)
    assert MODULE, "dist/natmod/x64_*/_sesstab.mpy is missing: make natmod"
    module = folder / MODULE.relative_to(ROOT)
    module.parent.mkdir(parents=True)
    module.write_bytes(MODULE.read_bytes() + version.encode())
    return folder


def check_code() -> str:
    names = [path.stem for path in sorted(LIBRARY.glob("*.py")) if path.stem != "__init__"]
    return CHECK.replace("NAMES", repr(names))


def versions(board: Board) -> str:
    board.soft_reset()
    return board.exec(check_code() + "\nprint(versions())").decode().strip()


class Cutter:
    """A second port for a board, which is unplugged after `limit` bytes to the board."""

    def __init__(self, board: str, limit: int) -> None:
        self._board = os.open(board, os.O_RDWR | os.O_NOCTTY)
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self._stop_read, self._stop_write = os.pipe()
        self.port = os.ttyname(self._slave)
        self._left = limit
        self.passed = 0
        self._thread = threading.Thread(target=self._carry)

    def __enter__(self) -> Cutter:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        os.write(self._stop_write, b"x")
        self._thread.join()
        for descriptor in (self._board, self._slave, self._stop_read, self._stop_write):
            os.close(descriptor)

    def _carry(self) -> None:
        while self._left:
            ready, _, _ = select.select([self._board, self._master, self._stop_read], [], [])
            if self._stop_read in ready:
                break
            if self._board in ready:
                os.write(self._master, os.read(self._board, 4096))
            if self._master in ready:
                data = os.read(self._master, min(4096, self._left))
                os.write(self._board, data)
                self.passed += len(data)
                self._left -= len(data)
        os.close(self._master)


class Desk:
    """A board with the old version on it, as often as wanted, and the new one to deploy."""

    def __init__(self, virtual: VirtualBoard, folder: Path, old: Path, new: Path, *, plain: bool) -> None:
        self.virtual, self.new = virtual, new
        self.passed = 0
        self._kept = folder / "kept"
        if plain:
            shutil.copytree(old / "lib", virtual.files / "lib")
            shutil.copy(old / str(MODULE and MODULE.relative_to(ROOT)), virtual.files / "lib")
        else:
            with self.open() as board:
                deploy(board, old)
        shutil.copytree(virtual.files / "lib", self._kept)

    def open(self) -> Board:
        return Board.open(self.virtual.port, press_reset=self.virtual.reset)

    def cut(self, limit: int) -> str:
        """Deploys until the line is cut; gives the versions that there are then."""
        shutil.rmtree(self.virtual.files / "lib")
        shutil.copytree(self._kept, self.virtual.files / "lib")
        done: Deployment | None = None
        with (
            Cutter(self.virtual.port, limit) as cutter,
            contextlib.suppress(BoardError),
            Board.open(cutter.port) as board,
        ):
            done = deploy(board, self.new)
        self.passed = cutter.passed
        with self.open() as board:
            board.recover(5)
            found = versions(board)
        assert done is None or found == "native new", (limit, found)
        return found

    def cut_and_go_on(self, limit: int) -> str:
        """The same; then deploys again, to the end."""
        found = self.cut(limit)
        with self.open() as board:
            deploy(board, self.new)
            assert versions(board) == "native new", limit
            assert set(verify(board, self.new).values()) == {"same"}
            assert len(find_installed(board).folders) == 1
        return found


@pytest.fixture
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    plain, same, size = request.param
    old = repository(tmp_path / "old", "old", size, same)
    new = repository(tmp_path / "new", "new", size, same)
    with unix_board() as virtual:
        yield Desk(virtual, tmp_path, old, new, plain=plain)


def total(desk: Desk) -> int:
    """The bytes of a deployment that is not cut."""
    assert desk.cut(1_000_000_000) == "native new"
    return desk.passed


@pytest.mark.slow
@pytest.mark.parametrize("desk", [(False, (), None)], indirect=True)
def test_line_cut_at_every_kilobyte(desk: Desk) -> None:
    size = total(desk)
    assert size > 80_000
    found = [desk.cut(limit) for limit in [*range(1, size, 1024), size - 1]]
    assert len(found) > 80
    switch = found.index("native new")
    assert set(found[:switch]) == {"native old"}
    assert set(found[switch:]) == {"native new"}
    assert switch > len(found) - 5  # it is near the end


@pytest.mark.slow
@pytest.mark.parametrize("desk", [(False, SAME, 300), (True, SAME, 300)], indirect=True)
def test_line_cut_at_random_bytes(desk: Desk) -> None:
    size = total(desk)
    chance = random.Random(size)
    # Half of them in the last tenth, with the switch and what is removed after it.
    limits = [chance.randrange(1, size) for _ in range(10)]
    limits += [chance.randrange(size - size // 10, size) for _ in range(10)]
    found = Counter(desk.cut_and_go_on(limit) for limit in limits)
    assert set(found) == {"native old", "native new"}, found


# A disk in memory that keeps a log of what is written, to put it together again up to any point.
DISK = """
import os, sys, vfs

class Disk:
    def __init__(self, data):
        self.data, self.log = data, None
    def readblocks(self, block, buf, offset=0):
        at = block * 512 + offset
        buf[:] = memoryview(self.data)[at : at + len(buf)]
    def writeblocks(self, block, buf, offset=0):
        at = block * 512 + offset
        if self.log is not None:
            self.log.append((at, bytes(buf)))
        memoryview(self.data)[at : at + len(buf)] = buf
    def ioctl(self, op, value):
        if op == 6 and self.log is not None:
            self.log.append((value * 512, b"\\xff" * 512))
            memoryview(self.data)[value * 512 : value * 512 + 512] = b"\\xff" * 512
        return {4: len(self.data) // 512, 5: 512}.get(op, 0)

def mount(data):
    disk = Disk(data)
    vfs.mount(Kind(disk), "/flash")
    os.chdir("/flash")
    return disk

sys.path[:] = [".frozen", "/flash/lib"]
data = bytearray(512 * 512)
Kind.mkfs(Disk(data))
disk = mount(data)
"""

# What the versions are after each step of the log, and where steps are `torn`, in the middle of each.
REPLAY = """
def states(base, log, torn):
    names = []
    for at, block in log:
        for size in ((len(block) // 2, len(block)) if torn else (len(block),)):
            memoryview(base)[at : at + size] = memoryview(block)[:size]
            mount(bytearray(base))
            names.append(versions())
            os.chdir("/")
            vfs.umount("/flash")
    return names

log, disk.log = disk.log, None
os.chdir("/")
vfs.umount("/flash")
found = states(base, log, TORN)
"""


def states_of_power_failing(old: Path, new: Path, kind: str, *, torn: bool) -> list[str]:
    """What an import finds on a disk on which a deployment was stopped: for each step, in turn."""
    with unix_board(heap="64M") as virtual, Board.open(virtual.port, timeout=300) as board:
        board.exec(f"import vfs\nKind = vfs.{kind}\n" + DISK + check_code())
        deploy(board, old)
        assert board.exec("print(versions())") == b"native old\n"
        board.exec("base = bytearray(data)\ndisk.log = []")
        deploy(board, new)
        assert board.exec("print(versions())") == b"native new\n"
        board.exec(REPLAY.replace("TORN", repr(torn)))
        found = board.eval("found")
        assert isinstance(found, list)
        return found


@pytest.fixture
def small_versions(tmp_path: Path) -> tuple[Path, Path]:
    size = 300
    return repository(tmp_path / "old", "old", size, SAME), repository(tmp_path / "new", "new", size, SAME)


@pytest.mark.slow
def test_power_fails_at_any_write_to_littlefs(small_versions: tuple[Path, Path]) -> None:
    found = states_of_power_failing(*small_versions, "VfsLfs2", torn=True)
    assert len(found) > 500
    switch = found.index("native new")
    assert set(found[:switch]) == {"native old"}
    assert set(found[switch:]) == {"native new"}


@pytest.mark.slow
def test_power_fails_at_any_write_to_fat(small_versions: tuple[Path, Path]) -> None:
    """FAT has no rename over a file: for a few writes there is no __init__.py, and nothing worse."""
    found = states_of_power_failing(*small_versions, "VfsFat", torn=False)
    first = next(index for index, state in enumerate(found) if state != "native old")
    switch = found.index("native new")
    assert set(found[switch:]) == {"native new"}
    assert switch - first < 8, found[first:switch]
    # sesstab is an empty folder to the import then, so that a mix of both is not what is found.
    assert set(found[first:switch]) <= {
        """AttributeError("module 'sesstab' has no attribute 'VERSION'",)""",
    }
