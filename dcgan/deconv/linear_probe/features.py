"""Features of images: those of a discriminator, and arrays of any features."""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from dcgan import images
from dcgan.data import PackedImages, row_reader
from dcgan.deconv.linear_probe.svm import FEATURE_NORM
from dcgan.errors import UsageError
from dcgan.networks import Discriminator, StridedConv2d
from dcgan.networks.layers import BASE_SIZE
from dcgan.runtime.device import full_float32_precision

# Images [n, C, S, S] in [-1, 1] -> features [n, F], those of one image whatever lies beside it.
FeatureFunction = Callable[[Tensor], Tensor]

_POOLED_SIZE = 4
_BATCH_PIXELS = 2**20  # of the images that are computed at a time
_STATISTICS_BATCH = 128  # images of one batch whose statistics batch norm takes, as the authors'
_STATISTICS_IMAGES = 10_000


class DiscriminatorFeatures(nn.Module):
    """The features of Radford et al. 2015, section 5: the activations of all convolutional layers
    of D, max-pooled to 4x4 positions, flattened and concatenated.

    x: [N, channels, size, size] in [-1, 1] -> [N, 16 * (width + ... + widest)], layer by layer.
    The layer of the logit is left out, as in the authors' code.
    """

    def __init__(self, D: Discriminator):
        super().__init__()
        self.D = D

    def forward(self, x: Tensor) -> Tensor:
        return pool_maps(self.D.features(x))


def pool_maps(maps: Sequence[Tensor]) -> Tensor:
    """Maps [N, c, h, w] of several layers, max-pooled to 4x4 positions, as features [N, F]."""
    return torch.cat([F.adaptive_max_pool2d(each, _POOLED_SIZE).flatten(1) for each in maps], 1)


def discriminator_features(
    D: Discriminator, packed: PackedImages, indices: np.ndarray
) -> DiscriminatorFeatures:
    """The features of a copy of D in evaluation mode, on the device of D.

    Where D has batch norm, its statistics are recomputed on the packed images `indices`: means over
    batches of 128, of 10,000 images at most. Raises UsageError unless D takes such images.
    """
    check_fits(D, packed)
    features = DiscriminatorFeatures(copy.deepcopy(D).requires_grad_(False).train())
    if D.has_batch_norm:
        device = next(D.parameters()).device
        chosen = indices[:_STATISTICS_IMAGES]
        count = min(_STATISTICS_BATCH, len(chosen))
        chosen = chosen[: len(chosen) // count * count]  # a last small batch would count as others
        with torch.inference_mode(), full_float32_precision():
            update_bn(_batches(packed, chosen, count, device), features)
    return features.eval()


def check_fits(D: Discriminator, packed: PackedImages) -> None:
    """Raise UsageError unless the packed images have the size and channels that D is for."""
    first = cast(StridedConv2d, cast(nn.Sequential, D.blocks[0])[0])
    wanted = {"size": BASE_SIZE * 2 ** len(D.blocks), "channels": first.weight.shape[1]}
    for name, ours in wanted.items():
        if (theirs := getattr(packed, name)) != ours:
            raise UsageError(f"{packed.folder} has images of {name} {theirs}, and D is for {ours}")


def pixel_features(x: Tensor) -> Tensor:
    """The pixels themselves: [N, C, S, S] in [-1, 1] -> [N, C * S * S]."""
    return x.flatten(1)


def extract(
    function: FeatureFunction,
    packed: PackedImages,
    indices: np.ndarray,
    device: torch.device | str = "cpu",
    *,
    name: str = "features",
    on_images: Callable[[int], None] = lambda count: None,
) -> np.ndarray:
    """The features of packed images, float32 [n, F], computed in batches of bounded memory.

    `name` stands in errors. `on_images(count)` is called after every batch. Raises UsageError for
    functions that do not return one finite vector for each image.
    """
    features = np.empty((0, 0), np.float32)
    start = 0
    for x in _batches(packed, indices, max(1, _BATCH_PIXELS // packed.size**2), device):
        with torch.inference_mode(), full_float32_precision():
            found = function(x)
        if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(x):
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise UsageError(f"{name}: [{len(x)}, F] features are needed, not {shape}")
        rows = found.float().cpu().numpy()
        if not np.isfinite(rows).all():
            raise UsageError(f"{name}: some features are not finite")
        if start == 0:
            features = np.empty((len(indices), rows.shape[1]), np.float32)
        features[start : start + len(rows)] = rows
        start += len(rows)
        on_images(len(rows))
    return features


def _batches(
    packed: PackedImages, indices: np.ndarray, count: int, device: torch.device | str
) -> Iterator[Tensor]:
    """Packed images, [n, C, S, S] in [-1, 1] with n at most `count`."""
    read = row_reader(packed.images)
    for start in range(0, len(indices), count):
        yield images.to_float(torch.from_numpy(read(indices[start : start + count])).to(device))


def scale(pool: np.ndarray, others: Iterable[np.ndarray]) -> None:
    """Centre features [n, F] at the mean of `pool`, and divide all of them by one number, in place,
    so that the squared norms of those of `pool` are 10,000 on average.

    A linear SVM depends on C times the squared norm. So C means the same for few features and for
    many, for pixels and for activations, whose size nothing fixes where there is no batch norm. For
    7,168 features, as those of the authors, it is about as large as after batch norm.
    """
    mean = pool.mean(0, dtype=np.float64).astype(np.float32)
    total = 0.0
    for row in pool:
        row -= mean
        total += float(row @ row)
    factor = np.float32(FEATURE_NORM * (len(pool) / total) ** 0.5 if total > 0 else 1)
    pool *= factor
    for each in others:
        each -= mean
        each *= factor
