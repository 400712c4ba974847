"""Augmentations against NumPy, image by image."""

import numpy as np
import pytest
import torch
from torch import nn

from dcgan.training.augmentation import (
    _KINDS,
    _NOISE_COLUMNS,
    NOISE_DIM,
    augment,
)
from dcgan.training.losses import squared_gradient_norms

ALL = tuple(_KINDS)
FORMATS = [torch.contiguous_format, torch.channels_last]


def images(n=6, channels=3, side=16, dtype=torch.float64) -> torch.Tensor:
    torch.manual_seed(0)
    return 2 * torch.rand(n, channels, side, side, dtype=dtype) - 1


def noise_of(n=6, seed=1, **columns) -> torch.Tensor:
    """Uniform noise, with the given parameters in the columns of kinds, as in `colour=[...]`."""
    drawn = torch.rand(n, NOISE_DIM, generator=torch.Generator().manual_seed(seed))
    for kind, values in columns.items():
        start = _NOISE_COLUMNS[kind].start + 1
        drawn[:, start : start + len(values)] = torch.tensor(values)
    return drawn


# Of one image [C, S, S] and its parameters, step by step as in the paper's code.


def colour(x: np.ndarray, u: np.ndarray) -> np.ndarray:
    x = x + (u[0] - 0.5)
    grey = x.mean(0, keepdims=True)
    x = grey + (x - grey) * 2 * u[1]
    return x.mean() + (x - x.mean()) * (0.5 + u[2])


def translation(x: np.ndarray, u: np.ndarray) -> np.ndarray:
    side = x.shape[-1]
    reach = side // 8
    down, right = (int(v * (2 * reach + 1)) - reach for v in u)
    moved = np.zeros_like(x)
    for i in range(side):
        for j in range(side):
            if 0 <= i - down < side and 0 <= j - right < side:
                moved[:, i, j] = x[:, i - down, j - right]
    return moved


def cutout(x: np.ndarray, u: np.ndarray) -> np.ndarray:
    side = x.shape[-1]
    top, left = (int(v * (side + 1)) - side // 4 for v in u)
    x = x.copy()
    x[:, max(top, 0) : top + side // 2, max(left, 0) : left + side // 2] = 0
    return x


REFERENCE = {"colour": colour, "translation": translation, "cutout": cutout}


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kinds", [*[(kind,) for kind in _KINDS], ALL, ALL[::-1]])
def test_augmentations_equal_those_of_single_images_in_numpy(kinds, channels, memory_format):
    x = images(channels=channels).contiguous(memory_format=memory_format)
    u = noise_of()
    ours = augment(x, u, 1.0, kinds)
    for image, numbers, result in zip(x.numpy(), u.double().numpy(), ours, strict=True):
        for kind in kinds:
            image = REFERENCE[kind](image, numbers[_NOISE_COLUMNS[kind]][1:])
        torch.testing.assert_close(result, torch.from_numpy(image), rtol=1e-6, atol=1e-6)
    assert ours.is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize("probability", [0.0, torch.tensor(0.0)])
def test_probability_zero_changes_nothing(probability):
    u = noise_of()
    u[0] = 0
    torch.testing.assert_close(augment(images(), u, probability, ALL), images())


def test_probability_one_alters_every_image():
    u = noise_of(translation=[0.9, 0.9])
    u[0, [slice.start for slice in _NOISE_COLUMNS.values()]] = (
        1 - 2**-24
    )  # the largest float32 below 1
    for kind in _KINDS:
        altered = augment(images(), u, torch.tensor(1.0), (kind,)) != images()
        assert altered.flatten(1).any(1).all()


def test_parameters_of_one_half_change_nothing():
    u = noise_of(colour=[0.5, 0.5, 0.5], translation=[0.5, 0.5])
    torch.testing.assert_close(augment(images(), u, 1.0, ("colour", "translation")), images())


def test_each_kind_is_applied_to_its_own_share_of_the_images():
    """One coin for all kinds would leave 3/4 of the images unchanged."""
    n = 4000
    x = torch.ones(n, 3, 8, 8) / 2
    u = noise_of(n, colour=[0.9, 0.5, 0.5], translation=[0.0, 0.0], cutout=[0.5, 0.5])
    altered = [
        (augment(x, u, 0.25, (kind,)) - x).abs().flatten(1).amax(1) > 1e-6 for kind in _KINDS
    ]
    for of_kind in altered:
        assert abs(of_kind.float().mean() - 0.25) < 0.03
    untouched = ~torch.stack(altered).any(0)
    assert abs(untouched.float().mean() - 0.75**3) < 0.03


@pytest.mark.parametrize("side", [8, 16, 64])
def test_all_translations_within_an_eighth_are_equally_likely(side):
    reach, times = side // 8, 4
    places = 2 * reach + 1
    n = times * places
    even = (torch.arange(n) + 0.5) / n
    dot = torch.zeros(n, 1, side, side)
    dot[:, :, side // 2, side // 2] = 1
    u = noise_of(n)
    u[:, _NOISE_COLUMNS["translation"]] = torch.stack([torch.zeros(n), even, even.flip(0)], 1)
    moved = augment(dot, u, 1.0, ("translation",))
    for dims, sign in (((1, 3), 1), ((1, 2), -1)):
        offsets = moved.sum(dims).argmax(1) - side // 2
        expected = torch.arange(-reach, reach + 1).repeat_interleave(times)
        assert offsets.tolist() == expected.tolist()[::sign]


@pytest.mark.parametrize("end", [0.0, 1 - 2**-24, 1.0])
@pytest.mark.parametrize("side", [8, 64, 256])
def test_parameters_at_the_ends_of_their_range_stay_within_reach(end, side):
    """float32 rounds 0.99999997 to 1."""
    u = noise_of(1, translation=[end, end], cutout=[end, end])
    u[:, _NOISE_COLUMNS["translation"].start] = u[:, _NOISE_COLUMNS["cutout"].start] = 0
    x = torch.ones(1, 1, side, side)
    kept = side - side // 8
    assert augment(x, u, 1.0, ("translation",)).sum() == kept**2
    hole = side // 4  # what is left of a square of side S/2 around a corner
    assert augment(x, u, 1.0, ("cutout",)).sum() == side**2 - hole**2


def test_saturation_and_contrast_keep_the_mean_and_brightness_adds_to_it():
    x, mean = images(), images().mean((1, 2, 3))
    for values in ([0.5, 0.0, 0.5], [0.5, 1.0, 0.5], [0.5, 0.5, 0.0], [0.5, 0.9, 1.0]):
        altered = augment(x, noise_of(colour=values), 1.0, ("colour",))
        assert (altered - x).abs().max() > 0.1
        torch.testing.assert_close(altered.mean((1, 2, 3)), mean)
    altered = augment(x, noise_of(colour=[0.75, 0.9, 0.1]), 1.0, ("colour",))
    torch.testing.assert_close(altered.mean((1, 2, 3)), mean + 0.25)


def test_grey_images_have_no_saturation_and_saturation_0_gives_grey():
    u = noise_of(colour=[0.5, 0.9, 0.5])
    torch.testing.assert_close(augment(images(channels=1), u, 1.0, ("colour",)), images(channels=1))
    r, g, b = augment(images(), noise_of(colour=[0.5, 0.0, 0.5]), 1.0, ("colour",)).unbind(1)
    torch.testing.assert_close(r, g)
    torch.testing.assert_close(g, b)


def test_images_and_kinds_are_augmented_independently_of_others():
    x, u = images(), noise_of()
    all_kinds = augment(x, u, 0.5, ALL)
    assert torch.equal(all_kinds, augment(x, u, torch.tensor(0.5), ALL))
    torch.testing.assert_close(all_kinds[2:3], augment(x[2:3], u[2:3], 0.5, ALL))
    one_by_one = x
    for kind in ALL:
        one_by_one = augment(one_by_one, u, 0.5, (kind,))
    assert torch.equal(all_kinds, one_by_one)


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_first_and_second_derivatives_are_those_of_finite_differences(kind, channels):
    x = images(3, channels, 8).requires_grad_()
    for probability in (1.0, 0.5):
        altered = lambda x, p=probability: augment(x, noise_of(3), p, (kind,))  # noqa: E731
        assert torch.autograd.gradcheck(altered, x, fast_mode=True)
        assert torch.autograd.gradgradcheck(altered, x, fast_mode=True)


def test_r1_goes_through_the_augmentation():
    """The gradient of a linear D is w altered by the adjoint, here with contrast 1.5 alone."""
    x = images().requires_grad_()
    D = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 1), nn.Flatten(0)).double()
    w = D[1].weight
    u = noise_of(colour=[0.9, 0.5, 1.0])
    penalty = squared_gradient_norms(D(augment(x, u, 1.0, ("colour",))), x).mean()
    expected = ((1.5 * w - 0.5 * w.mean()) ** 2).sum()
    torch.testing.assert_close(penalty, expected)
    ours, theirs = (torch.autograd.grad(value, w)[0] for value in (penalty, expected))
    torch.testing.assert_close(ours, theirs)


def test_the_host_reads_no_value():
    """Tensors on the meta device have none, and reading one raises."""
    x = torch.empty(4, 3, 16, 16, device="meta", requires_grad=True)
    p, u = torch.empty((), device="meta"), torch.empty(4, NOISE_DIM, device="meta")
    y = augment(x, u, p, ALL)
    assert (y.shape, y.device.type) == (x.shape, "meta")
    y.sum().backward()


def test_bfloat16_images_stay_bfloat16_and_are_equal_within_its_precision():
    x, u = images(dtype=torch.float32), noise_of()
    with torch.autocast("cpu", torch.bfloat16):
        altered = augment(x.bfloat16(), u, 1.0, ALL)
        assert augment(x, u, 1.0, ALL).dtype == torch.float32
    assert altered.dtype == torch.bfloat16
    torch.testing.assert_close(altered.float(), augment(x, u, 1.0, ALL), rtol=0.03, atol=0.03)


def test_kinds_share_no_column_of_the_noise():
    """Kinds that share one would be applied together."""
    columns = [i for kind in _KINDS for i in range(NOISE_DIM)[_NOISE_COLUMNS[kind]]]
    assert sorted(columns) == list(range(NOISE_DIM))
