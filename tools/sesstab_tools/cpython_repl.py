"""MicroPython's raw REPL, on CPython: it makes CPython a target that is tested as a board is.

Run by sesstab_tools.virtual.cpython_board, on a terminal in raw mode. The friendly REPL is only a prompt.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback

# The folder of this file holds the host's modules: nothing that runs here may see them.
del sys.path[0]

WINDOW = 4096
BANNER = f"CPython {sys.version.split()[0]}; raw REPL for sesstab\r\n>>> "


def read_byte() -> bytes:
    data = os.read(0, 1)
    if not data:
        raise SystemExit
    return data


def write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


def read_pasted() -> bytes | None:
    """Raw paste with its flow control; None when it was cancelled by Ctrl-C."""
    write(b"R\x01" + WINDOW.to_bytes(2, "little") + b"\x01")
    source = bytearray()
    while True:
        byte = read_byte()
        if byte in b"\x03\x04":
            write(b"\x04")
            return bytes(source) if byte == b"\x04" else None
        source += byte
        if len(source) % WINDOW == 0:
            write(b"\x01")


def run(source: bytes, namespace: dict[str, object]) -> None:
    """Runs `source` as the raw REPL does: output, byte 4, traceback, byte 4."""
    error = ""
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        exec(compile(source, "<stdin>", "exec"), namespace)
    except SystemExit:
        raise
    except BaseException as exception:
        # The first frame is this function's own.
        exception.__traceback__ = exception.__traceback__ and exception.__traceback__.tb_next
        error = "".join(traceback.format_exception(exception))
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.stdout.flush()
        sys.stderr.flush()
        write(b"\x04")
        write(error.encode(errors="backslashreplace") + b"\x04")


def raw_repl(namespace: dict[str, object]) -> None:
    """Until Ctrl-B."""
    write(b"raw REPL; CTRL-B to exit\r\n>")
    line = bytearray()
    while (byte := read_byte()) != b"\x02":
        if byte == b"\x01" and line == b"\x05A":
            pasted = read_pasted()
            if pasted is not None:
                run(pasted, namespace)
            write(b">")
            line.clear()
        elif byte == b"\x01":
            write(b"raw REPL; CTRL-B to exit\r\n>")
            line.clear()
        elif byte == b"\x03":
            line.clear()
        elif byte == b"\x04":
            write(b"OK")
            if not line:
                write(b"\r\n")
                raise SystemExit
            run(bytes(line), namespace)
            write(b">")
            line.clear()
        else:
            line += byte


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    namespace: dict[str, object] = {"__name__": "__main__"}
    write(BANNER.encode())
    while (byte := read_byte()) != b"\x04":
        if byte == b"\x01":
            write(b"\r\n")
            raw_repl(namespace)
            write(b"\r\n" + BANNER.encode())
        elif byte in b"\r\n\x03":
            write(b"\r\n>>> ")


if __name__ == "__main__":
    main()
