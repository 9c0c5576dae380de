"""A connection that carries bytes: any pyserial URL, with a deadline on every operation.

pyserial opens and configures; where there is a file descriptor (devices, ptys, socket://) reading and
writing are done here with poll, since pyserial's own write can wait for ever, or spin, when the other end
does not read.
"""

from __future__ import annotations

import os
import select
import threading
import time
from typing import Any

import serial  # type: ignore[import-untyped]

from .errors import Disconnected, NoAnswer, NoSuchPort, PortError

_CHUNK = 65536
_POLL_LIMIT = 60.0  # seconds in one poll, which knows no infinity
_POLL_INTERVAL = 0.05  # for connections that cannot be polled


class Deadline:
    """A point in time that all parts of an operation share."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def remaining(self) -> float:
        return max(0.0, self._end - time.monotonic())

    @property
    def passed(self) -> bool:
        return time.monotonic() >= self._end

    def wait(self, seconds: float) -> None:
        """Sleeps for `seconds`, or until the deadline."""
        time.sleep(min(seconds, self.remaining))


class Line:
    """Bytes to and from a port. `burst`: at most so many bytes at once, then a pause of `gap` seconds."""

    def __init__(self, port: str, device: Any, burst: int | None = None, gap: float = 0.005) -> None:
        self.port = port
        self.burst = burst
        self.gap = gap
        self._device = device
        self._received = bytearray()

    def receive(self, seconds: float) -> bytes:
        """What has come; waits at most `seconds` for the first byte. b"" says only that none has come yet."""
        if not self._received:
            self._wait_and_read(seconds)
        data = bytes(self._received)
        self._received.clear()
        return data

    def unread(self, data: bytes) -> None:
        """Puts `data` back in front of what the next receive() gives."""
        self._received[:0] = data

    def send(self, data: bytes, deadline: Deadline, burst: int | None = None) -> None:
        """Writes all of `data` within the deadline; reads meanwhile, so two full buffers never lock up."""
        size = burst or self.burst or _CHUNK
        for start in range(0, len(data), size):
            if start and size != _CHUNK:
                time.sleep(self.gap)
            self._write(data[start : start + size], deadline)

    def close(self) -> None:
        self._device.close()

    def _wait_and_read(self, seconds: float) -> None:
        raise NotImplementedError

    def _write(self, data: bytes, deadline: Deadline) -> None:
        raise NotImplementedError

    def _blocked(self, deadline: Deadline) -> NoAnswer:
        return NoAnswer(
            f"port {self.port}: the board took no input for {deadline.seconds:g} s; "
            "reset it, or check flow control and cable"
        )

    def _lost(self, reason: object) -> Disconnected:
        return Disconnected(f"port {self.port}: connection lost ({reason}); is the board still plugged in?")


class PolledLine(Line):
    """A device with a file descriptor."""

    def __init__(self, port: str, device: Any, burst: int | None = None) -> None:
        super().__init__(port, device, burst)
        self._fd: int = device.fileno()
        self._poll = select.poll()

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        super().close()
        self._fd = -1  # the number may be another file's soon

    def _wait_and_read(self, seconds: float) -> None:
        if self._ready(select.POLLIN, seconds) & ~select.POLLOUT:
            self._read_available()

    def _write(self, data: bytes, deadline: Deadline) -> None:
        while data:
            events = self._ready(select.POLLIN | select.POLLOUT, deadline.remaining)
            if events & ~select.POLLOUT:
                self._read_available()
            if events & select.POLLOUT:
                data = data[self._write_available(data) :]
            elif deadline.passed:
                raise self._blocked(deadline)

    def _ready(self, events: int, seconds: float) -> int:
        if self._fd < 0:
            raise self._lost("closed")
        self._poll.register(self._fd, events)
        ready = self._poll.poll(min(seconds, _POLL_LIMIT) * 1000)
        return ready[0][1] if ready else 0

    def _read_available(self) -> None:
        try:
            data = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            raise self._lost(error.strerror) from error
        if not data:
            raise self._lost("end of file")
        self._received += data

    def _write_available(self, data: bytes) -> int:
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self._lost(error.strerror) from error


class _ThreadedLine(Line):
    """A pyserial port that cannot be polled (rfc2217://, loop://): its write knows no deadline."""

    def _wait_and_read(self, seconds: float) -> None:
        try:
            self._device.timeout = min(seconds, _POLL_INTERVAL) if seconds else 0
            deadline = Deadline(seconds)
            while True:
                self._received += self._device.read(max(1, self._device.in_waiting))
                if self._received or deadline.passed:
                    return
        except (OSError, serial.SerialException) as error:
            raise self._lost(error) from error

    def _write(self, data: bytes, deadline: Deadline) -> None:
        errors: list[Exception] = []

        def write() -> None:
            try:
                self._device.write(data)
            except (OSError, serial.SerialException) as error:
                errors.append(error)

        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        thread.join(min(deadline.remaining, _POLL_LIMIT))
        if errors:
            raise self._lost(errors[0])
        if thread.is_alive():
            raise self._blocked(deadline)


def open_line(port: str, baudrate: int = 115200, burst: int | None = None) -> Line:
    """Opens a device path (links are followed), or a URL that pyserial knows."""
    device = open_device(port, baudrate)
    # spy:// has a descriptor too, but exists to see what passes through pyserial.
    if "://" not in port or port.startswith("socket://"):
        return PolledLine(port, device, burst)
    return _ThreadedLine(port, device, burst)


def open_device(port: str, baudrate: int = 115200) -> Any:
    """pyserial's own object for a port, for this process alone. Raises PortError, which says why not."""
    name = port if "://" in port else os.path.realpath(port)
    try:
        return serial.serial_for_url(name, baudrate=baudrate, timeout=0, exclusive=True)
    except (OSError, ValueError, TypeError, serial.SerialException) as error:  # TypeError: socket://host
        raise _why_not_open(port, error) from error


def _why_not_open(port: str, error: Exception) -> PortError:
    text = str(error)
    if "exclusively lock" in text:
        return PortError(f"port {port}: in use by another program; close it")
    if "No such file" in text:
        return NoSuchPort(f"port {port}: no such device; is the board plugged in?")
    if "Permission denied" in text:
        return PortError(
            f"port {port}: permission denied; add yourself to the group that owns it (often dialout)"
        )
    return PortError(f"port {port}: cannot be opened: {text}")
