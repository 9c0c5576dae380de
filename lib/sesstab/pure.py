# The session table in Python: firmware/core/sesstab.c, with its names and in its order.
#
# All storage is taken by the constructor. A session lives in a slot; slot s has
#     _keys[33 * s:]  its id: the length, then 32 bytes, padded with zeros
#     _states         its secret data, at data_size * s: a stream, since reading from it allocates nothing
#     _handles[s]     its handle; None when free, which equals no number
#     _tags[s]        a byte made from the id while the session is in the table, else 0
#     _refs[s]        how many references callers hold
# A search runs at C speed: bytearray.find looks for the tag, and then, in a window of 33 bytes, compares the
# key. Slots in the table form a ring through _nexts and _prevs, most recently used first, closed by the entry
# after the last slot. Free slots form a stack through _nexts.
#
# Nothing may allocate once a table is made, or it would fail under micropython.heap_lock(): no slices, no
# bound methods, no numbers beyond a small int, no formatted messages. struct.pack_into copies any buffer, and
# pads it with zeros.

import io
import struct
import sys
import time
from array import array

from . import format
from .modes import SESS_CACHE_CLIENT, SESS_CACHE_SERVER

try:
    from micropython import const
except ImportError:

    def const(value):
        return value


_ID_MAX = const(32)
_KEY = const(33)
_DATA_MAX = const(2047)
_SLOTS_MAX = const(65535)
_REFS_MAX = const(255)
_TIME_MAX = 0xFFFFFFFF
_TIMEOUT_MAX = 0xFFFFFFFE
_COUNTER_MASK = const(0x3FFFFFFF)
_MODES = const(0x783)
_SIDES = const(3)
_NO_AUTO_CLEAR = const(0x80)
_NO_LOOKUP = const(0x100)
_NO_STORE = const(0x200)
_UPDATE_TIME = const(0x400)

_FAR = sys.maxsize >> 1  # the largest small int
_BUFFERS = (bytes, bytearray, memoryview)
_WRITABLE = (bytearray, memoryview)
_NEEDS_NATIVE = "the pure engine cannot attach to TLS: install the module _sesstab for this board"
_INTS = (int, bool)  # a bool is no int on MicroPython
try:
    _NUMBERS = (int, bool, float)
except NameError:  # firmware without floating point
    _NUMBERS = _INTS

if sys.implementation.name == "micropython":
    _Stream = io.BytesIO
    _pack_into = struct.pack_into
    _ticks_ms = time.ticks_ms

else:

    class _Stream(io.BytesIO):
        def __init__(self, size):
            super().__init__(bytes(size))

        def readinto(self, buf, size):
            return super().readinto(memoryview(buf)[:size])

        def write(self, buf, start=0, size=None):
            return super().write(memoryview(buf)[start : None if size is None else start + size])

    def _pack_into(form, buf, offset, *values):
        values = [v if isinstance(v, int) else bytes(memoryview(v)) for v in values]
        struct.pack_into(form, buf, offset, *values)

    def _ticks_ms():
        return time.monotonic_ns() // 1000000


def _check_type(value, types, message):
    if not isinstance(value, types):
        raise TypeError(message)


def _check_range(value, least, most, name):
    _check_type(value, _INTS, name)
    if not least <= value <= most:
        raise ValueError("%s, %d to %d; not %d" % (name, least, most, value))


def _check_mode(mode):
    _check_type(mode, _INTS, "mode must be an int")
    if mode & ~_MODES:
        raise ValueError("mode: 0x%x has unknown flags" % mode)


def _check_callback(callback):
    if callback is not None and not callable(callback):
        raise TypeError("a callback must be callable or None")


def _blocks(size):
    # What an allocation takes: MicroPython's heap has blocks of four words.
    block = 16 if sys.maxsize < 1 << 32 else 32
    return (size + block - 1) // block * block


class SessionTable:
    @staticmethod
    def size_of(capacity, spare=2, data_size=50):
        for value in (capacity, spare, data_size):
            _check_type(value, _INTS, "sizes must be ints")
        slots = capacity + spare
        if capacity < 1 or spare < 0 or slots > _SLOTS_MAX or not 1 <= data_size <= _DATA_MAX:
            return 0
        handles = 1
        while handles < slots:
            handles *= 2
        word = 4 if sys.maxsize < 1 << 32 else 8
        lists = 2 * _blocks(slots * word) + 2 * _blocks((slots + 1) * word) + _blocks(handles * word)
        arrays = 3 * _blocks(slots) + 2 * _blocks(2 * slots) + _blocks(_KEY * slots)
        states = _blocks(data_size * slots) + _blocks(data_size + 1)
        return lists + arrays + states + _blocks(_KEY) + 160 * word

    def __init__(self, capacity, spare=2, data_size=50, timeout=7200, mode=SESS_CACHE_SERVER, clock=None):
        _check_range(capacity, 1, _SLOTS_MAX, "capacity must be an int")
        _check_range(spare, 0, _SLOTS_MAX - capacity, "spare must be an int")
        _check_range(data_size, 1, _DATA_MAX, "data_size must be an int")
        _check_range(timeout, 0, _TIMEOUT_MAX, "timeout must be an int")
        _check_mode(mode)
        _check_callback(clock)
        capacity = int(capacity)  # which may be a bool
        data_size = int(data_size)
        slots = capacity + spare
        self._capacity = capacity
        self._slots = slots
        self._data_size = data_size
        self._timeout = timeout
        self._mode = mode
        self._clock = clock
        self._on_new = None
        self._on_get = None
        self._on_remove = None
        self._cache_size = capacity
        self._hits = 0
        self._misses = 0
        self._timeouts = 0
        self._cache_full = 0
        self._cb_hits = 0
        self._stored = 0
        self._seconds = 1
        self._ticks = _ticks_ms() & _COUNTER_MASK  # when that second began
        self._busy = False  # on_remove is running
        self._leaving = -1  # the slot whose session it is told of: the table still holds its reference
        self._number = 0
        # No session in the table is made after _newest or expires before _soonest: while the clock is between
        # them, there is nothing to look for. A search for expired sessions makes both exact.
        self._newest = 0
        self._soonest = _FAR
        bits = 0
        while 1 << bits < slots:
            bits += 1
        self._bits = bits
        self._mask = (1 << bits) - 1
        self._generation_max = min(0xFFFF, (1 << (30 - bits)) - 1)
        # As long as the mask is wide: `handles[h & mask] == h` is the whole check of a handle.
        self._handles = [None] * (1 << bits)
        self._generations = array("H", bytes(2 * slots))
        self._created = [0] * slots
        self._lifetimes = [0] * slots
        self._contexts = bytearray(slots)
        self._refs = bytearray(slots)
        self._tags = bytearray(slots)
        self._keys = bytearray(_KEY * slots)
        self._sizes = array("H", bytes(2 * slots))
        self._zeros = bytes(data_size)
        self._states = _Stream(data_size * slots)
        self._nexts = [0] * (slots + 1)
        self._prevs = [0] * (slots + 1)
        self._key = bytearray(_KEY)
        self._tag = bytearray(1)
        self._reset()

    # ---- Finding ----

    def _tag_of(self, slot):
        keys = self._keys
        at = _KEY * slot
        return keys[at + 1] ^ keys[at + keys[at]] or 1

    def _same_id(self, a, b):
        keys = self._keys
        a *= _KEY
        b *= _KEY
        i = 0
        while i < _KEY and keys[a + i] == keys[b + i]:
            i += 1
        return i == _KEY

    def _find(self, id, size):
        # The slot in the table with this id, or -1.
        _pack_into("B32s", self._key, 0, size, id)  # a TypeError when it is no buffer,
        self._tag[0] = id[0] ^ id[size - 1] or 1  # and here when it is a str
        slot = self._tags.find(self._tag)
        while slot >= 0:
            at = _KEY * slot
            if self._keys.find(self._key, at, at + _KEY) == at:
                return slot
            slot = self._tags.find(self._tag, slot + 1)
        return -1

    def _find_twin(self, slot):
        # The slot in the table with the id of the session in `slot`, which is not in the table; or -1.
        self._tag[0] = self._tag_of(slot)
        twin = self._tags.find(self._tag)
        while twin >= 0:
            if self._same_id(slot, twin):
                return twin
            twin = self._tags.find(self._tag, twin + 1)
        return -1

    # ---- Time ----

    def _is_expired(self, slot, now):
        created = self._created[slot]
        return not now or created > now or now - created > self._lifetimes[slot]

    def _note_times(self, slot):
        # Keeps the bounds true after a session's times have changed, or it came into the table.
        if not self._tags[slot]:
            return
        created = self._created[slot]
        lifetime = self._lifetimes[slot]
        end = created + lifetime if lifetime < _FAR - created else _FAR
        if end < self._soonest:
            self._soonest = end
        if created > self._newest:
            self._newest = created

    def _forget_times(self):
        self._soonest = _FAR
        self._newest = 0

    # ---- Links ----

    def _list_insert(self, slot):
        nexts = self._nexts
        prevs = self._prevs
        end = self._slots
        first = nexts[end]
        prevs[slot] = end
        nexts[slot] = first
        prevs[first] = slot
        nexts[end] = slot

    def _list_delete(self, slot):
        after = self._nexts[slot]
        before = self._prevs[slot]
        self._nexts[before] = after
        self._prevs[after] = before

    def _free_slot(self, slot):
        self._handles[slot] = None
        self._refs[slot] = 0
        _pack_into("33s", self._keys, _KEY * slot, b"")
        self._states.seek(self._data_size * slot)
        self._states.write(self._zeros)
        self._nexts[slot] = self._free
        self._free = slot

    # ---- In and out of the table ----

    def _enter(self, slot):
        self._tags[slot] = self._tag_of(slot)
        self._list_insert(slot)
        self._note_times(slot)
        self._number += 1

    def _leave(self, slot):
        self._tags[slot] = 0
        self._list_delete(slot)
        self._number -= 1

    def _call(self, callback, argument):
        # What the callback returned; 0 when it raised, since nothing may unwind through a TLS handshake.
        try:
            return callback(self, argument) or 0
        except BaseException:
            return 0

    def _tell_removed(self, h):
        self._busy = True
        self._call(self._on_remove, h)
        self._busy = False

    def _remove_slot(self, slot, h):
        # Removes what is in the slot on behalf of `h`, which has the same id. As in libssl, the callback
        # comes before the table gives back its reference.
        self._leave(slot)
        if self._on_remove is not None:
            self._leaving = slot
            self._tell_removed(h)
            self._leaving = -1
        if not self._refs[slot]:
            self._free_slot(slot)

    def _remove_expired(self, now):
        if now and self._newest <= now <= self._soonest:
            return 0
        self._forget_times()
        removed = 0
        for slot in range(self._slots):
            if self._tags[slot]:
                if self._is_expired(slot, now):
                    self._remove_slot(slot, self._handles[slot])
                    removed += 1
                else:
                    self._note_times(slot)
        return removed

    def _make_room(self):
        self._cache_full = (self._cache_full + self._remove_expired(self.now())) & _COUNTER_MASK
        while self._number >= self._cache_size:
            oldest = self._prevs[self._slots]
            self._remove_slot(oldest, self._handles[oldest])
            self._cache_full = (self._cache_full + 1) & _COUNTER_MASK

    def _reset(self):
        # Every slot free, so that they are given out in the order 0, 1, 2, ...
        end = self._slots
        self._free = end
        for slot in range(end - 1, -1, -1):
            self._tags[slot] = 0
            self._free_slot(slot)
        self._nexts[end] = end
        self._prevs[end] = end
        self._number = 0
        self._forget_times()

    # ---- The interface, in the order of sesstab.h ----

    def clear(self):
        if not self._busy:
            self._reset()

    def now(self):
        if self._clock is not None:
            return self._ask_clock()
        # Seconds since the table was made, plus 1. To be asked more often than ticks_ms comes round: 12 days.
        ticks = _ticks_ms() & _COUNTER_MASK
        passed = (ticks - self._ticks) & _COUNTER_MASK
        if passed >= 1000:
            self._seconds += passed // 1000
            self._ticks = (ticks - passed % 1000) & _COUNTER_MASK
        return self._seconds

    def _ask_clock(self):
        try:
            t = self._clock()
            t = int(t) if isinstance(t, _NUMBERS) else 0
        except BaseException:  # whatever went wrong, the time is not known
            return 0
        return t if 0 <= t <= _TIME_MAX else 0

    # ---- Sessions ----

    def new_session(self, id, data, timeout=None, context=0):
        if not isinstance(id, _BUFFERS) or not isinstance(data, _BUFFERS):
            raise TypeError("id and data must be bytes, bytearray or memoryview")
        if timeout is None:
            timeout = self._timeout
        elif not isinstance(timeout, _INTS):
            raise TypeError("timeout must be an int or None")
        if not 0 < len(id) <= _ID_MAX or len(data) > self._data_size or context & ~0xFF:
            return 0
        slot = self._free
        if slot == self._slots or not 0 <= timeout <= _TIMEOUT_MAX:
            return 0
        self._created[slot] = self.now()
        self._lifetimes[slot] = timeout
        self._contexts[slot] = context
        self._free = self._nexts[slot]
        return self._fill(slot, id, data)

    def _fill(self, slot, id, data):
        self._refs[slot] = 1
        self._sizes[slot] = len(data)
        _pack_into("B32s", self._keys, _KEY * slot, len(id), id)
        self._states.seek(self._data_size * slot)
        self._states.write(data)
        generation = self._generations[slot]
        generation = generation + 1 if generation < self._generation_max else 1
        self._generations[slot] = generation
        self._handles[slot] = generation << self._bits | slot
        return self._handles[slot]

    def up_ref(self, h):
        slot = h & self._mask
        if self._handles[slot] != h or self._refs[slot] == _REFS_MAX:
            return 0
        self._refs[slot] += 1
        return 1

    def free(self, h):
        slot = h & self._mask
        if self._handles[slot] != h:
            return 0
        refs = self._refs[slot]
        if not refs:
            return 0
        self._refs[slot] = refs - 1
        if refs == 1 and not self._tags[slot] and slot != self._leaving:
            self._free_slot(slot)
        return 1

    # ---- The table ----

    def add_session(self, h):
        slot = h & self._mask
        if self._handles[slot] != h or self._busy:
            return 0
        if self._mode & _UPDATE_TIME:
            self._created[slot] = self.now()
            self._note_times(slot)
        if self._tags[slot]:
            return 0
        twin = self._find_twin(slot)
        if twin >= 0:
            self._leave(twin)
            if not self._refs[twin]:
                self._free_slot(twin)
        if self._number >= self._cache_size:
            self._make_room()
            if self._handles[slot] != h:  # on_remove has freed it
                return 0
        self._enter(slot)
        return 1

    def remove_session(self, h):
        slot = h & self._mask
        if self._handles[slot] != h or self._busy:
            return 0
        if not self._tags[slot]:
            slot = self._find_twin(slot)
            if slot < 0:
                if self._on_remove is not None:
                    self._tell_removed(h)
                return 0
        self._remove_slot(slot, h)
        return 1

    def get_session(self, id, context=0):
        size = len(id)
        if context & ~0xFF or not 0 < size <= _ID_MAX:
            _check_type(id, _BUFFERS, "id must be bytes, bytearray or memoryview")
            return 0
        slot = self._find(id, size)
        if self._busy:
            return 0
        if self._mode & _NO_LOOKUP:
            slot = -1
        elif slot < 0:
            self._misses = (self._misses + 1) & _COUNTER_MASK
        if slot < 0:
            slot = self._get_external(id, size)
            if slot < 0:
                return 0
        elif self._refs[slot] == _REFS_MAX:
            return 0
        else:
            self._refs[slot] += 1
        return self._resume(slot, context)

    def _get_external(self, id, size):
        # Asks on_get, and stores what it gives: a session's slot, with a reference; or -1.
        if self._on_get is None:
            return -1
        h = self._call(self._on_get, id)
        if not isinstance(h, int):
            return -1
        slot = h & self._mask
        if self._handles[slot] != h or not self._refs[slot]:
            return -1
        _pack_into("B32s", self._key, 0, size, id)  # again: on_get may have searched too
        if self._keys.find(self._key, _KEY * slot, _KEY * slot + _KEY) < 0:
            self.free(h)
            return -1
        self._cb_hits = (self._cb_hits + 1) & _COUNTER_MASK
        # With UPDATE_TIME, adding would make an expired session fresh.
        if self._mode & _NO_STORE or (self._mode & _UPDATE_TIME and self._is_expired(slot, self.now())):
            return slot
        self.add_session(h)
        return slot if self._handles[slot] == h else -1  # on_remove may have freed it

    def _resume(self, slot, context):
        # The handle of a session that was found, if it may be resumed; else gives its reference back.
        h = self._handles[slot]
        if self._contexts[slot] != context:
            self.free(h)
            return 0
        now = self.now()
        if self._is_expired(slot, now):
            self._timeouts = (self._timeouts + 1) & _COUNTER_MASK
            self.remove_session(h)
            self.free(h)
            return 0
        self._hits = (self._hits + 1) & _COUNTER_MASK
        if self._tags[slot]:
            self._list_delete(slot)
            self._list_insert(slot)
        if self._mode & _UPDATE_TIME:
            self._created[slot] = now
            self._note_times(slot)
        return h

    def has_session(self, id):
        size = len(id)
        if not 0 < size <= _ID_MAX:
            _check_type(id, _BUFFERS, "id must be bytes, bytearray or memoryview")
            return 0
        return 1 if self._find(id, size) >= 0 else 0

    def flush_sessions(self, now=None):
        if now is None:
            now = self.now()
        _check_type(now, _INTS, "now must be an int")
        if self._busy or not 0 <= now <= _TIME_MAX:
            return 0
        return self._remove_expired(now)

    def update_cache(self, h, side=SESS_CACHE_SERVER):
        slot = h & self._mask
        _check_type(side, _INTS, "side must be an int")
        mode = self._mode
        if self._handles[slot] != h or self._busy or not 0 < side <= _SIDES or not mode & side:
            return 0
        self._stored = (self._stored + 1) & _COUNTER_MASK
        added = 0 if mode & _NO_STORE else self.add_session(h)
        if self._on_new is not None and self.up_ref(h) and not self._call(self._on_new, h):
            self.free(h)
        if not mode & _NO_AUTO_CLEAR and self._stored & 0xFF == 0xFF:
            self._remove_expired(self.now())
        return added

    # ---- What a session holds ----

    def session_id(self, h, buf):
        at = _KEY * (h & self._mask)
        _check_type(buf, _WRITABLE, "buf must be a bytearray or memoryview")
        if self._handles[h & self._mask] != h:
            return 0
        keys = self._keys
        size = keys[at]
        if size > len(buf):
            return 0
        i = size
        while i:
            buf[i - 1] = keys[at + i]
            i -= 1
        return size

    def session_data(self, h, buf):
        slot = h & self._mask
        _check_type(buf, _WRITABLE, "buf must be a bytearray or memoryview")
        if self._handles[slot] != h:
            return 0
        size = self._sizes[slot]
        if size > len(buf):
            return 0
        self._states.seek(self._data_size * slot)
        return self._states.readinto(buf, size)

    def session_time(self, h):
        slot = h & self._mask
        return self._created[slot] if self._handles[slot] == h else 0

    def session_timeout(self, h):
        slot = h & self._mask
        return self._lifetimes[slot] if self._handles[slot] == h else 0

    def session_context(self, h):
        slot = h & self._mask
        return self._contexts[slot] if self._handles[slot] == h else 0

    def set_session_time(self, h, time):
        slot = h & self._mask
        _check_type(time, _INTS, "time must be an int")
        if self._handles[slot] != h or not 0 <= time <= _TIME_MAX:
            return 0
        self._created[slot] = time
        self._note_times(slot)
        return 1

    def set_session_timeout(self, h, timeout):
        slot = h & self._mask
        _check_type(timeout, _INTS, "timeout must be an int")
        if self._handles[slot] != h or not 0 <= timeout <= _TIMEOUT_MAX:
            return 0
        self._lifetimes[slot] = timeout
        self._note_times(slot)
        return 1

    def session_refs(self, h):
        slot = h & self._mask
        if self._handles[slot] != h:
            return 0
        return self._refs[slot] + (1 if self._tags[slot] or slot == self._leaving else 0)

    # ---- Settings and statistics ----

    @property
    def timeout(self):
        return self._timeout

    @timeout.setter
    def timeout(self, value):
        _check_range(value, 0, _TIMEOUT_MAX, "timeout must be an int")
        self._timeout = value

    @property
    def mode(self):
        return self._mode

    @mode.setter
    def mode(self, value):
        _check_mode(value)
        self._mode = value

    @property
    def cache_size(self):
        return self._cache_size

    @cache_size.setter
    def cache_size(self, value):
        _check_type(value, _INTS, "cache_size must be an int")
        if value < 0:
            raise ValueError("cache_size: %d is negative" % value)
        self._cache_size = value if 0 < value < self._capacity else self._capacity

    @property
    def on_new(self):
        return self._on_new

    @on_new.setter
    def on_new(self, callback):
        _check_callback(callback)
        self._on_new = callback

    @property
    def on_get(self):
        return self._on_get

    @on_get.setter
    def on_get(self, callback):
        _check_callback(callback)
        self._on_get = callback

    @property
    def on_remove(self):
        return self._on_remove

    @on_remove.setter
    def on_remove(self, callback):
        _check_callback(callback)
        self._on_remove = callback

    @property
    def capacity(self):
        return self._capacity

    @property
    def spare(self):
        return self._slots - self._capacity

    @property
    def data_size(self):
        return self._data_size

    def sess_number(self):
        return self._number

    def sess_hits(self):
        return self._hits

    def sess_misses(self):
        return self._misses

    def sess_timeouts(self):
        return self._timeouts

    def sess_cache_full(self):
        return self._cache_full

    def sess_cb_hits(self):
        return self._cb_hits

    def sess_stored(self):
        return self._stored

    def session_stats(self):
        # The keys of CPython's ssl.SSLContext.session_stats().
        handshakes = self._stored + self._hits
        accept = handshakes if self._mode & SESS_CACHE_SERVER else 0
        connect = handshakes if self._mode & _SIDES == SESS_CACHE_CLIENT else 0
        return {
            "number": self._number,
            "connect": connect,
            "connect_good": connect,
            "connect_renegotiate": 0,
            "accept": accept,
            "accept_good": accept,
            "accept_renegotiate": 0,
            "hits": self._hits,
            "misses": self._misses,
            "timeouts": self._timeouts,
            "cache_full": self._cache_full,
        }

    def next_session(self, h=0):
        slot = h & self._mask
        if h == 0:
            slot = self._slots
        elif self._handles[slot] != h or not self._tags[slot]:
            return 0
        slot = self._nexts[slot]
        return 0 if slot == self._slots else self._handles[slot]

    # ---- Snapshots ----

    def dump(self, buf=None, max_bytes=None):
        return format.dump(self, buf, max_bytes)

    def dump_size(self):
        return format.dump_size(self)

    def load(self, buf, elapsed=0):
        return format.load(self, buf, elapsed)

    # ---- TLS ----

    def attach(self, ctx):
        raise NotImplementedError(_NEEDS_NATIVE)

    def detach(self, ctx):
        raise NotImplementedError(_NEEDS_NATIVE)

    def wrap_socket(self, ctx, sock, server_hostname, port=443, context=0):
        from .client import wrap_socket

        return wrap_socket(self, ctx, sock, server_hostname, port, context)

    def open_connection(self, ctx, host, port=443, server_hostname=None, context=0):
        from .client import open_connection

        return open_connection(self, ctx, host, port, server_hostname, context)
