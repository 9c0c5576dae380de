"""sesstab boards."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from cli_user import ROOT, sesstab
from serial.tools.list_ports_common import ListPortInfo
from sesstab_tools.boards import all_boards
from sesstab_tools.cli import boards as command
from sesstab_tools.cli import options
from sesstab_tools.deploy import deploy
from sesstab_tools.errors import PortError
from sesstab_tools.repl import Board
from sesstab_tools.virtual import VirtualBoard


def ports(*found: tuple[str, int | None]) -> object:
    """pyserial's list, with these devices and their USB vendors."""
    listed = []
    for device, vid in found:
        info = ListPortInfo(device)
        info.vid, info.pid, info.description = vid, 5, "a board"
        listed.append(info)
    return SimpleNamespace(comports=lambda: listed)


def test_known_boards_have_whole_names() -> None:
    done = sesstab("boards", "--known", COLUMNS="80")
    rows = [line.split() for line in done.stdout.splitlines()]
    for spec in all_boards(ROOT):
        row = next(row for row in rows if row[0] == spec.name)
        assert row[1:3] == [spec.chip, spec.arch]
    pico = next(
        entry
        for entry in json.loads(sesstab("boards", "--known", "--json").stdout)
        if entry["name"] == "RPI_PICO"
    )
    assert pico == {
        "name": "RPI_PICO",
        "chip": "rp2040",
        "arch": "armv6m",
        "flash": "UF2",
        "emulator": "rp2040js",
        "title": "Raspberry Pi Pico",
    }


def test_only_ports_on_usb_are_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "list_ports", ports(("/dev/ttyS0", None), ("/dev/ttyACM0", 0x2E8A)))
    command.boards(as_json=True)
    assert json.loads(capsys.readouterr().out) == [
        {"port": "/dev/ttyACM0", "usb": "2e8a:0005", "description": "a board"}
    ]
    command.boards()
    head, row = capsys.readouterr().out.splitlines()
    assert (head.split(), row.split()) == (
        ["port", "usb", "description"],
        ["/dev/ttyACM0", "2e8a:0005", "a", "board"],
    )


def test_no_port_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(command, "list_ports", ports(("/dev/ttyS0", None)))
    command.boards()
    assert capsys.readouterr().out == "no serial port on USB; is a board plugged in?\n"


def test_a_title_is_shown_as_it_is(tmp_path: Path) -> None:
    board = tmp_path / "boards" / "MINE" / "board.toml"
    shutil.copytree(ROOT / "boards" / "RPI_PICO", board.parent)
    (tmp_path / "lib").symlink_to(ROOT / "lib")
    title = "A [rev 2] board [/b]"
    board.write_text(re.sub("^title = .*$", f'title = "{title}"', board.read_text(), flags=re.MULTILINE))
    done = sesstab("boards", "--known", "--root", str(tmp_path))
    assert title in " ".join(done.stdout.split())


def test_probe_says_what_runs_there_and_leaves_nothing(virtual_board: VirtualBoard) -> None:
    names = "print(sorted(globals()), [name for name in __import__('sys').modules if 'sesstab' in name])"
    with Board.open(virtual_board.port) as board:
        deploy(board, ROOT, native=False)
        board.soft_reset()
        before = board.exec(names)
    done = sesstab("boards", "--probe", "--json", "--port", virtual_board.port, "--port", "/dev/nothing")
    entry, missing = (found for found in json.loads(done.stdout) if not found["usb"])
    assert entry["firmware"].startswith("micropython 1.")
    assert (entry["sesstab"], entry["engine"], entry["error"]) == ("0.1.0", "pure", "")
    assert 0 < entry["free"] < entry["heap"] < 2_500_000
    assert "no such device" in missing["error"]
    with Board.open(virtual_board.port) as board:
        assert board.exec(names) == before


def test_probe_of_a_board_without_sesstab(virtual_board: VirtualBoard) -> None:
    done = sesstab("boards", "--probe", "--port", virtual_board.port, "--port", "/dev/nothing")
    assert done.returncode == 0
    assert any(line.split()[:2] == [virtual_board.port, "micropython"] for line in done.stdout.splitlines())
    assert done.stdout.endswith("port /dev/nothing: no such device; is the board plugged in?\n")


def test_the_only_board_on_usb_is_the_default_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "list_ports", ports(("/dev/nothing", 1), ("/dev/ttyS0", None)))
    with pytest.raises(PortError, match="port /dev/nothing: no such device"), options.open_board(None, None):
        pass
    monkeypatch.setattr(options, "list_ports", ports(("/dev/b", 1), ("/dev/a", 1)))
    choose = r"several boards on USB \(/dev/a, /dev/b\); choose one with --port"
    with pytest.raises(PortError, match=choose), options.open_board(None, None):
        pass
    monkeypatch.setattr(options, "list_ports", ports())
    with pytest.raises(PortError, match="no board found on USB"), options.open_board(None, None):
        pass
