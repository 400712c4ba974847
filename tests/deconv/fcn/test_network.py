"""Alignment, sizes and equivalences of the networks."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dcgan.deconv.fcn import FCN, VGG16, TorchvisionBackbone
from dcgan.errors import UsageError, UserError
from tests.deconv.fcn import toys


def identity(fcn):
    """Scores that are the means of the channels of the deepest map."""
    with torch.no_grad():
        fcn.scores[-1].weight.fill_(1 / fcn.scores[-1].in_channels)
    return fcn.eval()


def averaging(network):
    """The network with positive, equal weights and without biases: it keeps where things are."""
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            with torch.no_grad():
                parameter.fill_(0 if name == "bias" else 1 / parameter[0].numel())
    return network


def centre_of_mass(scores):
    """Row and column of the middle of scores [H, W]."""
    scores = scores.double()
    rows, columns = (torch.arange(side).double() for side in scores.shape)
    total = scores.sum()
    return float((scores.sum(1) @ rows) / total), float((scores.sum(0) @ columns) / total)


def blob(height, width, row, column, radius=9):
    """A smooth spot, whose sides the deepest units see."""
    rows, columns = torch.arange(height)[:, None] - row, torch.arange(width) - column
    return torch.exp(-(rows**2 + columns**2) / (2 * radius**2)).expand(1, 1, -1, -1)


@settings(deadline=None, max_examples=60)
@given(backbone=toys.backbones(), data=st.data())
def test_a_slope_keeps_its_place_in_chains_of_any_padding(backbone, data):
    """Means of a slope are the places of the middles of windows: a shift of any map would show."""
    stride = data.draw(st.sampled_from([int(field.stride) for field in backbone.fields]))
    fcn = identity(FCN(backbone, 1, stride))
    deep = backbone.fields[-1]
    side = 8 * deep.size
    x = torch.arange(float(side)).repeat(side, 1)[None, None]
    margin = 2 * deep.size + 2 * int(deep.stride)
    got = fcn(x)[0, 0, margin:-margin, margin:-margin]
    torch.testing.assert_close(got, x[0, 0, margin:-margin, margin:-margin], atol=2e-3, rtol=0)
    skips = nn.ModuleList(fcn.scores[:-1])
    for skip in skips:
        nn.init.ones_(skip.weight)  # every map says the same: the sum is a multiple
    multiple = fcn(x)[0, 0, margin:-margin, margin:-margin] / (1 + len(skips))
    torch.testing.assert_close(multiple, got, atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    ("make", "side"),
    [
        (lambda: toys.discriminator_backbone(64, batch_norm_D=False, bias_D=True), 160),
        (lambda: toys.discriminator_backbone(64, 5, batch_norm_D=False, bias_D=True), 160),
        (lambda: VGG16(False, (2, 2, 2, 2, 2), 2), 640),
        (lambda: VGG16(True, (2, 2, 2, 2, 2), 2), 640),
    ],
    ids=["D", "D with kernels of 5", "VGG16", "VGG16 with padded fc6"],
)
def test_a_blob_stays_in_place(make, side):
    """In images larger than the field of the deepest units, so that no border cuts the answer."""
    backbone = averaging(make())
    for height, width, row, column in (
        (side + 3, side + 7, side / 2, side / 2 + 9),
        (side, side + 16, side / 2 + 5.5, side / 2 - 2),
    ):
        background = torch.zeros(1, backbone.image_channels[-1], height, width)
        spot = blob(height, width, row, column)
        for stride in (int(backbone.fields[place].stride) for place in (0, 2, -1)):
            fcn = identity(FCN(backbone, 1, stride))
            with torch.no_grad():
                scores = fcn(background + spot) - fcn(background)
            place = centre_of_mass(scores[0, 0])
            assert place == pytest.approx((row, column), abs=0.5), stride


@pytest.mark.parametrize("sides", [(2, 2), (33, 1000), (31, 17), (64, 48), (5, 70)])
@pytest.mark.parametrize("stride", [2, 4, 8])
def test_every_pixel_of_any_image_gets_scores(sides, stride):
    fcn = toys.randomized(FCN(toys.discriminator_backbone(), 3, stride))
    x = torch.rand(2, 3, *sides) * 2 - 1
    logits = fcn(x)
    assert logits.shape == (2, 3, *sides) and logits.isfinite().all()
    with torch.no_grad():
        for score in fcn.scores:
            score.weight.zero_()
            score.bias.fill_(1.0)
    expected = torch.full_like(logits, float(len(fcn.scores)))
    torch.testing.assert_close(fcn(x), expected, msg="interpolation keeps constants everywhere")


def test_images_that_are_too_small_are_refused_in_one_line():
    fcn = FCN(toys.discriminator_backbone(), 2, 2)
    with pytest.raises(UserError, match="50x1 pixels is too small"):
        fcn(torch.zeros(1, 3, 1, 50))
    with pytest.raises(UserError, match="images of 3 channels, not 1"):
        fcn(torch.zeros(1, 1, 50, 50))
    fcn = FCN(TorchvisionBackbone("alexnet"), 2, 8)
    with pytest.raises(UserError, match=r"40x64 pixels is too small.*leaves no output"):
        fcn(torch.zeros(1, 3, 64, 40))


def test_strides_that_the_backbone_does_not_have_are_refused():
    with pytest.raises(UsageError, match=r"stride 3: .* strides 2, 4, 8$"):
        FCN(toys.discriminator_backbone(), 2, 3)
    with pytest.raises(UsageError, match="classes"):
        FCN(toys.discriminator_backbone(), 0, 2)


@pytest.mark.parametrize("stride", [2, 8])
def test_shifting_the_image_shifts_the_scores(stride):
    fcn = toys.randomized(FCN(toys.discriminator_backbone(), 3, stride)).double()
    wide = torch.rand(1, 3, 96, 104, dtype=torch.float64)
    margin = 40
    left, right = fcn(wide[..., :96]), fcn(wide[..., 8:])
    inside = slice(margin, 96 - margin)
    torch.testing.assert_close(
        left[..., inside, margin + 8 : 96 - margin + 8 - 8],
        right[..., inside, margin : 96 - margin - 8],
        atol=1e-12,
        rtol=0,
    )


def test_without_skips_the_strides_agree_midway_between_deep_units():
    """At the middles of units, which the shorter strides do not read, they cut the bends."""
    backbone = toys.discriminator_backbone(64)
    x = torch.rand(1, 3, 128, 128)
    coarse, fine = (toys.randomized(FCN(backbone, 2, stride), skips=False) for stride in (16, 4))
    deep, scores = coarse(x), fine(x)
    # Units of the deepest map lie at 7.5 + 16 i: midway is 15.5 + 16 i.
    midway = [pixel for pixel in range(128) if abs((pixel - 7.5) % 16 - 8) <= 2]
    assert len(midway) == 128 // 4
    close, equal = (each[..., midway, :][..., midway] for each in (scores, deep))
    torch.testing.assert_close(close, equal)
    assert (scores - deep).abs().max() > 1e-2 * deep.std()


def test_without_skips_all_strides_are_equal_where_middles_coincide():
    backbone = toys.discriminator_backbone(64, 5)
    x = torch.rand(1, 3, 75, 90)
    coarse, fine = (toys.randomized(FCN(backbone, 2, stride), skips=False) for stride in (16, 2))
    torch.testing.assert_close(fine(x), coarse(x))


def test_without_skips_it_is_repeated_interpolation():
    backbone = toys.discriminator_backbone(64)
    fcn = toys.randomized(FCN(backbone, 2, 4), skips=False)
    x = torch.rand(1, 3, 64, 96)
    expected = fcn.scores[-1](backbone(x)[-1])
    for factor in (2, 2, 4):
        expected = F.interpolate(expected, scale_factor=factor, mode="bilinear")
    torch.testing.assert_close(fcn(x), expected)


def test_masks_cannot_hold_more_classes():
    with pytest.raises(UsageError, match="classes must be from 1 to 255, not 256"):
        FCN(toys.discriminator_backbone(), 256, 8)


def test_a_new_network_scores_zero_and_can_learn():
    fcn = FCN(toys.discriminator_backbone(), 2, 2)
    logits = fcn(torch.rand(2, 3, 32, 32))
    assert not logits.any()
    loss = F.cross_entropy(logits, torch.randint(2, (2, 32, 32)))
    loss.backward()
    assert all(score.weight.grad.abs().max() > 0 for score in fcn.scores)
    assert fcn.name == "FCN-2s"


class AuthorsFCN8s(nn.Module):
    """The released FCN-8s, with its crops: pad 100, and 5, 9 and 31 found by their crop layers."""

    def __init__(self, vgg, classes):
        super().__init__()
        self.vgg = vgg
        self.score_fr, self.score_pool4, self.score_pool3 = (
            nn.Conv2d(vgg.channels[place], classes, 1) for place in (4, 3, 2)
        )
        kernels = ((4, 2), (4, 2), (16, 8))
        self.upscore2, self.upscore_pool4, self.upscore8 = (
            nn.ConvTranspose2d(classes, classes, kernel, stride, bias=False)
            for kernel, stride in kernels
        )

    def forward(self, x):
        h = self.vgg.normalize(x)
        pools = []
        for number, block in enumerate(self.vgg.blocks):
            for layer in block:
                if isinstance(layer, nn.Conv2d):
                    padding = 100 if layer.in_channels == 3 and number == 0 else 1
                    h = F.conv2d(h, layer.weight, layer.bias, padding=padding).relu()
            h = F.max_pool2d(h, 2, 2, ceil_mode=True)
            pools.append(h)
        h = F.conv2d(h, self.vgg.fc6.weight, self.vgg.fc6.bias).relu()
        h = F.conv2d(h, self.vgg.fc7.weight, self.vgg.fc7.bias).relu()
        up = self.upscore2(self.score_fr(h))
        rows, columns = up.shape[2:]
        up = self.upscore_pool4(
            up + self.score_pool4(pools[3])[:, :, 5 : 5 + rows, 5 : 5 + columns]
        )
        rows, columns = up.shape[2:]
        skip = self.score_pool3(pools[2])[:, :, 9 : 9 + rows, 9 : 9 + columns]
        up = self.upscore8(up + skip)
        return up[:, :, 31 : 31 + x.shape[2], 31 : 31 + x.shape[3]]


@pytest.mark.parametrize("sides", [(64, 64), (77, 129), (2, 31)])
def test_with_zeros_at_the_edges_it_is_the_authors_network(sides):
    torch.manual_seed(0)
    vgg = VGG16(False, (4, 4, 6, 6, 8), 16)
    theirs = AuthorsFCN8s(vgg, 3).eval()
    ours = FCN(vgg, 3, 8, edges="zeros").eval()
    for score, their in zip(
        ours.scores, (theirs.score_pool3, theirs.score_pool4, theirs.score_fr), strict=True
    ):
        score.load_state_dict(their.state_dict())
    with torch.no_grad():
        theirs.upscore2.weight.normal_()
        theirs.upscore_pool4.weight.normal_()
        ours.upsamplings[1].kernel.copy_(theirs.upscore2.weight)
        ours.upsamplings[0].kernel.copy_(theirs.upscore_pool4.weight)
        taps = 1 - (torch.arange(16.0) - 7.5).abs() / 8
        theirs.upscore8.weight.zero_()
        for each in range(3):
            theirs.upscore8.weight[each, each] = torch.outer(taps, taps)
        x = torch.rand(2, 3, *sides) * 2 - 1
        expected = theirs(x)
        torch.testing.assert_close(ours(x), expected, atol=1e-4 * float(expected.std()), rtol=1e-4)
