# Carries a byte stream between a program on the board and the host over the REPL's own serial line: the
# board's end. The host's end is sesstab_tools/link.py.
#
# The line stays a text line, so that Ctrl-C keeps working, no terminal translates anything, and print()
# may be used in between. A line that starts with "~" belongs to the link:
#
#     board to host   ~<base64>   bytes of the stream
#                     ~?<n>       the board waits for bytes, and takes n at most
#                     ~.          the board has closed the stream
#     host to board   ~<base64>   bytes, asked for by "~?"
#                     ~           there are no more: end of the stream
#
# The board asks for every line that it gets, so a UART without flow control loses nothing.

import binascii
import io
import sys

# Bytes a line: with base64 they fit the stdin buffer of the smallest ports, 260 bytes.
_CHUNK = 180
_CLOSE = 4  # MP_STREAM_CLOSE


class SerialLink(io.IOBase):
    """The host's stream, over the REPL. tls.SSLContext.wrap_socket() takes it for a socket."""

    def __init__(self):
        self._pending = b""
        self._open = True  # the host has not ended the stream
        self._closed = False

    def readinto(self, buf):
        if not self._pending and self._open:
            sys.stdout.write("~?%d\n" % _CHUNK)
            line = sys.stdin.readline()
            while line and line[0] != "~":
                line = sys.stdin.readline()
            self._pending = binascii.a2b_base64(line[1:])
            self._open = bool(self._pending)
        n = min(len(buf), len(self._pending))
        buf[:n] = self._pending[:n]
        self._pending = self._pending[n:]
        return n

    def write(self, buf):
        for i in range(0, len(buf), _CHUNK):
            sys.stdout.write("~")
            sys.stdout.write(binascii.b2a_base64(bytes(buf[i : i + _CHUNK])).decode())
        return len(buf)

    def ioctl(self, request, arg):
        if request == _CLOSE:
            self.close()
        return 0

    def close(self):
        if not self._closed:
            self._closed = True
            sys.stdout.write("~.\n")
