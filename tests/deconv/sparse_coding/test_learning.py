"""Learning filters: the energy, planted filters, and edges in photographs."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dcgan.deconv.sparse_coding import (
    Pool,
    add_noise,
    denoise,
    energy,
    learn_filters,
    normalize_contrast,
    signal_to_noise,
)
from dcgan.deconv.sparse_coding.operators import Synthesis
from dcgan.errors import UsageError
from tests.deconv.sparse_coding.photographs import crops
from tests.deconv.sparse_coding.test_fista import normal, unit


@settings(deadline=None, max_examples=25)
@given(
    st.integers(1, 6),
    st.integers(1, 3),
    st.floats(0.2, 10),
    st.sampled_from([0.5, 0.8, 1.0, "pool"]),
    st.sampled_from([None, 0, 1]),
)
def test_the_energy_of_all_images_never_rises(filters, channels, weight, p, padding):
    images = normal(3, channels, 8, 9, seed=filters).float()
    options = dict(p=1.0, pool=Pool(2, 2)) if p == "pool" else dict(p=p)
    learned = learn_filters(
        images, filters, 3, weight, rounds=6, seed=1, padding=padding, **options
    )
    assert learned.filters.shape == (filters, channels, 3, 3)
    assert (learned.filters.flatten(1).norm(dim=1) <= 1 + 1e-5).all()
    assert learned.energies.shape == (13,)
    assert (learned.energies[1:] <= learned.energies[:-1] * (1 + 1e-6)).all()
    now = energy(images, learned.maps, learned.filters, weight, options["p"], padding).sum()
    torch.testing.assert_close(learned.energies[-1], now, rtol=1e-4, atol=1e-4)


def similarity(a: torch.Tensor, b: torch.Tensor) -> float:
    """The largest cosine of two filters [C, h, w] over shifts and signs."""
    size = a.shape[-1]
    correlation = torch.nn.functional.conv2d(a[None], b[None], padding=size - 1)
    return (correlation.abs().max() / (a.norm() * b.norm())).item()


@pytest.mark.slow
def test_planted_filters_are_found_up_to_shift_and_sign():
    planted = unit(4, 1, 5, 5, seed=7).float()
    maps = torch.zeros(16, 4, 36, 36)
    where = torch.rand(maps.shape, generator=torch.Generator().manual_seed(0)) < 0.005
    maps[where] = normal(int(where.sum()), seed=1).float() * 3
    images = Synthesis(planted).forward(maps)
    learned = learn_filters(images, 8, 9, 10.0, rounds=60, seed=2).filters
    best = [max(similarity(p, f) for f in learned) for p in planted]
    assert min(best) > 0.99, best


def anisotropy(filters: torch.Tensor) -> torch.Tensor:
    """How much of each filter [K, 1, h, w] varies along one direction alone, from 0 to 1: that of
    the second moments of its power spectrum.
    """
    power = torch.fft.fft2(filters[:, 0], s=(32, 32)).abs().square()
    f = torch.fft.fftfreq(32)
    xx, yy, xy = (
        (power * weight).sum((1, 2))
        for weight in (f[None, :] ** 2, f[:, None] ** 2, f[:, None] * f[None, :])
    )
    return ((xx - yy).square() + 4 * xy.square()).sqrt() / (xx + yy)


@pytest.fixture(scope="module")
def from_photographs() -> torch.Tensor:
    photos = normalize_contrast(crops(20, 48)).normalized
    return learn_filters(photos, 12, 9, rounds=30).filters


@pytest.mark.slow
def test_filters_of_photographs_are_oriented_edges(from_photographs):
    noise = torch.randn(20, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    from_noise = learn_filters(noise[:10], 12, 9, rounds=5).filters
    ours, theirs = anisotropy(from_photographs), anisotropy(from_noise)
    assert ours.median() > 0.4 and theirs.median() < 0.2, (ours, theirs)
    # Of several orientations: the angles of the strongest frequencies spread over half a turn.
    power = torch.fft.fft2(from_photographs[:, 0], s=(32, 32)).abs().flatten(1)
    rows, columns = (torch.div(power.argmax(1), 32, rounding_mode="floor"), power.argmax(1) % 32)
    f = torch.fft.fftfreq(32)
    angles = torch.atan2(f[rows], f[columns]) % torch.pi
    assert len(torch.unique((angles / torch.pi * 4).round() % 4)) >= 3


@pytest.mark.slow
def test_denoising_gains_signal_to_noise(from_photographs):
    clean = normalize_contrast(crops(6, 48, seed=1)).normalized
    gains = []
    for snr in (13.84, 5.0):
        noisy = add_noise(clean, snr)
        torch.testing.assert_close(
            signal_to_noise(clean, noisy), torch.full((6,), snr), atol=0.5, rtol=0
        )
        sigma = (noisy - clean).square().mean().sqrt().item()
        found = denoise(noisy, from_photographs, sigma)
        gains.append((signal_to_noise(clean, found) - signal_to_noise(clean, noisy)).mean().item())
    assert gains[0] > 0.4 and gains[1] > 2, gains


def test_colour_and_a_filter_as_large_as_the_image():
    images = normal(2, 3, 6, 6).float()
    learned = learn_filters(images, 2, 6, 5.0, rounds=3)
    assert learned.filters.shape == (2, 3, 6, 6) and learned.maps.shape == (2, 2, 11, 11)
    flat = learn_filters(torch.zeros(1, 1, 5, 5), 2, 3, rounds=2)
    assert flat.energies.tolist() == [0] * 5 and flat.filters.isfinite().all()


def test_unused_filters_become_patches():
    """A filter that no image uses at first is used in the end."""
    images = Synthesis(unit(2, 1, 3, 3).float()).forward(3 * normal(4, 2, 10, 10, seed=1).float())
    start = torch.zeros(2, 1, 3, 3)
    start[0] = unit(1, 1, 3, 3, seed=5)[0]
    learned = learn_filters(images, 2, 3, 5.0, rounds=3, start=start)
    assert (learned.maps != 0).any((0, 2, 3)).all()
    assert (learned.energies[1:] <= learned.energies[:-1]).all()


def test_the_seed_decides():
    images = normal(2, 1, 8, 8).float()
    a, b, c = (learn_filters(images, 2, 3, rounds=2, seed=seed).filters for seed in (0, 0, 1))
    assert torch.equal(a, b) and not torch.equal(a, c)


images = torch.ones(2, 1, 8, 8)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: learn_filters(torch.ones(8, 8)), r"needs images \[N, C, H, W\], not \[8, 8\]"),
        (lambda: learn_filters(images.byte()), "not torch.uint8: see images.to_float"),
        (lambda: learn_filters(images * torch.nan), "with finite values"),
        (lambda: learn_filters(images, 0), "--filters must be a whole number of at least 1, not 0"),
        (lambda: learn_filters(images, 2.5), "--filters must be a whole number"),
        (
            lambda: learn_filters(images, 2, 9),
            "filters of 9x9 pixels are larger than the ima",
        ),
        (lambda: learn_filters(images, 2, -1), "--size must be a whole number"),
        (lambda: learn_filters(images, 2, 3, 0), "--weight must be a number above 0, not 0"),
        (lambda: learn_filters(images, 2, 3, p=0), "--p must be above 0 and at most 1, not 0"),
        (lambda: learn_filters(images, 2, 3, p=1.5), "--p must be above 0 and at most 1, not 1.5"),
        (lambda: learn_filters(images, 2, 3, p="1"), "--p must be above 0"),
        (lambda: learn_filters(images, 2, 3, rounds=0), "--rounds must be"),
        (lambda: learn_filters(images, 2, 3, p=0.5, pool=Pool()), "the penalty must be l1"),
        (
            lambda: learn_filters(images, 2, 3, padding=3),
            "--padding must be a whole number",
        ),
        (
            lambda: learn_filters(images, 2, 3, connectivity=torch.ones(1, 1)),
            r"connectivity must be \[2, 1\], not \[1, 1\]",
        ),
        (
            lambda: learn_filters(images, 2, 3, start=torch.ones(2, 3, 3)),
            r"start must be \[2, 1, 3, 3\], not \[2, 3, 3\]",
        ),
        (lambda: learn_filters(images, 10**8, 3), "do not fit in memory"),
        (lambda: denoise(images, images, -1), "--sigma must be a number above 0, not -1"),
        (lambda: normalize_contrast(images, 0), "--sigma must be a number above 0, not 0"),
        (
            lambda: energy(images, images, torch.ones(2, 3, 3, 3)),
            r"1 channels needs filters",
        ),
        (
            lambda: energy(images, images, torch.ones(2, 1, 3, 3)),
            r"maps must have the shape \[2, 2, 10, 10\], not \[2, 1, 8, 8\]",
        ),
        (lambda: signal_to_noise(images, images[:1]), "cannot be compared"),
    ],
)
def test_mistakes_are_named(call, words):
    with pytest.raises(UsageError, match=words):
        call()


def test_there_is_an_angle_in_edges_and_none_in_blobs():
    """The measure of the test above."""
    place = torch.arange(9) - 4.0
    blob = torch.exp(-(place[:, None] ** 2 + place**2) / 4)
    edges = [blob * (place[:, None] * a + place * b) for a, b in itertools.product((0, 1), (1,))]
    measured = anisotropy(torch.stack([blob, *edges])[:, None])
    assert measured[0] < 0.01 and (measured[1:] > 0.45).all()
