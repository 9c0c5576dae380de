"""Files on a board, over its REPL. Paths are the board's; relative ones start where the board's REPL does."""

from __future__ import annotations

import binascii
import hashlib
import posixpath
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from .errors import DeployError, DeviceException, ProtocolError
from .repl import Board

_CHUNK = 1020  # bytes a step: with base64 and the code around it, about 1.5 KB of the board's memory

TEMPORARY = ".new"
"""Ends the name of a file that is still being written."""

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
_COPY = """
def _copy(old, new):
    source, target, block = open(old, "rb"), open(new, "wb"), bytearray(512)
    while True:
        size = source.readinto(block)
        if not size:
            break
        target.write(memoryview(block)[:size])
    source.close()
    target.close()
_copy({old!r}, {new!r})
del _copy
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
_LISTING = '[(e[0], e[1], os.stat({path!r} + "/" + e[0])[6]) for e in os.ilistdir({path!r})]'
_FOLDER = 0x4000
_SHA256 = re.compile("[0-9a-f]{64}")
_ENOSPC = "28"
_REMOVE_ALL = """
import os
def _remove(path):
    try:
        is_folder = os.stat(path)[0] & 0x4000
    except OSError:
        return
    if not is_folder:
        return os.remove(path)
    for entry in list(os.ilistdir(path)):
        _remove(path + "/" + entry[0])
    os.rmdir(path)
_remove({path!r})
del _remove
"""
_EXISTS = """
import os
try:
    os.stat({path!r})
    print(1)
except OSError:
    print(0)
"""
_REMOVE = """
import os
try:
    os.remove({path!r})
    print(1)
except OSError:
    print(0)
"""


# After a write without room, what is open has still to be closed.
_GIVE_UP = """
import os
for _step in ("_file.close()", "os.remove({path!r})"):
    try:
        exec(_step)
    except (OSError, NameError):
        pass
del _step
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
        sums = {path: self._sum(path) for path in wanted}
        self._run("del _hash")
        return sums

    def put(self, path: str, data: bytes) -> None:
        """Writes a file: under a temporary name first, checked, then renamed, and checked again."""
        self._replace(path, data, self._write)

    def copy(self, old: str, path: str, data: bytes) -> None:
        """As put(), from the file `old` on the board, which holds the same `data`."""
        self._replace(path, data, lambda temporary, _: self._run(_COPY.format(old=old, new=temporary)))

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

    def exists(self, path: str) -> bool:
        """Whether there is a file or a folder."""
        return self._is_so(_EXISTS.format(path=path))

    def remove(self, path: str) -> bool:
        """Removes a file. False when there was none."""
        return self._is_so(_REMOVE.format(path=path))

    def remove_all(self, path: str) -> None:
        """Removes a file or a folder with all in it, if there is one."""
        self._run(_REMOVE_ALL.format(path=path))

    def listing(self, path: str = ".") -> list[Entry]:
        """What a folder holds, by name."""
        self._run("import os")
        found = self._board.eval(_LISTING.format(path=path), self._timeout)
        if not isinstance(found, list) or not all(map(_is_entry, found)):
            raise self._garbled(found)
        entries = [Entry(name, kind == _FOLDER, size) for name, kind, size in found]
        return sorted(entry._replace(size=0) if entry.is_folder else entry for entry in entries)

    def _replace(self, path: str, data: bytes, write: Callable[[str, bytes], object]) -> None:
        temporary = path + TEMPORARY
        try:
            write(temporary, data)
        except DeviceException as error:
            if error.type_name != "OSError" or _ENOSPC not in error.last_line:
                raise
            self._run(_GIVE_UP.format(path=temporary))
            raise DeployError(
                f"port {self._board.port}: no room on the board for {path} ({len(data)} bytes); "
                "remove files from it"
            ) from error
        self._check(temporary, data)
        self.rename(temporary, path)
        self._check(path, data)  # the line may have garbled which file the name was for

    def _check(self, path: str, data: bytes) -> None:
        if self.sha256([path])[path] != hashlib.sha256(data).hexdigest():
            raise DeployError(
                f"port {self._board.port}: {path} is not what was sent; is the board's storage full?"
            )

    def _write(self, path: str, data: bytes) -> None:
        self._run(f"from binascii import a2b_base64 as _decode\n_file = open({path!r}, 'wb')")
        for start in range(0, len(data), _CHUNK):
            text = binascii.b2a_base64(data[start : start + _CHUNK], newline=False)
            self._run(f"_file.write(_decode({text!r}))")
        self._run("_file.close()\ndel _file, _decode")

    def _sum(self, path: str) -> str | None:
        found = self._board.eval(f"_hash({path!r})", self._timeout)
        if found is None or (isinstance(found, str) and _SHA256.fullmatch(found)):
            return found
        raise self._garbled(found)

    def _is_so(self, code: str) -> bool:
        """What code says that prints 0 or 1."""
        text = self._run(code).strip()
        if text not in ("0", "1"):
            raise self._garbled(text)
        return text == "1"

    def _garbled(self, answer: object) -> ProtocolError:
        return ProtocolError(
            f"port {self._board.port}: the board answers {str(answer)[:80]!r}; is the line disturbed?"
        )

    def _run(self, code: str) -> str:
        return self._board.exec(code, self._timeout).decode(errors="replace")


def _is_entry(row: object) -> bool:
    return isinstance(row, tuple) and [type(field) for field in row] == [str, int, int]
