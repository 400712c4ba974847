"""The table: all rows on the same draws, and what they mean on the built-in faces."""

import json

import numpy as np
import pytest
import torch

from dcgan.config import FeaturesConfig
from dcgan.data import pack_arrays
from dcgan.data.faces import ATTRIBUTES, render
from dcgan.deconv.linear_probe import ProbeScores, ProbeTable, compare_features, supervised
from dcgan.errors import UsageError, UserError
from tests.deconv.linear_probe.sets import pack_attributes, pack_bars


def options(run, packed, **changes) -> FeaturesConfig:
    given = dict(per_class=8, draws=3, cnn_draws=0, device="cpu") | changes
    return FeaturesConfig(checkpoint=run, data=packed.folder, **given)


def test_every_row_has_its_features_and_its_draws(run, tmp_path, monkeypatch):
    monkeypatch.setattr(supervised, "_SEEN_IMAGES", 500)
    packed = pack_attributes(tmp_path / "p")
    mean_colour = {"mean colour": lambda x: x.mean((2, 3))}
    table = compare_features(options(run, packed, cnn_draws=1), mean_colour)
    sizes = {name: row.features for name, row in table.rows.items()}
    assert sizes == {
        "D": 16 * 12,
        "mean colour": 3,
        "D, untrained": 16 * 12,
        "pixels": 3 * 16 * 16,
        "PCA of pixels": min(256, table.protocol["pool_images"]),
        "CNN, these labels only": None,
        "D, shuffled labels": 16 * 12,
    }
    assert table.rows["D"].accuracy.shape == (3, 3)
    assert table.rows["CNN, these labels only"].accuracy.shape == (1, 3)
    bright = table.rows["mean colour"].balanced_accuracy[:, 0].mean()
    assert bright > 0.9, "the mean colour shows how bright an image is"
    lines = table.lines()
    assert len(lines) == 8 and lines[0].split()[:2] == ["features", "accuracy"]
    assert lines[2].startswith("mean colour") and lines[2].split()[2] == "3"
    content = json.loads(json.dumps(table.to_json()))
    assert content["protocol"]["per_class"] == 8 and content["protocol"]["test_images"] == 60
    shown = content["results"]["mean colour"]
    assert len(shown["accuracy"]["rare"]) == 3 and set(shown["C"]) == {"bright", "bar", "rare"}

    again = compare_features(options(run, packed), mean_colour)
    for name, scores in again.rows.items():
        assert (scores.accuracy == table.rows[name].accuracy).all(), name


def test_a_row_cannot_take_the_name_of_another(run, tmp_path):
    packed = pack_bars(tmp_path / "p")
    with pytest.raises(UsageError, match="has a row 'pixels' already: choose another name"):
        compare_features(options(run, packed), {"pixels": lambda x: x.flatten(1)})


def test_images_without_labels_or_of_another_size_are_refused(run, packed, tmp_path):
    with pytest.raises(UserError, match="have no labels"):
        compare_features(options(run, packed))
    larger = pack_bars(tmp_path / "p", size=32)
    with pytest.raises(UsageError, match="has images of size 32, and D is for 16"):
        compare_features(options(run, larger))
    with pytest.raises(UsageError, match="compare_features needs a FeaturesConfig"):
        compare_features({"data": packed.folder})


def test_the_table_shows_means_and_spreads():
    scores = ProbeScores(
        np.array([[0.5, 0.7], [0.6, 0.8]]), np.array([[0.5, 0.5], [0.5, 0.5]]), 1234, (1e-4, 1e-2)
    )
    lone = ProbeScores(np.array([[0.25, 0.25]]), np.array([[0.3, 0.3]]))
    lines = ProbeTable({"D": scores, "CNN": lone}, ("a", "b"), {}).lines()
    assert lines[1].split() == [
        "D",
        "1,234",
        "65.0",
        "±",
        "9.8",
        "50.0",
        "±",
        "0.0",
        "2",
        "0.00505",
    ]
    assert lines[2].split() == ["CNN", "-", "25.0", "30.0", "1", "-"]


@pytest.mark.slow
def test_features_learnt_without_labels_beat_random_filters_pixels_and_components(tmp_path):
    """On drawn faces that the generator and discriminator in the box have not seen."""
    faces = render(range(1200), 64, seed=12345)
    kept = [ATTRIBUTES.index(name) for name in ("smiling", "hat", "mouth_open", "eyeglasses")]
    labels = faces.attributes[:, kept].to(torch.uint8)
    names = [ATTRIBUTES[i] for i in kept]
    packed = pack_arrays(
        faces.images, labels, names, out=tmp_path / "faces", size=64, progress=False
    )
    table = compare_features(options("faces", packed, per_class=50, draws=6, test=400))
    means = {name: row.balanced_accuracy.mean() for name, row in table.rows.items()}
    shuffled = means.pop("D, shuffled labels")
    best = means.pop("D")
    assert best > 0.85 and best > max(means.values()) + 0.04, means
    assert shuffled == pytest.approx(0.5, abs=0.05)
