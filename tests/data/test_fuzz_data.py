"""Damaged or forged raw data are read, skipped with a reason, or refused in one line.

`DCGAN_FUZZ=5000 pytest tests/data/test_fuzz_data.py` tries more of them than the test suite does.
"""

import gzip
import io
import re
import shutil
import struct
import time
import warnings
import zipfile
import zlib
from pathlib import Path

import lmdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dcgan.config import DataOptions
from dcgan.data import pack
from dcgan.data.decoding.image import decode
from dcgan.data.decoding.opening import BadImage
from dcgan.data.processes import Child, ChildFailed
from dcgan.data.sources import lmdb_reader, open_source
from dcgan.data.sources.base import MAX_BYTES
from dcgan.data.sources.lmdb_reader import DamagedError, LmdbReader
from dcgan.errors import UserError
from tests import fuzzing
from tests.fuzzing import damage

many = fuzzing.fuzz_settings(150)


def encoded(format: str, mode: str = "RGB", **options) -> bytes:
    """A picture of 31x22 noisy pixels."""
    y, x = np.mgrid[:22, :31]
    noise = np.random.default_rng(0).integers(0, 40, (22, 31, 3))
    pixels = np.stack([8 * x, 11 * y, 4 * (x + y)], 2) % 216 + noise
    image = Image.fromarray(pixels.astype(np.uint8))
    if mode == "I;16":
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 255)
    elif mode != "RGB":
        image = image.convert(mode)
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def interlaced() -> bytes:
    """A grey PNG of 8x8 in Adam7, of which each of the 15 lines begins with its filter."""
    rows = b"".join(bytes([0, *range(n)]) for n in (1, 1, 2, 2, 2, 4, 4, *[4] * 4, *[8] * 4))
    body = [(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 1)), (b"IDAT", zlib.compress(rows))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in [*body, (b"IEND", b"")]
    )


def exif() -> Image.Exif:
    data = Image.Exif()
    data[0x0112] = 6
    data[0x010F] = "a camera"
    return data


frames = dict(save_all=True, append_images=[Image.new("RGB", (31, 22), "red")])
IMAGES = {
    "jpeg": encoded("JPEG"),
    "progressive jpeg": encoded("JPEG", progressive=True, exif=exif()),
    "grey jpeg": encoded("JPEG", "L", restart_marker_rows=1),
    "cmyk jpeg": encoded("JPEG", "CMYK"),
    "4:2:2 jpeg": encoded("JPEG", subsampling="4:2:2", comment=b"text", icc_profile=bytes(200)),
    "mpo": encoded("MPO", **frames),
    "png": encoded("PNG", exif=exif()),
    "alpha png": encoded("PNG", "RGBA"),
    "palette png": encoded("PNG", "P", transparency=bytes(range(100))),
    "16-bit png": encoded("PNG", "I;16"),
    "1-bit png": encoded("PNG", "1"),
    "interlaced png": interlaced(),
    "animated png": encoded("PNG", **frames),
    "webp": encoded("WEBP", exif=exif()),
    "lossless webp": encoded("WEBP", "RGBA", lossless=True),
    "animated webp": encoded("WEBP", **frames),
    "bmp": encoded("BMP"),
    "palette bmp": encoded("BMP", "P"),
    "gif": encoded("GIF", "P", transparency=3, comment=b"text"),
    "animated gif": encoded("GIF", **frames),
    "tiff": encoded("TIFF", exif=exif()),
    "16-bit tiff": encoded("TIFF", "I;16"),
    "ppm": encoded("PPM"),
    "pgm": encoded("PPM", "L"),
    "16-bit pgm": encoded("PPM", "I;16"),
    "pbm": encoded("PPM", "1"),
    "pgm of text": b"P2 # text\n3 2\n99\n" + b"0 50 99\n" * 2,
    "ppm of 10 bits": b"P6 3 2 1023\n" + bytes([3, 255]) * 18,
    **{
        f"{compression} tiff": encoded("TIFF", mode, compression=compression)
        for compression, mode in [
            ("tiff_lzw", "RGB"),
            ("tiff_adobe_deflate", "RGBA"),
            ("packbits", "P"),
            ("jpeg", "RGB"),
            ("group3", "1"),
            ("group4", "1"),
        ]
    },
}


def decodes(data: bytes, channels: int = 3) -> bool:
    """Whether the data decode; if not, the reason is one line. Either takes little time."""
    started, out, reason = time.monotonic(), None, ""
    try:
        out = decode(data, 16, channels, None)
    except BadImage as error:
        reason = error.reason
    assert time.monotonic() - started < 30
    if out is None:
        assert 0 < len(reason) <= 120
        assert "\n" not in reason
        return False
    assert (out.shape, out.dtype) == ((16, 16, channels), np.uint8)
    return True


@pytest.mark.parametrize("kind", IMAGES)
@many
@given(damage(), st.sampled_from([1, 3]))
def test_a_damaged_image_is_a_picture_or_a_reason(kind, capfd, damaged, channels):
    assert decodes(IMAGES[kind]), "it can be read before it is damaged"
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        decodes(damaged(IMAGES[kind]), channels)
    assert not warned
    assert capfd.readouterr() == ("", ""), "nor does a C library write to the terminal"


kinds = st.sampled_from(sorted(IMAGES))


@many
@given(kinds, st.integers(0, 100), kinds, st.integers(0, 100))
def test_the_start_of_one_format_before_the_rest_of_another(first, head, second, start):
    decodes(IMAGES[first][:head] + IMAGES[second][start:])


def opened(source: str, root: Path, **options):
    """The source with all images read; None if it is refused in one line that names the file."""
    found, refusal = None, ""
    try:
        found = open_source(DataOptions(source=source, root=root, **options))
    except UserError as error:
        refusal = str(error)
    if found is None:
        assert str(root) in refusal
        assert "\n" not in refusal
        return None
    images, bad = found.read_images(range(len(found)), 8, 3, None)
    assert (images.shape, images.dtype) == ((len(found), 8, 8, 3), np.uint8)
    assert len(found) > 0
    assert all(reason and "\n" not in reason for reason in bad.values())
    assert all(found.name(i).isprintable() for i in range(len(found)))
    if found.labels is not None:
        assert len(found.labels) == len(found)
    return found


PHOTO = IMAGES["jpeg"]


class Pipe(io.BytesIO):
    def seekable(self) -> bool:
        return False


def zipped() -> bytes:
    """A zip of a member by each method, their sizes after them as in a pipe."""
    file = Pipe()
    with zipfile.ZipFile(file, "w") as archive:
        for method in (
            zipfile.ZIP_STORED,
            zipfile.ZIP_DEFLATED,
            zipfile.ZIP_LZMA,
            zipfile.ZIP_BZIP2,
        ):
            archive.writestr(f"a/{method}.jpg", PHOTO, method)
        with archive.open("b/large.png", "w", force_zip64=True) as member:
            member.write(IMAGES["png"])
        archive.comment = b"comment"

    return file.getvalue()


ZIP = zipped()


@many
@given(damage(), st.booleans())
def test_a_damaged_zip_is_refused_or_can_be_read(tmp_path, damaged, at_the_end):
    path = tmp_path / "x.zip"
    # The directory of a zip is at its end.
    path.write_bytes(damaged(ZIP[::-1])[::-1] if at_the_end else damaged(ZIP))
    opened("folder", path)
    opened("folder", path, class_folders=True)


LOCAL, CENTRAL, END = "<4s5H3I2H", "<4s4B4H3I5H2I", "<4s4H2IH"
numbers = st.sampled_from(
    [0, 1, 2, 3, 8, 9, 12, 14, 20, 45, 99, 0x7FFF, 0xFFFF, 2**31, 2**32 - 2, 2**32 - 1]
)
overrides = st.dictionaries(st.integers(1, 18), numbers, max_size=4)


def record(layout: str, fields: list, changes: dict[int, int]) -> bytes:
    """A header with some fields replaced by random numbers of their size."""
    groups = re.findall(r"(\d*)([BHI])", layout)
    kinds = [kind for count, kind in groups for _ in range(int(count or 1))]
    for place, value in changes.items():
        if place < len(fields):
            fields[place] = value % 256 ** struct.calcsize(kinds[place - 1])
    return struct.pack(layout, *fields)


@st.composite
def archives(draw) -> bytes:
    """A zip whose headers have random fields, and may share their data."""
    names = st.sampled_from([b"a.jpg", b"a.jpg", b"b/c.png", b"../x.jpg", b"\xff\n.gif", b"/", b""])
    zip64 = st.builds(
        lambda size, numbers: (
            struct.pack("<HH", 1, size) + struct.pack(f"<{len(numbers)}Q", *numbers)
        ),
        st.sampled_from([0, 8, 16, 24, 99]),
        st.lists(st.sampled_from([0, 1, 2**32, 2**63, 2**64 - 1]), max_size=3),
    )
    extras = st.one_of(st.just(b""), zip64, st.binary(max_size=12))
    data, places, entries = b"", [0], []
    for _ in range(draw(st.integers(1, 4))):
        name, extra, method = draw(names), draw(extras), draw(st.sampled_from([0, 0, 8, 8, 1, 99]))
        content = PHOTO
        if method == 8:
            deflate = zlib.compressobj(wbits=-15)
            content = deflate.compress(PHOTO) + deflate.flush()
        sizes = [zlib.crc32(PHOTO), len(content), len(PHOTO)]
        places.append(len(data))
        head = [b"PK\3\4", 20, 0, method, 0, 33, *sizes, len(name), 0]
        data += record(LOCAL, head, draw(overrides)) + name + content
        where = draw(st.sampled_from(places))
        fields = [b"PK\1\2", 20, 3, 20, 0, 0, method, 0, 33, *sizes, len(name), len(extra)]
        fields += [0, 0, 0, 0, where]
        entries.append(record(CENTRAL, fields, draw(overrides)) + name + extra)
    directory = b"".join(entries) * draw(st.sampled_from([1, 1, 2, 50]))
    count = min(len(entries), 0xFFFF)
    end = [b"PK\5\6", 0, 0, count, count, len(directory), len(data), 0]
    sixty_four = b""
    if draw(st.booleans()):
        numbers = [draw(st.sampled_from([0, len(data), len(directory), 2**63])) for _ in range(4)]
        sixty_four = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, *numbers)
        sixty_four += struct.pack("<4sIQI", b"PK\6\7", 0, len(data) + len(directory), 1)
    return data + directory + sixty_four + record(END, end, draw(overrides))


@many
@given(archives())
def test_a_zip_with_false_headers_is_refused_or_can_be_read(tmp_path, archive):
    path = tmp_path / "x.zip"
    path.write_bytes(archive)
    opened("folder", path)


def idx(*shape: int) -> bytes:
    data = np.arange(np.prod(shape), dtype=np.uint8) % 10
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + data.tobytes()


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


@many
@given(
    damaged=damage(),
    name=st.sampled_from(["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]),
    layer=st.sampled_from(["plain", "inside gz", "gz"]),
)
def test_a_damaged_idx_file_is_refused_or_has_its_shape(tmp_path, no_network, damaged, name, layer):
    for path in tmp_path.iterdir():
        path.unlink()
    for stem, count in (("train", 5), ("t10k", 3)):
        (tmp_path / f"{stem}-images-idx3-ubyte").write_bytes(idx(count, 9, 8))
        (tmp_path / f"{stem}-labels-idx1-ubyte").write_bytes(idx(count))
    data = (tmp_path / name).read_bytes()
    if layer == "plain":
        (tmp_path / name).write_bytes(damaged(data))
    else:
        (tmp_path / name).unlink()
        packed = (
            gzip.compress(damaged(data)) if layer == "inside gz" else damaged(gzip.compress(data))
        )
        (tmp_path / f"{name}.gz").write_bytes(packed)
    source = opened("mnist", tmp_path, split="all")
    if source is not None:
        assert len(source) == 8
        assert set(source.labels.tolist()) <= set(range(10))


NAMES = [f"{i:06d}.jpg" for i in range(1, 5)]
words = st.one_of(
    st.sampled_from([*NAMES, "1", "-1", "0", "2", "4", "A", "B"]), st.text(max_size=4)
)
lines = st.lists(st.lists(words, max_size=5).map(" ".join), max_size=8).map("\n".join)
texts = st.one_of(st.binary(max_size=200), lines.map(lambda text: text.encode(errors="replace")))


@many
@given(
    attributes=st.one_of(st.none(), texts, damage()),
    partition=st.one_of(st.none(), texts, damage()),
    suffix=st.sampled_from(["txt", "csv"]),
)
def test_random_celeba_annotations_are_refused_or_can_be_read(
    tmp_path, attributes, partition, suffix
):
    for path in tmp_path.glob("list_*"):
        path.unlink()
    (tmp_path / "img_align_celeba").mkdir(exist_ok=True)
    for name in NAMES:
        (tmp_path / "img_align_celeba" / name).write_bytes(PHOTO)
    whole = {
        "list_attr_celeba": "\n".join(["4", "A B", *(f"{name} 1 -1" for name in NAMES)]),
        "list_eval_partition": "\n".join(f"{name} {i % 3}" for i, name in enumerate(NAMES)),
    }
    for (stem, text), change in zip(whole.items(), (attributes, partition), strict=True):
        if change is not None:
            text = text.replace(" ", ",") if suffix == "csv" else text
            content = change if isinstance(change, bytes) else change(text.encode())
            (tmp_path / f"{stem}.{suffix}").write_bytes(content)
    source = opened("celeba", tmp_path)
    if source is not None and source.labels is not None:
        assert source.labels.shape == (len(source), len(source.label_names))
        assert source.labels.max() <= 1
        assert all(name.isprintable() for name in source.label_names)


@st.composite
def entries(draw) -> dict[bytes, bytes]:
    """Keys and values of which some are long: the tree grows high, and values leave its pages."""
    keys = st.binary(min_size=1, max_size=draw(st.sampled_from([4, 40, 511])))
    sizes = draw(st.lists(st.sampled_from([0, 1, 500, 2000, 2100, 5000]), min_size=1))
    found = draw(st.lists(keys, min_size=1, max_size=40, unique=True))
    return {key: bytes([i]) * sizes[i % len(sizes)] for i, key in enumerate(found)}


def write_lmdb(path: Path, transactions: list[dict[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """What liblmdb reads back from an LMDB of these transactions; each drops every third key."""
    with lmdb.open(str(path), map_size=2**24, sync=False) as database:
        for changes in transactions:
            with database.begin(write=True) as change:
                for key in list(change.cursor().iternext(values=False))[::3]:
                    change.delete(key)
                for key, value in changes.items():
                    change.put(key, value)
        with database.begin() as reader:
            return list(reader.cursor())


def read_all(path: Path) -> list[tuple[bytes, bytes]] | str:
    """All entries of a database, or why they cannot be read; run in a child process."""
    found = []
    try:
        (count,) = lmdb_reader._count([path])
        *keys, end = lmdb_reader._every_nth_key([path])
        assert end is None
        reader = LmdbReader(path, keys)
        for i in range(count):
            found.append((reader.key(i), reader.value(i, MAX_BYTES)))
    except (DamagedError, OSError) as error:
        return str(error)
    return found


class Reader:
    """Reads databases in a process that a damaged one may crash."""

    child: Child | None = None
    deaths = 0

    def read_all(self, path: Path) -> list[tuple[bytes, bytes]] | str:
        if self.child is None:
            self.child = Child()
            self.child.send(read_all)
        self.child.send(path)
        try:
            return self.child.receive(timeout=60)
        except ChildFailed:
            self.close()
            self.deaths += 1
            return "the process died"

    def close(self) -> None:
        if self.child is not None:
            self.child.close()
            self.child = None


@pytest.fixture(scope="module")
def child():
    reader = Reader()
    yield reader
    reader.close()


@settings(many, max_examples=max(many.max_examples // 3, 1))
@given(st.lists(entries(), min_size=1, max_size=4))
def test_an_lmdb_is_read_as_it_was_written(child, tmp_path_factory, transactions):
    path = tmp_path_factory.mktemp("lmdb")
    expected = write_lmdb(path, transactions)
    assert child.read_all(path) == expected


def test_an_lmdb_of_many_keys_is_read_as_it_was_written(child, tmp_path):
    """3,000 keys of up to 500 bytes: branches above branches, and several keys to start from."""
    rng = np.random.default_rng(0)
    keys = [rng.bytes(rng.integers(1, 500)) + b"%d" % i for i in range(3000)]
    expected = write_lmdb(tmp_path, [{key: b"%d" % i for i, key in enumerate(keys)}])
    assert child.read_all(tmp_path) == expected


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """A function that gives an LMDB of 120 images, small and large, and where its tree is.

    (What fails is shown with its arguments, and a function is shown in one line.)
    """
    path = tmp_path_factory.mktemp("scenes")
    write_lmdb(path, [{b"%040d" % i: PHOTO + bytes(i % 4 * 2000) for i in range(120)}])
    data = (path / "data.mdb").read_bytes()
    kinds = {page: data[page * 4096 + 10] for page in range(len(data) // 4096)}
    tree = [0, 1, *(page for page, kind in kinds.items() if page > 1 and kind in (1, 2))]
    return lambda: (data, tree)


changes_of_pages = st.lists(st.tuples(st.integers(0, 2**10), damage()), min_size=1, max_size=3)
lengths = st.sampled_from([None, None, None, 9000, 4096, 100])


def write_damaged(scenes, folder: Path, changes, length) -> None:
    content, tree = scenes()
    for place, damaged in changes:
        start = 4096 * tree[place % len(tree)]
        page = damaged(content[start : start + 4096]).ljust(4096, b"\0")[:4096]
        content = content[:start] + page + content[start + 4096 :]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data.mdb").write_bytes(content[:length])


@many
@given(changes=changes_of_pages, length=lengths)
def test_a_damaged_lmdb_is_read_or_refused_in_one_line(child, scenes, tmp_path, changes, length):
    """Some of these crash liblmdb. Reading must not raise any other exception."""
    write_damaged(scenes, tmp_path / "db", changes, length)
    found = child.read_all(tmp_path / "db")
    if isinstance(found, str):
        assert found
        assert "\n" not in found


# Each takes a second, as child processes are started.
@settings(many, max_examples=max(many.max_examples // 15, 1))
@given(changes=changes_of_pages, length=lengths)
def test_packing_a_damaged_lmdb_succeeds_or_ends_in_one_line(
    scenes, tmp_path, changes, length, capfd
):
    root, out = tmp_path / "raw", tmp_path / "out"
    write_damaged(scenes, root / "bedroom_train_lmdb", changes, length)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lmdb, "open", lambda *_, **__: pytest.fail("opened in the main process"))
        started, refusal = time.monotonic(), ""
        try:
            source = open_source(DataOptions(source="lsun", root=root))
            packed = pack(source, out, 8, 3, max_bad=1, workers=1, progress=False)
            assert len(packed) + len(packed.meta["skipped"]) == len(source)
            shutil.rmtree(out)
        except UserError as error:
            refusal = str(error)
            assert "bedroom_train_lmdb" in refusal
    assert time.monotonic() - started < 60
    assert "\n" not in refusal
    assert not out.exists()
    assert "Traceback" not in capfd.readouterr().err
