"""MS-SSIM against an independent formulation with SciPy, and its meaning."""

import numpy as np
import pytest
import scipy.ndimage
import torch

from dcgan.evaluation import ms_ssim
from dcgan.evaluation.ms_ssim import PairSimilarities, mean_pair_similarity, multiscale_ssim

WEIGHTS = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]


def reference(x, y, scales):
    """Equation 7 of the paper, on [0, 1] in float64, with filters of scipy.ndimage."""
    result, weights = 1.0, np.array(WEIGHTS[:scales]) / sum(WEIGHTS[:scales])
    for scale in range(scales):

        def blur(image):
            return scipy.ndimage.gaussian_filter(image, 1.5, radius=5)[5:-5, 5:-5]

        mx, my = blur(x), blur(y)
        vx, vy, vxy = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
        structure = (2 * vxy + 0.03**2) / (vx + vy + 0.03**2)
        luminance = (2 * mx * my + 0.01**2) / (mx**2 + my**2 + 0.01**2)
        value = (structure * (luminance if scale == scales - 1 else 1)).mean()
        result *= max(value, 0) ** weights[scale]
        x, y = (scipy.ndimage.uniform_filter(i, 2, origin=-1)[::2, ::2] for i in (x, y))
    return result


def smooth_images(n, size, seed):
    rng = np.random.default_rng(seed)
    images = scipy.ndimage.gaussian_filter(rng.normal(size=(n, 3, size, size)), (0, 0, 3, 3))
    return torch.from_numpy((images * 1.5 + 0.5).clip(0, 1)).float()


@pytest.mark.parametrize(("size", "scales"), [(32, 2), (64, 3), (128, 4), (192, 5)])
def test_the_value_is_that_of_the_formula_of_the_paper(size, scales):
    assert ms_ssim._count_scales(size) == scales
    x = smooth_images(3, size, 0)
    y = (x + 0.5 * (smooth_images(3, size, 1) - 0.5)).clip(0, 1)
    expected = [
        np.mean([reference(*(i[n, c].double().numpy() for i in (x, y)), scales) for c in range(3)])
        for n in range(3)
    ]
    assert min(expected) > 0.2 and max(expected) < 0.98, "the test must see something"
    np.testing.assert_allclose(multiscale_ssim(x, y), expected, atol=2e-4)


@pytest.mark.parametrize("size", [8, 16, 64])
def test_equal_images_have_similarity_1_and_others_less(size):
    x, y = smooth_images(4, size, 2), smooth_images(4, size, 3)
    torch.testing.assert_close(multiscale_ssim(x, x), torch.ones(4), atol=1e-4, rtol=0)
    assert multiscale_ssim(x, y).max() < 0.95


def test_it_is_symmetric_and_equal_for_mirrored_pairs():
    x, y = smooth_images(4, 64, 4), smooth_images(4, 64, 4) * 0.7 + 0.3 * smooth_images(4, 64, 5)
    value = multiscale_ssim(x, y)
    torch.testing.assert_close(multiscale_ssim(y, x), value)
    torch.testing.assert_close(multiscale_ssim(x.flip(3), y.flip(3)), value, atol=1e-5, rtol=0)
    torch.testing.assert_close(multiscale_ssim(x.mT, y.mT), value, atol=1e-5, rtol=0)
    assert (multiscale_ssim(x, y.flip(3)) < value - 0.05).all()


def test_noise_lowers_it():
    x, noise = (
        smooth_images(4, 64, 6),
        torch.from_numpy(np.random.default_rng(7).normal(size=(4, 3, 64, 64))),
    )
    values = [multiscale_ssim(x, (x + s * noise.float())).mean() for s in (0, 0.02, 0.05, 0.1, 0.3)]
    assert values == sorted(values, reverse=True) and values[-1] < 0.9


def test_a_collapsed_set_has_a_higher_mean_similarity():
    def as_bytes(x):
        return (255 * x).to(torch.uint8)

    varied = as_bytes(smooth_images(101, 64, 8))
    collapsed = varied[torch.arange(100) % 3]  # a third of all pairs are not of one image
    assert mean_pair_similarity(collapsed) > mean_pair_similarity(varied)
    assert mean_pair_similarity(varied[:1].expand(7, -1, -1, -1)) == pytest.approx(1, abs=1e-4)
    pairs = [
        multiscale_ssim(*(varied[i : i + 1] / 255.0 for i in (2 * j, 2 * j + 1))) for j in range(50)
    ]
    expected = pytest.approx(float(sum(pairs)) / 50, abs=1e-5)
    assert mean_pair_similarity(varied) == expected
    in_chunks = PairSimilarities()
    for chunk in varied.split([1, 1, 7, 40, 51, 1]):
        in_chunks.add(chunk)
    assert in_chunks.mean() == expected
    with pytest.raises(ValueError, match="pairs"):
        mean_pair_similarity(varied[:1])
