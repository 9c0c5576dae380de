"""The volume that a UF2 boot loader shows, found among the mounted ones by the file INFO_UF2.TXT on it."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from .errors import FlashError

INFO = "INFO_UF2.TXT"
_MOUNTS = Path("/proc/self/mounts")
# The boot loader's volume is FAT. Asking other file systems could wait for a network.
_FILE_SYSTEMS = ("vfat", "msdos", "fuse", "fuseblk")


@dataclass(frozen=True)
class Volume:
    """A volume with INFO_UF2.TXT."""

    folder: Path
    board_id: str
    """What its file calls the board: RPI-RP2, RP2350."""
    source: str
    """The device that is mounted there, or ""."""

    def is_there(self) -> bool:
        """False once it is gone. The file may still be read from a cache then, so the device is asked too."""
        if self.source.startswith("/dev/") and not Path(self.source).exists():
            return False
        if self.source and (self.folder, self.source) not in _mounted():
            return False
        try:
            return (self.folder / INFO).is_file()
        except OSError:
            return False


def find_volumes(board_id: str) -> list[Volume]:
    """The mounted volumes of boards whose id begins with `board_id`."""
    found = []
    for folder, source in _mounted():
        volume = _read(folder, source)
        if volume and volume.board_id.startswith(board_id):
            found.append(volume)
    return found


def volume_at(folder: Path) -> Volume:
    """The volume in that folder. Raises FlashError."""
    place = folder.resolve()
    source = next((source for mounted, source in _mounted() if mounted == place), "")
    volume = _read(place, source)
    if volume is None:
        raise FlashError(f"{folder} is no boot loader's volume: it has no {INFO} with a Board-ID")
    return volume


def _read(folder: Path, source: str) -> Volume | None:
    try:
        text = (folder / INFO).read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    board_id = re.search(r"^Board-ID:\s*(\S+)", text, re.MULTILINE)
    return Volume(folder, board_id[1], source) if board_id else None


def _mounted() -> list[tuple[Path, str]]:
    """Where something is mounted that may be such a volume, and which device."""
    if sys.platform == "darwin":
        return [(folder, "") for folder in Path("/Volumes").iterdir()]
    if not _MOUNTS.exists():
        return []
    lines = [line.split(" ") for line in _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()]
    return [
        (Path(_unescape(fields[1])), _unescape(fields[0])) for fields in lines if fields[2] in _FILE_SYSTEMS
    ]


def _unescape(text: str) -> str:
    """The kernel writes space, tab, line feed and backslash as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
