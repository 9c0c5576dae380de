"""The command `sesstab`: a board's REPL, deployment, virtual boards and tests."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from serial.tools import list_ports  # type: ignore[import-untyped]

from .deploy import Deployment, deploy, find_root
from .errors import BoardError, DeviceException, PortError
from .repl import Board
from .terminal import interact
from .virtual import VirtualBoard, unix_board, unix_c_board

UNIX, UNIX_C = "unix", "unix-c"
VIRTUAL = (UNIX, UNIX_C)

app = typer.Typer(
    help="TLS sessions on MicroPython boards: talk to a board, deploy to it, test it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Port = Annotated[
    str | None,
    typer.Option(
        "--port",
        "-p",
        envvar="SESSTAB_PORT",
        help="A device or any pyserial URL (socket://, rfc2217://), or unix or unix-c: a virtual board for "
        "this command only. Default: the only board on USB.",
    ),
]
Root = Annotated[
    str | None, typer.Option("--root", envvar="SESSTAB_ROOT", help="The repository, where lib/ is.")
]
Timeout = Annotated[
    float | None, typer.Option("--timeout", help="Seconds that the code may run. Default: no limit.")
]


@app.command()
def repl(port: Port = None, root: Root = None) -> None:
    """The board's prompt, on this terminal. Ctrl-] or Ctrl-X leaves; Ctrl-C reaches the board."""
    with _connect(port, root) as board:
        print(f"Connected to {board.port}; Ctrl-] or Ctrl-X leaves", file=sys.stderr)
        board.leave()
        interact(board.line)
    print(file=sys.stderr)


@app.command("exec")
def execute(
    code: Annotated[str, typer.Argument(help="Python code.")],
    port: Port = None,
    root: Root = None,
    timeout: Timeout = None,
) -> None:
    """Runs CODE on the board and shows what it prints."""
    _run(code.encode(), port, root, timeout)


@app.command()
def run(
    file: Annotated[Path, typer.Argument(help="A Python file on this machine.")],
    port: Port = None,
    root: Root = None,
    timeout: Timeout = None,
) -> None:
    """Runs a local FILE on the board and shows what it prints."""
    _run(file.read_bytes(), port, root, timeout)


@app.command("deploy")
def deploy_command(
    port: Port = None,
    root: Root = None,
    pure: Annotated[bool, typer.Option("--pure", help="Without the native module.")] = False,
) -> None:
    """Puts sesstab onto the board, with the native module for it if there is one. Sends only what changed."""
    with _open(port, root) as board:
        done = deploy(board, find_root(root), native=not pure, on_file=_show_file)
    _show_deployment(done)


@app.command()
def emulate(
    kind: Annotated[
        str,
        typer.Argument(help="unix: stock MicroPython for unix; unix-c: with sesstab compiled in."),
    ] = UNIX,
    link: Annotated[
        Path | None, typer.Option("--link", help="Also make this symbolic link to the port.")
    ] = None,
    files: Annotated[
        Path | None, typer.Option("--files", help="A folder for its files. Default: a new one.")
    ] = None,
    heap: Annotated[str, typer.Option("--heap", help="Size of its heap.")] = "2M",
    root: Root = None,
) -> None:
    """Starts a virtual board, prints its port, and runs until Ctrl-C."""
    if kind not in VIRTUAL:
        raise PortError(f"no virtual board {kind!r}; there are {', '.join(VIRTUAL)}")
    if files:
        files.mkdir(parents=True, exist_ok=True)
    with _virtual(kind, root, heap, files and files.resolve()) as board, _linked(link, board.port):
        print(board.port, flush=True)
        _wait_for_signal()


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def test(
    context: typer.Context,
    target: Annotated[
        list[str] | None, typer.Option("--target", help="cpython, unix or unix-c (repeatable).")
    ] = None,
    engine: Annotated[list[str] | None, typer.Option("--engine", help="pure or native (repeatable).")] = None,
    port: Port = None,
    root: Root = None,
) -> None:
    """Runs the device tests, on a board if --port names one. Other arguments go to pytest."""
    folder = find_root(root)
    targets = [*(target or []), *([port] if port in VIRTUAL else [])]
    options = [f"--target={name}" for name in targets] + [f"--engine={name}" for name in engine or []]
    if port and port not in VIRTUAL:
        options.append(f"--port={port if '://' in port else os.path.abspath(port)}")
    command = [sys.executable, "-m", "pytest", "host_tests/device", *options, *context.args]
    raise typer.Exit(subprocess.call(command, cwd=folder))


def main() -> None:
    """Runs the command. A failure is one line on stderr (or the board's own traceback) and status 1."""
    try:
        app()
    except DeviceException as error:
        print(error.traceback.rstrip(), file=sys.stderr)
    except (BoardError, OSError) as error:
        print(f"sesstab: {error}", file=sys.stderr)
    sys.exit(1)


def _run(code: bytes, port: str | None, root: str | None, timeout: float | None) -> None:
    with _connect(port, root) as board:
        program = board.start(code)
        try:
            program.finish(math.inf if timeout is None else timeout, _show_output)
        except KeyboardInterrupt:
            # As at a terminal: Ctrl-C is for the program, whose traceback says where it was.
            program.interrupt()
            program.finish(on_output=_show_output)


def _show_output(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


@contextlib.contextmanager
def _connect(port: str | None, root: str | None) -> Iterator[Board]:
    """The board that a command is for. A virtual one has sesstab on it."""
    with _open(port, root) as board:
        if port in VIRTUAL:
            deploy(board, find_root(root))
        yield board


@contextlib.contextmanager
def _open(port: str | None, root: str | None) -> Iterator[Board]:
    if port in VIRTUAL:
        with _virtual(port, root) as virtual, Board.open(virtual.port, press_reset=virtual.reset) as board:
            yield board
    else:
        with Board.open(port or _only_board()) as board:
            yield board


def _virtual(kind: str, root: str | None, heap: str = "2M", files: Path | None = None) -> VirtualBoard:
    if kind == UNIX_C:
        return unix_c_board(find_root(root), heap=heap, files=files)
    return unix_board(heap=heap, files=files)


def _only_board() -> str:
    """The port of the board on USB, if there is exactly one."""
    found = [str(info.device) for info in list_ports.comports() if info.vid is not None]
    if len(found) == 1:
        return found[0]
    if found:
        raise PortError(f"several boards on USB ({', '.join(sorted(found))}); choose one with --port")
    raise PortError("no board found on USB; plug one in, name its port with --port, or try --port unix")


@contextlib.contextmanager
def _linked(link: Path | None, port: str) -> Iterator[None]:
    if link is None:
        yield
        return
    if link.is_symlink():
        link.unlink()
    link.symlink_to(port)
    try:
        yield
    finally:
        link.unlink(missing_ok=True)


def _wait_for_signal() -> None:
    told = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: told.set())
    while not told.wait(0.5):
        continue


def _show_file(path: str, size: int) -> None:
    print(f"{path} ({size} bytes)", flush=True)


def _show_deployment(done: Deployment) -> None:
    table = Table(show_header=False, box=None)
    table.add_row("engine", f"{done.engine} ({done.module})")
    table.add_row("sent", str(len(done.sent)))
    table.add_row("unchanged", str(len(done.unchanged)))
    for path in done.removed:
        table.add_row("removed", path)
    Console(soft_wrap=True).print(table)
