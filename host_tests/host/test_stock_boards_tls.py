"""TLS on emulated boards whose firmware knows nothing of sesstab: the module alone makes servers resume.

The other end is this computer's OpenSSL, at the end of the board's serial line. The native module finds Mbed
TLS's config and sessions by their structure, which differs between boards, and refuses what it does not know.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sesstab_tools.boards import BoardSpec, find_board
from sesstab_tools.certificates import Certificate, make_certificate
from sesstab_tools.emulators import emulate
from sesstab_tools.errors import DeviceException
from sesstab_tools.handshakes import (
    TIMEOUT,
    client_context,
    connect_over_serial,
    deploy_programs,
    read_report,
    start_client,
    start_server,
)
from sesstab_tools.link import SerialLine
from sesstab_tools.repl import Board

ROOT = Path(__file__).resolve().parents[2]
BOARDS = ("RPI_PICO_STOCK", "QEMU_MICROBIT", "QEMU_MPS2_AN385", "QEMU_VIRT_RV32", "QEMU_XTENSA_DC233C")
UNKNOWN = "the TLS library of this firmware is laid out in a way that sesstab does not know"
TAKEN = "this context has a session cache already"

# On the board. A context is damaged at one place after the other, as a module made for another layout would
# see it. Places are those of firmware/module/stock_tls.c, in words from p_vrfy; no value can be there.
DAMAGE = """
import json, struct, tls, uctypes

def words_of(context):
    memory = uctypes.bytearray_at(id(context), 1024)
    return memory, struct.unpack("256I", memory).index(id(context), 1)

def why_refused(context):
    try:
        return "attached as %d" % table.attach(context)
    except Exception as error:
        return "%s: %s" % (type(error).__name__, error)

def damage(place, data):
    memory[place : place + len(data)] = data
    damaged = bytes(memory)
    reason = why_refused(other)
    untouched = damaged == bytes(memory)
    memory[:] = sound
    return reason, untouched

other = tls_server.make_context(*credentials)
memory, p_vrfy = words_of(other)
sound = bytes(memory)
wrong = {-1: 0, -2: 1, -3: 1, -4: 1, -5: 1, -6: 1, -7: 0, -8: 0, -9: 1, -11: 0, 0: 0}
for word, value in wrong.items():
    print(json.dumps((word, damage(4 * (p_vrfy + word), struct.pack("I", value)))))
version = sound.rfind(b"\\x03\\x03", 0, 4 * (p_vrfy - 11))
print(json.dumps(("version", damage(version, b"\\x02"))))
print(json.dumps(("none", (why_refused(other), True))))
"""
# While a handshake goes on, the config's list of ciphersuites is replaced by one that lacks the session's.
OTHER_SUITES = """
from array import array
from serial_link import SerialLink

suites = array("I", [0xC0AC, 0])
memory, p_vrfy = words_of(context)
place = 4 * (p_vrfy - 11)
saved = bytes(memory[place : place + 4])

class Damaging(SerialLink):
    def write(self, buf):
        memory[place : place + 4] = struct.pack("I", uctypes.addressof(suites))
        return super().write(buf)

def serve_damaged():
    tls_server.answer(context, table, Damaging())
    memory[place : place + 4] = saved
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=BOARDS)
def spec(request: pytest.FixtureRequest) -> BoardSpec:
    return find_board(request.param, ROOT)


@pytest.fixture(scope="module")
def deployed(spec: BoardSpec) -> Iterator[Board]:
    with emulate(spec, ROOT) as running, Board.open(running.port, press_reset=running.reset) as client:
        assert deploy_programs(client).module.startswith(f"dist/natmod/{spec.arch}_")
        yield client


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def board(deployed: Board, certificate: Certificate) -> Board:
    """With a server's `context`, and its `table`."""
    deployed.soft_reset()
    start_server(deployed, certificate)
    return deployed


def counts(board: Board) -> object:
    """Hits, misses, sessions."""
    return board.eval("(table.sess_hits(), table.sess_misses(), table.sess_number())")


def test_the_module_makes_a_server_resume(board: Board, certificate: Certificate) -> None:
    context = client_context(certificate)
    program = board.start("tls_server.serve_serial(context, table, 3)")
    line = SerialLine(program, TIMEOUT)
    session, full = connect_over_serial(line, context, None), read_report(line)
    for _ in range(2):
        connect_over_serial(line, context, session)
        resumed = read_report(line)
        assert resumed.resumed and full.sent > 4 * resumed.sent
    program.finish(TIMEOUT)
    assert counts(board) == (2, 0, 1)


def test_a_config_laid_out_otherwise_is_refused_and_left_alone(
    board: Board, certificate: Certificate
) -> None:
    board.exec(f"credentials = {certificate.certificate_der!r}, {certificate.key_der!r}")
    results = dict(json.loads(line) for line in board.exec(DAMAGE).splitlines())
    assert results.pop("none") == ["attached as 2", True]
    assert set(results) == {0, -1, -2, -3, -4, -5, -6, -7, -8, -9, -11, "version"}
    for place, (reason, untouched) in results.items():
        expected = f"ValueError: {TAKEN}" if place in (-4, -5, -6) else f"RuntimeError: {UNKNOWN}"
        assert reason.startswith(expected), place
        assert untouched, place


def test_sessions_laid_out_otherwise_are_not_stored(board: Board, certificate: Certificate) -> None:
    board.exec(f"credentials = {certificate.certificate_der!r}, {certificate.key_der!r}")
    board.exec(DAMAGE)
    board.exec(OTHER_SUITES)
    program = board.start("serve_damaged()")
    connect_over_serial(SerialLine(program, TIMEOUT), client_context(certificate), None)
    program.finish(TIMEOUT)
    assert counts(board) == (0, 0, 0)
    with pytest.raises(DeviceException, match=f"RuntimeError: {UNKNOWN}"):
        board.exec("table.attach(context)")


def test_a_client_needs_sesstab_in_the_firmware(board: Board, certificate: Certificate) -> None:
    start_client(board, certificate)
    with pytest.raises(
        DeviceException, match="NotImplementedError: this firmware gives no access to a client's"
    ):
        board.exec("tls_client.ask_serial(context, table, 1)")
