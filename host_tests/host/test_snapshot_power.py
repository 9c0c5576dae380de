"""Power fails while a snapshot is saved on a host's file system: what save() asks of it is noted.

What was written may have reached the disk in part, until fsync returns: any number of its bytes, with zeros
or what was there before in place of the rest; a file may have lost its old contents, or not yet. All files
that there can be are made, and restored from.

And on boards' file systems at every byte, where host_tests/device/test_snapshot_power.py takes some.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sesstab_tools.deploy import deploy
from sesstab_tools.emulators import start
from sesstab_tools.repl import Board

ROOT = Path(__file__).resolve().parents[2]
DEVICE = ROOT / "host_tests" / "device"
sys.path.insert(0, str(DEVICE))

snapshot = importlib.import_module("sesstab.snapshot")
support = importlib.import_module("support")

Contents = dict[str, bytes]


class NotedFile:
    def __init__(self, log: list[tuple[str, str, bytes]], name: str) -> None:
        self._file = open(name, "wb")  # noqa: SIM115
        self._log, self._name = log, Path(name).name
        log.append(("truncate", self._name, b""))

    def write(self, data: Any) -> int:
        self._log.append(("write", self._name, bytes(data)))
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    def fileno(self) -> int:
        return self._file.fileno()

    def sync(self) -> None:
        self._log.append(("fsync", self._name, b""))

    def __enter__(self) -> NotedFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, bytes]]:
    """What save() does to files, in order. It has no other ways than these."""
    calls: list[tuple[str, str, bytes]] = []
    written: dict[int, NotedFile] = {}

    def noted_open(name: str, mode: str) -> Any:
        if mode == "rb":
            return open(name, mode)
        file = NotedFile(calls, name)
        written[file.fileno()] = file
        return file

    ways = SimpleNamespace(stat=os.stat, fsync=lambda descriptor: written[descriptor].sync())
    monkeypatch.setattr(snapshot, "open", noted_open, raising=False)
    monkeypatch.setattr(snapshot, "os", ways)
    return calls


def moments(before: Contents, log: list[tuple[str, str, bytes]]) -> Iterator[tuple[int, Contents]]:
    """What the disk may have when power fails, and how many calls have begun by then."""
    safe = dict(before)
    for begun, (kind, name, data) in enumerate(log, 1):
        written = b"".join(part for what, to, part in log[: begun - 1] if (what, to) == ("write", name))
        if kind == "fsync":
            safe[name] = written
            yield begun, dict(safe)
            continue
        yield begun, dict(safe)
        whole, old = written + data, safe.get(name, b"")
        for count in range(len(whole) + 1):
            for rest in (b"", old[count:], bytes(len(whole) - count)):
                yield begun, {**safe, name: whole[:count] + rest}


def table_of(*ids: bytes) -> Any:
    table, _ = support.make(8)
    for id in ids:
        support.put(table, id, b"state of " + id)
    return table


def files(folder: Path) -> Contents:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def restored(folder: Path, contents: Contents) -> list[bytes] | None:
    """The ids that come back; None when it is refused."""
    for path in folder.iterdir():
        path.unlink()
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    table = table_of()
    try:
        snapshot.restore(table, str(folder / "sessions"))
    except ValueError:
        assert support.order(table) == []
        return None
    found: list[bytes] = support.order(table)
    return found


def saved(folder: Path, log: list[tuple[str, str, bytes]], *ids: bytes) -> Contents:
    """What the files were before; `log` has what this save did."""
    before = files(folder)
    log.clear()
    snapshot.save(table_of(*ids), str(folder / "sessions"))
    return before


def test_what_a_save_does(tmp_path: Path, log: list[tuple[str, str, bytes]]) -> None:
    for name in ("sessions.0", "sessions.1", "sessions.0"):
        saved(tmp_path, log, b"a", b"b")
        kinds = [kind for kind, *_ in log]
        assert kinds == ["truncate", *["write"] * (len(kinds) - 2), "fsync"]
        assert {to for _, to, _ in log} == {name}


def test_power_fails_at_any_moment_of_a_save(tmp_path: Path, log: list[tuple[str, str, bytes]]) -> None:
    saved(tmp_path, log, b"older")
    saved(tmp_path, log, b"old", b"one")
    before = saved(tmp_path, log, b"new")
    after = files(tmp_path)
    states = list(moments(before, log))
    assert len(states) > 300
    seen = set()
    for begun, contents in states:
        found = restored(tmp_path, contents)
        assert found in ([b"one", b"old"], [b"new"]), (begun, contents)
        seen.add(str(found))
    assert len(seen) == 2
    assert states[-1] == (len(log), after)
    assert restored(tmp_path, after) == [b"new"]


def test_power_fails_at_any_moment_of_the_first_save(
    tmp_path: Path, log: list[tuple[str, str, bytes]]
) -> None:
    before = saved(tmp_path, log, b"first")
    assert before == {}
    found = [restored(tmp_path, contents) for _, contents in moments(before, log)]
    assert {str(ids) for ids in found} == {"[]", "None", str([b"first"])}
    assert found[-1] == [b"first"]


def test_without_fsync_a_save_could_be_lost(tmp_path: Path, log: list[tuple[str, str, bytes]]) -> None:
    """That the moments would show it."""
    saved(tmp_path, log, b"old")
    before = saved(tmp_path, log, b"new")
    del log[-1]
    assert restored(tmp_path, list(moments(before, log))[-1][1]) == [b"new"]
    assert any(
        restored(tmp_path, contents) == [b"old"]
        for begun, contents in moments(before, log)
        if begun == len(log)
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("board", "kind", "key"),
    [
        ("QEMU_MPS2_AN385", "VfsLfs2, 30", None),
        ("unix-c", "VfsLfs2, 30", bytes(16)),
        ("unix-c", "VfsFat, 50", None),
        ("unix-c", "VfsFat, 50", bytes(16)),
    ],
    ids=["littlefs on an emulated board", "littlefs encrypted", "FAT", "FAT encrypted"],
)
def test_power_fails_at_any_byte_of_a_boards_file_system(board: str, kind: str, key: bytes | None) -> None:
    with (
        start(board, ROOT) as running,
        Board.open(running.port, timeout=600) as client,
    ):
        deploy(client, ROOT, extra={"lib/support.py": (DEVICE / "support.py").read_bytes()})
        client.exec((DEVICE / "test_snapshot_power.py").read_bytes())
        cut = f"cut_at_every_byte(os.{kind}, {key}, ((b'older',), IDS[:3], IDS[3:7]), 1)"
        old, new = client.eval(cut)  # type: ignore[misc]
    assert old > 500
    assert new > 0
