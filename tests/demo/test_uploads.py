"""Photos that visitors send."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from dcgan import images
from dcgan.demo import uploads
from dcgan.demo.actions import latents
from dcgan.demo.answers import Answers
from dcgan.demo.controls import Controls
from dcgan.demo.uploads import invert_photo, is_within, read_upload
from dcgan.demo.visitor import Visitor
from dcgan.errors import UserError
from dcgan.latent import posterior
from tests.demo.serving import tiny_model
from tests.demo.test_controls import AT_FIRST

CLASS, ATTRIBUTES, UNIFORM = map(tiny_model, ("class", "attributes", "uniform"))
REST = Controls(None, {}, 0.0, (0.0, 0.0))


def png_bomb(width: int, height: int) -> bytes:
    """A PNG of black pixels, one bit each."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(width // 8 + 1) * height)
    parts = [(b"IHDR", header), (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def sent(folder, content: bytes) -> dict[str, str]:
    """What the page says of an upload."""
    path = folder / "photo.png"
    path.write_bytes(content)
    return {"path": str(path), "orig_name": "me.png"}


def test_a_photo_is_cropped_and_resized_as_packing_does_and_its_file_removed(tmp_path):
    photo = np.zeros((16, 32, 3), np.uint8)
    photo[:, 8:24] = np.random.default_rng(0).integers(0, 256, (16, 16, 3))
    upload = sent(tmp_path, images.encode_png(photo))
    assert np.array_equal(read_upload(UNIFORM, upload, tmp_path), photo[:, 8:24])
    assert not list(tmp_path.iterdir())
    assert read_upload(CLASS, sent(tmp_path, images.encode_png(photo)), tmp_path).shape[2] == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty file|not an image"),
        (b"rubbish" * 100, "not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 50, "Truncated|damaged"),
        (images.encode_png(np.zeros((64, 64, 3), np.uint8))[:100], "truncated|damaged|incomplete"),
        (png_bomb(10_000, 10_000), "10000 x 10000 pixels, more than 67,108,864"),
        (png_bomb(40_000, 40_000), "more than 134,217,728 pixels"),
        (b"x" * (uploads.MAX_BYTES + 1), "20,971,521 bytes, more than 20,971,520"),
    ],
    ids=["empty", "rubbish", "svg", "head", "half", "large", "bomb", "long"],
)
def test_what_is_no_photo_is_refused_in_words_and_removed(tmp_path, content, words):
    upload = sent(tmp_path, content)
    with pytest.raises(UserError, match=f"no photo that can be read: .*({words})"):
        read_upload(UNIFORM, upload, tmp_path)
    assert not list(tmp_path.iterdir())


def test_files_that_were_not_sent_are_neither_read_nor_removed(tmp_path):
    folder, other = tmp_path / "uploads", tmp_path / "other.png"
    folder.mkdir()
    other.write_bytes(images.encode_png(np.zeros((16, 16, 3), np.uint8)))
    (folder / "link.png").symlink_to(other)
    paths = [str(other), f"{folder}/../other.png", f"{folder}/link.png", "http://192.0.2.1/x.png"]
    others = [str(folder), f"{folder}/none.png", "", "\0", "x" * 5000, None, 3, [str(other)]]
    for path in [*paths, *others]:
        with pytest.raises(UserError, match="send a photo first"):
            read_upload(UNIFORM, {"path": path}, folder)
    for upload in (None, [], str(other), {}):
        with pytest.raises(UserError, match="send a photo first"):
            read_upload(UNIFORM, upload, folder)
    assert other.exists()
    assert not any(is_within(path, folder) for path in paths)


@pytest.mark.parametrize("model", [CLASS, ATTRIBUTES, UNIFORM], ids=lambda m: m.G.latent)
def test_a_picture_of_the_generator_is_found(model):
    """With the labels of the picture that is shown, which are those of the seed here."""
    photo = model.draw(latents(model, [5], REST))[0]
    found = invert_photo(model, Visitor(5), REST, photo)
    assert found.psnr > 30
    assert np.abs(found.made.astype(int) - photo).mean() < 4
    z = torch.tensor(found.source)
    assert np.abs(model.draw(z[None])[0].astype(int) - found.made).max() <= 1
    assert torch.equal(z[6:], latents(model, [5], REST)[0, 6:])


def test_what_is_picked_while_a_photo_is_inverted_stays_picked(tmp_path):
    """The state of a visitor is read when a step begins, and replaced when it ends."""
    answers, values = Answers(UNIFORM, tmp_path), AT_FIRST["uniform"]
    photo = UNIFORM.draw(latents(UNIFORM, [5], REST))[0]
    before = Visitor(5)
    found, _ = answers.upload(before, sent(tmp_path, images.encode_png(photo)), *values)
    meanwhile, _, _ = answers.click(before, "A", "3", *values)
    after, picture, left = answers.show_photo(meanwhile, found, *values)
    assert after == Visitor(found, found, {"A": (3,)}) and left is None
    assert picture == answers.picture(after, *values)
    assert answers.show_photo(after, None, *values) is None, "a file that was no photo"


def test_the_search_is_bounded(monkeypatch):
    """Of any photo, so that a visitor waits for seconds: an iteration computes one Jacobian."""
    counted, compute = [], posterior.image_and_jacobian

    def count(G, z):
        counted.append(z)
        return compute(G, z)

    monkeypatch.setattr(posterior, "image_and_jacobian", count)
    monkeypatch.setattr(uploads, "_ITERATIONS", 3)
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    invert_photo(UNIFORM, Visitor(), REST, noise)
    assert 1 <= len(counted) <= 3


def test_animated_and_transparent_photos_are_taken(tmp_path):
    file = io.BytesIO()
    first = Image.new("RGBA", (20, 20), (255, 0, 0, 255))
    first.save(file, "GIF", save_all=True, append_images=[Image.new("RGBA", (20, 20))])
    found = read_upload(UNIFORM, sent(tmp_path, file.getvalue()), tmp_path)
    assert np.abs(found.astype(int) - [255, 0, 0]).max() <= 2
