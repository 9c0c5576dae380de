"""UF2 files: what encode() makes; decode() takes whole files only and says what is wrong with others."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sesstab_tools import uf2

ADDRESS, FAMILY = 0x10000000, 0xE48BFF56
IMAGE = bytes(range(256)) * 3 + b"tail"


def encoded(data: bytes = IMAGE) -> bytearray:
    return bytearray(uf2.encode(data, ADDRESS, FAMILY))


def with_word(index: int, offset: int, value: int) -> bytes:
    data = encoded()
    struct.pack_into("<I", data, index * uf2.BLOCK + offset, value)
    return bytes(data)


def test_encode_one_page_byte_for_byte() -> None:
    # The words as the specification of UF2 orders them.
    words = (0x0A324655, 0x9E5D5157, 0x2000, ADDRESS, 256, 0, 1, FAMILY)
    page = bytes(range(256))
    assert encoded(page) == struct.pack("<8I", *words) + page + bytes(220) + struct.pack("<I", 0x0AB16F30)


def test_encode_fills_the_last_page_with_zeros() -> None:
    last = uf2.decode(encoded())[-1]
    assert (last.number, last.count, last.address) == (3, 4, ADDRESS + 768)
    assert last.data == b"tail" + bytes(252)


def test_encode_nothing_gives_nothing() -> None:
    assert encoded(b"") == b""


@given(st.binary(min_size=1, max_size=2000), st.integers(0, 0xFFFF0000), st.integers(0, 0xFFFFFFFF))
def test_decode_gives_back_what_was_encoded(data: bytes, address: int, family: int) -> None:
    blocks = uf2.decode(uf2.encode(data, address, family))
    start, contents = uf2.image(blocks)
    assert start == address
    assert contents.rstrip(b"\0") == data.rstrip(b"\0")
    assert len(contents) == -(-len(data) // 256) * 256
    assert {block.family for block in blocks} == {family}


def test_a_block_without_the_family_flag_has_no_family() -> None:
    assert uf2.decode(with_word(2, 8, 0))[2].family is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is empty"),
        (b"no UF2 file", "block 0: 11 bytes instead of 512; the file is cut short"),
        (bytes(encoded()[:-1]), "block 3: 511 bytes instead of 512"),
        (bytes(encoded()[:-512]), "block 0: count is 4, but the file has 3 blocks; is it cut short?"),
        (with_word(1, 0, 0xDEADBEEF), "block 1: first magic word is 0xdeadbeef instead of 0x0a324655"),
        (with_word(1, 4, 0), "block 1: second magic word is 0x00000000"),
        (with_word(3, 508, 1), "block 3: last magic word is 0x00000001"),
        (with_word(0, 16, 0), "block 0: size is 0, not from 1 to 476"),
        (with_word(0, 16, 477), "block 0: size is 477"),
        (with_word(2, 20, 7), "block 2: number is 7 instead of 2"),
        (with_word(2, 20, 1), "block 2: number 1 is there twice"),
        (with_word(2, 24, 5), "block 2: count is 5, but the file has 4 blocks"),
    ],
)
def test_decode_names_block_and_field(data: bytes, message: str) -> None:
    with pytest.raises(uf2.Uf2Error) as raised:
        uf2.decode(data)
    assert message in str(raised.value)


def test_image_has_erased_flash_where_no_block_writes() -> None:
    blocks = uf2.decode(with_word(3, 12, ADDRESS + 1024))
    start, contents = uf2.image(blocks)
    assert (start, len(contents), contents[768:1024]) == (ADDRESS, 1280, b"\xff" * 256)


def test_image_refuses_blocks_that_overlap() -> None:
    with pytest.raises(uf2.Uf2Error, match="block 3: address 0x10000080 is written by two blocks"):
        uf2.image(uf2.decode(with_word(3, 12, ADDRESS + 128)))


def test_image_refuses_addresses_that_no_flash_holds() -> None:
    with pytest.raises(uf2.Uf2Error, match="too far apart"):
        uf2.image(uf2.decode(with_word(3, 12, 0xF0000000)))


def test_image_leaves_out_blocks_that_are_not_for_flash() -> None:
    data = with_word(3, 8, uf2.FAMILY_ID_PRESENT | uf2.NOT_MAIN_FLASH)
    assert uf2.image(uf2.decode(data)) == (ADDRESS, IMAGE[:768])
    with pytest.raises(uf2.Uf2Error, match="no block for flash"):
        uf2.image([])


def test_command(tmp_path: Path) -> None:
    (tmp_path / "in.bin").write_bytes(IMAGE)
    names = [str(tmp_path / "in.bin"), str(tmp_path / "out.uf2")]
    uf2.main([*names, "--address", "0x10000000", "--family", "0xe48bff56"])
    assert (tmp_path / "out.uf2").read_bytes() == encoded()


def test_command_without_the_image_says_so(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as raised:
        uf2.main([str(tmp_path / "none"), str(tmp_path / "out"), "--address", "0", "--family", "0"])
    assert str(raised.value).startswith("sesstab: ") and "none" in str(raised.value)
