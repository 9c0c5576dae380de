"""Puts sesstab onto a board: lib/ and, where there is one for the board, the native module."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .errors import DeployError
from .files import Files
from .repl import Board

NATIVE_MODULE = "lib/_sesstab.mpy"

# Without a path to search, an import finds what the firmware itself has.
_IS_BUILT_IN = """
def is_built_in():
    import sys

    path = sys.path[:]
    sys.path[:] = []
    try:
        return not hasattr(__import__("_sesstab"), "__file__")
    except ImportError:
        return False
    finally:
        sys.path[:] = path

print(is_built_in())
del is_built_in
"""

# By the number that MicroPython gives them in sys.implementation._mpy.
ARCHITECTURES = (
    "", "x86", "x64", "armv6", "armv6m", "armv7m", "armv7em", "armv7emsp", "armv7emdp",
    "xtensa", "xtensawin", "rv32imc", "rv64imc",
)  # fmt: skip
# A Thumb core loads modules of the lesser ones.
_THUMB = ARCHITECTURES[4:9]


@dataclass
class Deployment:
    """What deploy() did."""

    engine: str
    module: str
    """Where the native module is from, or why there is none."""
    sent: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


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
    return None, f"dist/natmod/{names[0]}/_sesstab.mpy is missing: make natmod"


def library(root: Path) -> dict[str, bytes]:
    """What every board gets: path on the board and contents."""
    folder = root / "lib"
    return {
        f"lib/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for path in sorted((folder / "sesstab").rglob("*.py"))
    }


def deploy(
    board: Board,
    root: Path,
    *,
    native: bool = True,
    extra: Mapping[str, bytes] | None = None,
    on_file: Callable[[str, int], object] | None = None,
) -> Deployment:
    """Deploys sesstab and `extra` files. Sends what changed only; tells `on_file` each path and size sent.

    Where there is no native module for the board, or the firmware has it built in, or with native=False, an
    old one is removed.
    """
    wanted = {**library(root), **(extra or {})}
    built_in = is_built_in(board)
    module, reason = find_module(root, mpy_of(board)) if native else (None, "not asked for")
    if built_in:
        module, reason = None, "built into the firmware"
    result = Deployment("native" if built_in or module else "pure", reason)
    files = Files(board)
    if module:
        wanted[NATIVE_MODULE] = module.read_bytes()
    elif files.remove(NATIVE_MODULE):
        result.removed.append(NATIVE_MODULE)
    _send_changed(files, wanted, result, on_file)
    return result


def is_built_in(board: Board) -> bool:
    """True when the firmware itself has the native module (a user C module)."""
    return board.exec(_IS_BUILT_IN).strip() == b"True"


def mpy_of(board: Board) -> int:
    """sys.implementation._mpy; 0 where there is none."""
    value = board.eval("getattr(__import__('sys').implementation, '_mpy', 0)")
    return value if isinstance(value, int) else 0


def _send_changed(
    files: Files,
    wanted: Mapping[str, bytes],
    result: Deployment,
    on_file: Callable[[str, int], object] | None,
) -> None:
    on_board = files.sha256(wanted)
    changed = [path for path, data in wanted.items() if on_board[path] != hashlib.sha256(data).hexdigest()]
    result.unchanged = [path for path in wanted if path not in changed]
    for folder in _folders(changed):
        files.mkdirs(folder)
    for path in changed:
        if on_file:
            on_file(path, len(wanted[path]))
        files.put(path, wanted[path])
        result.sent.append(path)


def _folders(paths: Iterable[str]) -> list[str]:
    return sorted({posixpath.dirname(path) for path in paths} - {""})
