# The session table in Python: firmware/core/sesstab.h, call for call and in its order.
#
# All storage is taken by the constructor. A session lives in a slot; slot s has
#     _keys[33 * s:]     its id: length, then 32 bytes, padded with zeros
#     _states            its secret data, at data_size * s: a stream, since reading a part of it allocates nothing
#     _handles[s]        its handle; None in a free slot, which equals no number
#     _tags[s]           a byte computed from the id while the session is in the table, else 0
#     _refs[s]           how many references callers hold
#     _held[s]           1 while the table holds one: in the table, or on its way in or out
# The table is searched at C speed: bytearray.find looks for the tag, and again, with a window of 33 bytes, compares
# a key. Sessions in the table form a ring through _nexts and _prevs, most recently used first; its head is the index
# after the last slot. Free slots form a list through _nexts.
#
# Nothing here may allocate after the constructor, or it would fail under micropython.heap_lock(): no slices, no
# bound methods, no numbers beyond a small int. struct.pack_into copies any buffer into a slot and pads with zeros.

import io
import struct
import sys
import time
from array import array

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
_COUNTER = const(0x3FFFFFFF)
_MODES = const(0x783)
_SIDES = const(3)
_NO_AUTO_CLEAR = const(0x80)
_NO_LOOKUP = const(0x100)
_NO_STORE = const(0x200)
_UPDATE_TIME = const(0x400)

_FAR = sys.maxsize >> 1  # the largest small int
_BUFFERS = (bytes, bytearray, memoryview)
_WRITABLE = (bytearray, memoryview)
_ONE_SIDE = (SESS_CACHE_CLIENT, SESS_CACHE_SERVER)
_NEEDS_NATIVE = "only the native engine can attach to TLS: install the module _sesstab for this board"
try:
    _NUMBERS = (int, float)
except NameError:  # firmware without floating point
    _NUMBERS = (int,)

if sys.implementation.name == "micropython":
    _Stream = io.BytesIO
    _pack_into = struct.pack_into
    _MASK = const(0x3FFFFFFF)

    def _ticks():
        return time.ticks_ms() & _MASK

else:

    class _Stream(io.BytesIO):
        def readinto(self, buf, size):
            return super().readinto(memoryview(buf)[:size])

    def _pack_into(form, buf, offset, *values):
        struct.pack_into(form, buf, offset, *(v if isinstance(v, int) else bytes(memoryview(v)) for v in values))

    def _ticks():
        return int(time.monotonic() * 1000) & 0x3FFFFFFF


def _check_type(value, types, name):
    if not isinstance(value, types):
        raise TypeError("%s: %s is not allowed" % (name, type(value).__name__))


def _check_range(value, least, most, name):
    _check_type(value, int, name)
    if not least <= value <= most:
        raise ValueError("%s: %d is not in %d to %d" % (name, value, least, most))


def _check_mode(mode):
    _check_type(mode, int, "mode")
    if mode & ~_MODES:
        raise ValueError("mode: %d has unknown flags" % mode)


def _check_callback(callback, name):
    if callback is not None and not callable(callback):
        raise TypeError("%s: neither callable nor None" % name)


def _sizes_fit(capacity, spare, data_size):
    return capacity >= 1 and spare >= 0 and capacity + spare <= _SLOTS_MAX and 1 <= data_size <= _DATA_MAX


def _blocks(size):
    # What an allocation takes: MicroPython's heap has blocks of four words.
    block = 16 if sys.maxsize < 1 << 32 else 32
    return (size + block - 1) // block * block


class SessionTable:
    @staticmethod
    def size_of(capacity, spare=2, data_size=50):
        for value in (capacity, spare, data_size):
            _check_type(value, int, "size_of")
        if not _sizes_fit(capacity, spare, data_size):
            return 0
        slots = capacity + spare
        handles = 1
        while handles < slots:
            handles *= 2
        word = 4 if sys.maxsize < 1 << 32 else 8
        lists = 2 * _blocks(slots * word) + 2 * _blocks((slots + 1) * word) + _blocks(handles * word)
        arrays = _blocks(_KEY * slots) + 4 * _blocks(slots) + 2 * _blocks(2 * slots) + _blocks(data_size * slots)
        return lists + arrays + _blocks(data_size) + 168 * word

    def __init__(self, capacity, spare=2, data_size=50, timeout=7200, mode=SESS_CACHE_SERVER, clock=None):
        _check_range(capacity, 1, _SLOTS_MAX, "capacity")
        _check_range(spare, 0, _SLOTS_MAX - capacity, "spare")
        _check_range(data_size, 1, _DATA_MAX, "data_size")
        _check_range(timeout, 0, _TIMEOUT_MAX, "timeout")
        _check_mode(mode)
        _check_callback(clock, "clock")
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
        self._milliseconds = 0
        self._ticks = _ticks()
        self._removing = False  # on_remove is running
        self._number = 0
        # No session in the table is expired from _newest, when the newest was made, to _due, when the first ends.
        self._newest = 0
        self._due = _FAR
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
        self._held = bytearray(slots)
        self._tags = bytearray(slots)
        self._keys = bytearray(_KEY * slots)
        self._sizes = array("H", bytes(2 * slots))
        self._zeros = bytes(data_size)
        self._states = _Stream(bytearray(data_size * slots))
        self._nexts = [0] * (slots + 1)
        self._prevs = [0] * (slots + 1)
        self._key = bytearray(_KEY)
        self._tag = bytearray(1)
        self._empty()

    def clear(self):
        if self._removing:
            return
        for slot in range(self._slots):
            if self._handles[slot] is not None:
                self._wipe(slot)
        self._empty()

    def _empty(self):
        # Every slot is free; they are given out in order.
        slots = self._slots
        nexts = self._nexts
        for slot in range(slots):
            nexts[slot] = slot + 1
            self._tags[slot] = 0
            self._held[slot] = 0
            self._refs[slot] = 0
        self._free = 0
        nexts[slots] = slots
        self._prevs[slots] = slots
        self._number = 0

    def now(self):
        clock = self._clock
        if clock is None:
            return self._own_time()
        try:
            t = clock()
            if isinstance(t, _NUMBERS):
                t = int(t)
                if 0 <= t <= _TIME_MAX:
                    return t
        except BaseException:  # whatever went wrong, the time is not known
            return 0
        return 0

    def _own_time(self):
        ticks = _ticks()
        passed = (ticks - self._ticks) & _COUNTER
        self._ticks = ticks
        seconds = passed // 1000
        rest = self._milliseconds + passed - 1000 * seconds
        if rest >= 1000:
            rest -= 1000
            seconds += 1
        self._milliseconds = rest
        self._seconds += seconds
        return self._seconds

    # ---- Sessions ----

    def new_session(self, id, data, timeout=None, context=0):
        _check_type(id, _BUFFERS, "id")
        _check_type(data, _BUFFERS, "data")
        if timeout is None:
            timeout = self._timeout
        else:
            _check_type(timeout, int, "timeout")
        size = len(data)
        if not 0 < len(id) <= _ID_MAX or size > self._data_size or context & ~0xFF:
            return 0
        if not 0 <= timeout <= _TIMEOUT_MAX:
            return 0
        slot = self._free
        if slot == self._slots:
            return 0
        now = self.now()
        self._free = self._nexts[slot]
        _pack_into("B32s", self._keys, _KEY * slot, len(id), id)
        self._states.seek(self._data_size * slot)
        self._states.write(data)
        self._sizes[slot] = size
        self._created[slot] = now
        self._lifetimes[slot] = timeout
        self._contexts[slot] = context
        self._refs[slot] = 1
        return self._name(slot)

    def _name(self, slot):
        # Names the slot anew: the next generation's handle.
        generation = self._generations[slot] + 1
        if generation > self._generation_max:
            generation = 1
        self._generations[slot] = generation
        h = generation << self._bits | slot
        self._handles[slot] = h
        return h

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
        if refs == 1 and not self._held[slot]:
            self._give_back(slot)
        return 1

    def _give_back(self, slot):
        self._wipe(slot)
        self._nexts[slot] = self._free
        self._free = slot

    def _wipe(self, slot):
        self._handles[slot] = None
        _pack_into("33s", self._keys, _KEY * slot, b"")
        self._states.seek(self._data_size * slot)
        self._states.write(self._zeros)
        self._sizes[slot] = 0
        self._created[slot] = 0
        self._lifetimes[slot] = 0
        self._contexts[slot] = 0

    # ---- The table ----

    def add_session(self, h):
        slot = h & self._mask
        if self._handles[slot] != h or self._removing:
            return 0
        if self._mode & _UPDATE_TIME:
            self._created[slot] = self.now()
        if self._tags[slot]:
            self._watch(slot)
            return 0
        self._held[slot] = 1
        tag = self._tag_of(slot)
        twin = self._find_twin(slot, tag)
        if twin >= 0:
            self._unlink(twin)
            self._drop(twin)
        if self._number >= self._cache_size:
            self._make_room()
        self._link(slot, tag)
        return 1

    def _tag_of(self, slot):
        keys = self._keys
        at = _KEY * slot
        return keys[at + 1] ^ keys[at + keys[at]] or 1

    def _find_twin(self, slot, tag):
        # The slot in the table with the id of `slot`, or -1.
        tags = self._tags
        self._tag[0] = tag
        twin = tags.find(self._tag)
        while twin >= 0:
            if self._same_id(slot, twin):
                return twin
            twin = tags.find(self._tag, twin + 1)
        return -1

    def _same_id(self, a, b):
        keys = self._keys
        a *= _KEY
        b *= _KEY
        for i in range(keys[a] + 1):
            if keys[a + i] != keys[b + i]:
                return False
        return True

    def _make_room(self):
        now = self.now()
        self._cache_full = (self._cache_full + self._expire(now)) & _COUNTER
        while self._number >= self._cache_size:
            self._remove(self._prevs[self._slots])
            self._cache_full = (self._cache_full + 1) & _COUNTER

    def _link(self, slot, tag):
        self._tags[slot] = tag
        self._number += 1
        self._to_front(slot)
        self._watch(slot)

    def _to_front(self, slot):
        nexts = self._nexts
        prevs = self._prevs
        head = self._slots
        first = nexts[head]
        nexts[slot] = first
        prevs[slot] = head
        nexts[head] = slot
        prevs[first] = slot

    def _take_out(self, slot):
        after = self._nexts[slot]
        before = self._prevs[slot]
        self._nexts[before] = after
        self._prevs[after] = before

    def _unlink(self, slot):
        self._take_out(slot)
        self._tags[slot] = 0
        self._number -= 1

    def _drop(self, slot):
        # Gives the table's reference back.
        self._held[slot] = 0
        if not self._refs[slot]:
            self._give_back(slot)

    def _remove(self, slot):
        self._unlink(slot)
        self._tell_removed(self._handles[slot])
        self._drop(slot)

    def _tell_removed(self, h):
        if self._on_remove is None:
            return
        self._removing = True
        try:
            self._on_remove(self, h)
        except BaseException:  # must not unwind through a TLS handshake
            return
        finally:
            self._removing = False

    def _watch(self, slot):
        # Keeps _newest and _due right when a session in the table got its times.
        created = self._created[slot]
        lifetime = self._lifetimes[slot]
        due = created + lifetime if lifetime < _FAR - created else _FAR
        if created > self._newest:
            self._newest = created
        if due < self._due:
            self._due = due

    def _expire(self, now):
        # Removes the sessions that are expired at `now` (0: all), and returns how many.
        if now and self._newest <= now <= self._due:
            return 0
        self._newest = 0
        self._due = _FAR
        count = 0
        for slot in range(self._slots):
            if self._tags[slot]:
                if self._is_expired(slot, now):
                    self._remove(slot)
                    count += 1
                else:
                    self._watch(slot)
        return count

    def _is_expired(self, slot, now):
        created = self._created[slot]
        return not now or created > now or now - created > self._lifetimes[slot]

    def remove_session(self, h):
        slot = h & self._mask
        if self._handles[slot] != h or self._removing:
            return 0
        cached = slot if self._tags[slot] else self._find_twin(slot, self._tag_of(slot))
        if cached >= 0:
            self._unlink(cached)
        self._tell_removed(h)
        if cached < 0:
            return 0
        self._drop(cached)
        return 1

    def get_session(self, id, context=0):
        size = len(id)
        if context & ~0xFF or not 0 < size <= _ID_MAX:
            _check_type(id, _BUFFERS, "id")
            return 0
        slot = self._find(id, size)
        if self._removing:
            return 0
        if self._mode & _NO_LOOKUP:
            slot = -1
        elif slot < 0:
            self._misses = (self._misses + 1) & _COUNTER
        if slot < 0:
            slot = self._ask(id, size)
            if slot < 0:
                return 0
        elif self._refs[slot] == _REFS_MAX:
            return 0
        else:
            self._refs[slot] += 1
        h = self._handles[slot]
        if self._contexts[slot] != context:
            self.free(h)
            return 0
        now = self.now()
        if self._is_expired(slot, now):
            self._timeouts = (self._timeouts + 1) & _COUNTER
            self.remove_session(h)
            self.free(h)
            return 0
        self._hits = (self._hits + 1) & _COUNTER
        if self._mode & _UPDATE_TIME:
            self._created[slot] = now
        if self._tags[slot]:
            self._take_out(slot)
            self._to_front(slot)
            if now > self._newest:
                self._newest = now
        return h

    def _find(self, id, size):
        # The slot in the table with this id, or -1. Leaves its key in self._key.
        key = self._key
        _pack_into("B32s", key, 0, size, id)  # a TypeError when it is no buffer,
        self._tag[0] = id[0] ^ id[size - 1] or 1  # and here when it is a str
        tags = self._tags
        slot = tags.find(self._tag)
        while slot >= 0:
            at = _KEY * slot
            if self._keys.find(key, at, at + _KEY) == at:
                return slot
            slot = tags.find(self._tag, slot + 1)
        return -1

    def _ask(self, id, size):
        # Asks on_get for a session; the slot of the one that it gave, or -1.
        if self._on_get is None:
            return -1
        try:
            h = self._on_get(self, id)
        except BaseException:  # must not unwind through a TLS handshake
            return -1
        if not isinstance(h, int):
            return -1
        slot = h & self._mask
        if self._handles[slot] != h or not self._refs[slot]:
            return -1
        _pack_into("B32s", self._key, 0, size, id)  # the callback may have searched too
        if self._keys.find(self._key, _KEY * slot, _KEY * slot + _KEY) < 0:
            self.free(h)
            return -1
        self._cb_hits = (self._cb_hits + 1) & _COUNTER
        if not self._mode & _NO_STORE:
            self.add_session(h)
        # Its on_remove may have freed the session.
        return slot if self._handles[slot] == h else -1

    def has_session(self, id):
        size = len(id)
        if not 0 < size <= _ID_MAX:
            _check_type(id, _BUFFERS, "id")
            return 0
        return 1 if self._find(id, size) >= 0 else 0

    def flush_sessions(self, now=None):
        if now is None:
            now = self.now()
        _check_type(now, int, "now")
        if self._removing or not 0 <= now <= _TIME_MAX:
            return 0
        return self._expire(now)

    def update_cache(self, h, side=SESS_CACHE_SERVER):
        slot = h & self._mask
        _check_type(side, int, "side")
        mode = self._mode
        if self._handles[slot] != h or self._removing or side not in _ONE_SIDE or not mode & side:
            return 0
        self._stored = (self._stored + 1) & _COUNTER
        stored = self._stored
        added = 0 if mode & _NO_STORE else self.add_session(h)
        if self._on_new is not None and self.up_ref(h) and not self._is_kept(h):
            self.free(h)
        if not mode & _NO_AUTO_CLEAR and stored & 0xFF == 0xFF:
            self._expire(self.now())
        return added

    def _is_kept(self, h):
        try:
            return bool(self._on_new(self, h))
        except BaseException:  # must not unwind through a TLS handshake
            return False

    # ---- What a session holds ----

    def session_id(self, h, buf):
        slot = h & self._mask
        _check_type(buf, _WRITABLE, "buf")
        if self._handles[slot] != h:
            return 0
        keys = self._keys
        at = _KEY * slot
        size = keys[at]
        if size > len(buf):
            return 0
        for i in range(size):
            buf[i] = keys[at + 1 + i]
        return size

    def session_data(self, h, buf):
        slot = h & self._mask
        _check_type(buf, _WRITABLE, "buf")
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
        _check_type(time, int, "time")
        if self._handles[slot] != h or not 0 <= time <= _TIME_MAX:
            return 0
        self._created[slot] = time
        if self._tags[slot]:
            self._watch(slot)
        return 1

    def set_session_timeout(self, h, timeout):
        slot = h & self._mask
        _check_type(timeout, int, "timeout")
        if self._handles[slot] != h or not 0 <= timeout <= _TIMEOUT_MAX:
            return 0
        self._lifetimes[slot] = timeout
        if self._tags[slot]:
            self._watch(slot)
        return 1

    def session_refs(self, h):
        slot = h & self._mask
        return self._refs[slot] + self._held[slot] if self._handles[slot] == h else 0

    # ---- Settings and statistics ----

    @property
    def timeout(self):
        return self._timeout

    @timeout.setter
    def timeout(self, value):
        _check_range(value, 0, _TIMEOUT_MAX, "timeout")
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
        _check_type(value, int, "cache_size")
        if value < 0:
            raise ValueError("cache_size: %d is negative" % value)
        self._cache_size = value if 0 < value < self._capacity else self._capacity

    @property
    def on_new(self):
        return self._on_new

    @on_new.setter
    def on_new(self, callback):
        _check_callback(callback, "on_new")
        self._on_new = callback

    @property
    def on_get(self):
        return self._on_get

    @on_get.setter
    def on_get(self, callback):
        _check_callback(callback, "on_get")
        self._on_get = callback

    @property
    def on_remove(self):
        return self._on_remove

    @on_remove.setter
    def on_remove(self, callback):
        _check_callback(callback, "on_remove")
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
        accept = 0 if self._mode & _SIDES == SESS_CACHE_CLIENT else handshakes
        return {
            "number": self._number,
            "connect": handshakes - accept,
            "connect_good": handshakes - accept,
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

    # ---- TLS ----

    def attach(self, ctx):
        raise NotImplementedError(_NEEDS_NATIVE)

    def detach(self, ctx):
        raise NotImplementedError(_NEEDS_NATIVE)
