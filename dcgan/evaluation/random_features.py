"""Features of images from a fixed network with random weights: nothing to download.

D's own features would be biased, since D is trained against the G that they score. Random
convolutions keep much of what tells textures and shapes apart (Saxe et al. 2011; Ulyanov et al.
2018), and a Fréchet distance on them ranks degradations by their strength. They know nothing of
faces or rooms: for numbers that compare with papers, use Inception's features.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dcgan.evaluation.chunks import split_images
from dcgan.runtime.device import full_float32_precision

_WIDTHS = (32, 64, 128, 128)  # channels of the stride-2 layers
_EDGE_GAIN = 2.0  # of the half of the first kernels that respond to edges only
_NEGATIVE_SLOPE = 0.2  # of the leaky ReLUs, so that no feature is 0 for all images
_SEED = 2015  # of the weights; scores of different weights cannot be compared

FeatureExtractor = Callable[[Tensor], Tensor]  # uint8 [n, 3, S, S] -> [n, F]


class RandomFeatures(nn.Module):
    """uint8 [n, 3, S, S], S >= 8 -> float32 [n, 704]: mean and standard deviation per channel.

    Four 3x3 convolutions with stride 2, leaky ReLUs and orthogonal kernels; half of the first
    kernels have mean zero, so that they respond to edges and not to brightness. The weights are
    sampled by NumPy in float64 and are the same on every machine; the order of a convolution's sums
    is not, so features agree to about 6 digits.
    """

    def __init__(self) -> None:
        super().__init__()
        rng = np.random.default_rng(_SEED)
        in_channels, kernels = 3, []
        for out_channels in _WIDTHS:
            kernels.append(_orthogonal_kernel(rng, out_channels, in_channels))
            in_channels = out_channels
        # Otherwise brightness and colour, which vary more, outweigh noise and blur.
        edges = kernels[0][: _WIDTHS[0] // 2]
        edges.sub_(edges.mean((2, 3), keepdim=True)).mul_(_EDGE_GAIN)
        self.kernels = nn.ParameterList(nn.Parameter(k, requires_grad=False) for k in kernels)

    @torch.inference_mode()
    @full_float32_precision()
    def forward(self, images: Tensor) -> Tensor:
        x = images.float().div(127.5).sub(1).contiguous(memory_format=torch.channels_last)
        features = []
        for kernel in self.kernels:
            # Zero padding would be an edge that every image has.
            padding = "reflect" if x.shape[-1] > 1 else "replicate"
            x = F.conv2d(F.pad(x, (1, 1, 1, 1), padding), kernel, stride=2)
            x = F.leaky_relu(x, _NEGATIVE_SLOPE)
            deviation, mean = torch.std_mean(x, (2, 3), correction=0)
            features += [mean, deviation]
        return torch.cat(features, 1)


def _orthogonal_kernel(rng: np.random.Generator, out_channels: int, in_channels: int) -> Tensor:
    """A kernel [out, in, 3, 3] with orthogonal rows or columns (Saxe et al. 2014).

    It keeps the mean square of activations through itself and a ReLU (He et al. 2015).
    """
    fan_in = in_channels * 9
    long, short = max(out_channels, fan_in), min(out_channels, fan_in)
    columns, triangle = np.linalg.qr(rng.standard_normal((long, short)))
    columns *= np.sign(np.diag(triangle))  # LAPACK leaves the signs open
    matrix = columns if out_channels == long else columns.T
    scale = np.sqrt(2 / fan_in) * np.sqrt(long)
    return torch.from_numpy(matrix.reshape(out_channels, in_channels, 3, 3) * scale).float()


def extract_features(
    extractor: FeatureExtractor, chunks: Iterable[np.ndarray], device: torch.device
) -> Iterator[Tensor]:
    """Features [n, F] of images uint8 [n, S, S, C], both in chunks, on the device."""
    for chunk in chunks:
        for images in split_images(to_rgb(torch.from_numpy(chunk).to(device))):
            yield extractor(images)


def to_rgb(images: Tensor) -> Tensor:
    """Images uint8 [n, S, S, 1 or 3] -> [n, 3, S, S]: grey becomes three equal channels."""
    return images.permute(0, 3, 1, 2).expand(-1, 3, -1, -1)
