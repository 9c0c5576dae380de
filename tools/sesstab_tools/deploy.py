"""Puts sesstab onto a board: lib/sesstab and, where there is one for the board, the native module.

However a deployment ends (the line cut, the host gone, the board reset, no room), an import on the board
takes the old version or the new one, whole. All modules of a version, the native one too, go into a folder of
their own, lib/sesstab/<sum of its contents>/, which no import looks at until lib/sesstab/__init__.py is
replaced: its first line is the switch to that folder. So one moment matters, the rename of one file over
another, and littlefs does that as a whole. Before it only what no import takes is written or removed; after
it, what no import takes any more is removed. The next deployment goes on where one was cut off.

FAT cannot rename over a file: MicroPython removes the old one first, within the same call. Power that fails
just then leaves no __init__.py, until the next deployment.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from .errors import DeployError, DeviceException
from .files import Files
from .installed import (
    INIT,
    NATIVE_MODULE,
    NATIVE_NAME,
    PACKAGE,
    SWITCH,
    Installed,
    find_installed,
    is_built_in,
    place,
)
from .repl import Board

__all__ = [
    "Deployment",
    "deploy",
    "find_module",
    "find_root",
    "is_built_in",
    "module_names",
    "mpy_of",
    "verify",
]

# What makes _sesstab the module of the version, whoever imports it, and when.
_LOAD_NATIVE = """try:
    from . import _sesstab
    __import__("sys").modules["_sesstab"] = _sesstab
except (ImportError, ValueError):  # for other firmware than there is now: deploy again
    pass
"""
# For a program that imports _sesstab before sesstab.
_SIGNPOST = "lib/_sesstab.py"
_SIGNPOST_TEXT = b"# The native module is in the folder of its version.\nfrom sesstab._sesstab import *\n"
_VERSION = "__version__ = "

OnFile = Callable[[str, int], object]

# By the number that MicroPython gives them in sys.implementation._mpy.
ARCHITECTURES = (
    "", "x86", "x64", "armv6", "armv6m", "armv7m", "armv7em", "armv7emsp", "armv7emdp",
    "xtensa", "xtensawin", "rv32imc", "rv64imc",
)  # fmt: skip
# A Thumb core loads modules of the lesser ones.
_THUMB = ARCHITECTURES[4:9]


@dataclass
class Deployment:
    """What deploy() did, or would do."""

    engine: str
    module: str
    """Where the native module is from, or why there is none."""
    frozen: str | None = None
    """The version of sesstab that is frozen into the firmware, where an import takes that one."""
    sent: dict[str, int] = field(default_factory=dict)
    """Path on the board and size."""
    copied: list[str] = field(default_factory=list)
    """New on the board, but from a file that was there."""
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


class Version:
    """What is to be on the board: the modules of one version of sesstab by name, __init__.py among them."""

    def __init__(self, modules: Mapping[str, bytes]) -> None:
        self.modules = modules

    @cached_property
    def folder(self) -> str:
        """Its name on a board."""
        sums = [f"{name} {_sum(data)}\n" for name, data in sorted(self.modules.items())]
        return _sum("".join(sums).encode())[:8]

    def files(self, folder: str) -> dict[str, bytes]:
        """Path and contents on the board, __init__.py last; folder "": as other tools put it there."""
        others = {place(name, folder): data for name, data in self.modules.items() if name != INIT}
        return {**others, place(INIT, folder): self._init(folder)}

    def _init(self, folder: str) -> bytes:
        if not folder:
            return self.modules[INIT]
        switch = SWITCH.format(folder) + (_LOAD_NATIVE if NATIVE_NAME in self.modules else "")
        return switch.encode() + self.modules[INIT]


def find_root(override: str | Path | None = None) -> Path:
    """The repository: `override`, or $SESSTAB_ROOT, or where this package is installed from."""
    root = Path(override or os.environ.get("SESSTAB_ROOT") or Path(__file__).parents[2]).resolve()
    if not (root / "lib" / "sesstab").is_dir():
        raise DeployError(f"{root} has no lib/sesstab; name the repository with --root or SESSTAB_ROOT")
    return root


def module_names(mpy: int) -> list[str]:
    """Folders of dist/natmod whose module a board loads, best first; `mpy` is its sys.implementation._mpy."""
    number, version = mpy >> 10 & 0xF, f"{mpy & 0xFF}.{mpy >> 8 & 3}"
    if not 0 < number < len(ARCHITECTURES):
        return []
    name = ARCHITECTURES[number]
    names = reversed(_THUMB[: _THUMB.index(name) + 1]) if name in _THUMB else [name]
    return [f"{name}_{version}" for name in names]


def find_module(root: Path, mpy: int) -> tuple[Path | None, str]:
    """The native module for a board, or None and why."""
    names = module_names(mpy)
    if not names:
        return None, "the board's firmware loads no native modules"
    for name in names:
        path = root / "dist" / "natmod" / name / "_sesstab.mpy"
        if path.is_file():
            return path, str(path.relative_to(root))
    lesser = f", and so are those of {', '.join(names[1:])}" if names[1:] else ""
    return None, f"dist/natmod/{names[0]}/_sesstab.mpy is missing{lesser}: make natmod"


def _read_module(path: Path) -> bytes:
    data = path.read_bytes()
    if data[:1] != b"M":  # as each .mpy begins
        raise DeployError(f"{path} is damaged; make it again: make natmod")
    return data


def deploy(
    board: Board,
    root: Path,
    *,
    native: bool = True,
    extra: Mapping[str, bytes] | None = None,
    on_file: OnFile | None = None,
    dry_run: bool = False,
) -> Deployment:
    """Deploys sesstab and `extra` files. Sends what changed only; tells `on_file` each path and size sent.

    Where there is no native module for the board, or the firmware has it built in, or with native=False, an
    old one is removed. With dry_run=True nothing is written, and the result is what would be done.
    """
    with _failing_as_deployment(board):
        plan = _Plan(board, root, native, extra or {})
        if not dry_run:
            plan.carry_out(on_file or (lambda path, size: None))
    return plan.result


def verify(board: Board, root: Path, *, native: bool = True) -> dict[str, str]:
    """Compares what an import takes on the board with what deploy() would put there, by SHA-256.

    Gives "same", "different" or "missing" for each path; "not wanted" for a native module too many.
    """
    with _failing_as_deployment(board):
        plan = _Plan(board, root, native, {})
        found = plan.installed
        wanted = plan.files if found.frozen is not None else plan.version.files(found.active)
        states = {path: _state(plan.sums.get(path), data) for path, data in wanted.items()}
        stray = place(NATIVE_NAME, found.active)
        if stray not in wanted and Files(board).exists(stray):
            states[stray] = "not wanted"
    return states


@contextlib.contextmanager
def _failing_as_deployment(board: Board) -> Iterator[None]:
    """What raises on the board is this module's code there, of which nobody wants to see a traceback."""
    try:
        yield
    except DeviceException as error:
        raise DeployError(
            f"port {board.port}: the board's files cannot be used: {error.last_line}; "
            "is a file or folder in the way in lib/?"
        ) from error


def mpy_of(board: Board) -> int:
    """sys.implementation._mpy; 0 where there is none."""
    value = board.eval("getattr(__import__('sys').implementation, '_mpy', 0)")
    return value if isinstance(value, int) else 0


class _Plan:
    """What has to be done to a board, from what is there; `result` says it."""

    def __init__(self, board: Board, root: Path, native: bool, extra: Mapping[str, bytes]) -> None:
        self._port = board.port
        self._on_board = Files(board)
        self.installed = found = find_installed(board)
        module, reason = find_module(root, mpy_of(board)) if native else (None, "not asked for")
        if found.built_in:
            module, reason = None, "built into the firmware"
        library = _library(root)
        self._check_frozen(found, library)
        native_part = {NATIVE_NAME: _read_module(module)} if module else {}
        self.version = Version({**library, **native_part})
        self.result = Deployment("native" if found.built_in or module else "pure", reason, found.frozen)
        if found.frozen is not None:
            # It comes first in an import, and loads the native module from where other tools put it, too.
            self.files = {NATIVE_MODULE: native_part[NATIVE_NAME]} if module else {}
            self._last: dict[str, bytes] = {}
        else:
            self.files = self.version.files(self.version.folder)
            self._last = {_SIGNPOST: _SIGNPOST_TEXT} if module else {}
        self._last.update(extra)
        self.sums = self._sums()
        self._compare()

    def carry_out(self, on_file: OnFile) -> None:
        for path in self._before():
            self._on_board.remove_all(path)
        try:
            self._bring(self.files, on_file)
        except DeployError as error:
            raise self._undone(error) from error
        self._bring(self._last, on_file)
        for path in self._after():
            self._on_board.remove_all(path)

    def _check_frozen(self, found: Installed, library: Mapping[str, bytes]) -> None:
        version = _version(library[INIT])
        if found.frozen not in (None, version):
            raise DeployError(
                f"port {self._port}: sesstab {found.frozen or 'of unknown version'} is frozen into the "
                f"firmware and comes before {PACKAGE}; for {version} flash newer firmware (sesstab flash), "
                "or have boot.py put '/lib' first on sys.path and deploy again"
            )

    def _sums(self) -> dict[str, str | None]:
        """Of all that is wanted, and of the version that there is."""
        paths = dict.fromkeys([*self.files, *self._last])
        if self.installed.frozen is None:
            paths.update(dict.fromkeys(self.version.files(self.installed.active)))
        return self._on_board.sha256(paths)

    def _compare(self) -> None:
        present = {self.sums[path]: path for path in self.sums if self.sums[path]}
        self._sources: dict[str, str] = {}
        for path, data in {**self.files, **self._last}.items():
            if self.sums[path] == _sum(data):
                self.result.unchanged.append(path)
            elif _sum(data) in present:
                self._sources[path] = present[_sum(data)] or ""
                self.result.copied.append(path)
            else:
                self.result.sent[path] = len(data)
        self.result.removed = [*self._before(), *self._after()]

    def _before(self) -> list[str]:
        """What no import takes: of deployments that were cut off. And a native module that would come with
        the new version, were it still there after the switch; without it the old version is pure."""
        found = self.installed
        if found.frozen is not None:
            return []
        wanted = (found.active, self.version.folder)
        stale = [f"{PACKAGE}/{name}" for name in found.folders if name not in wanted]
        loose = found.loose_native and self.result.engine == "pure"
        return [*stale, *([NATIVE_MODULE] if loose else [])]

    def _after(self) -> list[str]:
        """What no import takes any more."""
        found, on_board = self.installed, self._on_board
        if found.frozen is not None:
            loose = [NATIVE_MODULE] if found.loose_native and NATIVE_MODULE not in self.files else []
            return [*loose, *([_SIGNPOST] if on_board.exists(_SIGNPOST) else [])]
        done = [f"{PACKAGE}/{name}" for name in found.files if name != INIT]
        if found.active not in ("", self.version.folder):
            done.append(f"{PACKAGE}/{found.active}")
        if found.loose_native and NATIVE_MODULE not in self._before():
            done.append(NATIVE_MODULE)
        if _SIGNPOST not in self._last and on_board.exists(_SIGNPOST):
            done.append(_SIGNPOST)
        return done

    def _bring(self, files: Mapping[str, bytes], on_file: OnFile) -> None:
        changed = [path for path in files if path not in self.result.unchanged]
        for folder in _folders(changed):
            self._on_board.mkdirs(folder)
        for path in changed:
            if path in self._sources:
                self._on_board.copy(self._sources[path], path, files[path])
            else:
                on_file(path, len(files[path]))
                self._on_board.put(path, files[path])

    def _undone(self, error: DeployError) -> DeployError:
        """Makes the room free again that a new version took."""
        if self.installed.frozen is None and self.version.folder != self.installed.active:
            self._on_board.remove_all(f"{PACKAGE}/{self.version.folder}")
        return DeployError(f"{error}; what was deployed before is as it was")


def _library(root: Path) -> dict[str, bytes]:
    """The modules that every board gets, by their name in the package."""
    folder = root / "lib" / "sesstab"
    if not (folder / INIT).is_file():
        raise DeployError(f"{folder} has no {INIT}; name the repository with --root or SESSTAB_ROOT")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.py"))}


def _version(init: bytes) -> str:
    lines = [line for line in init.decode().splitlines() if line.startswith(_VERSION)]
    return lines[0].removeprefix(_VERSION).strip("\"'") if lines else ""


def _state(found: str | None, wanted: bytes) -> str:
    if found is None:
        return "missing"
    return "same" if found == _sum(wanted) else "different"


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _folders(paths: Iterable[str]) -> list[str]:
    return sorted({posixpath.dirname(path) for path in paths} - {""})
