# save and restore: two files that take turns, power that fails at any byte, keys.

import hashlib
import os
from binascii import crc32

from sesstab import snapshot
from support import counters, make, order, put, raises

PATH = "sessions"
KEY = bytes(range(16))
KEYS = (None, KEY) if snapshot.aes else (None,)
NAMES = (PATH + ".0", PATH + ".1")


def forget():
    for name in NAMES:
        if name in os.listdir():
            os.remove(name)


def read(name):
    with open(name, "rb") as f:
        return f.read()


def write(name, content):
    with open(name, "wb") as f:
        f.write(content)


def table_of(*ids):
    table, _ = make(8)
    for id in ids:
        put(table, id, b"secret state of " + id)
    return table


def restored(key=None, elapsed=0):
    """The ids that come back."""
    table, _ = make(8)
    count = snapshot.restore(table, PATH, elapsed, key)
    assert count == len(order(table))
    return order(table)


def refusal(key=None):
    table = table_of(b"before")
    try:
        snapshot.restore(table, PATH, 0, key)
    except ValueError as error:
        assert order(table) == [b"before"]
        return str(error)
    return None


def saved(key, *saves):
    """Saves one table after the other."""
    forget()
    for ids in saves:
        snapshot.save(table_of(*ids), PATH, key)


# Files


def test_nothing_was_saved_yet():
    forget()
    for key in KEYS:
        assert restored(key) == []


def test_what_is_saved_comes_back():
    for key in KEYS:
        saved(key, (b"a", b"b", b"c"))
        assert restored(key) == [b"c", b"b", b"a"]
        assert restored(key, 100) == [b"c", b"b", b"a"]
        assert restored(key, 101) == []


def test_an_empty_table_is_saved():
    for key in KEYS:
        saved(key, (b"a",), ())
        assert restored(key) == []


def test_padding_of_all_sizes():
    for key in KEYS:
        for size in range(1, 33):
            forget()
            table, _ = make(8)
            put(table, b"i" * size, b"data")
            snapshot.save(table, PATH, key)
            assert restored(key) == [b"i" * size]


def test_the_last_save_counts():
    for key in KEYS:
        forget()
        for n in range(7):
            snapshot.save(table_of(b"%d" % n), PATH, key)
            assert restored(key) == [b"%d" % n]
    assert sorted(name for name in os.listdir() if name.startswith(PATH)) == list(NAMES)


def test_a_file_of_another_size_takes_its_turn():
    for key in KEYS:
        saved(key, (b"a", b"b", b"c"), (b"d", b"e"), (b"f",), (b"g", b"h", b"i", b"j"))
        assert restored(key) == [b"j", b"i", b"h", b"g"]


def test_a_plain_file_holds_the_snapshot():
    table = table_of(b"a", b"b")
    forget()
    snapshot.save(table, PATH)
    content = read(NAMES[0])
    assert content[:10] == b"sesF\1\0\1\0\0\0"
    assert content[10:-4] == table.dump()


def test_a_path_that_cannot_be_written():
    assert raises(OSError, snapshot.save, table_of(b"a"), "no/such/folder/sessions")
    assert snapshot.restore(table_of(b"a"), "no/such/folder/sessions") == 0


# Power


def states_after(old, new, count):
    """What a file can hold when power fails after `count` bytes of writing it."""
    yield new[:count]
    yield new[:count] + old[count:]
    yield new[:count] + bytes(len(new) - count)
    yield new[:count] + b"\xff" * (len(new) - count)


def test_power_fails_at_any_byte():
    for key in KEYS:
        saved(key, (b"older",), (b"old",))
        old = [read(name) for name in NAMES]
        snapshot.save(table_of(b"new"), PATH, key)
        new = read(NAMES[0])
        assert (read(NAMES[1]), new == old[0]) == (old[1], False)
        for count in range(len(new) + 1):
            for content in states_after(old[0], new, count):
                write(NAMES[0], content)
                assert restored(key) == [b"new" if content == new else b"old"], (count, content)
        write(NAMES[0], new[:20])
        snapshot.save(table_of(b"next"), PATH, key)
        assert restored(key) == [b"next"]
        assert read(NAMES[1]) == old[1]


def test_power_fails_during_the_first_save():
    for key in KEYS:
        saved(key, (b"first",))
        whole = read(NAMES[0])
        for count in range(len(whole)):
            write(NAMES[0], whole[:count])
            assert refusal(key) == "sessions: no whole snapshot"
        snapshot.save(table_of(b"second"), PATH, key)
        assert restored(key) == [b"second"]


class Power:
    """Stands for open() in the module: fails after a number of bytes were written."""

    def __init__(self, left):
        self.left = left

    def open(self, name, mode):
        return FailingFile(self, open(name, mode)) if "w" in mode else open(name, mode)


class FailingFile:
    def __init__(self, power, file):
        self.power = power
        self.file = file

    def write(self, part):
        count = min(len(part), self.power.left)
        self.power.left -= count
        self.file.write(part[:count])
        if count < len(part):
            raise OSError(5)
        return count

    def flush(self):
        self.file.flush()

    def fileno(self):
        return self.file.fileno()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()


def test_a_save_that_fails_leaves_what_was():
    for key in KEYS:
        saved(key, (b"old",))
        left = 0
        ids = b"old"
        while ids == b"old":
            snapshot.open = Power(left).open
            try:
                snapshot.save(table_of(b"new"), PATH, key)
                ids = b"new"
            except OSError:
                left += 1
            finally:
                del snapshot.open
            assert restored(key) == [ids]
        assert left == len(read(NAMES[1]))


# Damage


def flips(content):
    """The content with one bit changed: every one of the header, one in each byte of the rest."""
    for i in range(len(content)):
        for bit in range(8) if i < 18 else (i % 8,):
            content[i] ^= 1 << bit
            yield content
            content[i] ^= 1 << bit


def test_any_changed_bit_is_found():
    for key in KEYS:
        saved(key, (b"old",), (b"new",))
        for content in flips(bytearray(read(NAMES[1]))):
            write(NAMES[1], content)
            assert restored(key) == [b"old"]


def test_any_changed_bit_in_the_only_file_loads_nothing():
    for key in KEYS:
        saved(key, (b"only",))
        table = table_of(b"before", b"and")
        unchanged = table.dump(), counters(table), order(table)
        for content in flips(bytearray(read(NAMES[0]))):
            write(NAMES[0], content)
            assert raises(ValueError, snapshot.restore, table, PATH, 0, key)
            assert (table.dump(), counters(table), order(table)) == unchanged


def test_two_damaged_files_load_nothing():
    for key in KEYS:
        saved(key, (b"old",), (b"new",))
        content = bytearray(read(NAMES[1]))
        content[20] ^= 1
        write(NAMES[1], content)
        write(NAMES[0], read(NAMES[0])[:-1])
        assert refusal(key) == "sessions: no whole snapshot"


def test_a_file_with_more_bytes_is_not_whole():
    for key in KEYS:
        saved(key, (b"old",), (b"new",))
        write(NAMES[1], read(NAMES[1]) + b"\0")
        assert restored(key) == [b"old"]


def test_either_file_may_be_missing():
    for key in KEYS:
        for name, left in zip(NAMES, (b"b", b"a")):
            saved(key, (b"a",), (b"b",))
            os.remove(name)
            assert restored(key) == [left]
            snapshot.save(table_of(b"c"), PATH, key)
            assert restored(key) == [b"c"]


def test_data_that_does_not_fit_the_table():
    for key in KEYS:
        saved(key, (b"a",))
        table, _ = make(data_size=5)
        assert raises(ValueError, snapshot.restore, table, PATH, 0, key)
        assert order(table) == []


class Files:
    """os, of a firmware that has what is said."""

    def __init__(self):
        self.stat = os.stat


def test_file_is_written_through_by_what_there_is():
    calls = []
    system = snapshot.os = Files()
    try:
        saved(None, (b"a",))
        assert restored() == [b"a"]
        system.sync = lambda: calls.append(len(read(NAMES[0])))
        saved(None, (b"a", b"b"))
        assert calls == [len(read(NAMES[0]))]
        with open(NAMES[0], "rb") as f:
            has_number = hasattr(f, "fileno")
        if has_number:
            system.fsync = lambda fd: calls.append(len(read(NAMES[0])))
            saved(None, (b"a",))
            assert calls[1:] == [len(read(NAMES[0]))]  # and no sync
    finally:
        snapshot.os = os


def test_restored_sessions_are_as_old_as_they_were():
    for key in KEYS:
        saved(key, (b"a",))
        table, clock = make(8)
        snapshot.restore(table, PATH, key=key)
        assert table.session_time(table.next_session()) == clock.time
        table, clock = make(8)
        snapshot.restore(table, PATH, 5, key)
        assert table.session_time(table.next_session()) == clock.time - 5


class Seen:
    """A table, CRC-32 and hashlib, that keep what they are given."""

    def __init__(self, table):
        self.table = table
        self.dump_size = table.dump_size
        self.given = []

    def dump(self, buf):
        self.given.append(buf)
        return self.table.dump(buf)

    def load(self, buf, elapsed):
        self.given.append(buf)
        return self.table.load(buf, elapsed)

    def crc32(self, buf, crc=0):
        if isinstance(buf, memoryview):
            self.given.append(buf)
        return crc32(buf, crc)

    def sha256(self, data=b""):
        if isinstance(data, bytearray):
            self.given.append(data)
        return hashlib.sha256(data)


def test_no_secret_stays_in_a_buffer():
    for key in KEYS:
        forget()
        seen = Seen(table_of(b"a", b"b"))
        snapshot.crc32, snapshot.hashlib = seen.crc32, seen
        try:
            snapshot.save(seen, PATH, key)
            assert snapshot.restore(Seen(make(8)[0]), PATH, 0, key) == 2
            seen.table, _ = make(8)
            snapshot.restore(seen, PATH, 0, key)
        finally:
            snapshot.crc32, snapshot.hashlib = crc32, hashlib
        assert len(seen.given) > 2
        for buf in seen.given:
            assert bytes(buf) == bytes(len(buf))


# Keys


def test_without_cryptolib_a_key_is_refused():
    aes = snapshot.aes
    snapshot.aes = None
    try:
        forget()
        assert raises(NotImplementedError, snapshot.save, table_of(b"a"), PATH, KEY)
        assert raises(NotImplementedError, snapshot.restore, table_of(), PATH, 0, KEY)
        assert restored() == []
    finally:
        snapshot.aes = aes


def test_wrong_keys():
    forget()
    for wrong in (b"", bytes(15), bytearray(15)):
        assert raises(ValueError, snapshot.save, table_of(b"a"), PATH, wrong)
        assert raises(ValueError, snapshot.restore, table_of(), PATH, 0, wrong)
    for wrong in ("a key of text, long enough", 16):
        assert raises(TypeError, snapshot.save, table_of(b"a"), PATH, wrong)
        assert raises(TypeError, snapshot.restore, table_of(), PATH, 0, wrong)
    assert restored() == []


def test_another_key_loads_nothing():
    for key in KEYS[1:]:
        saved(key, (b"a",), (b"b",))
        for other in (bytes(16), key + b"\1", key[1:] + b"\0", bytes(200)):
            assert refusal(other) == "snapshot is of another key, or forged"
        assert refusal() == "snapshot is encrypted: a key is needed"


def test_keys_of_any_length():
    for size in (16, 17, 32, 63, 64, 65, 200) if snapshot.aes else ():
        for key in (bytes(size), bytearray(size), memoryview(bytes(size))):
            saved(key, (b"a",))
            assert restored(bytes(size)) == [b"a"]


def test_a_plain_file_is_no_encrypted_one():
    for key in KEYS[1:]:
        for size in range(1, 33):
            saved(None, (b"a", b"i" * size))
            assert refusal(key) == "snapshot is not encrypted"


def with_crc(content):
    import binascii
    import struct

    return content[:-4] + struct.pack("<I", binascii.crc32(content[:-4]))


def test_forged_files_load_nothing():
    """Changed by someone who knows how to make the CRC right."""
    for key in KEYS[1:]:
        saved(key, (b"old",), (b"new",))
        content = read(NAMES[1])
        for i in range(len(content) - 4):
            forged = bytearray(content)
            forged[i] ^= 1 << i % 8
            write(NAMES[1], with_crc(bytes(forged)))
            if i >= 6:  # else it is not of this version, or its number is another
                assert refusal(key) == "snapshot is of another key, or forged", i
        for size in (10, 26, 42, 57, 58, 62, 74, 78, len(content) - 20, len(content) - 16):
            write(NAMES[1], with_crc(content[: size - 4] + b"crc!"))
            blocks = size - 10 - 16 - 32 - 4  # between head, vector, tag and CRC
            is_whole = blocks >= 16 and blocks % 16 == 0
            assert refusal(key) == (
                "snapshot is of another key, or forged" if is_whole else "snapshot is not encrypted"
            )


def test_an_encrypted_file_shows_nothing():
    for key in KEYS[1:]:
        saved(key, (b"an id to be found",))
        first = read(NAMES[0])
        assert first[:6] == b"sesF\1\1"
        assert first.find(b"an id") < 0
        assert first.find(b"secret") < 0
        assert first.find(b"sesT") < 0
        saved(key, (b"an id to be found",))
        again = read(NAMES[0])
        assert len(again) == len(first)
        assert again[26:] != first[26:]


def test_going_over_to_a_key_and_back():
    for key in KEYS[1:]:
        saved(None, (b"a",), (b"b",))
        snapshot.save(table_of(b"c"), PATH, key)
        assert restored(key) == [b"c"]
        assert refusal() is not None
        snapshot.save(table_of(b"d"), PATH)
        assert restored() == [b"d"]
        assert refusal(key) is not None


def test_hmac_sha256():
    """RFC 4231, test cases 1, 2 and 6; and keys as long as a block, and longer by one."""
    import binascii

    for key, parts, expected in (
        (
            b"\x0b" * 20,
            (b"Hi ", b"There"),
            b"b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            b"Jefe",
            (b"what do ya want ", b"for nothing?"),
            b"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            b"\xaa" * 131,
            (b"Test Using Larger Than Block-Size Key - Hash Key First",),
            b"60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
        (
            b"\xaa" * 64,
            (b"what do ya want ", b"for nothing?"),
            b"7d138503e26666740e493a90641024397c001ad5d3618558a580052081952885",
        ),
        (
            b"\xaa" * 65,
            (b"what do ya want ", b"for nothing?"),
            b"eb4692e2b460982c828a3865b886231f2d852425de8f1ff47831826c0059448a",
        ),
    ):
        assert binascii.hexlify(snapshot._hmac(key, *parts)) == expected
