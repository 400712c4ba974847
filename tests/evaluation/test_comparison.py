"""Scores of one set of images against another, and which of two values of a score is better."""

import weakref

import numpy as np
import pytest
import torch

from dcgan.evaluation import (
    Comparison,
    RandomFeatures,
    has_better_direction,
    higher_is_better,
    mean_pair_similarity,
    pyramid_distances,
)

CPU = torch.device("cpu")
DISTANCES = ("frechet", "kernel", "swd", "swd_16")


def noise(count, seed):
    rng = np.random.default_rng(seed)
    return rng.integers(256, size=(count, 16, 16, 3), dtype=np.uint8)


def test_better_images_have_better_scores():
    """Images of the real distribution against striped ones, by what each name says is better."""
    comparison = Comparison([noise(60, 0)], RandomFeatures(), CPU, 60)
    striped = noise(60, 1)
    striped[:, ::2] = 0
    good, bad = comparison.scores([noise(60, 1)]), comparison.scores([striped])
    ordered = {name for name in good if has_better_direction(name)}
    assert ordered == {*DISTANCES, "precision", "recall", "coverage"}
    for name in ordered:
        better, worse = (good, bad) if higher_is_better(name) else (bad, good)
        assert better[name] > worse[name], name


def test_pixel_scores_are_of_as_many_images_as_asked_for():
    real, fake = noise(40, 2), noise(30, 3)
    comparison = Comparison([real[:25], real[25:]], RandomFeatures(), CPU, 20)
    found = comparison.scores([fake[:7], fake[7:]])
    real, fake = (torch.from_numpy(images[:20]).permute(0, 3, 1, 2) for images in (real, fake))
    assert found["swd"] == found["swd_16"] == pyramid_distances(real, fake)[16]
    assert found["ms_ssim"] == mean_pair_similarity(fake)
    assert found["ms_ssim_real"] == mean_pair_similarity(real)


@pytest.mark.parametrize("prefix", ["", "eval/"])
def test_the_direction_of_a_score_follows_from_its_name(prefix):
    for name in ("precision", "recall", "coverage", "inception_score"):
        assert has_better_direction(prefix + name) and higher_is_better(prefix + name)
    for name in (*DISTANCES, "fid", "kid_x1000"):
        assert has_better_direction(prefix + name) and not higher_is_better(prefix + name)
    for name in ("density", "ms_ssim", "ms_ssim_real"):
        assert not has_better_direction(prefix + name)


def test_images_are_released_once_their_features_are_known():
    chunks, most = [], 0

    def read():
        nonlocal most
        for i in range(12):
            chunk = noise(8, i)
            chunks.append(weakref.ref(chunk))
            yield chunk
            del chunk
            most = max(most, sum(reference() is not None for reference in chunks))

    comparison = Comparison(read(), RandomFeatures(), CPU, 16)
    assert len(comparison.on_pixels.real) == 16
    assert most <= 3, "the two for the pixel scores, and the one whose features are computed"
