"""Images in .npy and .npz files and arrays from Python are packed as they are, or refused."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from dcgan.config import DataOptions
from dcgan.data import pack, pack_arrays
from dcgan.data.sources import open_source
from dcgan.errors import UsageError, UserError

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)


def opened(root: Path, **options):
    return open_source(DataOptions(source="folder", root=root, **options))


def refusal(root: Path) -> str:
    with pytest.raises(UserError) as caught:
        opened(root)
    assert "\n" not in str(caught.value)
    assert str(root.parent) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["npy", "NPY", "npz", "compressed npz", "the only array"])
def test_pixels_and_labels_of_files_are_packed_as_they_are(tmp_path, kind):
    labels = np.array([2, 0, 1, 2, 0], np.int32)
    if "npy" in kind.lower():
        root = tmp_path / f"x.{kind}"
        with open(root, "wb") as file:
            np.save(file, COLOUR)
        np.save(tmp_path / "x_labels.npy", labels)
    else:
        root = tmp_path / "x.npz"
        save = np.savez_compressed if "compressed" in kind else np.savez
        save(root, **({"a": COLOUR} if "only" in kind else {"images": COLOUR, "labels": labels}))
    packed = pack(opened(root), tmp_path / "out", 16, 3)
    np.testing.assert_array_equal(packed.images, COLOUR)
    assert packed.meta["source"] == "folder"
    if "only" in kind:
        assert packed.labels is None
    else:
        assert packed.labels.tolist() == labels.tolist()
        assert packed.label_names == ("0", "1", "2")


@pytest.mark.parametrize("shape", [(5, 16, 16), (5, 16, 16, 1)])
def test_grey_is_packed_in_one_channel_and_in_three(tmp_path, shape):
    grey = COLOUR[..., 0].reshape(shape)
    one = pack_arrays(grey, out=tmp_path / "1", size=16, channels=1)
    three = pack_arrays(grey, out=tmp_path / "3", size=16)
    np.testing.assert_array_equal(one.images, COLOUR[..., :1])
    np.testing.assert_array_equal(three.images, np.repeat(COLOUR[..., :1], 3, 3))


def test_transparency_is_composited_on_white(tmp_path):
    rgba = np.concatenate([COLOUR, np.zeros_like(COLOUR[..., :1])], 3)
    rgba[:, :, :8, 3] = 255
    packed = pack_arrays(rgba, out=tmp_path / "out", size=16)
    np.testing.assert_array_equal(packed.images[:, :, :8], COLOUR[:, :, :8])
    assert (packed.images[:, :, 8:] == 255).all()


def test_tensors_and_lists_with_names_are_packed_from_python(tmp_path):
    names = ["cat", "do\x1bg", "elk"]
    packed = pack_arrays(
        torch.from_numpy(COLOUR), torch.tensor([[1], [0], [1], [1], [0]]), names,
        out=str(tmp_path / "t"), size=16,
    )  # fmt: skip
    np.testing.assert_array_equal(packed.images, COLOUR)
    assert packed.labels.tolist() == [1, 0, 1, 1, 0]
    assert packed.label_names == ("cat", "do\\x1bg", "elk")
    attributes = [[True, False], [True, True], [False, False], [True, False], [False, True]]
    packed = pack_arrays(COLOUR.copy(), attributes, out=tmp_path / "a", size=16)
    assert packed.labels.dtype == np.uint8
    assert packed.labels.tolist() == np.array(attributes).astype(int).tolist()
    assert packed.meta["label_kind"] == "attributes"


def test_a_file_is_mapped_and_one_that_is_cut_short_later_is_one_clear_line(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((400, 64, 64, 3), np.uint8))
    source = opened(tmp_path / "x.npy")
    assert isinstance(source.images, np.memmap)
    with open(tmp_path / "x.npy", "r+b") as file:
        file.truncate(100_000)
    with pytest.raises(UserError, match=r"x.npy has been cut short"):
        pack(source, tmp_path / "out", 16, 3)


def test_the_fingerprint_covers_images_and_labels(tmp_path):
    np.save(tmp_path / "x.npy", COLOUR)
    seen = {opened(tmp_path / "x.npy").fingerprint()}
    np.save(tmp_path / "x_labels.npy", np.zeros(5, int))
    seen.add(opened(tmp_path / "x.npy").fingerprint())
    np.save(tmp_path / "x.npy", COLOUR[:4])
    np.save(tmp_path / "x_labels.npy", np.zeros(4, int))
    seen.add(opened(tmp_path / "x.npy").fingerprint())
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (COLOUR / 255, r"are float64 \[5, 16, 16, 3\]; expected are uint8 .*\(x \* 255\)"),
        (COLOUR.astype(np.int64), "are int64"),
        (COLOUR > 9, "are bool"),
        (COLOUR.transpose(0, 3, 1, 2).copy(), r"\[5, 3, 16, 16\]; .*np.moveaxis\(x, 1, -1\)"),
        (COLOUR[..., :2], r"are \[5, 16, 16, 2\]; expected"),
        (COLOUR[0, 0], r"are \[16, 3\]"),
        (COLOUR[0], r"are \[16, 16, 3\]; .* Is it one image\? Then give x\[None\]"),
        (COLOUR[:0], "no pixels"),
        (COLOUR[:, :0], "no pixels"),
    ],
)
def test_other_types_and_shapes_are_refused_and_say_what_is_expected(tmp_path, images, message):
    with pytest.raises(UserError, match=message):
        pack_arrays(images, out=tmp_path / "out")
    np.save(tmp_path / "x.npy", images)
    np.savez(tmp_path / "x.npz", images=images)
    for name in ("x.npy", "x.npz"):
        with pytest.raises(UserError, match=message):
            opened(tmp_path / name)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        ([0, 1, 2], None, r"are \[3\]; expected are \[5\]"),
        ([0, 1, -1, 0, 0], None, "go from -1 to 1"),
        ([0, 1, 70_000, 0, 0], None, "go from 0 to 70000"),
        ([0.5] * 5, None, "are float64"),
        (["a"] * 5, None, "expected are integers"),
        ([[0, 2]] * 5, None, "go from 0 to 2, not 0 to 1"),
        ([0, 1, 2, 0, 0], ["a", "b"], "has 3 labels, but names for 2"),
        ([[0, 1]] * 5, ["a", "b", "c"], "has 2 labels, but names for 3"),
        (None, ["a"], "names of labels, but no labels"),
        ([0, 1, 1, 0, 0], ["a", "a"], "have the same name: a, a"),
        ([0, 1, 1, 0, 0], "ab", "the names of labels of pack_arrays are no list"),
        ([0, 1, 1, 0, 0], 7, "are no list"),
        ([0, 1, 1, 0, 0], {0: "a", 1: "b"}, "are no list"),
        ([0, 1, 1, 0, 0], np.array("ab"), "are no list"),
        ([[0], [1, 2]], None, "cannot be made one array"),
    ],
)
def test_labels_that_do_not_fit_are_refused(tmp_path, labels, names, message):
    with pytest.raises(UserError, match=message):
        pack_arrays(COLOUR, labels, names, out=tmp_path / "out")


class Touch:
    """Makes the file "pwned" when it is unpickled."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self):
        return Path.touch, (self.folder / "pwned",)


def test_nothing_is_unpickled(tmp_path):
    np.save(tmp_path / "x.npy", np.array([Touch(tmp_path)], object), allow_pickle=True)
    np.savez(tmp_path / "x.npz", images=np.array([Touch(tmp_path)], object))
    for name in ("x.npy", "x.npz"):
        assert "Python objects are not read" in refusal(tmp_path / name)
    for name in ("y.npy", "y.npz"):
        (tmp_path / name).write_bytes(pickle.dumps(Touch(tmp_path)))
        refusal(tmp_path / name)
    assert not (tmp_path / "pwned").exists()


def test_damaged_and_hostile_files_are_one_clear_line(tmp_path):
    npy, npz = tmp_path / "x.npy", tmp_path / "x.npz"
    np.save(npy, COLOUR)
    np.savez(npz, images=COLOUR)
    whole = npy.read_bytes()
    for data in (
        b"",
        whole[:5],
        whole[:50],
        whole[:-1],
        whole.replace(b"(5, 16, 16, 3)", b"(9" + b"9" * 11 + b",)"),
        whole.replace(b"(5, 16, 16, 3)", b"(5, 16, -16,3)"),
        whole.replace(b"{'descr'", b"{[[[[[[["),
    ):
        npy.write_bytes(data)
        refusal(npy)
    whole = npz.read_bytes()
    for data in (b"", whole[:50], whole[:-30], whole.replace(b"(5, 16, 16, 3)", b"(5, 16, 16, 9)")):
        npz.write_bytes(data)
        refusal(npz)
    np.savez(npz, train=COLOUR, test=COLOUR)
    assert "holds the arrays train, test, and none is named images" in refusal(npz)
    np.save(npy, np.asfortranarray(COLOUR))
    assert "is in Fortran order" in refusal(npy)
    page = b"<!DOCTYPE html><html></html>"
    np.save(npy, COLOUR)
    (tmp_path / "x_labels.npy").write_bytes(page)
    assert "x_labels.npy is a web page (HTML)" in refusal(npy)
    for path in (npy, npz):
        path.write_bytes(page)
        assert f"{path.name} is a web page (HTML)" in refusal(path)


def test_arrays_that_would_fill_the_memory_are_not_read(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "x.npz", images=np.zeros((10, 64, 64), np.uint8))
    monkeypatch.setattr("dcgan.data.sources.array_files._MAX_NPZ_BYTES", 10_000)
    assert "images: over 10,000 bytes, save it as .npy" in refusal(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", images=COLOUR, unread=np.zeros((10, 64, 64), np.uint8))
    assert len(opened(tmp_path / "x.npz")) == 5


def test_options_out_of_range_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", COLOUR)
    with pytest.raises(UsageError, match="--class-folders is for folders"):
        opened(tmp_path / "x.npy", class_folders=True)
    for options in ({"size": 17}, {"channels": 2}, {"crop": 0}, {"out": None}, {"out": 5}):
        with pytest.raises(UsageError):
            pack_arrays(COLOUR, **{"out": tmp_path / "out", **options})


def test_options_may_be_numbers_of_numpy(tmp_path):
    options = {"size": np.int64(16), "channels": np.uint8(3), "crop": np.int32(8)}
    packed = pack_arrays(COLOUR, out=tmp_path / "out", **options)
    assert (packed.size, packed.channels, packed.meta["crop"]) == (16, 3, 8)
