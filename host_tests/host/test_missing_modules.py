"""The device package where the firmware lacks something: a module, floating point."""

from __future__ import annotations

import builtins
import importlib
import struct
import sys
from binascii import crc32
from types import ModuleType

import pytest

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
