"""Kernel distance of features: KID (Bińkowski et al. 2018) over all pairs, on any features."""

from torch import Tensor

from dcgan.evaluation.pairwise import check_features, row_blocks, to_float64


def polynomial_mmd(real: Tensor, fake: Tensor) -> float:
    """Unbiased squared maximum mean discrepancy (MMD) of features [N, F] and [M, F].

    The kernel is (x.y / F + 1)^3, as in KID (Bińkowski et al. 2018, section 4). KID averages over
    small random subsets; this estimate takes all pairs at once: the same expectation, a lower
    variance. Lower is better; the value can fall below 0 for sets of the same distribution.
    Raises ValueError for fewer than two rows.
    """
    check_features(real, 2)
    check_features(fake, 2)
    real, fake = to_float64(real), to_float64(fake)
    across = sum(_kernel(rows, fake).sum() for rows in row_blocks(real, len(fake)))
    within = (_mean_within(real), _mean_within(fake))
    return float(sum(within) - 2 * across / (len(real) * len(fake)))


def _mean_within(x: Tensor) -> Tensor:
    """Mean of the kernel over all pairs of two different rows."""
    total = sum(_kernel(rows, x).sum() for rows in row_blocks(x, len(x)))
    diagonal = (x.square().sum(1) / x.shape[1] + 1) ** 3
    return (total - diagonal.sum()) / (len(x) * (len(x) - 1))


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3
