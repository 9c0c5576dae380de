"""The boards that sesstab knows: boards/<NAME>/board.toml, and the same in the folders of $SESSTAB_BOARDS.

A board file says what the tools cannot find out by themselves: the chip, how MicroPython is built for it and
which native modules it loads, how it is flashed, what its serial port wants, and what emulates it.
boards/README.md describes each key. `python -m sesstab_tools.boards NAME` prints it for the shell.
"""

from __future__ import annotations

import os
import shlex
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .deploy import ARCHITECTURES, find_root
from .errors import BoardError

FILE = "board.toml"
MAX_CAPACITY = 65535


class BoardFileError(BoardError):
    """A board is unknown, or its board.toml is wrong; the message names file, key and what may be there."""


@dataclass(frozen=True)
class Firmware:
    """How MicroPython is built for the board: its port, and the port's own name of the board."""

    port: str
    board: str
    user_module: bool
    """Whether sesstab is compiled in; else firmware is what others publish, with TLS switched on."""


@dataclass(frozen=True)
class Uf2Flash:
    """By copying a UF2 file to the volume that the boot loader shows."""

    family: int
    """The family id that the boot loader accepts."""
    volume: str
    """How the Board-ID in the volume's INFO_UF2.TXT begins."""
    address: int
    """Where flash begins in the address space."""
    size: int
    """Bytes of flash."""


@dataclass(frozen=True)
class EsptoolFlash:
    """Through the ROM boot loader, by esptool."""

    chip: str
    """esptool's name of the chip."""
    offset: int
    """Where the image goes."""
    size: int
    """Bytes of flash."""


@dataclass(frozen=True)
class Serial:
    baudrate: int
    burst: int | None
    """Bytes at once that the port takes without flow control; None: any number."""


@dataclass(frozen=True)
class Emulator:
    kind: str
    program: str
    """The emulator's program, where one kind has several."""
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class BoardSpec:
    """One board.toml."""

    name: str
    folder: Path
    title: str
    chip: str
    arch: str
    """Of native modules: the first part of a folder's name in dist/natmod."""
    capacity: int
    """Sessions for a table that fits the board."""
    heap: int | None
    """Bytes of MicroPython's heap after boot, where measured."""
    firmware: Firmware
    flash: Uf2Flash | EsptoolFlash | None
    serial: Serial
    emulator: Emulator | None

    def images(self, root: Path) -> Path:
        """Where `make firmware` puts the board's images."""
        return root / "dist" / "firmware" / self.name


def find_board(name: str, root: Path) -> BoardSpec:
    """The board of that name. Raises BoardFileError, naming those that there are."""
    folders = _board_folders(root)
    if name not in folders:
        known = ", ".join(folders)
        raise BoardFileError(f"no board {name!r}; there are {known}. SESSTAB_BOARDS names further folders")
    return load_board(folders[name])


def all_boards(root: Path) -> list[BoardSpec]:
    """Every board, by name."""
    return [load_board(folder) for folder in _board_folders(root).values()]


def load_board(folder: Path) -> BoardSpec:
    """Reads a folder's board.toml."""
    path = folder / FILE
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BoardFileError(f"{path}: {error}") from error
    top = _Section(path, "", values)
    spec = BoardSpec(
        name=folder.name,
        folder=folder,
        title=top.text("title"),
        chip=top.text("chip"),
        arch=top.choice("arch", ARCHITECTURES[1:]),
        capacity=top.number("capacity", 1, MAX_CAPACITY),
        heap=top.number("heap", 1) if "heap" in values else None,
        firmware=_firmware(top.section("micropython")),
        flash=_flash(top.section("flash")) if "flash" in values else None,
        serial=_serial(top.section("serial")),
        emulator=_emulator(top.section("emulator")) if "emulator" in values else None,
    )
    top.end()
    return spec


def _firmware(section: _Section) -> Firmware:
    firmware = Firmware(section.text("port"), section.text("board"), section.truth("user_module"))
    section.end()
    return firmware


def _flash(section: _Section) -> Uf2Flash | EsptoolFlash:
    flash: Uf2Flash | EsptoolFlash
    if section.choice("method", ("uf2", "esptool")) == "uf2":
        flash = Uf2Flash(
            family=section.number("family", 1, 0xFFFFFFFF),
            volume=section.text("volume"),
            address=section.number("address", 0, 0xFFFFFFFF),
            size=section.number("size", 1),
        )
    else:
        flash = EsptoolFlash(section.text("chip"), section.number("offset", 0), section.number("size", 1))
    section.end()
    return flash


def _serial(section: _Section) -> Serial:
    burst = section.number("burst", 1) if "burst" in section.values else None
    serial = Serial(section.number("baudrate", 1), burst)
    section.end()
    return serial


def _emulator(section: _Section) -> Emulator:
    kind = section.choice("kind", ("unix", "rp2040js", "qemu", "qemu-user"))
    program = section.text("program") if kind in ("qemu", "qemu-user") else ""
    arguments = section.texts("arguments") if program else ()
    section.end()
    return Emulator(kind, program, arguments)


class _Section:
    """A table of the file, whose keys are taken one by one; end() finds those that nobody knows."""

    def __init__(self, path: Path, name: str, values: Mapping[str, Any]) -> None:
        self.values = values
        self._path = path
        self._name = name
        self._taken: set[str] = set()

    def section(self, key: str) -> _Section:
        return _Section(self._path, key, self._take(key, dict, "a table"))

    def text(self, key: str) -> str:
        text: str = self._take(key, str, "a text")
        return text if text else self._refuse(key, "is empty")

    def texts(self, key: str) -> tuple[str, ...]:
        texts = self._take(key, list, "a list of texts")
        if not all(isinstance(text, str) for text in texts):
            self._refuse(key, "must be a list of texts")
        return tuple(texts)

    def truth(self, key: str) -> bool:
        return bool(self._take(key, bool, "true or false"))

    def number(self, key: str, least: int, most: int = 2**63 - 1) -> int:
        number: int = self._take(key, int, "a whole number")
        if isinstance(number, bool) or not least <= number <= most:
            self._refuse(key, f"is {number!r}, not from {least} to {most}")
        return number

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        text: str = self._take(key, str, "a text")
        return text if text in choices else self._refuse(key, f"is {text!r}, not one of {', '.join(choices)}")

    def end(self) -> None:
        for key in self.values:
            if key not in self._taken:
                self._refuse(key, f"is not known here; there are {', '.join(sorted(self._taken))}")

    def _take(self, key: str, kind: type, description: str) -> Any:
        self._taken.add(key)
        if key not in self.values:
            self._refuse(key, f"is missing: {description}")
        if not isinstance(self.values[key], kind):
            self._refuse(key, f"must be {description}")
        return self.values[key]

    def _refuse(self, key: str, reason: str) -> Any:
        name = f"{self._name}.{key}" if self._name else key
        raise BoardFileError(f"{self._path}: {name} {reason}")


def _folders(root: Path) -> list[Path]:
    """Those that hold boards; a board of one's own comes before one of the same name here."""
    own = os.environ.get("SESSTAB_BOARDS", "").split(os.pathsep)
    return [*(Path(folder).resolve() for folder in own if folder), root / "boards"]


def _board_folders(root: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in _folders(root):
        for path in sorted(folder.glob(f"*/{FILE}")):
            found.setdefault(path.parent.name, path.parent)
    return dict(sorted(found.items()))


def main() -> None:
    """Prints a board as assignments for the shell."""
    try:
        spec = find_board(sys.argv[1], find_root())
    except BoardError as error:
        sys.exit(f"sesstab: {error}")
    values = {
        "board": spec.name,
        "folder": str(spec.folder),
        "arch": spec.arch,
        "port": spec.firmware.port,
        "micropython_board": spec.firmware.board,
        "user_module": "1" if spec.firmware.user_module else "",
        "emulator": spec.emulator.kind if spec.emulator else "",
    }
    if isinstance(spec.flash, Uf2Flash):
        values |= {"uf2_address": hex(spec.flash.address), "uf2_family": hex(spec.flash.family)}
    for name, value in values.items():
        print(f"{name}={shlex.quote(value)}")


if __name__ == "__main__":
    main()
