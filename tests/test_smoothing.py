"""Smooth kernels: what they start as, and that they learn as an explicit W = S V S does."""

import copy

import pytest
import torch
import torch.nn.functional as F

from dcgan import step
from dcgan.models import Generator, Upsample
from dcgan.smoothing import bilinear, learn_smoothly, smooth

SIZES = pytest.mark.parametrize("side", [4, 5])


def matrix(side: int) -> torch.Tensor:
    """S: [1 2 1] / 4 along a kernel, with zeros outside of it, twice."""
    S = torch.zeros(side, side, dtype=torch.float64)
    for i in range(side):
        for j in range(side):
            S[i, j] = {0: 0.5, 1: 0.25}.get(abs(i - j), 0.0)
    return S @ S


@SIZES
def test_smoothing_is_a_convolution_with_binomial_weights(side):
    kernels = torch.randn(3, 2, side, side, dtype=torch.float64)
    line = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64) / 4
    weight = torch.outer(line, line)[None, None]
    once = F.conv2d(kernels.flatten(0, 1)[:, None], weight, padding=1)
    expected = F.conv2d(once, weight, padding=1).view_as(kernels)
    torch.testing.assert_close(smooth(kernels), expected)
    torch.testing.assert_close(smooth(kernels), matrix(side) @ kernels @ matrix(side))


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
    V = torch.nn.Parameter((torch.linalg.inv(S) @ W @ torch.linalg.inv(S)).detach())
    other = copy.deepcopy(bias)
    ours = torch.optim.Adam([W, bias], 1e-2, betas=(beta1, 0.99), fused=fused)
    learn_smoothly(ours, [W])
    plain = torch.optim.Adam([V, other], 1e-2, betas=(beta1, 0.99), foreach=False)
    for _ in range(20):
        for optimizer, kernel, shift in ((ours, W, bias), (plain, S @ V @ S, other)):
            optimizer.zero_grad()
            image = F.conv_transpose2d(x, kernel, shift, stride=2)
            (image - target[..., : image.shape[2], : image.shape[3]]).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(W, S @ V @ S, rtol=0, atol=1e-11)
    torch.testing.assert_close(bias, other, rtol=0, atol=1e-11)


def test_what_sets_neighbours_apart_is_learnt_slowly_and_can_be_learnt():
    """The same gradient size, once as a checkerboard and once the same for all taps."""
    moves = []
    signs = (-1.0) ** torch.arange(4)
    for pattern in (torch.ones(4, 4), torch.outer(signs, signs)):
        W = torch.nn.Parameter(torch.zeros(1, 1, 4, 4))
        optimizer = torch.optim.Adam([W], 0.1, betas=(0.0, 0.999))
        learn_smoothly(optimizer, [W])
        (W * pattern).sum().backward()
        optimizer.step()
        moves.append(-(W.detach() * pattern).sum() / 16)
    even, odd = moves
    assert 0 < odd < even / 5
    assert torch.linalg.cond(matrix(5)) < 200, "no kernel is out of reach"


@SIZES
def test_it_starts_as_bilinear_interpolation(side):
    """Of even size the taps of even and of odd pixels add up to the same: no pattern of two."""
    torch.manual_seed(0)
    layer = Upsample(6, 4, side)
    bilinear([layer.weight], 0.02)
    expected = 0.02 * side  # of side^2 independent numbers, the root of the mean square norm
    norms = layer.weight.detach().norm(dim=(2, 3))
    many = torch.empty(100, 100, side, side)
    bilinear([many], 0.02)
    assert many.norm(dim=(2, 3)).square().mean().sqrt().item() == pytest.approx(expected, rel=0.05)
    kernels = layer.weight.detach() / norms[..., None, None]
    kernels = kernels * kernels.sum((2, 3), keepdim=True).sign()
    torch.testing.assert_close(kernels, kernels[:1, :1].expand_as(kernels))
    constant = layer(torch.randn(1, 6, 1, 1).expand(1, 6, 8, 8)).detach()
    inside = constant[..., 4:-4, 4:-4]
    across = (inside[..., 1:] - inside[..., :-1]).abs().max() / inside.abs().max()
    assert across < 1e-5
    before = torch.nn.init.normal_(Upsample(6, 4, side).weight, 0, 0.02)
    layer.weight.data.copy_(before)
    noisy = layer(torch.ones(1, 6, 8, 8)).detach()[..., 4:-4, 4:-4]
    assert (noisy[..., 1:] - noisy[..., :-1]).abs().max() / noisy.abs().max() > 0.1


def test_bilinear_upsampling_of_a_ramp_is_a_ramp():
    """Of size 4 the kernel is the one of `F.interpolate`, up to its factor."""
    layer = Upsample(1, 1, 4)
    bilinear([layer.weight], 1.0)
    x = torch.rand(1, 1, 8, 8, generator=torch.manual_seed(0))
    ours = layer(x).detach()[..., 2:-2, 2:-2]
    theirs = F.interpolate(x, scale_factor=2, mode="bilinear")[..., 2:-2, 2:-2]
    factor = (ours * theirs).sum() / theirs.square().sum()
    torch.testing.assert_close(ours, factor * theirs)


def test_all_upsampling_kernels_of_a_generator_and_no_others(tiny):
    from dcgan import trainer

    G = Generator(16, width=4)
    kernels = step.upsampling_kernels(G)
    assert [k.shape[2:] for k in kernels] == [(4, 4)] * 2
    ours = trainer.Trainer(tiny(smooth=True), torch.device("cpu"))
    plain = trainer.Trainer(tiny(smooth=False), torch.device("cpu"))
    assert torch.equal(ours.D.score.weight, plain.D.score.weight)
    assert torch.equal(ours.G.layers[0].weight, plain.G.layers[0].weight)
    for weight in step.upsampling_kernels(ours.G):
        flat = weight.detach().flatten(2)
        assert torch.linalg.matrix_rank(flat.flatten(0, 1), rtol=1e-4) == 1, "one tent, scaled"
