"""Scores on a coarse grid to scores on a finer one, by transposed convolutions."""

from fractions import Fraction
from math import ceil, floor
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dcgan.sizes import ReceptiveField

Span = tuple[int, int]  # the first position along an axis, and the one after the last
Edges = Literal["replicate", "zeros"]


def bilinear_taps(factor: int, phase: Fraction | None = None) -> tuple[int, Tensor]:
    """The kernel of bilinear interpolation by a transposed convolution of stride `factor`, along
    one axis: the offset of its first tap from factor * i for input i, and the weights of its taps.

    Input i lies at factor * i + phase on the outputs; an output at the distance t from it gets the
    weight 1 - |t| / factor. By default the pixels of a coarse image lie in the middle of those of
    the fine one, as with `F.interpolate(align_corners=False)`: the kernel of Long et al. 2015 of
    2 factor - factor % 2 taps.
    """
    phase = Fraction(factor - 1, 2) if phase is None else phase
    first, last = floor(phase - factor) + 1, ceil(phase + factor) - 1
    weights = [1 - abs(offset - phase) / factor for offset in range(first, last + 1)]
    return first, torch.tensor([float(weight) for weight in weights])


class Upsampling(nn.Module):
    """Scores [N, C, h, w] of the units of a coarse grid, at the units of a finer one.

    The grids need not begin at the same place: the taps follow from where the middles of the units
    lie on the image. The transposed convolution is initialised to bilinear interpolation.

    `learned`: its weights are trained, dense between channels and zero off the diagonal at first,
    as the authors' models hold them, so that classes can learn to correct one another. Otherwise
    they are constants, one kernel for every channel, and stand in no state dict.

    `edges`: what lies beyond the outermost units. "replicate": their scores again, so that the
    result is what `F.interpolate` gives, up to the borders. "zeros": nothing, as in the authors'
    networks; the scores fade towards the borders.

    Raises ValueError unless the finer stride divides the coarser.
    """

    kernel: Tensor

    def __init__(
        self,
        channels: int,
        coarse: ReceptiveField,
        fine: ReceptiveField,
        learned: bool,
        edges: Edges = "replicate",
    ):
        super().__init__()
        factor = coarse.stride / fine.stride
        if factor.denominator != 1:
            raise ValueError(f"stride {coarse.stride} is no multiple of {fine.stride}")
        self.factor, self.learned, self.edges = int(factor), learned, edges
        self.phase = (coarse.centre - fine.centre) / fine.stride
        self.first, taps = bilinear_taps(self.factor, self.phase)
        kernel = torch.outer(taps, taps)
        if learned:
            dense = torch.eye(channels)[:, :, None, None] * kernel
            self.kernel = nn.Parameter(dense)  # [C, C, k, k]
        else:
            self.register_buffer("kernel", kernel.repeat(channels, 1, 1, 1), persistent=False)

    def reads(self, outputs: Span) -> Span:
        """The coarse units that any of these units of the finer grid is computed from.

        Some may lie beyond the map.
        """
        scaled, steps = self.phase.denominator, self.phase.numerator
        length = self.factor * scaled
        start = (outputs[0] * scaled - steps) // length
        last = -((steps - (outputs[1] - 1) * scaled) // length)
        return start, last + 1

    def forward(self, x: Tensor, given: tuple[Span, Span], wanted: tuple[Span, Span]) -> Tensor:
        """Scores of the units `wanted` of the finer grid, along height and width.

        x: [N, C, h, w], those of the units `given` of the coarse grid; what else would be read
        lies beyond the map. -> [N, C, H, W]
        """
        spans = [self.reads(span) for span in wanted]
        for dim, have, span in zip((2, 3), given, spans, strict=True):
            x = self._extend(x, dim, have[0] - span[0], span[1] - have[1])
        groups = 1 if self.learned else x.shape[1]
        x = F.conv_transpose2d(x, self.kernel, stride=self.factor, groups=groups)
        for dim, span, (start, stop) in zip((2, 3), spans, wanted, strict=True):
            x = x.narrow(dim, start - (span[0] * self.factor + self.first), stop - start)
        return x

    def _extend(self, x: Tensor, dim: int, before: int, after: int) -> Tensor:
        """x with more positions on both sides, or fewer where the numbers are negative."""
        start, stop = max(-before, 0), x.shape[dim] - max(-after, 0)
        x = x.narrow(dim, start, stop - start)
        parts = [x]
        if before > 0:
            parts.insert(0, self._beyond(x.narrow(dim, 0, 1), dim, before))
        if after > 0:
            parts.append(self._beyond(x.narrow(dim, x.shape[dim] - 1, 1), dim, after))
        # Not F.pad, whose gradient by replication is not deterministic on GPUs.
        return torch.cat(parts, dim) if len(parts) > 1 else x

    def _beyond(self, edge: Tensor, dim: int, count: int) -> Tensor:
        sides = list(edge.shape)
        sides[dim] = count
        return edge.expand(sides) if self.edges == "replicate" else edge.new_zeros(sides)
