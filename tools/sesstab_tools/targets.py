"""Targets that device tests run on: CPython, unix interpreters, emulated boards, a board on a port.

A DeviceTarget is one of them with one engine. It loads a test module's source onto its board once and then
runs its tests one by one; after a hang or a reset it gets the board back and loads the module again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .boards import all_boards
from .deploy import deploy, find_module, is_built_in, mpy_of
from .emulators import UNIX, UNIX_C, RunningBoard, emulated_names, start
from .errors import BoardError, DeviceException, NoAnswer
from .facts import Facts, ask_facts
from .repl import Board, Program
from .virtual import cpython_board

CPYTHON = "cpython"
QUICK = (CPYTHON, UNIX, UNIX_C)
PURE, NATIVE = "pure", "native"
ENGINES = (PURE, NATIVE)

_LOAD_TIME = 30.0  # seconds, for deploying a file, a reset, or a test module's import on a slow board
SELECT_ENGINE = {
    PURE: "import sesstab, sesstab.pure\n"
    "sesstab.SessionTable = sesstab.pure.SessionTable\n"
    "sesstab.ENGINE = 'pure'\n",
    NATIVE: "import _sesstab, sesstab\n"
    "if sesstab.ENGINE != 'native': raise ImportError('sesstab.ENGINE is ' + repr(sesstab.ENGINE))\n",
}
_FRAME = re.compile(r'  File "(?P<file>[^"]+)", line (?P<line>\d+)(?P<where>.*)')


class TargetError(BoardError):
    """A target cannot run tests; the message says what to do about it."""


@dataclass(frozen=True)
class TargetId:
    """A target and an engine. `port` is set for a board on a port."""

    target: str
    engine: str
    port: str | None = None

    def __str__(self) -> str:
        return f"{self.target}-{self.engine}"

    @property
    def group(self) -> str:
        """What must stay within one process: a port can be opened once only."""
        return self.target if self.port else str(self)


def target_names(root: Path) -> list[str]:
    """All that can run on this computer. An emulated board has its board's name."""
    return [CPYTHON, *emulated_names(root)]


def default_targets(root: Path, engines: Sequence[str]) -> list[TargetId]:
    """All of them. Where two firmwares differ in sesstab's module alone, the pure engine runs on one."""
    specs = [spec for spec in all_boards(root) if spec.emulator]
    with_module = {(spec.firmware.port, spec.firmware.board) for spec in specs if spec.firmware.user_module}
    twins = {
        spec.name
        for spec in specs
        if not spec.firmware.user_module and (spec.firmware.port, spec.firmware.board) in with_module
    }
    return [
        TargetId(name, engine)
        for name in target_names(root)
        for engine in engines
        if engine != PURE or name not in twins
    ]


def port_name(port: str) -> str:
    """The target's name for a board on `port`: "ttyACM0", "socket_localhost_4000"."""
    name = port if "://" in port else Path(port).name
    return re.sub(r"[^A-Za-z0-9.]+", "_", name)


def probe_engines(port: str, root: Path) -> list[str]:
    """The engines that the board on a port can run. If it does not answer, its tests will say so."""
    try:
        with Board.open(port) as board:
            native = is_built_in(board) or find_module(root, mpy_of(board))[0] is not None
    except BoardError:
        return [PURE]
    return [PURE, NATIVE] if native else [PURE]


class TargetBoards:
    """The boards of a test session: each is started, and deployed to, at its first use."""

    def __init__(self, root: Path, tests: Path, timeout: float) -> None:
        self.root = root
        self.tests = tests
        self.timeout = timeout
        self._targets: dict[TargetId, DeviceTarget] = {}
        self._ports: dict[str, Board] = {}
        self._running: list[RunningBoard] = []

    def target(self, name: TargetId) -> DeviceTarget:
        if name not in self._targets:
            self._targets[name] = DeviceTarget(name, self)
        return self._targets[name]

    def open(self, name: TargetId) -> Board:
        """The board for a target, at its raw prompt and with sesstab on it."""
        if name.port:
            if name.port not in self._ports:
                self._ports[name.port] = Board.open(name.port)
            return self._deployed(self._ports[name.port], name)
        if name.target == CPYTHON:
            return self._start(cpython_board(self._cpython_path(name.engine)))
        return self._deployed(self._start(start(name.target, self.root)), name)

    def close(self) -> None:
        for board in self._ports.values():
            board.close()
        for running in self._running:
            running.close()

    def _start(self, running: RunningBoard) -> Board:
        self._running.append(running)
        return self._keep(Board.open(running.port, press_reset=running.reset))

    def _keep(self, board: Board) -> Board:
        self._ports[board.port] = board
        return board

    def _cpython_path(self, engine: str) -> list[Path]:
        path = [self.root / "lib", self.tests, self.root / "host_tests" / "cpython"]
        return [*path, self.root / "host_tests" / "ccore"] if engine == NATIVE else path

    def _deployed(self, board: Board, name: TargetId) -> Board:
        # A port's board serves both engines, so it gets the module in any case; selecting pure passes it by.
        native = name.engine == NATIVE or name.port is not None
        done = deploy(board, self.root, native=native, extra=self._support_modules())
        if name.engine == NATIVE and done.engine != NATIVE:
            raise TargetError(f"{name}: {done.module}")
        return board

    def _support_modules(self) -> dict[str, bytes]:
        paths = [
            path
            for path in sorted(self.tests.glob("*.py"))
            if not path.name.startswith(("test_", "conftest"))
        ]
        return {f"lib/{path.name}": path.read_bytes() for path in paths}


class DeviceTarget:
    """A board that runs device tests with one engine."""

    def __init__(self, name: TargetId, boards: TargetBoards) -> None:
        self.name = name
        self.facts: Facts | None = None
        """Of its board, once that has answered."""
        self._boards = boards
        self._board: Board | None = None
        self._broken: BoardError | None = None

    def run(self, module: Path, test: str) -> bytes:
        """Runs one test function and gives what it printed. Raises what went wrong, as a BoardError."""
        board = self._ready_board()
        try:
            self._load(board, module)
            return self._call(board, test)
        except DeviceException:
            raise
        except BoardError:
            self._recover(board)
            raise

    def _ready_board(self) -> Board:
        if self._broken:
            raise self._broken
        if self._board is None:
            try:
                self._board = self._boards.open(self.name)
                self._board.soft_reset(_LOAD_TIME)
                self.facts = ask_facts(self._board, _LOAD_TIME)
            except BoardError as error:
                self._broken = error
                raise
        return self._board

    def _load(self, board: Board, module: Path) -> None:
        """Executes the module's source on a fresh interpreter, unless the board has it loaded already."""
        loaded = (module, self.name.engine)
        if board.loaded == loaded:
            return
        board.loaded = None
        board.soft_reset(_LOAD_TIME)
        board.exec(SELECT_ENGINE[self.name.engine], _LOAD_TIME)
        board.exec(module.read_bytes(), _LOAD_TIME)
        board.loaded = loaded

    def _call(self, board: Board, test: str) -> bytes:
        program = board.start(f"{test}()")
        try:
            return program.finish(self._boards.timeout)
        except DeviceException as error:
            error.traceback = _without_first_frame(error.traceback)
            raise
        except NoAnswer as error:
            error.__cause__ = self._where_it_hangs(program)
            raise

    def _where_it_hangs(self, program: Program) -> DeviceException | None:
        """Interrupts the program, for the traceback that this gives."""
        try:
            program.interrupt()
            program.finish(1.0)
        except DeviceException as error:
            error.traceback = _without_first_frame(error.traceback)
            return error
        except BoardError:
            # Ctrl-C does not stop it: recovering will, and there is nothing to tell.
            return None
        return None

    def _recover(self, board: Board) -> None:
        board.loaded = None
        try:
            board.recover()
        except BoardError as error:
            self._broken = error


def _without_first_frame(traceback: str) -> str:
    """The first frame is the REPL's call of the test, which says nothing."""
    return traceback.replace('  File "<stdin>", line 1, in <module>\n', "", 1)


def readable_traceback(text: str, module: Path, root: Path) -> str:
    """A board's traceback of a test, with the test's file for "<stdin>", and with source lines."""
    lines = text.rstrip().splitlines()
    result: list[str] = []
    for index, line in enumerate(lines):
        match = _FRAME.match(line)
        if not match:
            result.append(line)
            continue
        path = module if match["file"] == "<stdin>" else root / match["file"]
        name = path.relative_to(root) if path.is_relative_to(root) else path
        result.append(f'  File "{name}", line {match["line"]}{match["where"]}')
        has_source = index + 1 < len(lines) and lines[index + 1].startswith("    ")
        source = "" if has_source else _source_line(path, int(match["line"]))
        result += [f"    {source}"] if source else []
    return "\n".join(result)


def _source_line(path: Path, number: int) -> str:
    lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
    return lines[number - 1].strip() if 0 < number <= len(lines) else ""
