"""What a board has of sesstab: in its firmware, in its files, and what an import would take.

Deployed files are in lib/sesstab/. The modules of one version are together in a folder there, and
__init__.py, the only file beside that folder, says in its first line which it is: whoever replaces it
replaces all. Put there by other tools (mip, a copy by hand) the modules are beside __init__.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import DeployError, ProtocolError
from .files import Files
from .repl import Board

PACKAGE = "lib/sesstab"
INIT = "__init__.py"
NATIVE_NAME = "_sesstab.mpy"
NATIVE_MODULE = "lib/_sesstab.mpy"
"""Where a module is that belongs to sesstab in the firmware, or to one that other tools put there."""
SWITCH = '__path__ += "/{}"\n'
_SWITCHED = re.compile(r'^__path__ \+= "/([0-9a-f]+)"$', re.MULTILINE)

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

# Goes through sys.path as an import does, up to our own folder; what is loaded already stays loaded.
_COMES_BEFORE = """
def comes_before():
    import os, sys

    def absolute(path):
        if path[:1] != "/":
            path = os.getcwd() + "/" + path
        return [part for part in path.split("/") if part]

    def frozen():
        mine = lambda name: name.split(".")[0] in ("sesstab", "_sesstab")
        kept = [(name, sys.modules.pop(name)) for name in list(sys.modules) if mine(name)]
        path = sys.path[:]
        sys.path[:] = [".frozen"]
        try:
            return getattr(__import__("sesstab"), "__version__", "")
        except ImportError:
            return None
        finally:
            sys.path[:] = path
            for name in list(sys.modules):
                if mine(name):
                    del sys.modules[name]
            for name, module in kept:
                sys.modules[name] = module

    for entry in sys.path:
        if entry == ".frozen":
            version = frozen()
            if version is not None:
                return (version, "")
        elif absolute(entry) == absolute("lib"):
            break
        else:
            for end in ("", ".py", ".mpy"):
                path = "/".join([""] + absolute(entry) + ["sesstab" + end])
                try:
                    os.stat(path)
                    return (None, path)
                except OSError:
                    pass
    return (None, "")
"""
_FIRST_LINES = """
try:
    with open({path!r}) as _file:
        print(_file.read(400))
    del _file
except OSError:
    pass
"""


def place(name: str, folder: str) -> str:
    """Where a module of the version in `folder` is on a board; folder "": a version beside __init__.py."""
    if name == INIT:
        return f"{PACKAGE}/{INIT}"
    if not folder:
        return NATIVE_MODULE if name == NATIVE_NAME else f"{PACKAGE}/{name}"
    return f"{PACKAGE}/{folder}/{name}"


@dataclass(frozen=True)
class Installed:
    """What there is on a board."""

    built_in: bool
    """The firmware has the native module."""
    frozen: str | None
    """The version of sesstab that is frozen into the firmware and that an import takes, else None."""
    active: str
    """The folder, in lib/sesstab, of the version that an import takes; "" for one beside __init__.py."""
    folders: tuple[str, ...]
    files: tuple[str, ...]
    """Folders and files in lib/sesstab."""
    loose_native: bool
    """There is a NATIVE_MODULE."""


def find_installed(board: Board) -> Installed:
    frozen, other = _comes_before(board)
    if other:
        raise DeployError(
            f"port {board.port}: {other} on the board comes before {PACKAGE} and would be imported instead; "
            f'remove it: sesstab exec "import os; os.rename({other!r}, {other + ".old"!r})"'
        )
    files = Files(board)
    entries = files.listing(PACKAGE) if files.exists(PACKAGE) else []
    first_lines = board.exec(_FIRST_LINES.format(path=place(INIT, ""))).decode(errors="replace")
    switched = _SWITCHED.search(first_lines.replace("\r\n", "\n"))
    return Installed(
        built_in=is_built_in(board),
        frozen=frozen,
        active=switched[1] if switched else "",
        folders=tuple(entry.name for entry in entries if entry.is_folder),
        files=tuple(entry.name for entry in entries if not entry.is_folder),
        loose_native=files.exists(NATIVE_MODULE),
    )


def is_built_in(board: Board) -> bool:
    """True when the firmware itself has the native module (a user C module)."""
    return board.exec(_IS_BUILT_IN).strip() == b"True"


def _comes_before(board: Board) -> tuple[str | None, str]:
    """What an import finds before lib/sesstab: the frozen version or None, and another path or ""."""
    board.exec(_COMES_BEFORE)
    found = board.eval("comes_before()")
    board.exec("del comes_before")
    if not isinstance(found, tuple) or len(found) != 2:
        raise ProtocolError(f"port {board.port}: {found!r} instead of what is on sys.path")
    return found
