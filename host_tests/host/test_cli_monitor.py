"""sesstab monitor: what it shows is true, no secret is in it, and the program on the board goes on."""

from __future__ import annotations

import csv
import json
import re
import signal
import time
from collections.abc import Iterator

import pytest
from cli_user import ROOT, Terminal, only_line, running, sesstab
from sesstab_tools import monitor
from sesstab_tools.cli.monitor import _span
from sesstab_tools.deploy import deploy
from sesstab_tools.emulators import RunningBoard, start
from sesstab_tools.errors import BoardError
from sesstab_tools.files import Files
from sesstab_tools.repl import Board, Program
from sesstab_tools.virtual import VirtualBoard, unix_board

ID, DATA = b"the-session's-own-identity", b"the-master-secret"
STATUS = ROOT / "tools" / "sesstab_tools" / "on_board" / "table_status.py"

# Three sessions, at the times 100, 110 and 120 of a clock that then stands at 150; the first is used last.
TABLE = f"""
from sesstab import SessionTable

times = [100]
table = SessionTable(4, timeout=60, clock=lambda: times[0])

def add(id, timeout, context):
    h = table.new_session(id, {DATA!r}, timeout, context)
    table.update_cache(h)
    table.free(h)

add({ID!r}, 300, 7)
times[0] = 110
add(b"second", 20, 7)
times[0] = 120
add(b"third", 86400 * 3, 9)
times[0] = 150
table.free(table.get_session({ID!r}, 7))
table.get_session(b"unknown")
"""
SESSIONS = [
    {"age": 50, "timeout": 300, "context": 7},
    {"age": 30, "timeout": 259200, "context": 9},
    {"age": 40, "timeout": 20, "context": 7},
]
COUNTERS = {"number": 3, "capacity": 4, "stored": 3, "hits": 1, "misses": 1, "timeouts": 0, "evictions": 0}

SERVER = """
import asyncio
import sesstab, table_status

table = sesstab.SessionTable(8)

async def serve():
    asyncio.create_task(table_status.answer(table))
    number = 0
    while True:
        number += 1
        h = table.new_session(b"%d" % number, b"data")
        table.update_cache(h)
        table.free(h)
        print("request", number)
        await asyncio.sleep_ms(20)

print("on")
asyncio.run(serve())
"""

ANSWERS_ONCE = """
import sys
import sesstab, table_status

print("on")
sys.stdin.read(1)
table_status.show(sesstab.SessionTable(2))
while True:
    pass
"""


@pytest.fixture(scope="module")
def unix() -> Iterator[VirtualBoard]:
    """A board with sesstab, and with what a server needs to answer."""
    with unix_board() as running:
        with Board.open(running.port) as board:
            prepare(board)
        yield running


@pytest.fixture
def board(unix: VirtualBoard) -> Iterator[Board]:
    """At a fresh prompt."""
    unix.reset()
    with Board.open(unix.port, press_reset=unix.reset) as client:
        yield client


@pytest.fixture
def port(board: Board) -> str:
    """Of a board with the table of TABLE, at its prompt."""
    board.exec(TABLE)
    board.close()
    return board.port


def prepare(board: Board) -> None:
    deploy(board, ROOT, native=False, extra={"lib/table_status.py": STATUS.read_bytes()})


def start_program(running: RunningBoard, code: str) -> Program:
    """A program that has the line for itself, once it has said so; the line is free for others."""
    with Board.open(running.port) as board:
        program = board.start(code)
        said = b""
        while b"on" not in said:
            said += program.read(10)
    return program


def grows(look: monitor.Look, counter: str, value: int) -> bool:
    """Whether the counter exceeds the value, soon."""
    end = time.monotonic() + 5
    while getattr(look(), counter) <= value and time.monotonic() < end:
        time.sleep(0.02)
    return bool(getattr(look(), counter) > value)


# At the prompt


def test_json_has_counters_and_sessions_in_the_order_of_use(port: str) -> None:
    done = sesstab("monitor", "--port", port, "--count", "1", "--json")
    sample = json.loads(only_line(done.stdout))
    assert {name: sample[name] for name in COUNTERS} == COUNTERS
    assert sample["sessions"] == SESSIONS
    assert abs(sample["time"] - time.time()) < 60


def test_csv_is_a_header_and_a_line_a_look(port: str) -> None:
    done = sesstab("monitor", "--port", port, "--count", "3", "--interval", "0.05", "--csv")
    assert (done.returncode, done.stderr) == (0, "")
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert len(rows) == 3
    for row in rows:
        assert {name: int(row[name]) for name in COUNTERS} == COUNTERS
        assert row["oldest"] == "50"
    assert float(rows[0]["time"]) < float(rows[1]["time"]) < float(rows[2]["time"])


def test_the_screen(port: str) -> None:
    with Terminal("monitor", "--port", port, "--count", "2", "--interval", "0.05") as terminal:
        assert terminal.wait() == 0
        lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.seen.decode()).splitlines()
    shown = [line.split() for line in lines]
    assert any(line.endswith("3 of 4 sessions, hit rate 50 %") for line in lines)
    assert ["total", "1", "1", "0", "0", "3", "0"] in shown
    assert [
        "7",
        "2",
        "40",
        "s",
        "50",
        "s",
        "expired",
    ] in shown  # the context, its youngest and oldest session
    assert ["1", "50", "s", "5:00", "min", "4:10", "min", "7"] in shown
    assert ["2", "30", "s", "3", "d", "2", "d", "9"] in shown
    assert ["3", "40", "s", "20", "s", "expired", "7"] in shown
    assert max(map(len, lines)) <= 80


def test_more_sessions_than_lines(board: Board) -> None:
    board.exec(TABLE.replace("SessionTable(4", "SessionTable(40"))
    board.exec("for n in range(30): add(b'%d' % n, 60, n)")
    board.close()
    with Terminal("monitor", "--port", board.port, "--count", "1", rows=24) as terminal:
        assert terminal.wait() == 0
        screen = terminal.seen.decode().rpartition(board.port)[2]
    assert len(screen.splitlines()) <= 24
    assert "and 24 more" in screen  # contexts, 30 in all
    assert "and 29 more" in screen  # sessions, 33 in all


def test_no_secret_and_no_id_leaves_the_board(board: Board) -> None:
    board.exec(TABLE)
    board.exec(STATUS.read_bytes())
    said = board.exec("show(table)")
    assert b'"sessions": [[50, 300, 7], ' in said
    for secret in (ID, DATA, b"second"):
        for form in (secret, secret.hex().encode(), secret.hex().upper().encode()):
            assert form not in said


def test_nothing_is_left_on_the_board(port: str) -> None:
    names = "print(sorted(globals()), sorted(__import__('sys').modules))"
    before = sesstab("exec", "--port", port, names).stdout
    assert sesstab("monitor", "--port", port, "--count", "1", "--csv").returncode == 0
    assert sesstab("exec", "--port", port, names).stdout == before


def test_the_choice_of_a_table(board: Board) -> None:
    def refused(table: str | None, message: str) -> None:
        with pytest.raises(BoardError, match=message), monitor.watch(board, table) as (_, look):
            look()

    refused(None, "no SessionTable among the names of __main__; name one: --table")
    board.exec(TABLE + "tables = {'b': table}\nother = SessionTable(2)")
    refused(None, r"several tables \(other, table\); choose one with --table")
    refused("missing", "missing is no table to look at: NameError")
    refused("times", "times is no table to look at: AttributeError")
    with monitor.watch(board, "tables['b']") as (name, look):
        assert (name, look().number) == ("tables['b']", 3)


def test_a_program_in_a_thread_goes_on_meanwhile(board: Board) -> None:
    board.exec(TABLE)
    board.exec(
        "import _thread, time\n"
        "def ask():\n"
        "    while True:\n"
        "        table.get_session(b'unknown')\n"
        "        time.sleep_ms(5)\n"
        "_thread.start_new_thread(ask, ())"
    )
    with monitor.watch(board) as (_, look):
        assert grows(look, "misses", look().misses)


# A program that leaves no prompt


def test_a_server_answers_and_goes_on(unix: VirtualBoard, board: Board) -> None:
    board.close()
    start_program(unix, SERVER)
    done = sesstab("monitor", "--port", unix.port, "--count", "3", "--interval", "0.2", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    stored = [json.loads(line)["stored"] for line in done.stdout.splitlines()]
    assert len(stored) == 3
    assert sorted(stored) == stored
    with Board.open(unix.port) as client:
        with monitor.watch(client) as (name, look):
            assert name == "the program answers"
            assert grows(look, "stored", stored[2])
        refused = "the program there answers with a table of its choice: leave out --table"
        with pytest.raises(BoardError, match=refused), monitor.watch(client, "table"):
            pass


def test_a_program_that_does_not_answer_is_not_interrupted(unix: VirtualBoard, board: Board) -> None:
    board.close()
    start_program(unix, "print('on')\nwhile True: print('>>> ', end='')")
    done = sesstab("monitor", "--port", unix.port, "--count", "1")
    assert done.returncode == 1
    assert (
        "no prompt and no answer in 2 s; a program that runs there, which was not interrupted" in done.stderr
    )
    with Board.open(unix.port) as client:
        client.interrupt()
        said = b""
        while b"KeyboardInterrupt" not in said:
            more = client.line.receive(5)
            assert more, said
            said += more


def test_a_program_that_answers_no_more_is_an_error(
    unix: VirtualBoard, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "_ANSWER_TIME", 0.1)
    board.close()
    start_program(unix, ANSWERS_ONCE)
    nothing = pytest.raises(BoardError, match="no status of a table, 3 times")
    with Board.open(unix.port) as client, monitor.watch(client) as (_, look), nothing:
        look()


@pytest.mark.parametrize("answer", ['{"number": 1}', '{"number": "x", "sessions": []}'])
def test_a_program_that_answers_something_else_is_an_error(
    unix: VirtualBoard, board: Board, answer: str
) -> None:
    board.close()
    start_program(unix, f"print('on')\nwhile True:\n    input()\n    print({answer!r})")
    done = sesstab("monitor", "--port", unix.port, "--count", "1", "--json")
    assert done.returncode == 1
    assert "no status of a table, 3 times" in done.stderr


def test_ctrl_c_ends_it(port: str) -> None:
    with running("monitor", "--port", port, "--csv", "--interval", "0.1") as process:
        assert process.stdout and process.stderr
        for _ in range(3):
            assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stderr.read() == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "in the future"),
        (59, "59 s"),
        (61, "1:01 min"),
        (3600, "1:00 h"),
        (7265, "2:01 h"),
        (2**31, "24855 d"),
    ],
)
def test_spans_of_time(seconds: int, text: str) -> None:
    assert _span(seconds) == text


@pytest.mark.slow
def test_a_server_on_a_pico() -> None:
    with start("RPI_PICO", ROOT) as pico:
        with Board.open(pico.port) as board:
            files = Files(board)
            files.mkdirs("lib")
            files.put("lib/table_status.py", STATUS.read_bytes())
            board.exec(TABLE)
            with monitor.watch(board) as (_, look):
                assert [session._asdict() for session in look().sessions] == SESSIONS
        start_program(pico, SERVER)
        with Board.open(pico.port) as board, monitor.watch(board) as (_, look):
            assert grows(look, "stored", look().stored)
