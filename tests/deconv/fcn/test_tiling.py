import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dcgan.deconv.fcn import FCN, VGG16, TorchvisionBackbone, tile_context
from tests.deconv.fcn import toys


def in_tiles(fcn, x, side):
    """The scores computed in tiles of `side` pixels, each with its context."""
    context = tile_context(fcn)
    height, width = x.shape[2:]
    result = x.new_empty(len(x), fcn.classes, height, width)
    for top in range(0, height, side):
        for left in range(0, width, side):
            bottom, right = min(top + side, height), min(left + side, width)
            y0, y1 = context.reads(top, bottom, height)
            x0, x1 = context.reads(left, right, width)
            part = fcn(x[:, :, y0:y1, x0:x1])
            part = part[:, :, top - y0 : bottom - y0, left - x0 : right - x0]
            result[:, :, top:bottom, left:right] = part
    return result


@pytest.mark.parametrize(
    "make",
    [
        lambda: toys.discriminator_backbone(32),
        lambda: toys.discriminator_backbone(32, 5),
        lambda: toys.discriminator_backbone(32, batch_norm_D=True),
        lambda: VGG16(True, (2, 2, 2, 2, 2), 4),
        lambda: VGG16(False, (2, 2, 2, 2, 2), 4),
        lambda: TorchvisionBackbone("alexnet"),
        lambda: TorchvisionBackbone("squeezenet1_1"),
    ],
    ids=["D", "D 5", "D norm", "VGG16 padded", "VGG16", "alexnet", "squeezenet"],
)
def test_tiles_are_parts_of_the_whole(make):
    torch.manual_seed(0)
    fcn = make()
    fcn = toys.randomized(FCN(fcn, 2, int(fcn.fields[1].stride)))
    multiple = tile_context(fcn).multiple
    x = torch.rand(1, fcn.backbone.image_channels[-1], 90 + 13 * multiple, 70 + multiple) * 2 - 1
    with torch.no_grad():
        whole = fcn(x)
        scale = float(whole.std())
        for side in (67, 160):
            tiled = in_tiles(fcn, x, side)
            torch.testing.assert_close(tiled, whole, atol=1e-5 * scale, rtol=1e-5)


@settings(deadline=None, max_examples=40)
@given(
    backbone=toys.backbones(),
    sides=st.tuples(st.integers(40, 130), st.integers(40, 130)),
    tile=st.integers(1, 40).filter(lambda n: n > 12),
    data=st.data(),
)
def test_tiles_of_chains_without_full_padding_are_too(backbone, sides, tile, data):
    """Whose maps may end long before the image does."""
    assume(all(backbone.layers) and backbone.fields[-1].size < 40)
    stride = data.draw(st.sampled_from([int(field.stride) for field in backbone.fields]))
    fcn = toys.randomized(FCN(backbone, 1, stride)).double()
    x = torch.rand(1, 1, *sides, dtype=torch.float64)
    torch.testing.assert_close(in_tiles(fcn, x, tile), fcn(x), atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("kernel_size", [4, 5])
def test_the_context_is_what_scores_depend_on(kernel_size):
    """Found by derivatives of all pixels of one period, of a network of positive weights."""
    backbone = toys.discriminator_backbone(32, kernel_size, batch_norm_D=False, bias_D=True)
    fcn = FCN(backbone, 1, 2).eval().double()
    with torch.no_grad():
        for parameter in (*backbone.parameters(), *fcn.scores.parameters()):
            parameter.fill_(0.1)
    x = torch.ones(1, 3, 8 * 16, 2, dtype=torch.float64, requires_grad=True)
    rows = fcn(x)[0, 0, :, 0]
    before = after = 0
    for pixel in range(60, 68):
        (gradient,) = torch.autograd.grad(rows[pixel], x, retain_graph=True)
        reached = gradient[0].abs().sum((0, 2)).nonzero()[:, 0]
        before, after = max(before, pixel - int(reached[0])), max(after, int(reached[-1]) - pixel)
    context = tile_context(fcn)
    assert (context.before, context.after, context.multiple) == (before, after, 8)
