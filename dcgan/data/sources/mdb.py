"""The file format of LMDB, read without liblmdb, which trusts what it reads."""

import io
import struct
import weakref
from bisect import bisect_right
from itertools import accumulate
from pathlib import Path

from dcgan.data.sources.base import MAX_BYTES
from dcgan.errors import UserError

# The layout of LMDB 0.9 on 64-bit little-endian machines (mdb.c). A page begins with its number,
# its kind and the end of the pointers (16 bits each) to its nodes, which come next.
PAGE = struct.Struct("<Q2xHH2x")
BRANCH, LEAF, OVERFLOW, KIND = 1, 2, 4, 0x6F
# A node is a child's page or a value's size (32 bits), more of the page or flags, the length of the
# key, the key and the value. Values of some size are on pages of their own, after a header.
NODE = struct.Struct("<IHH")
ELSEWHERE, NUMBER = 1, struct.Struct("<Q")
# Both of the first two pages go on with magic number, version, page size, depth of the tree, its
# entries and its root, last page, transaction. Of the two, the later transaction counts.
TREE = struct.Struct("<II16xI50xH24xQQQQ")
MAGIC, PAGE_SIZES = (0xBEEFC0DE, 1), [2**bits for bits in range(8, 17)]


class DamagedError(Exception):
    """A page is not what those that lead to it say."""


class Lmdb:
    """The entries of an LMDB by index, in the order of their keys.

    liblmdb follows whatever numbers it finds: damaged ones kill the process, or it never comes to
    an end. Here each is checked, and the numbers of the leaves are all that is kept of the tree.
    """

    def __init__(self, path: Path):
        self.path, self.page_size, self.pages = path, 4096, 2
        self.file: io.FileIO | None = None
        self.last = (-1, b"", ())
        try:
            depth, entries, root = self.tree()
        except DamagedError as error:
            raise UserError(f"{path} is not an LMDB: {error}") from error
        if not entries:
            raise UserError(f"{path} is an LMDB without entries")
        try:
            self.leaves = self.leaves_below(root, depth)
            counts = [len(self.page(leaf, LEAF)[1]) for leaf in self.leaves]
            if sum(counts) != entries:
                raise DamagedError(f"it holds {sum(counts):,} entries of {entries:,}")
        except DamagedError as error:
            raise UserError(f"{path} is damaged: {error}. Unpack it again") from error
        self.starts = [0, *accumulate(counts)]

    def __len__(self) -> int:
        return self.starts[-1]

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "file": None, "last": (-1, b"", ())}

    def tree(self) -> tuple[int, int, int]:
        """Depth, number of entries and root of the tree."""
        found = []
        for number in (0, 1):
            content = self.read(number, PAGE.size + TREE.size)
            *magic, self.page_size, depth, entries, root, last, transaction = TREE.unpack_from(
                content, PAGE.size
            )
            if tuple(magic) != MAGIC or self.page_size not in PAGE_SIZES:
                raise DamagedError(f"page {number} does not begin like one")
            found.append((transaction, last + 1, depth, entries, root))
        _, self.pages, depth, entries, root = max(found)
        return depth, entries, root

    def leaves_below(self, root: int, depth: int) -> list[int]:
        """The pages that hold the entries, in order."""
        level = [root]
        for _ in range(depth - 1):
            below = []
            for number in level:
                content, pointers = self.page(number, BRANCH)
                nodes = [unpack(NODE, content, place) for place in pointers]
                below += [low | high << 32 for low, high, _ in nodes]
            # A tree that leads back into itself would have no end.
            if len(set(below)) < len(below):
                raise DamagedError("two branches lead to the same page")
            level = below
        return level

    def key(self, i: int) -> bytes:
        """The key of entry `i`. Raises DamagedError or OSError."""
        content, place, _, _, length = self.node(i)
        return content[place : place + length]

    def value(self, i: int) -> bytes:
        """The value of entry `i`. Raises DamagedError or OSError."""
        content, place, size, flags, length = self.node(i)
        place += length
        if flags & ~ELSEWHERE or size > MAX_BYTES:
            raise DamagedError(f"a value of {size:,} bytes and kind {flags}")
        if flags:
            (number,) = unpack(NUMBER, content, place)
            content, place = self.read(number, PAGE.size + size), PAGE.size
            check(content, number, OVERFLOW)
        value = content[place : place + size]
        if len(value) < size:
            raise DamagedError("a value leads out of its page")
        return value

    def node(self, i: int) -> tuple[bytes, int, int, int, int]:
        """Entry `i`: its page, where its key is there, size of its value, flags, length of key."""
        leaf = bisect_right(self.starts, i) - 1
        content, pointers = self.page(self.leaves[leaf], LEAF)
        if len(pointers) != self.starts[leaf + 1] - self.starts[leaf]:
            raise DamagedError("it has changed meanwhile")
        place = pointers[i - self.starts[leaf]]
        return content, place + NODE.size, *unpack(NODE, content, place)

    def page(self, number: int, kind: int) -> tuple[bytes, tuple[int, ...]]:
        """A page of this kind, and where its nodes are."""
        if number != self.last[0]:
            content = self.read(number, self.page_size)
            end = check(content, number, kind)
            pointers = struct.Struct(f"<{max(0, end - PAGE.size) // 2}H")
            self.last = number, content, unpack(pointers, content, PAGE.size)
        return self.last[1:]

    def read(self, number: int, length: int) -> bytes:
        """`length` bytes from the start of a page on."""
        if self.file is None:
            self.file = io.FileIO(data_file(self.path))
            weakref.finalize(self, self.file.close)
        if number >= self.pages:
            raise DamagedError(f"there is no page {number:,}")
        self.file.seek(number * self.page_size)
        content = self.file.read(length)
        if len(content) < length:
            raise DamagedError(f"it is cut short, at page {number:,}")
        return content


def check(content: bytes, number: int, kind: int) -> int:
    """The end of the pointers of a page. Raises DamagedError if it is another one than expected."""
    found, flags, end = PAGE.unpack_from(content)
    if (found, flags & KIND) != (number, kind):
        raise DamagedError(f"page {number:,} is another one")
    return end


def unpack(layout: struct.Struct, content: bytes, place: int) -> tuple[int, ...]:
    if place + layout.size > len(content):
        raise DamagedError("a pointer leads out of its page")
    return layout.unpack_from(content, place)


def data_file(path: Path) -> Path:
    return path / "data.mdb" if path.is_dir() else path
