"""Features of D, their batch norm, and features of any function."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dcgan import images
from dcgan.deconv.linear_probe import comparison as comparing
from dcgan.deconv.linear_probe import (
    discriminator_features,
    extract,
    feature_arrays,
    label_tasks,
    pixel_features,
    scale,
    split_images,
)
from dcgan.errors import UsageError
from dcgan.networks import Discriminator
from tests.deconv.linear_probe.sets import pack_bars

EVERY = np.arange(300)


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    return pack_bars(tmp_path_factory.mktemp("bars") / "packed")


def pixels_of(packed, indices) -> torch.Tensor:
    return images.to_float(torch.from_numpy(np.array(packed.images[indices])))


@pytest.mark.parametrize("size", [8, 32, 64])
def test_all_layers_are_pooled_to_4x4_in_windows_and_concatenated(size, tmp_path):
    packed = pack_bars(tmp_path / "p", 10, size)
    torch.manual_seed(0)
    D = Discriminator(size, 3, width=3)
    x = pixels_of(packed, slice(0, 5))
    parts = []
    for maps in D.features(x):
        n, channels, side, _ = maps.shape
        windows = maps.reshape(n, channels, 4, side // 4, 4, side // 4)
        parts.append(windows.amax((3, 5)).reshape(n, -1))
    features = discriminator_features(D, packed, np.arange(10))
    torch.testing.assert_close(features(x), torch.cat(parts, 1))
    widths = [min(3 * 2**i, 24) for i in range(len(D.blocks))]
    assert features(x).shape == (5, 16 * sum(widths))


def test_batch_norm_takes_the_statistics_of_the_images(packed):
    torch.manual_seed(0)
    D = Discriminator(16, 3, width=4, batch_norm_D=True, bias_D=False)
    D.blocks[1][1].running_mean.fill_(7)  # of other data
    before = {name: tensor.clone() for name, tensor in D.state_dict().items()}
    features = discriminator_features(D, packed, EVERY)

    # Means over batches of 128 of the statistics of the only batch norm there is.
    first, convolution = D.blocks[0], D.blocks[1][0]
    moments = []
    for start in (0, 128):
        maps = convolution(first(pixels_of(packed, slice(start, start + 128)))).double()
        values = maps.transpose(0, 1).flatten(1)
        moments.append(torch.stack([values.mean(1), values.var(1)]))
    mean, variance = torch.stack(moments).mean(0).float()
    found = features.D.blocks[1][1]
    torch.testing.assert_close(found.running_mean, mean, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.running_var, variance, rtol=1e-4, atol=1e-6)
    for name, tensor in D.state_dict().items():
        assert torch.equal(tensor, before[name]), "D itself stays as it is"
    # An image has the same features whatever lies beside it.
    x = pixels_of(packed, slice(0, 9))
    torch.testing.assert_close(features(x)[4:5], features(x[4:5]), rtol=1e-4, atol=1e-5)
    assert features(x).std(0).mean() > 0.05, "they differ between images"


def test_features_are_extracted_in_order_from_batches(packed, monkeypatch):
    monkeypatch.setattr("dcgan.deconv.linear_probe.features._BATCH_PIXELS", 7 * 16**2)
    indices = np.array([5, 2, 299, 0, 0, 8, 9, 10, 11, 12, 13])
    counts = []
    found = extract(pixel_features, packed, indices, on_images=counts.append)
    assert found.dtype == np.float32 and counts == [7, 4]
    np.testing.assert_array_equal(found, pixels_of(packed, indices).flatten(1).numpy())


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: x, r"mine: \[10, F\] features are needed, not \(10, 3, 16, 16\)"),
        (lambda x: x.flatten(), r"\[10, F\] features are needed, not \(7680,\)"),
        (lambda x: x.mean(), r"\[10, F\] features are needed, not \(\)"),
        (lambda x: [1], r"\[10, F\] features are needed, not list"),
        (lambda x: x.flatten(1)[:4], r"\[10, F\] features are needed, not \(4, 768\)"),
        (lambda x: x.flatten(1) / 0, "mine: some features are not finite"),
    ],
)
def test_functions_that_give_no_features_take_one_line(packed, function, words):
    with pytest.raises(UsageError, match=words):
        extract(function, packed, np.arange(10), name="mine")


def test_features_that_do_not_fit_into_memory_are_refused(packed, monkeypatch):
    monkeypatch.setattr(comparing, "_MAX_BYTES", 300 * 768 * 4 - 1)
    split = split_images(packed, label_tasks(packed), 10)
    with pytest.raises(UsageError, match="features of 300 images take 922 kB of memory: lower"):
        feature_arrays("pixels", pixel_features, packed, split)


def test_scaling_centres_and_fixes_the_mean_squared_norm_of_the_pool():
    rng = np.random.default_rng(0)
    pool, other = (rng.normal(3, 5, (n, 40)).astype(np.float32) for n in (50, 20))
    expected = (other - pool.mean(0)) / np.sqrt(np.square(pool - pool.mean(0)).sum(1).mean()) * 100
    scale(pool, [other])
    np.testing.assert_allclose(pool.mean(0), 0, atol=1e-4)
    assert np.square(pool).sum(1).mean() == pytest.approx(1e4, rel=1e-4)
    np.testing.assert_allclose(other, expected, rtol=1e-4, atol=1e-3)
    constant = np.ones((4, 3), np.float32)
    scale(constant, [])
    assert not constant.any(), "features that are all the same stay finite"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(size=32), "has images of size 16, and D is for 32"),
        (dict(size=8), "has images of size 16, and D is for 8"),
        (dict(size=16, channels=1), "has images of channels 3, and D is for 1"),
        (dict(size=32, spectral_norm=True), "has images of size 16, and D is for 32"),
    ],
)
def test_images_that_D_is_not_for_are_refused(packed, options, words):
    with pytest.raises(UsageError, match=words):
        discriminator_features(Discriminator(width=2, **options), packed, EVERY)


@pytest.mark.parametrize("options", [dict(spectral_norm=True), dict(minibatch_std=True), {}])
def test_other_discriminators_have_features_too(packed, options):
    D = Discriminator(16, 3, width=2, num_labels=3, **options)
    assert discriminator_features(D, packed, EVERY)(pixels_of(packed, [0])).shape == (1, 16 * 6)


def test_pooling_is_of_maxima(packed):
    D = Discriminator(16, 3, width=2)
    x = pixels_of(packed, [0, 1])
    first = discriminator_features(D, packed, EVERY)(x)[:, : 16 * 2]
    pooled = F.max_pool2d(D.features(x)[0], 2)
    torch.testing.assert_close(first, pooled.flatten(1))
