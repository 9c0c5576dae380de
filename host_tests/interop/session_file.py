"""OpenSSL's session files (s_client -sess_out, -sess_in), to be tampered with: DER in PEM."""

from __future__ import annotations

import base64
import re
from pathlib import Path

CIPHER, SESSION_ID, SECRET = 2, 3, 4  # fields by place
TICKET = 0xAA  # a field by its tag: [10], explicit
OCTETS = 0x04


class SessionFile:
    def __init__(self, path: Path) -> None:
        body = re.sub(r"-----.*-----|\s", "", path.read_text())
        self.fields = _parse(_parse(base64.b64decode(body))[0][1])

    def get(self, field: int) -> bytes:
        """An octet string, by its place, or by its tag."""
        if field < 0x80:
            return self.fields[field][1]
        return next((_parse(value)[0][1] for tag, value in self.fields if tag == field), b"")

    def set(self, field: int, value: bytes) -> None:
        if field < 0x80:
            self.fields[field] = (self.fields[field][0], value)
            return
        new = (field, _encode(OCTETS, value))
        self.fields = [new if tag == field else (tag, old) for tag, old in self.fields]

    def write(self, path: Path) -> None:
        der = _encode(0x30, b"".join(_encode(tag, value) for tag, value in self.fields))
        lines = base64.encodebytes(der).decode()
        path.write_text(
            f"-----BEGIN SSL SESSION PARAMETERS-----\n{lines}-----END SSL SESSION PARAMETERS-----\n"
        )


def _parse(der: bytes) -> list[tuple[int, bytes]]:
    fields = []
    at = 0
    while at < len(der):
        tag, size = der[at], der[at + 1]
        at += 2
        if size & 0x80:
            count = size & 0x7F
            size = int.from_bytes(der[at : at + count], "big")
            at += count
        fields.append((tag, der[at : at + size]))
        at += size
    return fields


def _encode(tag: int, value: bytes) -> bytes:
    size = len(value)
    length = bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2, "big")
    if 128 <= size < 256:
        length = b"\x81" + bytes([size])
    return bytes([tag]) + length + value
