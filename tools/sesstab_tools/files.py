"""Files on a board, over its REPL. Paths are the board's; relative ones start where the board's REPL does."""

from __future__ import annotations

import ast
import binascii
import hashlib
import posixpath
from collections.abc import Iterable
from typing import NamedTuple

from .errors import DeployError
from .repl import Board

_CHUNK = 1020  # bytes a step: with base64 and the code around it, about 1.5 KB of the board's memory

_HASH = """
def _hash(path):
    import hashlib, binascii
    try:
        file = open(path, "rb")
    except OSError:
        return None
    digest, block = hashlib.sha256(), bytearray(512)
    while True:
        size = file.readinto(block)
        if not size:
            break
        digest.update(memoryview(block)[:size])
    file.close()
    return binascii.hexlify(digest.digest()).decode()
"""
_MKDIR = """
import os
for path in {paths!r}:
    try:
        os.mkdir(path)
    except OSError as error:
        if error.args[0] != 17:
            raise
"""
# Not every file system replaces on rename (FAT does not).
_RENAME = """
import os
try:
    os.rename({old!r}, {new!r})
except OSError:
    os.remove({new!r})
    os.rename({old!r}, {new!r})
"""
# os.ilistdir's own size is missing on some ports.
_LISTING = """
import os
print([(e[0], e[1], os.stat({path!r} + "/" + e[0])[6]) for e in os.ilistdir({path!r})])
"""
_FOLDER = 0x4000
_REMOVE = """
import os
try:
    os.remove({path!r})
    print(1)
except OSError:
    print(0)
"""


class Entry(NamedTuple):
    name: str
    is_folder: bool
    size: int


class Files:
    """The file system of a board. `timeout` is for each step, not for a whole transfer."""

    def __init__(self, board: Board, timeout: float = 10.0) -> None:
        self._board = board
        self._timeout = timeout

    def sha256(self, paths: Iterable[str]) -> dict[str, str | None]:
        """The SHA-256 of each file, computed on the board; None where there is no file."""
        wanted = list(paths)
        self._run(_HASH)
        sums = {path: ast.literal_eval(self._run(f"print(repr(_hash({path!r})))")) for path in wanted}
        self._run("del _hash")
        return sums

    def put(self, path: str, data: bytes) -> None:
        """Writes a file: under a temporary name first, checked, then renamed."""
        temporary = path + ".new"
        self._run(f"from binascii import a2b_base64 as _decode\n_file = open({temporary!r}, 'wb')")
        for start in range(0, len(data), _CHUNK):
            text = binascii.b2a_base64(data[start : start + _CHUNK], newline=False)
            self._run(f"_file.write(_decode({text!r}))")
        self._run("_file.close()\ndel _file, _decode")
        if self.sha256([temporary])[temporary] != hashlib.sha256(data).hexdigest():
            raise DeployError(
                f"port {self._board.port}: {temporary} is not what was sent; is the board's storage full?"
            )
        self.rename(temporary, path)

    def mkdirs(self, path: str) -> None:
        """Makes a folder and those above it, as far as they are missing."""
        paths: list[str] = []
        while path not in ("", "/"):
            paths.insert(0, path)
            path = posixpath.dirname(path)
        if paths:
            self._run(_MKDIR.format(paths=paths))

    def rename(self, old: str, new: str) -> None:
        """Renames a file, replacing another one."""
        self._run(_RENAME.format(old=old, new=new))

    def remove(self, path: str) -> bool:
        """Removes a file. False when there was none."""
        return self._run(_REMOVE.format(path=path)).strip() == "1"

    def listing(self, path: str = ".") -> list[Entry]:
        """What a folder holds, by name."""
        text = self._run(_LISTING.format(path=path))
        entries = [Entry(name, kind == _FOLDER, size) for name, kind, size in ast.literal_eval(text)]
        return sorted(entry._replace(size=0) if entry.is_folder else entry for entry in entries)

    def _run(self, code: str) -> str:
        return self._board.exec(code, self._timeout).decode(errors="replace")
