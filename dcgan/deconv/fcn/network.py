"""Fully convolutional networks (Long, Shelhamer and Darrell 2015, arXiv:1411.4038)."""

from itertools import pairwise

from torch import Tensor, nn

from dcgan.data import IGNORED
from dcgan.deconv.fcn.backbones import Backbone
from dcgan.deconv.fcn.upsampling import Edges, Span, Upsampling
from dcgan.errors import UsageError, UserError
from dcgan.sizes import receptive_field

_MIN_SIDE = 2  # an image with one row or column is a mistake
_PIXELS = receptive_field([])


class FCN(nn.Module):
    """Images to the scores of classes at every pixel: FCN-32s, FCN-16s, FCN-8s, and so on.

    x: [N, C, H, W] in [-1, 1] -> logits [N, classes, H, W], of any height and width.

    A 1x1 convolution scores the classes on the backbone's deepest map. The scores are upsampled by
    a learned transposed convolution and added to those of the next map, which has a smaller stride,
    until the map of `stride` is reached; a fixed bilinear one leads to the pixels (section 4.2 and
    figure 3). All 1x1 convolutions begin with zeros (section 4.3), all upsamplings as bilinear
    interpolation. Where maps lie on the image is computed by `dcgan.sizes`; the scores of skips are
    added at their own units, whatever the paddings, and nothing is cropped by trial.

    While the skips are zero, FCN-8s interpolates the scores of FCN-32s in several steps. Where the
    first units of all maps have one middle, as in ResNets, the results are equal. Where units lie
    in the middle of those below them, as in VGG16 and D with even kernels, each step cuts the bends
    that interpolation has at the middles of deeper units; the results are equal within half a
    `stride` of the points midway between two of the deepest units.

    `edges`: see `Upsampling`; "zeros" computes what the authors' networks do.

    `class_names` are those of a trained network, see `load_segmenter`.

    Raises UsageError unless the backbone has a map of `stride`, and for more classes than masks can
    have (IGNORED is none of them). The forward raises UserError for images that the backbone cannot
    take, and for those of one row or column.
    """

    def __init__(self, backbone: Backbone, classes: int, stride: int, edges: Edges = "replicate"):
        super().__init__()
        strides = [int(field.stride) for field in backbone.fields]
        if stride not in strides:
            listed = ", ".join(map(str, strides))
            raise UsageError(f"stride {stride}: the backbone has maps of the strides {listed}")
        if not 1 <= classes <= IGNORED:
            raise UsageError(f"classes must be from 1 to {IGNORED}, not {classes}")
        self.backbone, self.classes, self.stride = backbone, classes, stride
        self.class_names: tuple[str, ...] = tuple(map(str, range(classes)))
        self._shallowest = strides.index(stride)
        fields = backbone.fields[self._shallowest :]
        channels = backbone.channels[self._shallowest :]
        # Both from the shallowest map to the deepest.
        self.scores = nn.ModuleList(nn.Conv2d(count, classes, 1) for count in channels)
        self.upsamplings = nn.ModuleList(
            Upsampling(classes, coarse, fine, learned=True, edges=edges)
            for fine, coarse in pairwise(fields)
        )
        self.to_pixels = Upsampling(classes, fields[0], _PIXELS, learned=False, edges=edges)
        for score in self.scores.parameters():
            nn.init.zeros_(score)

    @property
    def name(self) -> str:
        """As the paper names it: by the stride of the last map that is fused."""
        return f"FCN-{self.stride}s"

    def spans(self, pixels: Span, side: int) -> list[Span]:
        """The units of each map, from the shallowest to the deepest, that the scores of these
        pixels are computed from, along an axis on which the image has `side` pixels.

        Raises UsageError for images that are too small.
        """
        sides = self.backbone.map_sides(side)[self._shallowest :]
        spans = [pixels]
        for upsampling, units in zip([self.to_pixels, *self.upsamplings], sides, strict=True):
            start, stop = upsampling.reads(spans[-1])
            start = min(max(start, 0), units - 1)
            spans.append((start, max(min(stop, units), start + 1)))
        return spans[1:]

    def forward(self, x: Tensor) -> Tensor:
        height, width = self._check(x)
        try:
            rows, columns = (self.spans((0, side), side) for side in (height, width))
        except UsageError as error:
            raise _too_small(height, width, str(error)) from error
        spans = list(zip(rows, columns, strict=True))
        maps = self.backbone(x)[self._shallowest :]
        scores = [
            score(each[:, :, slice(*rows), slice(*columns)])
            for score, each, (rows, columns) in zip(self.scores, maps, spans, strict=True)
        ]
        fused = scores[-1]
        for level in reversed(range(len(self.upsamplings))):
            upsampled = self.upsamplings[level](fused, spans[level + 1], spans[level])
            fused = upsampled + scores[level]
        return self.to_pixels(fused, spans[0], ((0, height), (0, width)))

    def _check(self, x: Tensor) -> tuple[int, int]:
        """Height and width of images [N, C, H, W] that the network can take."""
        channels, height, width = x.shape[1:]
        if channels not in self.backbone.image_channels:
            wanted = " or ".join(map(str, self.backbone.image_channels))
            raise UserError(f"the network takes images of {wanted} channels, not {channels}")
        if min(height, width) < _MIN_SIDE:
            raise _too_small(height, width, f"its sides must be at least {_MIN_SIDE}")
        return height, width


def _too_small(height: int, width: int, reason: str) -> UserError:
    return UserError(f"an image of {width}x{height} pixels is too small for the network: {reason}")
