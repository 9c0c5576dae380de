"""Thousands of handshakes from parallel clients with the asyncio server on a board: nothing leaks."""

# ruff: noqa: F811  (fixtures are imported, and arguments have their names)

from __future__ import annotations

import random
import threading
from collections import Counter
from dataclasses import dataclass, field

import pytest
from interop.board import BUILT_IN, STOCK, InteropBoard
from interop.clients import PythonClient
from interop.fixtures import board, certificates, target  # noqa: F401
from interop.process import free_port, wait_for_port
from interop.wire import ID, TICKET_12, TLS13

CLIENTS = 8
SESSIONS = 3  # that a client keeps
CAPACITY = 20  # fewer than the clients have: some are evicted
ROUNDS = 6
# Bytes. The collector may take a stray word for a pointer, and keep a connection or two (700 bytes). To leak
# its smallest block, 32 bytes, at each handshake would come to 6,400 in the short test.
HEAP_SLACK = 2048
RSS_SLACK = 128 * 1024  # bytes, of 3 to 14 MB; twenty a handshake would show in the long test


@dataclass
class Tally:
    """What the clients saw."""

    full: Counter[str] = field(default_factory=Counter)  # by way
    resumed: Counter[str] = field(default_factory=Counter)
    declined: Counter[str] = field(default_factory=Counter)  # offered, and full all the same
    errors: list[BaseException] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Visitor:
    """A client with some sessions, used in turns: most visits offer one, which may be gone by then."""

    def __init__(self, number: int, ways: tuple[str, ...], tally: Tally) -> None:
        self.choose = random.Random(number)
        self.tally = tally
        chosen = [ways[(number + i) % len(ways)] for i in range(SESSIONS)]
        self.clients = [(way, PythonClient(0, way)) for way in chosen]

    def visit(self, port: int, count: int) -> None:
        try:
            for _ in range(count):
                self.connect(port)
        except BaseException as error:
            with self.tally.lock:
                self.tally.errors.append(error)

    def connect(self, port: int) -> None:
        way, client = self.choose.choice(self.clients)
        client.port = port
        session = client.session if self.choose.random() < 0.8 else None
        resumed = client.connect(session)
        with self.tally.lock:
            (self.tally.resumed if resumed else self.tally.full)[way] += 1
            self.tally.declined[way] += session is not None and not resumed


def load(visitors: list[Visitor], port: int, count: int) -> None:
    threads = [threading.Thread(target=visitor.visit, args=(port, count)) for visitor in visitors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def soak(board: InteropBoard, ways: tuple[str, ...], handshakes: int) -> None:
    """In rounds, the first two of which warm up. The server ends after each, so that memory can be read."""
    board.run(f"table = SessionTable({CAPACITY}, data_size=54); context = server_context('ec', ssl)")
    board.run("table.attach(context)")
    board.run("try:\n    import mbedtls_heap\nexcept ImportError:\n    mbedtls_heap = None")
    board.run("if mbedtls_heap: mbedtls_heap.reset()")
    heap, tls_heap, rss, tally, done = [], [], [], Tally(), 0
    visitors = [Visitor(i, ways, tally) for i in range(CLIENTS)]
    for _ in range(ROUNDS):
        port = free_port()
        board.send(f"asyncio.run(serve_async(context, {port}))")
        wait_for_port(board, port)
        load(visitors, port, handshakes // ROUNDS // CLIENTS)
        assert not tally.errors, tally.errors
        board.stop_serving()
        done += handshakes // ROUNDS // CLIENTS * CLIENTS
        heap.append(board.number("(gc.collect(), gc.collect(), gc.mem_alloc())[2]"))
        tls_heap.append(board.number("mbedtls_heap.stats()[2] if mbedtls_heap else 0"))
        rss.append(board.rss())
        assert sum((tally.full + tally.resumed).values()) == done
        check_counts(board, tally)
    print(f"heap {heap}, Mbed TLS's {tls_heap}, RSS {rss}")
    print(f"full {tally.full}, resumed {tally.resumed}, declined {tally.declined}")
    assert board.run("served") == [done, 0]
    assert max(heap[2:]) - heap[1] <= HEAP_SLACK, heap
    assert max(tls_heap[2:]) <= tls_heap[1], tls_heap
    assert board.run("not mbedtls_heap or mbedtls_heap.stats()[0] > 0")
    assert max(rss[2:]) - rss[1] <= RSS_SLACK, rss
    assert tally.resumed.total() > done / 4 and tally.full.total() > done / 5, tally


def check_counts(board: InteropBoard, tally: Tally) -> None:
    stats = board.stats()
    full, resumed, declined = tally.full.total(), tally.resumed.total(), tally.declined
    assert stats["hits"] == resumed
    # Tickets in vain are looked up twice: in TLS 1.2 the hello has an id, too, made up by the client; in TLS
    # 1.3 OpenSSL has to say hello again, in the board's group.
    assert stats["misses"] == declined.total() + declined[TICKET_12] + declined[TLS13]
    # A session for each full handshake, and for each ticket of TLS 1.3 that was used up.
    assert stats["stored"] == full + tally.resumed[TLS13]
    assert stats["accept_good"] == stats["stored"] + stats["hits"]
    # What came and is not there any more was evicted, or used up: nothing is lost beyond that.
    assert stats["number"] == stats["stored"] - stats["cache_full"] - tally.resumed[TLS13]
    assert stats["number"] == CAPACITY and stats["timeouts"] == 0
    assert board.run("[table.session_refs(h) for h in all_sessions(table)]") == [1] * CAPACITY


FIRMWARE, STOCK_ONLY = (BUILT_IN, (ID, TICKET_12, TLS13)), (STOCK, (ID,))


@pytest.mark.parametrize(("target", "ways"), [FIRMWARE, STOCK_ONLY], indirect=["target"])
@pytest.mark.slow
def test_300_handshakes(board: InteropBoard, ways: tuple[str, ...]) -> None:
    soak(board, ways, 300)


@pytest.mark.slow
@pytest.mark.parametrize(("target", "ways"), [FIRMWARE], indirect=["target"])
def test_10000_handshakes(board: InteropBoard, ways: tuple[str, ...]) -> None:
    soak(board, ways, 10_080)


@pytest.mark.slow
@pytest.mark.parametrize(("target", "ways"), [STOCK_ONLY], indirect=["target"])
def test_3000_handshakes_on_stock_firmware(board: InteropBoard, ways: tuple[str, ...]) -> None:
    soak(board, ways, 3_024)
