from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F

from dcgan.deconv.fcn import Upsampling, bilinear_taps
from dcgan.sizes import ReceptiveField, receptive_field

PIXELS = receptive_field([])


def coarse(factor, centre=None):
    """Units that begin where the pixels of a shrunken image lie."""
    centre = Fraction(factor - 1, 2) if centre is None else centre
    return ReceptiveField(1, Fraction(factor), centre, 0)


def enlarge(x, up, sides):
    whole = tuple((0, side) for side in x.shape[2:])
    return up(x, whole, tuple((0, side) for side in sides))


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 8, 32])
def test_the_kernel_is_that_of_the_paper(factor):
    size = 2 * factor - factor % 2
    half = (size + 1) // 2  # the authors' formula, written for a size
    centre = half - 1 if size % 2 else half - 0.5
    expected = [1 - abs(tap - centre) / half for tap in range(size)]
    _, taps = bilinear_taps(factor)
    torch.testing.assert_close(taps, torch.tensor(expected))


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("factor", [2, 3, 4, 5, 8])
def test_it_is_bilinear_interpolation_up_to_the_borders(factor, learned):
    x = torch.randn(2, 3, 4, 5)
    sides = (4 * factor, 5 * factor)
    up = Upsampling(3, coarse(factor), PIXELS, learned)
    expected = F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
    torch.testing.assert_close(enlarge(x, up, sides), expected)


@pytest.mark.parametrize("factor", [2, 3, 8])
def test_with_zeros_it_is_the_plain_transposed_convolution_cropped(factor):
    x = torch.randn(1, 2, 4, 5)
    up = Upsampling(2, coarse(factor), PIXELS, learned=True, edges="zeros")
    got = enlarge(x, up, (4 * factor, 5 * factor))
    whole = F.conv_transpose2d(x, up.kernel, stride=factor)
    crop = factor // 2
    expected = whole[:, :, crop : crop + 4 * factor, crop : crop + 5 * factor]
    torch.testing.assert_close(got, expected)
    interpolated = F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
    inside = (..., slice(crop, -crop), slice(crop, -crop))
    torch.testing.assert_close(got[inside], interpolated[inside])
    assert (got[..., 0, :] - interpolated[..., 0, :]).abs().max() > 0.05


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("centre", [0, -3, Fraction(1, 2), Fraction(5, 2), Fraction(1, 3)])
def test_a_slope_keeps_its_place_for_any_phase(factor, centre):
    """A unit's value is the place of its middle; so every pixel gets its own place."""
    up = Upsampling(1, coarse(factor, Fraction(centre)), PIXELS, learned=False)
    x = (float(centre) + factor * torch.arange(9.0)).repeat(9, 1)[None, None]
    got = enlarge(x, up, (5 * factor, 5 * factor))[0, 0]
    inside = [p for p in range(5 * factor) if centre <= p <= centre + 8 * factor]
    torch.testing.assert_close(
        got[:, inside], torch.tensor(inside).float().expand_as(got[:, inside])
    )


def test_parts_are_computed_as_in_the_whole():
    x = torch.randn(1, 2, 9, 9)
    up = Upsampling(2, coarse(4), PIXELS, learned=False)
    whole = enlarge(x, up, (36, 36))
    rows, columns = (5, 14), (16, 17)
    read = [up.reads(span) for span in (rows, columns)]
    part = up(x[:, :, slice(*read[0]), slice(*read[1])], tuple(read), (rows, columns))
    torch.testing.assert_close(part, whole[:, :, 5:14, 16:17])
    assert up.reads((16, 17)) == (3, 5), "units at 1.5 + 4 i on both sides of 16"
    assert up.reads((0, 1)) == (-1, 1)


def test_only_the_learned_kernel_is_trained_and_stored():
    learned, fixed = (Upsampling(3, coarse(2), PIXELS, learned) for learned in (True, False))
    assert set(learned.state_dict()) == {"kernel"} and not fixed.state_dict()
    assert not list(fixed.parameters())
    enlarge(torch.randn(1, 3, 4, 4), learned, (8, 8)).square().sum().backward()
    gradient = learned.kernel.grad
    assert gradient[0, 1].abs().min() > 0, "classes can learn to correct one another"


def test_a_stride_that_is_no_multiple_is_refused():
    with pytest.raises(ValueError, match="no multiple"):
        Upsampling(1, coarse(3), coarse(2), learned=True)
