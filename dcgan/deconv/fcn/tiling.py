"""How much of an image the scores of a tile depend on."""

from dataclasses import dataclass

from dcgan.deconv.fcn.network import FCN
from dcgan.deconv.fcn.upsampling import Span


@dataclass(frozen=True)
class TileContext:
    """What a part of an image must hold so that its scores are those of the whole image.

    The scores of a pixel depend on no pixel farther than `before` it or `after` it, along an axis.
    A part must begin at a multiple of `multiple` pixels, so that the units of all maps lie where
    those of the whole image do.
    """

    before: int
    after: int
    multiple: int

    def reads(self, start: int, stop: int, side: int) -> Span:
        """The pixels to compute, along an axis of `side` pixels, for the scores of the pixels from
        `start` to `stop`: they stand in the result from start - first on.
        """
        first = max(start - self.before, 0)
        return first - first % self.multiple, min(stop + self.after, side)


def tile_context(fcn: FCN) -> TileContext:
    """The context of tiles of a network in evaluation mode, along either axis.

    It also covers pixels near the borders, whose scores are those of the outermost units where the
    maps end before the image does, as without padding.
    """
    fields = fcn.backbone.fields[-len(fcn.scores) :]
    multiple = int(fields[-1].stride)
    reach = max(field.size + multiple for field in fields)
    large = -(-4 * reach // multiple) * multiple  # so that its borders do not meet
    before = after = 0
    for side in range(large, large + multiple):
        middle = range(2 * reach, 2 * reach + multiple) if side == large else ()
        for pixel in (0, *middle, side - 1):
            spans = fcn.spans((pixel, pixel + 1), side)
            for field, (start, stop) in zip(fields, spans, strict=True):
                stride = int(field.stride)
                before = max(before, pixel - (start * stride - field.padding))
                after = max(after, (stop - 1) * stride - field.padding + field.size - 1 - pixel)
    return TileContext(before, after, multiple)
