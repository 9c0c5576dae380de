"""UF2, the format in which the boot loader of an RP2040 or RP2350 takes an image.

A file is blocks of 512 bytes; each has 256 bytes of the image, their address, and its own number and how many
there are, so that the boot loader knows when it has them all.

    python -m sesstab_tools.uf2 firmware.bin firmware.uf2 --address 0x10000000 --family 0xe48bff56

A boot loader says nothing about a file that is cut short or damaged, so decode() accepts whole files only.
"""

from __future__ import annotations

import argparse
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import BoardError

BLOCK = 512
PAYLOAD = 256
"""Bytes of the image in each block that encode() makes: a page of flash."""

COUNT = 24
"""Where a block says how many there are."""

NOT_MAIN_FLASH = 0x00000001
FAMILY_ID_PRESENT = 0x00002000

_HEADER = struct.Struct("<8I")  # two magic words, flags, address, size, number, count, family
_MAGIC = (0x0A324655, 0x9E5D5157)
_END_MAGIC = 0x0AB16F30
_MAX_PAYLOAD = BLOCK - _HEADER.size - 4


class Uf2Error(BoardError):
    """Not a whole UF2 file; the message names the block and the field that is wrong."""


@dataclass(frozen=True)
class Block:
    """One block of a UF2 file."""

    number: int
    count: int
    """Blocks in the file (of this family)."""
    address: int
    data: bytes
    flags: int
    family: int | None
    """Which chips take the block; None: the block does not say."""


def encode(data: bytes, address: int, family: int) -> bytes:
    """The UF2 file that puts `data` at `address`; the last page is filled up with zeros."""
    count = -(-len(data) // PAYLOAD)
    blocks = []
    for number in range(count):
        offset = number * PAYLOAD
        page = data[offset : offset + PAYLOAD].ljust(PAYLOAD, b"\0")
        header = _HEADER.pack(
            *_MAGIC, FAMILY_ID_PRESENT, address + offset, PAYLOAD, number, count, family
        )  # fmt: skip
        blocks.append(header + page.ljust(BLOCK - _HEADER.size - 4, b"\0") + struct.pack("<I", _END_MAGIC))
    return b"".join(blocks)


def decode(data: bytes) -> list[Block]:
    """The blocks of a whole UF2 file, in its order. Raises Uf2Error."""
    if not data:
        raise Uf2Error("no UF2 file: it is empty")
    blocks = [
        _decode_block(data[at : at + BLOCK], index) for index, at in enumerate(range(0, len(data), BLOCK))
    ]
    _check_numbers(blocks)
    return blocks


def image(blocks: Sequence[Block]) -> tuple[int, bytes]:
    """Where the blocks' data begins, and that data, with 0xff where no block writes. Raises Uf2Error."""
    flash = [block for block in blocks if not block.flags & NOT_MAIN_FLASH]
    if not flash:
        raise Uf2Error("the UF2 file has no block for flash")
    start = min(block.address for block in flash)
    end = max(block.address + len(block.data) for block in flash)
    if end - start > 2 * sum(len(block.data) for block in flash) + 0x100000:
        raise Uf2Error(f"the UF2 file's addresses, from 0x{start:08x} to 0x{end:08x}, are too far apart")
    contents = bytearray(b"\xff") * (end - start)
    written = bytearray(end - start)
    for block in flash:
        at = block.address - start
        if any(written[at : at + len(block.data)]):
            raise Uf2Error(f"block {block.number}: address 0x{block.address:08x} is written by two blocks")
        contents[at : at + len(block.data)] = block.data
        written[at : at + len(block.data)] = b"\1" * len(block.data)
    return start, bytes(contents)


def _decode_block(data: bytes, index: int) -> Block:
    if len(data) < BLOCK:
        raise Uf2Error(f"block {index}: {len(data)} bytes instead of {BLOCK}; the file is cut short")
    *magic, flags, address, size, number, count, family = _HEADER.unpack_from(data)
    magics = {
        "first magic word": (magic[0], _MAGIC[0]),
        "second magic word": (magic[1], _MAGIC[1]),
        "last magic word": (int.from_bytes(data[-4:], "little"), _END_MAGIC),
    }
    for name, (found, expected) in magics.items():
        if found != expected:
            raise Uf2Error(
                f"block {index}: {name} is 0x{found:08x} instead of 0x{expected:08x}; no UF2 file?"
            )
    if not 0 < size <= _MAX_PAYLOAD:
        raise Uf2Error(f"block {index}: size is {size}, not from 1 to {_MAX_PAYLOAD}")
    return Block(
        number=number,
        count=count,
        address=address,
        data=data[_HEADER.size : _HEADER.size + size],
        flags=flags,
        family=family if flags & FAMILY_ID_PRESENT else None,
    )


def _check_numbers(blocks: Sequence[Block]) -> None:
    """Each of the blocks is there, once, and in its place."""
    seen: set[int] = set()
    for index, block in enumerate(blocks):
        if block.count != len(blocks):
            raise Uf2Error(
                f"block {index}: count is {block.count}, but the file has {len(blocks)} blocks; "
                "is it cut short?"
            )
        if block.number in seen:
            raise Uf2Error(f"block {index}: number {block.number} is there twice")
        if block.number != index:
            raise Uf2Error(f"block {index}: number is {block.number} instead of {index}")
        seen.add(block.number)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="sesstab_tools.uf2", description="Makes a UF2 file of an image.")
    parser.add_argument("bin", type=Path)
    parser.add_argument("uf2", type=Path)
    parser.add_argument("--address", type=_number, required=True, help="where the image goes")
    parser.add_argument("--family", type=_number, required=True, help="which chips take it")
    options = parser.parse_args(arguments)
    try:
        options.uf2.write_bytes(encode(options.bin.read_bytes(), options.address, options.family))
    except OSError as error:
        sys.exit(f"sesstab: {error}")


def _number(text: str) -> int:
    return int(text, 0)


if __name__ == "__main__":
    main()
