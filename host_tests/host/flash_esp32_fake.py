"""An ESP32 whose ROM boot loader and stub are esp32-mock-bootloader's, on a pty, with faults to switch on.

    with FakeESP32("esp32") as chip:
        flash(spec, root, port=chip.port)
        chip.flash[0x1000:]

A client that closes the port and comes again finds the chip in its boot loader, as after a reset.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import tty
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from esp32_mock_bootloader import protocol, server

FLASH_ID_2MB = 0x154020

# What may happen, at the block FAULTY_BLOCK of those that are written unless it says otherwise.
DROPPED_BLOCK = "acknowledges a block and does not write it"
BIT_ROT = "writes a block with one bit changed"
REFUSED_ONCE = "does not write a block, and answers with an error, the first time that it comes"
REFUSED = "does not write a block, and answers with an error, as often as it comes"
LOST_REPLY = "does not answer a block"
TRUNCATED_REPLY = "answers a block with half a frame"
NOISE = "answers a block with other bytes"
UNPLUGGED = "is unplugged at a block"
ENDLESS_REPLY = "answers a block with a frame that never ends"
WRONG_MD5 = "gives another MD5 than its flash has"
WRONG_READ = "reads back one bit other than it is"
FORGOTTEN = "forgets one bit once it has given the MD5"
SILENT = "answers nothing from the beginning"
NO_STUB = "answers nothing once the stub was sent"

FAULTY_BLOCK = 5
WRONG_ADDRESS = 0x12345
PACKET = 4096
"""What is read back comes in pieces of so many bytes."""


class FakeESP32:
    """The chip, powered and on the line. `flash` keeps its contents, whoever connects."""

    def __init__(self, chip: str = "esp32", *, flash_id: int | None = None) -> None:
        self.chip = chip
        self.fault: str | None = None
        self.blocks = 0
        """Blocks written since the fault was set."""
        self._flash_id = flash_id
        self._image = _Flash(self)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._master = self._held = -1
        self.port = ""

    @property
    def flash(self) -> bytes:
        return bytes(self._image.data)

    def set_fault(self, fault: str | None) -> None:
        self.fault, self.blocks = fault, 0

    def __enter__(self) -> FakeESP32:
        self.plug()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join()
        self.unplug()
        os.close(self._held)

    def plug(self) -> None:
        """To a new port."""
        if self._thread:
            self._thread.join()
            os.close(self._held)
        self._master, self._held = os.openpty()
        tty.setraw(self._held)
        self.port = os.ttyname(self._held)
        os.close(self._held)
        self._held = -1
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def unplug(self) -> None:
        """The port goes away. Its number is kept, so that no other pty gets it."""
        if self._master >= 0:
            self._held = os.open(self.port, os.O_RDWR | os.O_NOCTTY)
            os.close(self._master)
            self._master = -1

    def _serve(self) -> None:
        while not self._stop.is_set() and self._master >= 0:
            if self._has_client():
                with _flash_id(self._flash_id), contextlib.suppress(OSError):
                    server.handle_client(
                        _Line(self), self._stop, self.chip, exit_on_disconnect=True, flash=self._image
                    )

    def _has_client(self) -> bool:
        events = select.poll()
        events.register(self._master, select.POLLIN)
        ready = events.poll(20)
        if ready and ready[0][1] & select.POLLHUP:
            self._stop.wait(0.01)
            return False
        return bool(ready)

    # What the line and the flash ask

    def reply(self, data: bytes) -> list[bytes]:
        """What is sent instead of `data`."""
        if self.fault == SILENT:
            return []
        operation = data[2] if data[1:2] == b"\x01" else None
        if self.fault == NO_STUB and operation == protocol.CMD["MEM_END"]:
            self.fault = SILENT
        if operation == protocol.CMD["SPI_FLASH_MD5"] and self.fault == WRONG_MD5:
            return [data[:12] + bytes([data[12] ^ 1 or 2]) + data[13:]]
        if operation == protocol.CMD["FLASH_DEFL_DATA"] and (
            self.blocks == FAULTY_BLOCK or (self.fault == REFUSED and self.blocks > FAULTY_BLOCK)
        ):
            return self._faulty_reply(data)
        return [data]

    def _faulty_reply(self, data: bytes) -> list[bytes]:
        if self.fault == LOST_REPLY:
            return []
        if self.fault == TRUNCATED_REPLY:
            return [data[: len(data) // 2]]
        if self.fault == NOISE:
            return [b"\x00\xff\x55" * 20]
        if self.fault == ENDLESS_REPLY:
            return [data[:1]] + [b"\x01" * 100] * 10_000_000
        if self.fault in (REFUSED, REFUSED_ONCE):
            return [server.make_response(data[2], status=1, error=0xC1, stub=True)]
        if self.fault == UNPLUGGED:
            self.unplug()
            raise OSError("unplugged")
        return [data]


class _Flash(server.FlashImage):  # type: ignore[misc]
    def __init__(self, chip: FakeESP32) -> None:
        super().__init__()
        self._chip = chip

    def write_defl_block(self, payload: bytes) -> None:
        chip = self._chip
        chip.blocks += 1
        if chip.blocks == FAULTY_BLOCK and chip.fault in (DROPPED_BLOCK, REFUSED_ONCE):
            return
        if chip.blocks >= FAULTY_BLOCK and chip.fault == REFUSED:
            return
        start = self._defl_offset
        super().write_defl_block(payload)
        if chip.blocks == FAULTY_BLOCK and chip.fault == BIT_ROT:
            self.data[start] ^= 0x10

    def md5_stub_response(self, *args: Any, **options: Any) -> Any:
        response = super().md5_stub_response(*args, **options)
        if self._chip.fault == FORGOTTEN:
            self.data[WRONG_ADDRESS] ^= 0x10
        return response

    def read(self, offset: int, size: int) -> bytes:
        data = bytearray(super().read(offset, size))
        # The sum of what is read is computed of the whole, which is larger than any packet.
        if self._chip.fault == WRONG_READ and size <= PACKET and offset <= WRONG_ADDRESS < offset + size:
            data[WRONG_ADDRESS - offset] ^= 0x10
        return bytes(data)


class _Line(server.BootloaderConnection):  # type: ignore[misc]
    """Between the mock and the pty."""

    def __init__(self, chip: FakeESP32) -> None:
        self._chip = chip

    def set_timeout(self, timeout: float) -> None:
        """Ignored: the mock gives up without a word after a time that a busy computer may take."""

    def recv(self, size: int) -> bytes:
        events = select.poll()
        events.register(self._chip._master, select.POLLIN)
        while not events.poll(20):
            if self._chip._stop.is_set():
                raise socket.timeout
        try:
            return os.read(self._chip._master, size)
        except OSError:
            return b""  # no client any more

    def sendall(self, data: bytes) -> None:
        for part in self._chip.reply(data):
            while part:
                events = select.poll()
                events.register(self._chip._master, select.POLLOUT)
                ready = events.poll(1000)
                if not ready or ready[0][1] & select.POLLHUP or self._chip._stop.is_set():
                    raise OSError("nobody reads")
                part = part[os.write(self._chip._master, part) :]

    def close(self) -> None:
        pass

    def ignore_eof_for_disconnect(self) -> bool:
        return False

    def abort_empty_session(self) -> bool:
        return False


@contextlib.contextmanager
def _flash_id(value: int | None) -> Iterator[None]:
    """The mock has one flash id for all, as a constant."""
    module: Any = protocol
    before = module.MOCK_FLASH_ID
    if value is not None:
        module.MOCK_FLASH_ID = value
    try:
        yield
    finally:
        module.MOCK_FLASH_ID = before
