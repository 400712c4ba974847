"""Features of images from a fixed network with random weights: no download, and no D in them.

A metric on features of D would be trained along with what it judges. Random convolutions are known
to keep much of what tells textures and shapes apart (Saxe et al. 2011; Ulyanov et al. 2018), and
their statistics are an FID that ranks degradations as they should be ranked. They know nothing of
faces or rooms: for numbers that compare with papers, use Inception's.
"""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = (32, 64, 128, 128)  # channels of the stride-2 layers
EDGES = 2.0  # gain of the half of the first kernels that see no even colour
SLOPE = 0.2  # of the leaky ReLUs: no feature is 0 for all images
TOGETHER = 64  # images of a forward pass
SEED = 2015  # of the weights; another one makes other numbers

Extractor = Callable[[Tensor], Tensor]  # uint8 [n, 3, S, S] -> [n, F]


class RandomFeatures(nn.Module):
    """uint8 [n, 3, S, S], S >= 8 -> float32 [n, 704]: mean and deviation of every channel.

    Four 3x3 convolutions with stride 2 and orthogonal kernels, half of the first without a mean.
    Of the designs tried on drawn faces this one gives noise, blur, shifts of colour, checkerboards
    and lost modes the most even weight; tests hold it to the order of each of them. Weights are
    drawn by NumPy in float64, so that they are the same on every machine; a convolution sums in
    the order that the machine likes, so that features agree to about 6 digits.
    """

    def __init__(self):
        super().__init__()
        rng = np.random.default_rng(SEED)
        inputs, kernels = 3, []
        for outputs in WIDTHS:
            kernels.append(orthogonal(rng, outputs, inputs))
            inputs = outputs
        # Else brightness and colour, which vary most, drown noise and blur.
        edges = kernels[0][: WIDTHS[0] // 2]
        edges.sub_(edges.mean((2, 3), keepdim=True)).mul_(EDGES)
        self.kernels = nn.ParameterList(nn.Parameter(k, requires_grad=False) for k in kernels)

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        x = images.float().div(127.5).sub(1).contiguous(memory_format=torch.channels_last)
        found = []
        for kernel in self.kernels:
            # Zeros around an image would be an edge that every image has.
            edge = "reflect" if x.shape[-1] > 1 else "replicate"
            x = F.leaky_relu(F.conv2d(F.pad(x, (1, 1, 1, 1), edge), kernel, stride=2), SLOPE)
            deviation, mean = torch.std_mean(x, (2, 3), correction=0)
            found += [mean, deviation]
        return torch.cat(found, 1)


def orthogonal(rng: np.random.Generator, outputs: int, inputs: int) -> Tensor:
    """A kernel [outputs, inputs, 3, 3] with orthogonal rows or columns (Saxe et al. 2014).

    It keeps the mean square of what goes through it and through a ReLU (He et al. 2015).
    """
    fan_in = inputs * 9
    long, short = max(outputs, fan_in), min(outputs, fan_in)
    columns, triangle = np.linalg.qr(rng.standard_normal((long, short)))
    columns *= np.sign(np.diag(triangle))  # LAPACK leaves the signs open
    matrix = columns if outputs == long else columns.T
    scale = np.sqrt(2 / fan_in) * np.sqrt(long)
    return torch.from_numpy(matrix.reshape(outputs, inputs, 3, 3) * scale).float()


def extract_features(
    extractor: Extractor, chunks: Iterable[np.ndarray], device: torch.device
) -> Tensor:
    """Features [N, F] of images uint8 [n, S, S, C] in chunks, on the device."""
    return torch.cat(
        [
            extractor(some)
            for chunk in chunks
            for some in to_rgb(torch.from_numpy(chunk).to(device)).split(TOGETHER)
        ]
    )


def to_rgb(images: Tensor) -> Tensor:
    """uint8 [n, S, S, 1 or 3] -> [n, 3, S, S]: grey is three equal channels."""
    return images.permute(0, 3, 1, 2).expand(-1, 3, -1, -1)
