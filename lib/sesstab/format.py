# Snapshots of the table in Python: firmware/core/sesstab_snapshot.c, with its names and in its order. The
# format is docs/format.md.
#
# As in pure.py, nothing needs the heap; hence bytes are moved one by one. A session's data is read to
# the start of the buffer, which is written last, and moved from there.

import struct
from array import array

try:
    from binascii import crc32
except ImportError:  # firmware without it

    def crc32(buf):
        raise MemoryError


try:
    from micropython import const
except ImportError:

    def const(value):
        return value


_HEADER_SIZE = const(8)
_CRC_SIZE = const(4)
_FIXED_SIZE = const(4)  # of a session, before timeout and age
_VERSION = const(1)
_ID_MAX = const(32)
_END = const(-1)
_INTS = (int, bool)
_BUFFERS = (bytes, bytearray, memoryview)
_WRITABLE = (bytearray, memoryview)
_TIME_MAX = 0xFFFFFFFF
_TIMEOUT_MAX = 0xFFFFFFFE
_MAGIC = b"sesT"
_DAMAGED = "snapshot is damaged"

# CRC-32 by half bytes: the upper and the lower halves of its table.
_HIGHS = array("H", [0, 0x1DB7, 0x3B6E, 0x26D9, 0x76DC, 0x6B6B, 0x4DB2, 0x5005])
_LOWS = array("H", [0, 0x1064, 0x20C8, 0x30AC, 0x4190, 0x51F4, 0x6158, 0x713C])
for _i in range(8):
    _HIGHS.append(_HIGHS[_i] ^ 0xEDB8)
    _LOWS.append(_LOWS[_i] ^ 0x8320)

_sum = bytearray(_CRC_SIZE)
_id = bytearray(_ID_MAX)


# ---- Bytes ----


def _get(buf, at, size):
    value = 0
    while size:
        size -= 1
        value = value << 8 | buf[at + size]
    return value


def _put(buf, at, value, size):
    while size:
        buf[at] = value & 0xFF
        value >>= 8
        at += 1
        size -= 1
    return at


def _crc_of(buf, size, out, at):
    # Writes the CRC-32 of the first `size` bytes. Where there is no memory for a view of them, or for a big
    # int on a 32-bit board, it is computed in halves, which is slow.
    try:
        struct.pack_into("<I", out, at, crc32(memoryview(buf)[:size]))
    except MemoryError:
        _crc_in_halves(buf, size, out, at)


def _crc_in_halves(buf, size, out, at):
    highs = _HIGHS
    lows = _LOWS
    high = low = 0xFFFF
    for i in range(size):
        low ^= buf[i]
        k = low & 15
        low = (low >> 4 | (high & 15) << 12) ^ lows[k]
        high = high >> 4 ^ highs[k]
        k = low & 15
        low = (low >> 4 | (high & 15) << 12) ^ lows[k]
        high = high >> 4 ^ highs[k]
    _put(out, at, low ^ 0xFFFF, 2)
    _put(out, at + 2, high ^ 0xFFFF, 2)


# ---- Sessions ----


def _width_of(timeout):
    width = 1
    timeout >>= 8
    while timeout:
        width += 1
        timeout >>= 8
    return width


def _size_of(table, slot):
    fields = _FIXED_SIZE + 2 * _width_of(table._lifetimes[slot])
    return fields + table._id_sizes[slot] + table._sizes[slot]


def _write_record(table, slot, now, buf, at):
    size = table._sizes[slot]
    timeout = table._lifetimes[slot]
    width = _width_of(timeout)
    table._states.seek(table._data_size * slot)
    table._states.readinto(buf, size)
    to = at + _size_of(table, slot)
    while size:
        to -= 1
        size -= 1
        buf[to] = buf[size]
    id = table._views[slot]
    size = table._id_sizes[slot]
    _put(buf, at, table._sizes[slot] << 5 | (size - 1), 2)
    while size:
        to -= 1
        size -= 1
        buf[to] = id[size]
    buf[at + 2] = table._contexts[slot]
    buf[at + 3] = width
    at = _put(buf, at + _FIXED_SIZE, timeout, width)
    _put(buf, at, now - table._created[slot], width)


def _record_size(buf, at, end):
    # The size of the session there, or 0 when there is none.
    if end - at < _FIXED_SIZE:
        return 0
    width = buf[at + 3]
    size = _FIXED_SIZE + 2 * width + (buf[at] & 31) + 1 + (_get(buf, at, 2) >> 5)
    if not 1 <= width <= 4 or end - at < size:
        return 0
    timeout = _get(buf, at + _FIXED_SIZE, width)
    age = _get(buf, at + _FIXED_SIZE + width, width)
    if _width_of(timeout) != width or timeout > _TIMEOUT_MAX or age > timeout:
        return 0
    return size


# ---- Dump ----


def dump_size(table):
    size = _HEADER_SIZE + _CRC_SIZE
    slot = table._nexts[_END]
    while slot != _END:
        size += _size_of(table, slot)
        slot = table._nexts[slot]
    return size


def dump(table, buf, max_bytes):
    if max_bytes is not None and not isinstance(max_bytes, _INTS):
        raise TypeError("max_bytes must be an int or None")
    if buf is None:
        return _dump_bytes(table, max_bytes)
    if not isinstance(buf, _WRITABLE):
        raise TypeError("buf must be a bytearray or memoryview")
    now = table.now()
    size = len(buf)
    if max_bytes is not None and max_bytes < size:
        size = max_bytes
    return _dump(table, buf, size, now)


def _dump_bytes(table, max_bytes):
    buf = bytearray(dump_size(table))
    try:
        return bytes(memoryview(buf)[: dump(table, buf, max_bytes)])
    finally:  # there may be no memory for the second copy
        for i in range(len(buf)):
            buf[i] = 0


def _dump(table, buf, size, now):
    used = _HEADER_SIZE + _CRC_SIZE
    if size < used:
        return 0
    nexts = table._nexts
    count = 0
    slot = nexts[_END]
    while slot != _END:
        if not table._is_expired(slot, now):
            more = _size_of(table, slot)
            if more > size - used:
                break
            used += more
            count += 1
        slot = nexts[slot]
    at = used - _CRC_SIZE
    left = count
    slot = nexts[_END]
    while left:
        if not table._is_expired(slot, now):
            at -= _size_of(table, slot)
            _write_record(table, slot, now, buf, at)
            left -= 1
        slot = nexts[slot]
    for i in range(4):
        buf[i] = _MAGIC[i]
    _put(buf, 4, _VERSION, 2)  # and no flags
    _put(buf, 6, count, 2)
    _crc_of(buf, used - _CRC_SIZE, buf, used - _CRC_SIZE)
    return used


# ---- Load ----


def _check(table, buf):
    # How many sessions the snapshot has. ValueError says what is wrong with it.
    size = len(buf)
    end = size - _CRC_SIZE
    if size < _HEADER_SIZE + _CRC_SIZE:
        raise ValueError(_DAMAGED)
    _crc_of(buf, end, _sum, 0)
    for i in range(4):
        if buf[i] != _MAGIC[i] or buf[end + i] != _sum[i]:
            raise ValueError(_DAMAGED)
    if buf[4] != _VERSION or buf[5]:
        raise ValueError("snapshot has an unknown version")
    too_long = False
    count = _get(buf, 6, 2)
    at = _HEADER_SIZE
    for _ in range(count):
        more = _record_size(buf, at, end)
        if not more:
            raise ValueError(_DAMAGED)
        if _get(buf, at, 2) >> 5 > table._data_size:
            too_long = True
        at += more
    if at != end:
        raise ValueError(_DAMAGED)
    if too_long:
        raise ValueError("snapshot has data longer than data_size")
    return count


def _read_id(buf, at):
    # Copies the session's id into _id, and returns its size.
    size = (buf[at] & 31) + 1
    at += _FIXED_SIZE + 2 * buf[at + 3]
    for i in range(_ID_MAX):
        _id[i] = buf[at + i] if i < size else 0
    return size


def _is_wanted(table, buf, at, elapsed):
    # Can the session be resumed then, and has the table none with its id?
    width = buf[at + 3]
    left = _get(buf, at + _FIXED_SIZE, width) - _get(buf, at + _FIXED_SIZE + width, width)
    return elapsed <= left and table._find(_id, _read_id(buf, at)) < 0


def _insert(table, buf, at, now, elapsed):
    # 1, or 0 when there is no slot or on_remove is running.
    slot = table._free
    if slot == _END or _get(buf, at, 2) >> 5 > table._data_size:
        return 0
    width = buf[at + 3]
    age = _get(buf, at + _FIXED_SIZE + width, width) + elapsed
    missing = 0 if age < now else age - (now - 1)  # the clock was started later than the session
    table._free = table._nexts[slot]
    table._created[slot] = now
    table._lifetimes[slot] = _get(buf, at + _FIXED_SIZE, width) - missing
    table._contexts[slot] = buf[at + 2]
    id_size = _read_id(buf, at)
    h = table._fill(slot, _id, b"")
    table._id_sizes[slot] = id_size
    table._sizes[slot] = _get(buf, at, 2) >> 5
    table._states.seek(table._data_size * slot)
    table._states.write(buf, at + _FIXED_SIZE + 2 * width + id_size, table._sizes[slot])
    added = table.add_session(h)
    table.set_session_time(h, now - (age - missing))  # after it: with UPDATE_TIME, adding sets it
    table.free(h)
    return added


def load(table, buf, elapsed):
    if not isinstance(buf, _BUFFERS):
        raise TypeError("buf must be bytes, bytearray or memoryview")
    if not isinstance(elapsed, _INTS):
        raise TypeError("elapsed must be an int")
    if not 0 <= elapsed <= _TIME_MAX:
        elapsed = _TIME_MAX
    now = table.now()
    count = _check(table, buf)
    if not now:
        return 0
    end = len(buf) - _CRC_SIZE
    room = table._cache_size - table._number
    wanted = loaded = 0
    at = _HEADER_SIZE
    for _ in range(count):
        if _is_wanted(table, buf, at, elapsed):
            wanted += 1
        at += _record_size(buf, at, end)
    at = _HEADER_SIZE
    for _ in range(count):
        more = _record_size(buf, at, end)
        if not more:  # the clock, which add_session may ask, has changed the snapshot
            break
        if _is_wanted(table, buf, at, elapsed):
            if wanted <= room:
                loaded += _insert(table, buf, at, now, elapsed)
            wanted -= 1
        at += more
    return loaded
