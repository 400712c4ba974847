"""Masks of pictures of any size, in tiles, and the files that are written."""

import numpy as np
import pytest
import torch
from PIL import Image

from dcgan import images
from dcgan.config import SegmentEvaluateConfig, SegmentPredictConfig
from dcgan.data import IGNORED
from dcgan.deconv import fcn
from dcgan.errors import UsageError, UserError
from tests.deconv.fcn.conftest import draw_squares, write_masked


@pytest.mark.parametrize("shape", [(70, 45), (33, 129), (16, 16), (2, 9)])
def test_tiles_give_the_mask_of_the_whole(segmenter, shape):
    network = fcn.load_segmenter(segmenter)
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    with torch.no_grad():
        x = images.to_float(torch.from_numpy(pixels[None]))
        whole = network(x)[0].argmax(0).numpy()
    for side in (13, 32, 512):
        assert (fcn.segment(network, pixels, tile_side=side) == whole).mean() > 0.9999


def test_a_network_in_training_segments_in_evaluation_mode(segmenter):
    """Batch norm would make the classes of a tile depend on its other pixels."""
    network = fcn.load_segmenter(segmenter)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    expected = fcn.segment(network, pixels)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    np.testing.assert_array_equal(fcn.segment(network.train(), pixels), expected)
    assert network.training
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_a_large_picture_of_squares_is_segmented(segmenter):
    pictures, masks = draw_squares(12, seed=9)
    sheet = np.concatenate([np.concatenate(row, 1) for row in pictures.reshape(3, 4, 16, 16, 3)])
    truth = np.concatenate([np.concatenate(row, 1) for row in masks.reshape(3, 4, 16, 16)])
    found = fcn.segment(fcn.load_segmenter(segmenter), sheet, tile_side=20)
    assert (found == truth).mean() > 0.93


def test_the_files_hold_the_mask_and_the_classes_in_colour(segmenter, tmp_path):
    pictures, masks = draw_squares(1, seed=9)
    photo, out, index = (tmp_path / name for name in ("photo.png", "out.png", "index.png"))
    images.save_png(photo, pictures[0])
    shares = fcn.predict(SegmentPredictConfig(run=segmenter, picture=photo, out=out, index=index))
    mask = Image.open(index)
    assert mask.mode == "P"
    assert mask.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0], "the colours of VOC"
    classes = np.asarray(mask)
    assert (classes == masks[0]).mean() > 0.9
    names = ("background", "red", "green")
    assert shares == {n: (classes == i).mean() for i, n in enumerate(names) if (classes == i).any()}
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    shown, before = np.asarray(Image.open(out)).astype(int), pictures[0].astype(int)
    assert (shown[classes == 0] == before[classes == 0]).all(), "the background is left alone"
    towards_red = before[classes == 1] + 0.55 * (np.array([128, 0, 0]) - before[classes == 1])
    assert np.abs(shown[classes == 1] - towards_red).max() <= 0.5


def test_the_palette_is_that_of_VOC():
    """As listed in the development kit: aeroplane, bicycle, ..., person, ..., and the border."""
    colours = fcn.class_colours()
    listed = {1: (128, 0, 0), 2: (0, 128, 0), 8: (64, 0, 0), 15: (192, 128, 128), 20: (0, 64, 128)}
    assert {i: tuple(map(int, colours[i])) for i in listed} == listed
    assert tuple(map(int, colours[255])) == (224, 224, 192)
    assert fcn.colour_mask(np.array([[IGNORED]], np.uint8)).tolist() == [[[255] * 3]]


def test_pictures_that_cannot_be_segmented_take_one_line(segmenter, tmp_path):
    network = fcn.load_segmenter(segmenter)
    with pytest.raises(UserError, match="an image of 40x1 pixels is too small"):
        fcn.segment(network, np.zeros((1, 40, 3), np.uint8))
    for wrong in (np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3)), np.zeros((8, 8), np.uint8)):
        with pytest.raises(UsageError, match=r"segment needs an image uint8 \[H, W, 3\], not"):
            fcn.segment(network, wrong)


def test_two_files_are_not_written_to_one_place(segmenter, tmp_path):
    images.save_png(tmp_path / "photo.png", draw_squares(1)[0][0])
    (tmp_path / "a").mkdir()
    config = SegmentPredictConfig(
        run=segmenter,
        picture=tmp_path / "photo.png",
        out=tmp_path / "a" / ".." / "o.png",
        index=tmp_path / "o.png",
    )
    with pytest.raises(UserError, match=r"o.png would be written twice: name another file"):
        fcn.predict(config)


def test_evaluation_takes_the_drawn_faces(segmenter, tmp_path, monkeypatch):
    """Other images with masks stand for them here, which are faster to draw."""
    other = write_masked(tmp_path / "other", *draw_squares(30, seed=5))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dcgan.deconv.fcn.training.pack_face_parts", lambda: other)
    out = tmp_path / "s.png"
    found = fcn.evaluate(SegmentEvaluateConfig(run=segmenter, data="faces", out=out))
    assert found.count == 30


def test_evaluation_takes_other_images_of_the_same_classes(segmenter, tmp_path):
    other = write_masked(tmp_path / "other", *draw_squares(30, seed=5))
    out = tmp_path / "s.png"
    found = fcn.evaluate(SegmentEvaluateConfig(run=segmenter, data=other.folder, out=out, images=7))
    assert found.count == 7 and found.scores.mean_iu > 0.85
    renamed = write_masked(tmp_path / "renamed", *draw_squares(30), names=("a", "b", "c"))
    with pytest.raises(
        UserError, match=r"have the classes a, b, c, and those of .* background, re"
    ):
        fcn.evaluate(SegmentEvaluateConfig(run=segmenter, data=renamed.folder, out=out))
