# Snapshots in files: save() before a reset, restore() after it. docs/format.md is the format.
#
#     snapshot.save(table, "sessions")
#     ...
#     try:
#         snapshot.restore(table, "sessions", seconds_since)
#     except ValueError:
#         pass  # damaged: the table stays as it was
#
# Two files take turns, and the one that is not the newest is overwritten: power may fail at any byte, on any
# file system. With a key (16 bytes or more, random) they are encrypted and authenticated.

import errno
import hashlib
import os
import struct
from binascii import crc32

try:
    from cryptolib import aes
except ImportError:
    aes = None

_MAGIC = b"sesF"
_VERSION = 1
_PLAIN = 0
_ENCRYPTED = 1
_HEAD = "<4sBBI"  # magic, version, kind, sequence number
_HEAD_SIZE = 10
_CRC_SIZE = 4
_CRC_OF_WHOLE = 0x2144DF1C  # the CRC-32 of anything that ends with its own
_BLOCK = 16
_TAG_SIZE = 32
_KEY_MIN = 16
_CBC = 2
_MISSING = -2  # in place of a sequence number
_BROKEN = -1


def save(table, path, key=None):
    """Writes a snapshot of the table to path.0 or path.1."""
    _check_key(key)
    numbers = _sequence_numbers(path)
    older = numbers.index(min(numbers))
    buf = bytearray(table.dump_size() + _BLOCK)
    try:
        size = table.dump(buf)
        head = struct.pack(_HEAD, _MAGIC, _VERSION, _ENCRYPTED if key else _PLAIN, max(0, *numbers) + 1)
        parts = _encrypt(key, head, buf, size) if key else (head, memoryview(buf)[:size])
        _write(_name(path, older), parts)
    finally:
        _wipe(buf)


def restore(table, path, elapsed=0, key=None):
    """Loads the newest snapshot, made `elapsed` seconds ago: how many sessions; 0 when nothing was saved yet.
    ValueError when it is damaged, or the key is wrong; then nothing is loaded."""
    _check_key(key)
    numbers = _sequence_numbers(path)
    newest = numbers.index(max(numbers))
    if numbers[newest] == _MISSING:
        return 0
    if numbers[newest] == _BROKEN:
        raise ValueError("%s: no whole snapshot" % path)
    buf = _read(_name(path, newest))
    try:
        if key:
            snapshot = _decrypt(key, buf)
        elif buf[5] == _PLAIN:
            snapshot = memoryview(buf)[_HEAD_SIZE:-_CRC_SIZE]
        else:
            raise ValueError("snapshot is encrypted: a key is needed")
        return table.load(snapshot, elapsed)
    finally:
        _wipe(buf)


# ---- Files ----


def _name(path, which):
    return "%s.%d" % (path, which)


def _sequence_numbers(path):
    return [_sequence_number(_name(path, which)) for which in (0, 1)]


def _sequence_number(name):
    # Of a whole file; else _MISSING or _BROKEN.
    head = bytearray(_HEAD_SIZE)
    chunk = memoryview(bytearray(128))
    try:
        with open(name, "rb") as f:
            f.readinto(head)
            crc = crc32(head)
            size = f.readinto(chunk)
            while size:
                crc = crc32(chunk[:size], crc)
                size = f.readinto(chunk)
    except OSError as error:
        return _MISSING if error.errno == errno.ENOENT else _BROKEN
    finally:
        _wipe(chunk)
    magic, version, _, number = struct.unpack(_HEAD, head)
    return number if crc == _CRC_OF_WHOLE and magic == _MAGIC and version == _VERSION else _BROKEN


def _read(name):
    buf = bytearray(os.stat(name)[6])
    with open(name, "rb") as f:
        f.readinto(buf)
    return buf


def _write(name, parts):
    crc = 0
    with open(name, "wb") as f:
        for part in parts:
            f.write(part)
            crc = crc32(part, crc)
        f.write(struct.pack("<I", crc))
        f.flush()
        if hasattr(os, "fsync"):
            os.fsync(f.fileno())
    if hasattr(os, "sync") and not hasattr(os, "fsync"):
        os.sync()


def _wipe(buf):
    for i in range(len(buf)):
        buf[i] = 0


# ---- Encryption ----


def _check_key(key):
    if key is None:
        return
    if not isinstance(key, (bytes, bytearray, memoryview)):
        raise TypeError("key must be bytes, bytearray or memoryview")
    if len(key) < _KEY_MIN:
        raise ValueError("key must have %d bytes or more, not %d" % (_KEY_MIN, len(key)))
    if aes is None:
        raise NotImplementedError("a key needs the module cryptolib, which only MicroPython has")


def _hmac(key, *parts):
    # HMAC-SHA256
    if len(key) > 64:
        key = hashlib.sha256(key).digest()
    pad = bytearray(64)
    pad[: len(key)] = key
    inner = _flipped(pad, 0x36)
    for part in parts:
        inner.update(part)
    outer = _flipped(pad, 0x36 ^ 0x5C)
    outer.update(inner.digest())
    _wipe(pad)
    return outer.digest()


def _flipped(pad, bits):
    for i in range(len(pad)):
        pad[i] ^= bits
    return hashlib.sha256(pad)


def _keys(key):
    return _hmac(key, b"sesstab encrypt 1"), _hmac(key, b"sesstab authenticate 1")


def _encrypt(key, head, buf, size):
    # The parts of a file. Works in place: buf has room for a block more.
    padding = _BLOCK - size % _BLOCK
    for i in range(size, size + padding):
        buf[i] = padding
    text = memoryview(buf)[: size + padding]
    encryption_key, authentication_key = _keys(key)
    vector = os.urandom(_BLOCK)
    aes(encryption_key, _CBC, vector).encrypt(text, text)
    return head, vector, text, _hmac(authentication_key, head, vector, text)


def _decrypt(key, buf):
    # The snapshot in a file's content. Works in place.
    view = memoryview(buf)
    start = _HEAD_SIZE + _BLOCK
    end = len(buf) - _CRC_SIZE - _TAG_SIZE
    if buf[5] != _ENCRYPTED or end - start < _BLOCK or (end - start) % _BLOCK:
        raise ValueError("snapshot is not encrypted")
    encryption_key, authentication_key = _keys(key)
    if not _are_equal(_hmac(authentication_key, view[:end]), view[end : end + _TAG_SIZE]):
        raise ValueError("snapshot is of another key, or forged")
    text = view[start:end]
    aes(encryption_key, _CBC, view[_HEAD_SIZE:start]).decrypt(text, text)
    return text[: len(text) - text[len(text) - 1]]


def _are_equal(a, b):
    # In a time that does not depend on where they differ.
    difference = 0
    for i in range(_TAG_SIZE):
        difference |= a[i] ^ b[i]
    return difference == 0
