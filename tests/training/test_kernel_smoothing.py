"""Kernel smoothing, against explicit W = S V S and least squares; the bilinear initialisation."""

import copy

import pytest
import torch
import torch.nn.functional as F

from dcgan.networks import Generator, StridedConvTranspose2d
from dcgan.training.kernel_smoothing import (
    _MOMENT_DAMPING,
    init_bilinear,
    smooth_gradients,
    smooth_kernels,
    smooth_updates,
    upsampling_kernels,
)
from dcgan.training.trainer import Trainer
from tests.tensor_float32 import as_in_training

KERNEL_SIZES = pytest.mark.parametrize("side", [4, 5])


def smooth_step(optimizer: torch.optim.Optimizer, kernels: list[torch.Tensor]) -> None:
    """A step of an optimizer as in training, which moves V in place of the kernels."""
    smooth_gradients(kernels)
    with smooth_updates(kernels):
        optimizer.step()


def binomial_matrix(side: int) -> torch.Tensor:
    """S: [1 2 1] / 4 along a kernel, with zeros outside of it."""
    S = torch.zeros(side, side, dtype=torch.float64)
    for i in range(side):
        for j in range(side):
            S[i, j] = {0: 0.5, 1: 0.25}.get(abs(i - j), 0.0)
    return S


def balanced(kernels: torch.Tensor) -> torch.Tensor:
    """Kernels _MOMENT_DAMPING of the way from the nearest ones whose phases have equal sums and
    first moments to the nearest ones whose phases have equal sums."""
    equal_moments, equal_sums = nearest(kernels, moments=3), nearest(kernels, moments=1)
    return equal_moments + _MOMENT_DAMPING * (equal_sums - equal_moments)


def nearest(kernels: torch.Tensor, moments: int) -> torch.Tensor:
    """The least squares solution over kernels whose phases have equal moments 1, y, x."""
    side = kernels.shape[-1]
    y, x = torch.meshgrid(*[torch.arange(side, dtype=torch.float64)] * 2, indexing="ij")
    rows = []
    for moment in (torch.ones_like(x), y, x)[:moments]:
        phase = [torch.zeros(side, side, dtype=torch.float64) for _ in range(4)]
        for taps, (i, j) in zip(phase, [(0, 0), (0, 1), (1, 0), (1, 1)], strict=True):
            taps[i::2, j::2] = moment[i::2, j::2]
        rows += [(taps - phase[0]).flatten() for taps in phase[1:]]
    # Lagrange: K - K0 is a combination of the rows, and the rows times K are 0.
    rows = torch.stack(rows)
    flat = kernels.flatten(-2)
    factors = torch.linalg.lstsq(rows.T, flat.flatten(0, -2).T, driver="gelsd").solution
    return (flat - (rows.T @ factors).T.view_as(flat)).view_as(kernels)


@KERNEL_SIZES
def test_smoothing_balances_the_phases_before_and_after_a_binomial_filter(side):
    kernels = torch.randn(3, 2, side, side, dtype=torch.float64)
    line = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64) / 4
    weight = torch.outer(line, line)[None, None]
    smoothed = F.conv2d(balanced(kernels).flatten(0, 1)[:, None], weight, padding=1)
    expected = balanced(smoothed.view_as(kernels))
    torch.testing.assert_close(smooth_kernels(kernels), expected)
    S = binomial_matrix(side)
    torch.testing.assert_close(smooth_kernels(kernels), balanced(S @ balanced(kernels) @ S))


@KERNEL_SIZES
def test_tf32_in_training_leaves_smoothing_as_it_is(side):
    """Its 11 bits would make the sums of the phases unequal again."""
    kernels = torch.randn(8, 4, side, side)
    exact = smooth_kernels(kernels)
    with as_in_training():
        assert smooth_kernels(kernels).equal(exact)


@KERNEL_SIZES
def test_constant_features_give_a_constant_image_whatever_is_learnt(side):
    """With plain Adam they get a checkerboard."""
    torch.manual_seed(0)
    layer = StridedConvTranspose2d(64, 3, side)
    init_bilinear([layer.weight], 0.02)
    optimizer = torch.optim.Adam(layer.parameters(), 1e-3, betas=(0.0, 0.999))
    rough = copy.deepcopy(layer)
    rough_optimizer = torch.optim.Adam(rough.parameters(), 1e-3, betas=(0.0, 0.999))
    board = (-1.0) ** (torch.arange(16)[:, None] + torch.arange(16))
    plain = torch.rand(1, 64, 1, 1).expand(1, 64, 8, 8)
    patterns = []
    for ours, opt, smoothed in (
        (layer, optimizer, [layer.weight]),
        (rough, rough_optimizer, []),
    ):
        for _ in range(10):
            opt.zero_grad()
            (ours(plain) * board).sum().backward()  # rewards a checkerboard
            smooth_step(opt, smoothed)
        inside = ours(plain).detach()[..., 2:-2, 2:-2]
        patterns.append(float(inside.std((2, 3)).max()))
    assert patterns[0] < 1e-5 < 1e-2 < patterns[1]


@KERNEL_SIZES
@pytest.mark.parametrize("axis", [2, 3])
def test_stripes_on_a_ramp_are_damped(side, axis):
    """Stripes are second differences of the upsampled ramp."""
    torch.manual_seed(0)
    kernels = torch.randn(1, 7, side, side, dtype=torch.float64)
    S, layer = binomial_matrix(side), StridedConvTranspose2d(1, 7, side).double()
    ramp = torch.arange(12.0).double().expand(1, 1, 12, 12)

    def stripes(weight: torch.Tensor) -> torch.Tensor:
        layer.weight.data.copy_(weight)
        upsampled = layer(ramp if axis == 3 else ramp.mT).detach()
        return upsampled[..., 6:-6, 6:-6].diff(n=2, dim=axis)

    undamped = stripes(nearest(S @ balanced(kernels) @ S, moments=1))
    assert undamped.abs().amax((0, 2, 3)).min() > 1e-3
    torch.testing.assert_close(stripes(smooth_kernels(kernels)), _MOMENT_DAMPING * undamped)
    torch.testing.assert_close(stripes(nearest(kernels, moments=3)), 0 * undamped)


@KERNEL_SIZES
@pytest.mark.parametrize("beta1", [0.0, 0.5])
@pytest.mark.parametrize("fused", [False, True])
def test_smoothed_steps_are_those_of_adam_on_V(side, beta1, fused):
    torch.manual_seed(0)
    x = torch.randn(3, 5, 4, 4, dtype=torch.float64)
    target = torch.randn(3, 2, 3 + side + 3, 3 + side + 3, dtype=torch.float64)
    S = binomial_matrix(side)
    kernels = torch.randn(5, 2, side, side, dtype=torch.float64)
    W = torch.nn.Parameter(kernels.contiguous(memory_format=torch.channels_last))
    bias = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
    start = W.detach().clone()
    V = torch.nn.Parameter(torch.zeros_like(W))
    other = copy.deepcopy(bias)
    ours = torch.optim.Adam([W, bias], 1e-2, betas=(beta1, 0.99), fused=fused)
    plain = torch.optim.Adam([V, other], 1e-2, betas=(beta1, 0.99), foreach=False)
    for _ in range(20):
        for optimizer, kernel, shift in ((ours, W, bias), (plain, None, other)):
            optimizer.zero_grad()
            kernel = start + balanced(S @ balanced(V) @ S) if kernel is None else kernel
            image = F.conv_transpose2d(x, kernel, shift, stride=2)
            (image - target[..., : image.shape[2], : image.shape[3]]).square().sum().backward()
            smooth_step(optimizer, [W] if optimizer is ours else [])
    expected = start + balanced(S @ balanced(V) @ S)
    torch.testing.assert_close(W, expected, rtol=0, atol=1e-11)
    torch.testing.assert_close(bias, other, rtol=0, atol=1e-11)


def test_differences_between_neighbouring_taps_are_learnt_slowly_but_are_learnt():
    """Gradients of one size: equal for all taps, an edge in the middle, alternating."""
    moves = []
    edge = torch.tensor([-1.0, -1.0, 1.0, 1.0]).expand(4, 4)
    fine = torch.tensor([-1.0, 1.0, 1.0, -1.0]).expand(4, 4)
    for pattern in (torch.ones(4, 4), edge, fine):
        W = torch.nn.Parameter(torch.zeros(1, 1, 4, 4))
        optimizer = torch.optim.Adam([W], 0.1, betas=(0.0, 0.999))
        (W * pattern).sum().backward()
        smooth_step(optimizer, [W])
        moves.append(-(W.detach() * pattern).sum() / 16)
    equal, edge, fine = moves
    assert 0 < fine < edge < equal


@KERNEL_SIZES
def test_kernels_start_as_bilinear_interpolation_without_a_checkerboard(side):
    """Independent initial weights have one."""
    torch.manual_seed(0)
    layer = StridedConvTranspose2d(6, 4, side)
    init_bilinear([layer.weight], 0.02)
    expected = 0.02 * side  # root-mean-square norm of side^2 independent weights
    norms = layer.weight.detach().norm(dim=(2, 3))
    many = torch.empty(100, 100, side, side)
    init_bilinear([many], 0.02)
    assert many.norm(dim=(2, 3)).square().mean().sqrt().item() == pytest.approx(expected, rel=0.05)
    kernels = layer.weight.detach() / norms[..., None, None]
    kernels = kernels * kernels.sum((2, 3), keepdim=True).sign()
    torch.testing.assert_close(kernels, kernels[:1, :1].expand_as(kernels))
    constant = layer(torch.randn(1, 6, 1, 1).expand(1, 6, 8, 8)).detach()
    inside = constant[..., 4:-4, 4:-4]
    across = (inside[..., 1:] - inside[..., :-1]).abs().max() / inside.abs().max()
    assert across < 1e-5
    before = torch.nn.init.normal_(StridedConvTranspose2d(6, 4, side).weight, 0, 0.02)
    layer.weight.data.copy_(before)
    noisy = layer(torch.ones(1, 6, 8, 8)).detach()[..., 4:-4, 4:-4]
    assert (noisy[..., 1:] - noisy[..., :-1]).abs().max() / noisy.abs().max() > 0.1


def test_bilinear_upsampling_of_a_ramp_is_a_ramp():
    """A kernel of size 4 is that of `F.interpolate`, up to its factor."""
    layer = StridedConvTranspose2d(1, 1, 4)
    init_bilinear([layer.weight], 1.0)
    x = torch.rand(1, 1, 8, 8, generator=torch.manual_seed(0))
    ours = layer(x).detach()[..., 2:-2, 2:-2]
    theirs = F.interpolate(x, scale_factor=2, mode="bilinear")[..., 2:-2, 2:-2]
    factor = (ours * theirs).sum() / theirs.square().sum()
    torch.testing.assert_close(ours, factor * theirs)


def test_the_upsampling_kernels_of_a_generator_alone_start_as_bilinear(tiny):

    G = Generator(16, width=4)
    kernels = upsampling_kernels(G)
    assert [k.shape[2:] for k in kernels] == [(4, 4)] * 2
    ours = Trainer(tiny(smooth=True), torch.device("cpu"))
    plain = Trainer(tiny(smooth=False), torch.device("cpu"))
    assert torch.equal(ours.D.score.weight, plain.D.score.weight)
    assert torch.equal(ours.G.layers[0].weight, plain.G.layers[0].weight)
    for weight in upsampling_kernels(ours.G):
        flat = weight.detach().flatten(2)
        assert torch.linalg.matrix_rank(flat.flatten(0, 1), rtol=1e-4) == 1, "one tent, scaled"
