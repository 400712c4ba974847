"""Smooth kernels: what they start as, and that they learn as an explicit W = S V S does."""

import copy

import pytest
import torch
import torch.nn.functional as F

from dcgan.networks import Generator, StridedConvTranspose2d
from dcgan.training import trainer as step
from dcgan.training.kernel_smoothing import (
    _MOMENT_DAMPING,
    init_bilinear,
    learn_smoothly,
    smooth_kernels,
)

SIZES = pytest.mark.parametrize("side", [4, 5])


def matrix(side: int) -> torch.Tensor:
    """S: [1 2 1] / 4 along a kernel, with zeros outside of it."""
    S = torch.zeros(side, side, dtype=torch.float64)
    for i in range(side):
        for j in range(side):
            S[i, j] = {0: 0.5, 1: 0.25}.get(abs(i - j), 0.0)
    return S


def evened(kernels: torch.Tensor) -> torch.Tensor:
    """The nearest kernels with planes of one sum and slope through the taps of every phase, and
    _MOMENT_DAMPING of the way from there to the nearest ones whose phases have one sum."""
    ramps, plain = nearest(kernels, moments=3), nearest(kernels, moments=1)
    return ramps + _MOMENT_DAMPING * (plain - ramps)


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


@SIZES
def test_smoothing_is_a_convolution_with_binomial_weights_between_evenings(side):
    kernels = torch.randn(3, 2, side, side, dtype=torch.float64)
    line = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64) / 4
    weight = torch.outer(line, line)[None, None]
    smoothed = F.conv2d(evened(kernels).flatten(0, 1)[:, None], weight, padding=1)
    expected = evened(smoothed.view_as(kernels))
    torch.testing.assert_close(smooth_kernels(kernels), expected)
    S = matrix(side)
    torch.testing.assert_close(smooth_kernels(kernels), evened(S @ evened(kernels) @ S))


@SIZES
def test_plain_ground_stays_plain_whatever_is_learnt(side):
    """And without the evening one step of Adam puts a pattern of two on it."""
    torch.manual_seed(0)
    layer = StridedConvTranspose2d(64, 3, side)
    init_bilinear([layer.weight], 0.02)
    optimizer = torch.optim.Adam(layer.parameters(), 1e-3, betas=(0.0, 0.999))
    rough = copy.deepcopy(layer)
    rough_optimizer = torch.optim.Adam(rough.parameters(), 1e-3, betas=(0.0, 0.999))
    learn_smoothly(optimizer, [layer.weight])
    board = (-1.0) ** (torch.arange(16)[:, None] + torch.arange(16))
    plain = torch.rand(1, 64, 1, 1).expand(1, 64, 8, 8)
    patterns = []
    for ours, opt in ((layer, optimizer), (rough, rough_optimizer)):
        for _ in range(10):
            opt.zero_grad()
            (ours(plain) * board).sum().backward()  # it is asked for one
            opt.step()
        inside = ours(plain).detach()[..., 2:-2, 2:-2]
        patterns.append(float(inside.std((2, 3)).max()))
    assert patterns[0] < 1e-5 < 1e-2 < patterns[1]


@SIZES
@pytest.mark.parametrize("axis", [2, 3])
def test_a_ramp_stays_a_ramp_but_for_slow_stripes(side, axis):
    """Stripes: what bends a line. Those of kernels whose phases have one sum are damped."""
    torch.manual_seed(0)
    kernels = torch.randn(1, 7, side, side, dtype=torch.float64)
    S, layer = matrix(side), StridedConvTranspose2d(1, 7, side).double()
    ramp = torch.arange(12.0).double().expand(1, 1, 12, 12)

    def stripes(weight: torch.Tensor) -> torch.Tensor:
        layer.weight.data.copy_(weight)
        upsampled = layer(ramp if axis == 3 else ramp.mT).detach()
        return upsampled[..., 6:-6, 6:-6].diff(n=2, dim=axis)

    undamped = stripes(nearest(S @ evened(kernels) @ S, moments=1))
    assert undamped.abs().amax((0, 2, 3)).min() > 1e-3
    torch.testing.assert_close(stripes(smooth_kernels(kernels)), _MOMENT_DAMPING * undamped)
    torch.testing.assert_close(stripes(nearest(kernels, moments=3)), 0 * undamped)


@SIZES
@pytest.mark.parametrize("beta1", [0.0, 0.5])
@pytest.mark.parametrize("fused", [False, True])
def test_learning_smoothly_is_adam_on_V(side, beta1, fused):
    torch.manual_seed(0)
    x = torch.randn(3, 5, 4, 4, dtype=torch.float64)
    target = torch.randn(3, 2, 3 + side + 3, 3 + side + 3, dtype=torch.float64)
    S = matrix(side)
    W = torch.nn.Parameter(torch.randn(5, 2, side, side, dtype=torch.float64))
    bias = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
    start = W.detach().clone()
    V = torch.nn.Parameter(torch.zeros_like(W))
    other = copy.deepcopy(bias)
    ours = torch.optim.Adam([W, bias], 1e-2, betas=(beta1, 0.99), fused=fused)
    learn_smoothly(ours, [W])
    plain = torch.optim.Adam([V, other], 1e-2, betas=(beta1, 0.99), foreach=False)
    for _ in range(20):
        for optimizer, kernel, shift in ((ours, W, bias), (plain, None, other)):
            optimizer.zero_grad()
            kernel = start + evened(S @ evened(V) @ S) if kernel is None else kernel
            image = F.conv_transpose2d(x, kernel, shift, stride=2)
            (image - target[..., : image.shape[2], : image.shape[3]]).square().sum().backward()
            optimizer.step()
    expected = start + evened(S @ evened(V) @ S)
    torch.testing.assert_close(W, expected, rtol=0, atol=1e-11)
    torch.testing.assert_close(bias, other, rtol=0, atol=1e-11)


def test_what_sets_neighbours_apart_is_learnt_slowly_and_can_be_learnt():
    """The same gradient size: for an edge between the middle taps, and the same for all taps."""
    moves = []
    edge = torch.tensor([-1.0, -1.0, 1.0, 1.0]).expand(4, 4)
    fine = torch.tensor([-1.0, 1.0, 1.0, -1.0]).expand(4, 4)
    for pattern in (torch.ones(4, 4), edge, fine):
        W = torch.nn.Parameter(torch.zeros(1, 1, 4, 4))
        optimizer = torch.optim.Adam([W], 0.1, betas=(0.0, 0.999))
        learn_smoothly(optimizer, [W])
        (W * pattern).sum().backward()
        optimizer.step()
        moves.append(-(W.detach() * pattern).sum() / 16)
    same, coarse, fine = moves
    assert 0 < fine < coarse < same


@SIZES
def test_it_starts_as_bilinear_interpolation(side):
    """Of even size the taps of even and of odd pixels add up to the same: no pattern of two."""
    torch.manual_seed(0)
    layer = StridedConvTranspose2d(6, 4, side)
    init_bilinear([layer.weight], 0.02)
    expected = 0.02 * side  # of side^2 independent numbers, the root of the mean square norm
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
    """Of size 4 the kernel is the one of `F.interpolate`, up to its factor."""
    layer = StridedConvTranspose2d(1, 1, 4)
    init_bilinear([layer.weight], 1.0)
    x = torch.rand(1, 1, 8, 8, generator=torch.manual_seed(0))
    ours = layer(x).detach()[..., 2:-2, 2:-2]
    theirs = F.interpolate(x, scale_factor=2, mode="bilinear")[..., 2:-2, 2:-2]
    factor = (ours * theirs).sum() / theirs.square().sum()
    torch.testing.assert_close(ours, factor * theirs)


def test_all_upsampling_kernels_of_a_generator_and_no_others(tiny):
    from dcgan.training import loop

    G = Generator(16, width=4)
    kernels = step.upsampling_kernels(G)
    assert [k.shape[2:] for k in kernels] == [(4, 4)] * 2
    ours = loop.Trainer(tiny(smooth=True), torch.device("cpu"))
    plain = loop.Trainer(tiny(smooth=False), torch.device("cpu"))
    assert torch.equal(ours.D.score.weight, plain.D.score.weight)
    assert torch.equal(ours.G.layers[0].weight, plain.G.layers[0].weight)
    for weight in step.upsampling_kernels(ours.G):
        flat = weight.detach().flatten(2)
        assert torch.linalg.matrix_rank(flat.flatten(0, 1), rtol=1e-4) == 1, "one tent, scaled"
