# What a TLS handshake takes on the board: time, bytes each way, and heap.

import gc
import io
from gc import mem_alloc
from time import ticks_diff, ticks_us

try:
    import mbedtls_heap  # boards/UNIX has it; elsewhere Mbed TLS takes its memory from MicroPython's heap
except ImportError:
    mbedtls_heap = None

_CLOSE = 4  # MP_STREAM_CLOSE


class Meter(io.IOBase):
    """A stream that counts what goes through it, and what of time and heap is the stream's own affair."""

    def __init__(self, stream):
        self.stream = stream
        self.received = self.sent = 0  # bytes
        self.waited_us = self.heap = 0
        self.most = mem_alloc()  # bytes of heap in use by others, whenever the stream was used

    def readinto(self, buf):
        start, heap = ticks_us(), mem_alloc()
        n = self.stream.readinto(buf)
        self._leave(start, heap)
        self.received += n or 0
        return n

    def write(self, buf):
        start, heap = ticks_us(), mem_alloc()
        n = self.stream.write(buf)
        self._leave(start, heap)
        self.sent += n or 0
        return n

    def _leave(self, start, heap):
        self.most = max(self.most, heap - self.heap)
        self.heap += mem_alloc() - heap
        self.waited_us += ticks_diff(ticks_us(), start)

    def ioctl(self, request, arg):
        if request == _CLOSE:
            self.stream.close()
        return 0


def measure(stream, handshake):
    """Calls handshake(meter) for a Meter of the stream. Gives what it returned, and what it took."""
    meter = Meter(stream)
    gc.collect()
    gc.disable()  # so that mem_alloc() tells what the handshake allocates, not what it leaves behind
    if mbedtls_heap:
        mbedtls_heap.reset()
    heap = meter.most = mem_alloc()
    start = ticks_us()
    try:
        connection = handshake(meter)
        took = ticks_diff(ticks_us(), start)
        kept = mem_alloc() - meter.heap
    finally:
        gc.enable()
    return connection, {
        "cpu_us": took - meter.waited_us,
        "received": meter.received,
        "sent": meter.sent,
        "heap": kept - heap,
        "heap_most": max(meter.most, kept) - heap,
        # Allocations, and bytes at the peak, where they can be told.
        "tls_heap": mbedtls_heap.stats()[:2] if mbedtls_heap else None,
    }
