"""Linear maps from feature maps, or from filters, to images, each with its adjoint.

Rows, the first axis, are independent problems, such as the images of a batch.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

_MIN_NORM = 1e-3  # of a map, in units of the largest


class Operator(Protocol):
    """A linear map A, applied to each row."""

    def forward(self, x: Tensor) -> Tensor:
        """A x."""

    def adjoint(self, y: Tensor) -> Tensor:
        """A^T y."""


class Synthesis:
    """Images as sums of feature maps convolved with filters (Zeiler et al. 2010, equation 1).

    Maps [N, K, H + h - 1, W + w - 1] and filters [K, C, h, w] give images [N, C, H, W]: the part of
    the convolution where all of a filter lies on the maps. `padding` pixels are cut from each side
    of the full convolution, h - 1 by default. With 0, all of it is the image: with maps of one
    pixel, images are sums of filters of their own size, which is the coding of patches.
    """

    def __init__(self, filters: Tensor, padding: int | None = None):
        self.filters = filters
        height, width = filters.shape[2:]
        self.padding = (height - 1, width - 1) if padding is None else (padding, padding)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv_transpose2d(x, self.filters, padding=self.padding)

    def adjoint(self, y: Tensor) -> Tensor:
        return F.conv2d(y, self.filters, padding=self.padding)

    def map_size(self, size: Sequence[int]) -> tuple[int, int]:
        """(height, width) of the feature maps of images of `size` (height, width)."""
        height, width = (
            side + 2 * cut - extent + 1
            for side, cut, extent in zip(size, self.padding, self.filters.shape[2:], strict=True)
        )
        return height, width

    def bound(self, size: Sequence[int]) -> float:
        """An upper bound of the largest eigenvalue of A^T A for images of `size`.

        It is that of the convolution on a torus that the full convolution fits on, of which A is a
        part: at each frequency, a matrix of C x K.
        """
        extent = self.filters.shape[2:]
        torus = [m + e - 1 for m, e in zip(self.map_size(size), extent, strict=True)]
        spectrum = torch.fft.rfft2(self.filters.cpu().double(), s=torus)  # [K, C, u, v]
        matrices = spectrum.permute(2, 3, 1, 0).flatten(0, 1)  # [u v, C, K]
        if matrices.shape[1] > matrices.shape[2]:
            matrices = matrices.mT
        return torch.linalg.eigvalsh(matrices @ matrices.mH)[:, -1].max().item()


class FilterSynthesis:
    """The same sums as a map of the filters, for maps that are fixed: [1, K, C, h, w] -> images
    [1, N, C', H, W]. `below` maps the sums on to the images that they are compared with.

    Its variables are the filters times `norms`, those of their maps: steps of one length then suit
    filters that are used often and seldom.
    """

    def __init__(self, maps: Tensor, padding: tuple[int, int], below: Operator | None = None):
        self.maps, self.padding, self.below = maps, padding, below
        norms = maps.square().sum((0, 2, 3), keepdim=True).sqrt()
        smallest = _MIN_NORM * torch.where(norms.max() > 0, norms.max(), 1 / _MIN_NORM)
        self.norms = norms.clamp(min=smallest).transpose(0, 1)  # [K, 1, 1, 1]

    def forward(self, x: Tensor) -> Tensor:
        sums = F.conv_transpose2d(self.maps, x[0] / self.norms, padding=self.padding)
        return (self.below.forward(sums) if self.below else sums)[None]

    def adjoint(self, y: Tensor) -> Tensor:
        sums = self.below.adjoint(y[0]) if self.below else y[0]
        # Of each pair of channel and map, the correlation at the offsets of a filter.
        products = F.conv2d(sums.transpose(0, 1), self.maps.transpose(0, 1), padding=self.padding)
        return (products.transpose(0, 1) / self.norms)[None]


class Chain:
    """Operators one after the other, the first applied last: A1 A2 ..."""

    def __init__(self, *operators: Operator):
        self.operators = operators

    def forward(self, x: Tensor) -> Tensor:
        for operator in reversed(self.operators):
            x = operator.forward(x)
        return x

    def adjoint(self, y: Tensor) -> Tensor:
        for operator in self.operators:
            y = operator.adjoint(y)
        return y
