"""Puts firmware onto a board: the image is checked, then the board, and only then anything is written.

    done = flash(find_board("RPI_PICO", root), root)
    print(done.size, done.verified)

How an image gets there is the affair of flash_uf2.py (RP2040, RP2350) and flash_esptool.py (ESP32 family).
All errors are BoardErrors: ImageError and PortError mean that nothing was written, FlashError says what state
the board is in. A board can always be flashed again: both boot loaders are in ROM.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .boards import BoardSpec, EsptoolFlash
from .errors import FlashError, ImageError

OnProgress = Callable[[str, int, int], object]
"""Told what is done ("writing", "reading back"), how many bytes of it, and of how many."""


@dataclass(frozen=True)
class Flashed:
    """What flash() did."""

    board: str
    image: str
    size: int
    """Bytes of the image in flash."""
    port: str | None
    """Where the board is now."""
    verified: str
    """How flash was compared with the image; "": it was not."""


def flash(
    spec: BoardSpec,
    root: Path,
    *,
    image: Path | None = None,
    port: str | None = None,
    volume: Path | None = None,
    verify: bool = False,
    on_progress: OnProgress = lambda what, done, total: None,
) -> Flashed:
    """Writes `image`, by default that of `make firmware`, to the board at `port` or at `volume`.

    With verify=True each byte in flash is compared with the image, and it is an error if that cannot be done;
    else only what costs nothing is.
    """
    if spec.flash is None:
        raise FlashError(f"{spec.name} ({spec.title}) has no flash to write; sesstab emulate runs it")
    path = image or default_image(spec, root)
    contents = _read(path, spec, root)
    # Either one's libraries take time to load, and one board needs one of them.
    if isinstance(spec.flash, EsptoolFlash):
        from .flash_esptool import flash_esptool

        if volume:
            raise FlashError(f"{spec.name} shows no volume; it is flashed through its serial port: --port")
        return flash_esptool(spec, spec.flash, path, contents, port, verify, on_progress)
    from .flash_uf2 import flash_uf2

    return flash_uf2(spec, spec.flash, path, contents, port, volume, verify, on_progress)


def default_image(spec: BoardSpec, root: Path) -> Path:
    """The image that `make firmware` builds for the board."""
    suffix = "bin" if isinstance(spec.flash, EsptoolFlash) else "uf2"
    return spec.images(root) / f"firmware.{suffix}"


def _read(path: Path, spec: BoardSpec, root: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        if path == default_image(spec, root):
            raise ImageError(
                f"no {path.relative_to(root)}; build it: make firmware BOARD={spec.name}"
            ) from error
        raise ImageError(f"{path}: no such file") from error
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror}") from error
