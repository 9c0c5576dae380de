# Power fails at any write to the flash, and at any byte, on the file systems that boards have: FAT and
# littlefs in a RAM disk whose power can be cut. Restored is the old snapshot or the new one. CPython has
# neither file system.

import os

from sesstab import snapshot
from support import make, order, put

PATH = "/disk/sessions"
SIZE = 512
STEP = 61  # bytes; host_tests/host/test_snapshot_power.py takes every single one


class Disk:
    """Blocks in RAM. After `left` writes the power is gone, and of the last one only a part has arrived.
    Writes are noted in `log`, if there is one."""

    def __init__(self, content, left=1 << 29, torn=SIZE, log=None):
        self.content = content
        self.left = left
        self.torn = torn
        self.log = log

    def readblocks(self, block, buf, offset=0):
        start = block * SIZE + offset
        for i in range(len(buf)):
            buf[i] = self.content[start + i]

    def writeblocks(self, block, buf, offset=None):
        if offset is None:  # FAT: the driver erases
            offset = 0
        self.store(block * SIZE + offset, buf)

    def store(self, start, buf):
        if self.left == 0:
            raise OSError(5)
        self.left -= 1
        size = len(buf) if self.left else min(self.torn, len(buf))
        self.content[start : start + size] = memoryview(buf)[:size]
        if self.log is not None:
            self.log.append((start, bytes(buf)))

    def ioctl(self, op, arg):
        if op == 4:
            return len(self.content) // SIZE
        if op == 5:
            return SIZE
        if op == 6:
            self.store(arg * SIZE, b"\xff" * SIZE)
        return 0


def table_of(*ids):
    table, _ = make(8)
    for id in ids:
        put(table, id, b"state of " + id)
    return table


def mounted(kind, disk, function):
    os.mount(kind(disk), "/disk")
    try:
        return function()
    finally:
        os.umount("/disk")


def formatted(kind, blocks):
    content = bytearray(blocks * SIZE)
    kind.mkfs(Disk(content))
    return content


def save_until(kind, disk, ids, key):
    """Returns whether it was told that all went well."""
    try:
        mounted(kind, disk, lambda: snapshot.save(table_of(*ids), PATH, key))
    except OSError:
        return False
    return True


def restored(kind, content, key, writes=1 << 29):
    table, _ = make(8)
    try:
        mounted(kind, Disk(content, writes), lambda: snapshot.restore(table, PATH, 0, key))
    except ValueError:
        return None
    return order(table)


def cut_everywhere(kind, blocks, key, saves):
    """Saves, with the power cut at each write of the last one."""
    content = formatted(kind, blocks)
    for ids in saves[:-1]:
        assert save_until(kind, Disk(content), ids, key)
    old = list(reversed(saves[-2])) if len(saves) > 1 else []
    new = list(reversed(saves[-1]))
    seen = []
    for torn in (0, 7, SIZE // 2, SIZE):
        left = 0
        done = False
        while not done:
            left += 1
            after = bytearray(content)
            disk = Disk(after, left, torn)
            done = save_until(kind, disk, saves[-1], key) and disk.left > 0
            found = restored(kind, after, key)
            assert found in ((new,) if done else (old, new, None) if not old else (old, new)), (left, torn)
            seen.append(found)
            if not done:  # and the board goes on
                assert save_until(kind, Disk(after), (b"next",), key)
                assert restored(kind, after, key) == [b"next"]
        assert left > 1
    assert old in seen and new in seen


def cut_at_every_byte(kind, blocks, key, saves, step):
    """Saves; of the last one only so many bytes arrive, and the next one may be garbage."""
    content = formatted(kind, blocks)
    for ids in saves[:-1]:
        assert save_until(kind, Disk(content), ids, key)
    disk = Disk(bytearray(content), log=[])
    assert save_until(kind, disk, saves[-1], key)
    old, new = (list(reversed(ids)) for ids in saves[-2:])
    seen = [0, 0]
    changed = 0
    for start, data in disk.log:
        for i in range(len(data)):
            at = start + i
            if content[at] == data[i]:
                continue
            changed += 1
            for byte in (data[i] ^ 0xA5, data[i]) if changed % step == 0 else (data[i],):
                content[at] = byte
                if changed % step == 0:
                    found = restored(kind, content, key, writes=0)
                    assert found in (old, new), (changed, byte)
                    seen[found == new] += 1
    assert content == disk.content
    assert restored(kind, content, key, writes=0) == new
    assert changed > 100
    return seen


def kinds():
    return [
        (getattr(os, name), blocks) for name, blocks in (("VfsFat", 50), ("VfsLfs2", 30)) if hasattr(os, name)
    ]


IDS = [bytes([65 + n]) * 32 for n in range(8)]


def test_power_fails_at_any_write():
    for kind, blocks in kinds():
        cut_everywhere(kind, blocks, None, ((b"older",), (b"a", b"b"), (b"c",)))


def test_power_fails_at_any_byte():
    for key in (None, bytes(16)) if snapshot.aes else (None,):
        for kind, blocks in kinds():
            old, new = cut_at_every_byte(kind, blocks, key, ((b"older",), IDS[:3], IDS[3:7]), STEP)
            assert old > 3, (kind, old, new)


def test_power_fails_while_files_span_several_blocks():
    for kind, blocks in kinds():
        cut_everywhere(kind, blocks, None, (IDS, IDS[:7], IDS[1:]))


def test_power_fails_during_the_second_save():
    for kind, blocks in kinds():
        cut_everywhere(kind, blocks, None, ((b"old",), (b"new",)))


def test_power_fails_during_the_first_save():
    for kind, blocks in kinds():
        cut_everywhere(kind, blocks, None, ((b"first",),))


def test_power_fails_while_an_encrypted_snapshot_is_saved():
    if snapshot.aes:
        for kind, blocks in kinds():
            cut_everywhere(kind, blocks, bytes(16), (IDS[:3], (b"a", b"b"), IDS[2:]))
