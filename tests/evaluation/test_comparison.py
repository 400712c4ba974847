"""Scores of one set of images against another, and which of two values of a score is better."""

import weakref

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dcgan import sampling
from dcgan.evaluation import (
    Comparison,
    RandomFeatures,
    comparison,
    has_better_direction,
    higher_is_better,
    mean_pair_similarity,
    pyramid_distances,
)
from dcgan.evaluation.memorization import find_copies, pixel_features
from dcgan.networks import Generator
from tests.tensor_float32 import as_in_training

CPU = torch.device("cpu")
DISTANCES = ("frechet", "kernel", "swd", "swd_16")


class LargestTensor(TorchDispatchMode):
    """The bytes of the largest tensor that is made in the block."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self.bytes = max(self.bytes, tensor.untyped_storage().nbytes())
        return made


def noise(count, seed):
    rng = np.random.default_rng(seed)
    return rng.integers(256, size=(count, 16, 16, 3), dtype=np.uint8)


def test_better_images_have_better_scores():
    """Images of the real distribution against striped ones, by what each name says is better."""
    compared = Comparison([noise(60, 0)], RandomFeatures(), CPU, 60)
    striped = noise(60, 1)
    striped[:, ::2] = 0
    good, bad = compared.scores([noise(60, 1)]), compared.scores([striped])
    ordered = {name for name in good if has_better_direction(name)}
    assert ordered == {*DISTANCES, "precision", "recall", "coverage"}
    for name in ordered:
        better, worse = (good, bad) if higher_is_better(name) else (bad, good)
        assert better[name] > worse[name], name


def test_pixel_scores_are_of_as_many_images_as_asked_for():
    real, fake = noise(40, 2), noise(30, 3)
    compared = Comparison([real[:25], real[25:]], RandomFeatures(), CPU, 20)
    found = compared.scores([fake[:7], fake[7:]])
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


def test_images_are_released_once_their_scores_are_known():
    chunks, most = [], 0

    def read():
        nonlocal most
        for i in range(12):
            chunk = noise(8, i)
            chunks.append(weakref.ref(chunk))
            yield chunk
            del chunk
            most = max(most, sum(reference() is not None for reference in chunks))

    compared = Comparison(read(), RandomFeatures(), CPU, 16)
    assert most == 1, "the one whose features are computed"
    compared.scores(read())
    assert most == 1


def largest_tensor(count: int, side: int, pixel_images: int) -> int:
    """Bytes of the largest tensor while two sets of images in chunks of 20 are compared."""
    rng = np.random.default_rng(0)

    def read():
        for _ in range(0, count, 20):
            yield rng.integers(256, size=(20, side, side, 3), dtype=np.uint8)

    with LargestTensor() as seen:
        Comparison(read(), RandomFeatures(), CPU, pixel_images).scores(read())
    return seen.bytes


def test_memory_does_not_grow_with_the_number_of_images(monkeypatch):
    """Beyond the features of as many images as pairs are compared."""
    monkeypatch.setattr(comparison, "MAX_PAIRWISE_IMAGES", 40)
    assert largest_tensor(100, 16, 10) == largest_tensor(400, 16, 10) == 704**2 * 8


def test_memory_does_not_grow_with_the_size_of_the_images():
    """At 256 pixels features of four images are computed at a time: 32 maps of 128, padded by 1."""
    assert largest_tensor(20, 256, 20) == 4 * 32 * 130**2 * 4


def test_fewer_images_than_the_scores_on_pixels_need_are_refused():
    with pytest.raises(ValueError, match="30 images have been added, not 31"):
        Comparison([noise(30, 0)], RandomFeatures(), CPU, 31)
    with pytest.raises(ValueError, match="29 images have been added, not 30"):
        Comparison([noise(30, 0)], RandomFeatures(), CPU, 30).scores([noise(29, 1)])


def test_tf32_in_training_leaves_scores_and_samples_as_they_are():
    """It makes MS-SSIM 4 to 8 % lower."""
    real, fake = noise(20, 0), noise(20, 1)
    torch.manual_seed(0)
    G = Generator(16, width=2, latent_dim=3)

    def results():
        compared = Comparison([real], RandomFeatures(), CPU, 20)
        test, *nearest = find_copies(real, fake, lambda: iter([fake]), pixel_features, CPU)
        (sampled,) = sampling.sample(G, range(4), precision="fp32")
        arrays = [sampled, *(tensor.numpy() for tensor in nearest)]
        return compared.scores([fake]), test, [array.tolist() for array in arrays]

    expected = results()
    with as_in_training():
        assert results() == expected
