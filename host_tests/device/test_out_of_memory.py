# No memory for a table: each allocation of its construction fails in its turn. The heap is full but for a
# hole, which grows by a block at a time until the table fits. CPython's heap cannot be filled so.

import gc

import sesstab
from support import order, put

HOLE = sesstab.SessionTable.size_of(1, 1, 1) + 4096


class Full:
    """A heap without room, and the objects in the place of the hole."""

    def __init__(self):
        gc.collect()
        self.rest = [None] * 2000
        self.blocks = [None] * (HOLE // 16 + 100)
        hole = bytearray(HOLE)
        self.fill()
        hole = None  # noqa: F841
        gc.collect()
        self.size = self.take(self.blocks, object)  # in the order of their addresses

    def fill(self):
        taken = 0
        size = 1 << 20
        while size > 8:
            try:
                self.rest[taken] = bytearray(size)
                taken += 1
            except MemoryError:
                size >>= 1
        self.take(self.rest, object)

    def take(self, into, what):
        n = 0
        try:
            while True:
                while into[n] is not None:
                    n += 1
                into[n] = what()
        except MemoryError:
            return n

    def make_room(self):
        """For one block more, beside that of before."""
        self.size -= 1
        self.blocks[self.size] = None
        gc.collect()

    def empty(self):
        self.rest = self.blocks = None
        gc.collect()


def construct():
    try:
        return sesstab.SessionTable(1, 1, 1)
    except MemoryError:
        return None


def check(table):
    put(table, b"one", b"1")
    assert table.free(table.get_session(b"one")) == 1
    put(table, b"two", b"2")
    assert order(table) == [b"two"]


def run():
    """How often there was not enough memory."""
    full = Full()
    failed = 0
    table = construct()
    try:
        while table is None:
            failed += 1
            full.make_room()
            table = construct()
    finally:
        full.empty()
    check(table)
    check(construct())
    return failed


def test_each_allocation_of_the_constructor_may_fail():
    if not hasattr(gc, "mem_alloc"):
        return
    blocks = sesstab.SessionTable.size_of(1, 1, 1) // 32
    used = []
    for _ in range(2):
        failed = run()
        assert failed > blocks // 2, (failed, blocks)
        gc.collect()
        used.append(gc.mem_alloc())
    assert used[-1] <= used[0] + 256, used  # nothing is left of tables that could not be made
