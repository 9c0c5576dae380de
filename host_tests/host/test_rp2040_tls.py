"""TLS between this computer's OpenSSL and the emulated Pico, with the UF2 of `make firmware BOARD=RPI_PICO`.

The records travel on the board's serial line. test_stock_boards_tls.py has the Pico without sesstab in it.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from sesstab_tools.board_handshakes import set_clock
from sesstab_tools.boards import find_board
from sesstab_tools.certificates import Certificate, make_certificate
from sesstab_tools.errors import DeviceException
from sesstab_tools.handshakes import (
    TIMEOUT,
    Handshake,
    as_client_over_serial,
    client_context,
    connect_over_serial,
    deploy_programs,
    read_report,
    server_context,
    start_client,
    start_server,
)
from sesstab_tools.link import SerialLine
from sesstab_tools.repl import Board
from sesstab_tools.rp2040 import RP2040Board, rp2040_board

ROOT = Path(__file__).resolve().parents[2]
NANOSECONDS = 8  # a cycle, at the Pico's 125 MHz
HEAP = 241000  # bytes, about, of MicroPython's heap on a Pico

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pico() -> Iterator[RP2040Board]:
    with rp2040_board(find_board("RPI_PICO", ROOT), ROOT) as running:
        yield running


@pytest.fixture(scope="module")
def deployed(pico: RP2040Board) -> Iterator[Board]:
    with Board.open(pico.port, press_reset=pico.reset) as client:
        assert deploy_programs(client).module == "built into the firmware"
        yield client


@pytest.fixture
def board(deployed: Board) -> Board:
    deployed.soft_reset()
    return deployed


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


class Visit:
    """Connections to the board's server, one after the other, with what each took by the emulator's count."""

    def __init__(self, pico: RP2040Board, board: Board, context: ssl.SSLContext, connections: int) -> None:
        self._pico = pico
        self._program = board.start(f"tls_server.serve_serial(context, table, {connections})")
        self._line = SerialLine(self._program, TIMEOUT)
        self._context = context

    def connect(self, session: ssl.SSLSession | None = None) -> tuple[ssl.SSLSession, Handshake, int]:
        before = self._pico.cycles
        new = connect_over_serial(self._line, self._context, session)
        report = read_report(self._line)
        assert new
        return new, report, self._pico.cycles - before

    def end(self) -> None:
        self._program.finish(TIMEOUT)


@pytest.mark.parametrize("tickets", [False, True], ids=["id", "ticket"])
def test_the_server_resumes(pico: RP2040Board, board: Board, certificate: Certificate, tickets: bool) -> None:
    start_server(board, certificate)
    visit = Visit(pico, board, client_context(certificate, tickets=tickets), 3)
    session, full, cycles_full = visit.connect()
    assert session.has_ticket is tickets
    assert not full.resumed
    _, resumed, cycles_resumed = visit.connect(session)
    _, again, _ = visit.connect(session)
    visit.end()
    assert resumed.resumed and again.resumed
    counts = "(table.sess_hits(), table.sess_misses(), table.sess_number())"
    assert board.eval(counts) == (2, 0, 1)

    assert full.cpu_us > 15 * resumed.cpu_us
    assert full.sent > 4 * resumed.sent
    # The emulator's own counter says the same; beside the handshake it has the serial line's part, which is
    # more where there are more bytes.
    difference = (full.cpu_us - resumed.cpu_us) * 1000
    assert difference < (cycles_full - cycles_resumed) * NANOSECONDS < 1.25 * difference


def test_the_client_resumes(board: Board, certificate: Certificate) -> None:
    set_clock(board)
    start_client(board, certificate)
    context = server_context(certificate, ssl.TLSVersion.TLSv1_2)
    full, resumed = as_client_over_serial(board, context, rounds=1)
    assert full.cpu_us > 30 * resumed.cpu_us
    assert full.received > 4 * resumed.received
    assert max(full.heap_most, resumed.heap_most) < HEAP / 6
    assert board.eval("(table.sess_hits(), table.sess_number())") == (1, 1)


def test_the_client_refuses_a_server_that_it_does_not_trust(
    board: Board, certificate: Certificate, tmp_path: Path
) -> None:
    stranger = make_certificate(tmp_path)  # before the clock is set, so that it is valid by then
    set_clock(board)
    start_client(board, certificate)
    with pytest.raises(DeviceException, match="not correctly signed by the trusted CA"):
        as_client_over_serial(board, server_context(stranger, ssl.TLSVersion.TLSv1_2), rounds=1)
    assert board.eval("table.sess_number()") == 0


def test_connections_leave_nothing_in_the_heap(
    pico: RP2040Board, board: Board, certificate: Certificate
) -> None:
    start_server(board, certificate)
    board.exec("import gc")
    in_use = "gc.collect() or gc.mem_alloc()"
    context = client_context(certificate)
    visit = Visit(pico, board, context, 2)
    session, full, _ = visit.connect()
    visit.connect(session)
    visit.end()
    before = board.eval(in_use)
    visit = Visit(pico, board, context, 6)
    for _ in range(6):
        session, resumed, _ = visit.connect(session)
    visit.end()
    after = board.eval(in_use)
    assert isinstance(before, int) and isinstance(after, int)
    assert abs(after - before) < 1024
    for handshake in (full, resumed):
        assert 16384 < handshake.heap <= handshake.heap_most < HEAP / 6
