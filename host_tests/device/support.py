# What device tests share. It is on the target's path: from support import ...

import struct

import sesstab

try:
    from micropython import heap_lock, heap_unlock
except ImportError:  # CPython has no heap to lock

    def heap_lock():
        pass

    def heap_unlock():
        pass


class Clock:
    """A table's clock that shows what it was set to."""

    def __init__(self, time=1000):
        self.time = time

    def __call__(self):
        return self.time


class Random:
    """The same numbers everywhere, from small ints. They repeat after 2^37 or more."""

    def __init__(self, seed):
        self.x = seed & 0xFFFFF
        self.y = 1 + seed % 524286

    def below(self, n):
        self.x = (self.x * 1021 + 12345) & 0xFFFFF
        self.y = self.y * 2040 % 524287
        return (self.x >> 4 ^ self.y) % n


def make(capacity=4, spare=2, data_size=50, timeout=100, mode=sesstab.SESS_CACHE_SERVER):
    """A table and its clock."""
    clock = Clock()
    return sesstab.SessionTable(capacity, spare, data_size, timeout, mode, clock), clock


def put(table, id, data=b"state", timeout=None, context=0):
    """Makes a session, adds it, and keeps no reference. Its handle."""
    h = table.new_session(id, data, timeout, context)
    assert h
    assert table.add_session(h) == 1
    assert table.free(h) == 1
    return h


def id_of(table, h):
    buf = bytearray(32)
    return bytes(buf[: table.session_id(h, buf)])


def data_of(table, h):
    buf = bytearray(table.data_size)
    return bytes(buf[: table.session_data(h, buf)])


def order(table):
    """The ids in the table, most recently used first."""
    ids = []
    h = table.next_session()
    while h:
        ids.append(id_of(table, h))
        h = table.next_session(h)
    return ids


def fill(table, first=0):
    """Puts sessions b"id<n>" until the table is full."""
    for n in range(first, first + table.cache_size):
        put(table, b"id%d" % n)


def counters(table):
    return (
        table.sess_number(),
        table.sess_hits(),
        table.sess_misses(),
        table.sess_timeouts(),
        table.sess_cache_full(),
        table.sess_cb_hits(),
        table.sess_stored(),
    )


def raises(error, function, *args):
    """Whether the call raises exactly this."""
    try:
        function(*args)
    except error:
        return True
    return False


def set_property(table, name, value):
    setattr(table, name, value)


def locked(function):
    """Calls a function while the heap is locked: allocating raises MemoryError on MicroPython."""
    heap_lock()
    try:
        return function()
    finally:
        heap_unlock()


def memory_of(table):
    """All that the table stores, as bytes, whatever the engine."""
    if is_native(table):
        return bytes(native_memory(table))
    parts = [b""]
    for name in dir(table):
        value = getattr(table, name)
        if hasattr(value, "getvalue"):
            value = value.getvalue()
        if isinstance(value, (bytes, bytearray)):
            parts.append(bytes(value))
    return b"|".join(parts)


def is_native(table):
    try:
        from _sesstab import SessionTable
    except ImportError:
        return False
    return isinstance(table, SessionTable)


def native_memory(table):
    """A native table itself: what is written there is written into the table."""
    size = type(table).size_of(table.capacity, table.spare, table.data_size)
    if hasattr(table, "_block"):  # on CPython
        from _sesstab import ffi

        return memoryview(ffi.buffer(table._block))[:size]
    import uctypes

    return uctypes.bytearray_at(id(table), size)


def preset_counters(table, value):
    """As if the table had been in use for years. Its counters must not be 0 all."""
    names = ("hits", "misses", "timeouts", "cache_full", "cb_hits", "stored")
    if is_native(table):
        memory = native_memory(table)
        present = struct.pack("<6I", *[getattr(table, "sess_" + name)() for name in names])
        at = bytes(memory).find(present)
        assert at >= 0 and present != bytes(24)
        memory[at : at + 24] = struct.pack("<6I", *[value] * 6)
    elif hasattr(table, "_counts"):  # the pure engine
        table._counts[:] = [value] * 6
    else:  # the model
        for name in names:
            setattr(table, name, value)
