"""The device package where the firmware lacks something: a module, one that fits, floating point."""

from __future__ import annotations

import builtins
import importlib
import os
import struct
import subprocess
import sys
from binascii import crc32
from pathlib import Path
from types import ModuleType

import pytest
from sesstab_tools.virtual import find_micropython

EMPTY = b"sesT\1\0\0\0"


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Imports a module of the package anew, while these modules are missing."""

    def load(name: str, *missing: str) -> ModuleType:
        for loaded in [m for m in sys.modules if m.partition(".")[0] == "sesstab"]:
            monkeypatch.delitem(sys.modules, loaded)
        for module in ("_sesstab", *missing):
            monkeypatch.setitem(sys.modules, module, None)
        return importlib.import_module(name)

    return load


def test_without_the_native_module_the_engine_is_pure(without) -> None:  # type: ignore[no-untyped-def]
    sesstab = without("sesstab")
    assert sesstab.ENGINE == "pure"
    assert sesstab.SessionTable.__module__ == "sesstab.pure"


@pytest.mark.parametrize(
    ("header", "reason"),
    [(b"M\x06\x17\x1f", "incompatible .mpy arch"), (b"M\x05\x00\x1f", "incompatible .mpy file")],
)
def test_with_a_native_module_for_other_firmware_the_engine_is_pure(
    tmp_path: Path, header: bytes, reason: str
) -> None:
    """As after an update of the firmware: armv7m's, or one of a version before."""
    (tmp_path / "_sesstab.mpy").write_bytes(header)
    program = """
try:
    import _sesstab
except ValueError as error:
    print(error)
import sesstab, sesstab.client, sesstab.pure
table = sesstab.SessionTable(4)
print(sesstab.ENGINE, type(table) is sesstab.pure.SessionTable, sesstab.client._client_class(table))
"""
    path = os.pathsep.join((str(tmp_path), str(Path(__file__).parents[2] / "lib"), ".frozen"))
    run = subprocess.run(
        [find_micropython(), "-c", program],
        env={"MICROPYPATH": path},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert run.stdout.splitlines() == [reason, "pure True None"], run.stderr


def test_without_binascii_snapshots_are_the_same(without) -> None:  # type: ignore[no-untyped-def]
    table = without("sesstab", "binascii").SessionTable(4)
    assert table.dump() == EMPTY + struct.pack("<I", crc32(EMPTY))


def test_without_cryptolib_a_key_is_refused(without) -> None:  # type: ignore[no-untyped-def]
    snapshot = without("sesstab.snapshot", "cryptolib")
    with pytest.raises(NotImplementedError, match="cryptolib"):
        snapshot.save(None, "sessions", bytes(16))


def test_without_floats_a_clock_gives_ints(  # type: ignore[no-untyped-def]
    without, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.delattr(builtins, "float")
        pure = without("sesstab.pure")
    assert pure.SessionTable(4, clock=lambda: 5).now() == 5
    assert pure.SessionTable(4, clock=lambda: 5.0).now() == 0
