# The session table in Python: firmware/core/sesstab.c, with its names and in its order.
#
# All storage is taken by the constructor. A session lives in a slot; slot s has
#     _views[s]     its id: a view of its 32 bytes of _ids, padded with zeros
#     _id_sizes[s]  the length of its id
#     _states       its secret data, at data_size * s: a stream, since reading from it allocates nothing
#     _handles[s]   its handle; None when free, which equals no number
#     _tags[s]      the last byte of its id, or 1 for 0, while the session is in the table; else 0
#     _refs[s]      how many references callers hold
# A search runs at C speed: bytearray.find looks for the tag, and then views of the ids are compared. Slots in
# the table form a ring through _nexts and _prevs, most recently used first, closed by the last entry, [-1].
# Free slots form a stack through _nexts.
#
# Nothing may allocate once a table is made, or it would fail under micropython.heap_lock(): no slices, no
# bound methods, no numbers beyond a small int, no formatted messages. struct.pack_into copies any buffer, and
# pads it with zeros.
#
# What takes time on a board is finding names, so the inner functions are functions of this module: a method
# is looked for among the object's attributes first, which takes longer than to run it.

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
_DATA_MAX = const(2047)
_SLOTS_MAX = const(65535)
_REFS_MAX = const(255)
_TIME_MAX = 0xFFFFFFFF
_TIMEOUT_MAX = 0xFFFFFFFE
_END = const(-1)  # no slot, and in a list of links the last entry
_CALM_MAX = const(500000)  # seconds: in a little more than twice that time ticks come round
_COUNTER_MASK = const(0x3FFFFFFF)
_MODES = const(0x783)
_SIDES = const(3)
_NO_AUTO_CLEAR = const(0x80)
_NO_LOOKUP = const(0x100)
_NO_STORE = const(0x200)
_UPDATE_TIME = const(0x400)

# What is counted, by its place in _counts.
_HITS = const(0)
_MISSES = const(1)
_TIMEOUTS = const(2)
_CACHE_FULL = const(3)
_CB_HITS = const(4)
_STORED = const(5)

_FAR = sys.maxsize >> 1  # the largest small int
_BUFFERS = (bytes, bytearray, memoryview)
_WRITABLE = (bytearray, memoryview)
_NO_ID = "id must be bytes, bytearray or memoryview"
_NEEDS_NATIVE = "the pure engine cannot attach to TLS: install the module _sesstab for this board"
_INTS = (int, bool)  # a bool is no int on MicroPython
try:
    _NUMBERS = (int, bool, float)
except NameError:  # firmware without floating point
    _NUMBERS = _INTS

if sys.implementation.name == "micropython":  # pragma: no cover, which is measured on CPython
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
        values = [v if _isinstance(v, int) else bytes(memoryview(v)) for v in values]
        struct.pack_into(form, buf, offset, *values)

    def _ticks_ms():
        return time.monotonic_ns() // 1000000


# The names of built-ins are looked up one after the other; those of a module are not.
_len = len
_isinstance = isinstance


def _check_type(value, types, message):
    if not _isinstance(value, types):
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


# ---- Finding ----


def _tag_of(table, slot):
    return table._ids[_ID_MAX * slot + table._id_sizes[slot] - 1] or 1


def _has_id(table, slot, id, size):
    if size < _ID_MAX:
        _pack_into("32s", table._padded, 0, id)
        id = table._padded
    return table._views[slot] == id and table._id_sizes[slot] == size


def _find(table, id, size):
    # The slot in the table with this id, or -1.
    tag = table._tag
    tag[0] = id[size - 1] or 1  # a TypeError when it is a str
    slot = table._tags.find(tag)
    while slot >= 0 and not _has_id(table, slot, id, size):
        slot = table._tags.find(tag, slot + 1)
    return slot


def _find_twin(table, slot):
    # The slot in the table with the id of the session in `slot`, which is not in the table; or -1.
    return _find(table, table._views[slot], table._id_sizes[slot])


# ---- Time ----


def _is_expired(table, slot, now):
    created = table._created[slot]
    return not now or created > now or now - created > table._lifetimes[slot]


def _note_times(table, slot):
    # Keeps the bounds true after a session's times have changed, or it came into the table.
    if not table._tags[slot]:
        return
    table._calm = 0
    created = table._created[slot]
    lifetime = table._lifetimes[slot]
    end = created + lifetime if lifetime < _FAR - created else _FAR
    if end < table._soonest:
        table._soonest = end
    if created > table._newest:
        table._newest = created


def _forget_times(table):
    table._soonest = _FAR
    table._newest = 1


def _now(table):
    if table._clock is not None:
        return _ask_clock(table)
    # Seconds since the table was made, plus 1. To be asked more often than ticks_ms comes round: 12 days.
    ticks = _ticks_ms() & _COUNTER_MASK
    passed = (ticks - table._ticks) & _COUNTER_MASK
    if passed >= 1000:
        table._seconds += passed // 1000
        table._ticks = (ticks - passed % 1000) & _COUNTER_MASK
        table._calm = 0
    return table._seconds


def _ask_clock(table):
    try:
        t = table._clock()
        t = int(t) if _isinstance(t, _NUMBERS) else 0
    except BaseException:  # whatever went wrong, the time is not known
        return 0
    return t if 0 <= t <= _TIME_MAX else 0


# ---- Links ----


def _list_insert(table, slot):
    nexts = table._nexts
    prevs = table._prevs
    first = nexts[_END]
    prevs[slot] = _END
    nexts[slot] = first
    prevs[first] = slot
    nexts[_END] = slot


def _list_delete(table, slot):
    after = table._nexts[slot]
    before = table._prevs[slot]
    table._nexts[before] = after
    table._prevs[after] = before


def _free_slot(table, slot):
    table._handles[slot] = None
    table._refs[slot] = 0
    _pack_into("32s", table._ids, _ID_MAX * slot, b"")
    table._states.seek(table._data_size * slot)
    table._states.write(table._zeros)
    table._nexts[slot] = table._free
    table._free = slot


# ---- In and out of the table ----


def _count(table, what, more=1):
    table._counts[what] = (table._counts[what] + more) & _COUNTER_MASK


def _enter(table, slot):
    table._tags[slot] = _tag_of(table, slot)
    _list_insert(table, slot)
    _note_times(table, slot)
    table._number += 1


def _leave(table, slot):
    table._tags[slot] = 0
    _list_delete(table, slot)
    table._number -= 1


def _call(table, callback, argument):
    # What the callback returned; 0 when it raised, since nothing may unwind through a TLS handshake.
    try:
        return callback(table, argument) or 0
    except BaseException:
        return 0


def _tell_removed(table, h):
    table._busy = True
    table._calm = 0
    try:
        _call(table, table._on_remove, h)
    finally:
        table._busy = False


def _remove_slot(table, slot, h):
    # Removes what is in the slot on behalf of `h`, which has the same id. As in libssl, the callback
    # comes before the table gives back its reference.
    _leave(table, slot)
    if table._on_remove is not None:
        table._leaving = slot
        try:
            _tell_removed(table, h)
        finally:  # the stack may be too short even for that
            table._leaving = -1
            if not table._refs[slot]:
                _free_slot(table, slot)
    elif not table._refs[slot]:
        _free_slot(table, slot)


def _remove_expired(table, now):
    if table._newest <= now <= table._soonest:
        return 0
    _forget_times(table)
    removed = 0
    for slot in range(table._slots):
        if table._tags[slot]:
            if _is_expired(table, slot, now):
                _remove_slot(table, slot, table._handles[slot])
                removed += 1
            else:
                _note_times(table, slot)
    return removed


def _make_room(table, now):
    _count(table, _CACHE_FULL, _remove_expired(table, now))
    while table._number >= table._cache_size:
        oldest = table._prevs[_END]
        _remove_slot(table, oldest, table._handles[oldest])
        _count(table, _CACHE_FULL)


def _reset(table):
    # Every slot free, so that they are given out in the order 0, 1, 2, ...
    table._free = _END
    for slot in range(table._slots - 1, -1, -1):
        table._tags[slot] = 0
        _free_slot(table, slot)
    table._nexts[_END] = _END
    table._prevs[_END] = _END
    table._number = 0
    _forget_times(table)


# ---- Parts of the interface ----


def _fill(table, slot, id, data):
    table._refs[slot] = 1
    table._sizes[slot] = _len(data)
    table._id_sizes[slot] = _len(id)
    _pack_into("32s", table._ids, _ID_MAX * slot, id)
    table._states.seek(table._data_size * slot)
    table._states.write(data)
    generation = table._generations[slot]
    generation = generation + 1 if generation < table._generation_max else 1
    table._generations[slot] = generation
    table._handles[slot] = generation << table._bits | slot
    return table._handles[slot]


def _get(table, id, size, context, slot):
    # All that get_session() has to do, and what was found already: a slot, or -1.
    if slot < 0 and not _isinstance(id, _BUFFERS):
        raise TypeError(_NO_ID)
    if context & ~0xFF or not 0 < size <= _ID_MAX or table._busy:
        return 0
    if table._mode & _NO_LOOKUP:
        slot = -1
    elif slot < 0:
        table._counts[_MISSES] = (table._counts[_MISSES] + 1) & _COUNTER_MASK
    if slot < 0:
        # Not from a function of its own: on_get may search too, and a board's stack is short.
        slot = -1 if table._on_get is None else _take(table, _call(table, table._on_get, id), id, size)
        if slot < 0:
            return 0
    elif table._refs[slot] == _REFS_MAX:
        return 0
    else:
        table._refs[slot] += 1
    return _resume(table, slot, context)


def _take(table, h, id, size):
    # Stores what on_get gave: a session's slot, with a reference; or -1.
    if not _isinstance(h, int):
        return -1
    slot = h & table._mask
    if table._handles[slot] != h or not table._refs[slot]:
        return -1
    if not _has_id(table, slot, id, size):
        table.free(h)
        return -1
    _count(table, _CB_HITS)
    mode = table._mode
    # With UPDATE_TIME, adding would make an expired session fresh.
    if not (mode & _NO_STORE or (mode & _UPDATE_TIME and _is_expired(table, slot, _now(table)))):
        table.add_session(h)
    return slot if table._handles[slot] == h else -1  # on_remove or the clock may have freed it


def _resume(table, slot, context):
    # The handle of a session that was found, if it may be resumed; else gives its reference back.
    h = table._handles[slot]
    if table._contexts[slot] != context:
        table.free(h)
        return 0
    now = _now(table)
    if table._handles[slot] != h:  # the clock has freed it
        _count(table, _MISSES)
        return 0
    if _is_expired(table, slot, now):
        _count(table, _TIMEOUTS)
        table.remove_session(h)
        table.free(h)
        return 0
    _count(table, _HITS)
    if table._tags[slot]:
        _list_delete(table, slot)
        _list_insert(table, slot)
    if table._mode & _UPDATE_TIME:
        table._created[slot] = now
        _note_times(table, slot)
    elif table._clock is None and table._newest <= now <= table._soonest and not table._mode & _NO_LOOKUP:
        table._calm = 1000 * min(table._soonest - now + 1, _CALM_MAX)
    return h


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
        lists = 3 * _blocks(slots * word) + 2 * _blocks((slots + 1) * word) + _blocks(handles * word)
        arrays = 4 * _blocks(slots) + 2 * _blocks(2 * slots) + _blocks(_ID_MAX * slots)
        views = slots * _blocks(4 * word)
        states = _blocks(data_size * slots) + _blocks(data_size + 1)
        return lists + arrays + views + states + 208 * word

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
        self._counts = [0] * 6
        self._seconds = 1
        self._ticks = _ticks_ms() & _COUNTER_MASK  # when that second began
        self._busy = False  # on_remove is running
        self._leaving = -1  # the slot whose session it is told of: the table still holds its reference
        self._number = 0
        # No session in the table is made after _newest or expires before _soonest: while the clock is between
        # them, there is nothing to look for. A search for expired sessions makes both exact.
        self._newest = 1
        self._soonest = _FAR
        self._calm = 0  # for so many milliseconds after _ticks a hit needs no second look: nothing expires
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
        self._ids = bytearray(_ID_MAX * slots)
        self._views = [None] * slots
        for slot in range(slots):
            self._views[slot] = memoryview(self._ids)[_ID_MAX * slot : _ID_MAX * (slot + 1)]
        self._id_sizes = bytearray(slots)
        self._sizes = array("H", bytes(2 * slots))
        self._zeros = bytes(data_size)
        self._states = _Stream(data_size * slots)
        self._nexts = [0] * (slots + 1)
        self._prevs = [0] * (slots + 1)
        self._tag = bytearray(1)
        self._padded = bytearray(_ID_MAX)
        # What a hit needs, at hand at once: attributes are looked up one by one.
        self._parts = (
            self._tag,
            self._tags.find,
            self._views,
            self._id_sizes,
            self._contexts,
            self._refs,
            self._counts,
            self._nexts,
            self._prevs,
            self._handles,
        )
        _reset(self)

    # For format.py
    _find = _find
    _fill = _fill
    _is_expired = _is_expired

    # ---- The interface, in the order of sesstab.h ----

    def clear(self):
        if not self._busy:
            _reset(self)

    def now(self):
        return _now(self)

    # ---- Sessions ----

    def new_session(self, id, data, timeout=None, context=0):
        if not _isinstance(id, _BUFFERS) or not _isinstance(data, _BUFFERS):
            raise TypeError("id and data must be bytes, bytearray or memoryview")
        if timeout is None:
            timeout = self._timeout
        elif not _isinstance(timeout, _INTS):
            raise TypeError("timeout must be an int or None")
        now = _now(self)  # before anything else, since it may call the table and change the buffers
        if not 0 < _len(id) <= _ID_MAX or _len(data) > self._data_size or context & ~0xFF:
            return 0
        slot = self._free
        if slot == _END or not 0 <= timeout <= _TIMEOUT_MAX:
            return 0
        self._created[slot] = now
        self._lifetimes[slot] = timeout
        self._contexts[slot] = context
        self._free = self._nexts[slot]
        return _fill(self, slot, id, data)

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
            _free_slot(self, slot)
        return 1

    # ---- The table ----

    def add_session(self, h):
        slot = h & self._mask
        if self._handles[slot] != h or self._busy:
            return 0
        now = 0
        if self._mode & _UPDATE_TIME or self._number >= self._cache_size:
            now = _now(self)  # first, since it may call the table
            if self._handles[slot] != h:
                return 0
        if self._mode & _UPDATE_TIME:
            self._created[slot] = now
            _note_times(self, slot)
        if self._tags[slot]:
            return 0
        twin = _find_twin(self, slot)
        if twin >= 0:
            _leave(self, twin)
            if not self._refs[twin]:
                _free_slot(self, twin)
        if self._number >= self._cache_size:
            _make_room(self, now)
            if self._handles[slot] != h:  # on_remove has freed it
                return 0
        _enter(self, slot)
        return 1

    def remove_session(self, h):
        slot = h & self._mask
        if self._handles[slot] != h or self._busy:
            return 0
        if not self._tags[slot]:
            slot = _find_twin(self, slot)
            if slot < 0:
                if self._on_remove is not None:
                    _tell_removed(self, h)
                return 0
        _remove_slot(self, slot, h)
        return 1

    def get_session(self, id, context=0):
        # A hit that is like most is written out: a call takes as long as six lines. All else is for _get().
        size = _len(id)
        tag, find, views, sizes, contexts, refs, counts, nexts, prevs, handles = self._parts
        if size == _ID_MAX:
            tag[0] = id[31] or 1
            slot = find(tag)
            while slot >= 0 and not (views[slot] == id and sizes[slot] == _ID_MAX):
                slot = find(tag, slot + 1)
        else:
            slot = _find(self, id, size) if 0 < size < _ID_MAX else _END
        if (
            slot < 0
            or contexts[slot] is not context
            or (_ticks_ms() - self._ticks) & _COUNTER_MASK >= self._calm
        ):
            return _get(self, id, size, context, slot)
        count = refs[slot]
        if count == _REFS_MAX:
            return 0
        refs[slot] = count + 1
        counts[_HITS] = (counts[_HITS] + 1) & _COUNTER_MASK
        after = nexts[slot]
        before = prevs[slot]
        nexts[before] = after
        prevs[after] = before
        first = nexts[_END]
        prevs[slot] = _END
        nexts[slot] = first
        prevs[first] = slot
        nexts[_END] = slot
        return handles[slot]

    def has_session(self, id):
        size = _len(id)
        if 0 < size <= _ID_MAX and _find(self, id, size) >= 0:
            return 1
        _check_type(id, _BUFFERS, _NO_ID)
        return 0

    def flush_sessions(self, now=None):
        if now is None:
            now = _now(self)
        _check_type(now, _INTS, "now must be an int")
        if self._busy or not 0 <= now <= _TIME_MAX:
            return 0
        return _remove_expired(self, now)

    def update_cache(self, h, side=SESS_CACHE_SERVER):
        slot = h & self._mask
        _check_type(side, _INTS, "side must be an int")
        mode = self._mode
        if self._handles[slot] != h or self._busy or not 0 < side <= _SIDES or not mode & side:
            return 0
        _count(self, _STORED)
        added = 0 if mode & _NO_STORE else self.add_session(h)
        if self._on_new is not None and self.up_ref(h) and not _call(self, self._on_new, h):
            self.free(h)
        if not mode & _NO_AUTO_CLEAR and self._counts[_STORED] & 0xFF == 0xFF:
            _remove_expired(self, _now(self))
        return added

    # ---- What a session holds ----

    def session_id(self, h, buf):
        slot = h & self._mask
        _check_type(buf, _WRITABLE, "buf must be a bytearray or memoryview")
        if self._handles[slot] != h:
            return 0
        size = self._id_sizes[slot]
        if size > len(buf):
            return 0
        id = self._views[slot]
        for i in range(size):
            buf[i] = id[i]
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
        _note_times(self, slot)
        return 1

    def set_session_timeout(self, h, timeout):
        slot = h & self._mask
        _check_type(timeout, _INTS, "timeout must be an int")
        if self._handles[slot] != h or not 0 <= timeout <= _TIMEOUT_MAX:
            return 0
        self._lifetimes[slot] = timeout
        _note_times(self, slot)
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
        self._calm = 0

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
        return self._counts[_HITS]

    def sess_misses(self):
        return self._counts[_MISSES]

    def sess_timeouts(self):
        return self._counts[_TIMEOUTS]

    def sess_cache_full(self):
        return self._counts[_CACHE_FULL]

    def sess_cb_hits(self):
        return self._counts[_CB_HITS]

    def sess_stored(self):
        return self._counts[_STORED]

    def session_stats(self):
        # The keys of CPython's ssl.SSLContext.session_stats().
        handshakes = self._counts[_STORED] + self._counts[_HITS]
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
            "hits": self._counts[_HITS],
            "misses": self._counts[_MISSES],
            "timeouts": self._counts[_TIMEOUTS],
            "cache_full": self._counts[_CACHE_FULL],
        }

    def next_session(self, h=0):
        slot = h & self._mask
        if h == 0:
            slot = _END
        elif self._handles[slot] != h or not self._tags[slot]:
            return 0
        slot = self._nexts[slot]
        return 0 if slot == _END else self._handles[slot]

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

    def wrap_socket(self, *args, **kwargs):
        from .client import wrap_socket

        return wrap_socket(self, *args, **kwargs)

    def open_connection(self, *args, **kwargs):
        from .client import open_connection

        return open_connection(self, *args, **kwargs)
