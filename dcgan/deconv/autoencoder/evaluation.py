"""PSNR of a denoising autoencoder beside the noisy images, a median filter and PCA."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dcgan import images
from dcgan.config.denoising import CorruptionName, DenoiseTrainConfig
from dcgan.data import PackedImages, row_reader
from dcgan.deconv.autoencoder.baselines import baselines, choose_for_pca, principal_components
from dcgan.deconv.autoencoder.corruption import corrupt_images
from dcgan.deconv.autoencoder.network import DenoisingAutoencoder
from dcgan.latent.inversion import psnr
from dcgan.runtime.device import full_float32_precision
from dcgan.sampling import batch_size

NETWORK = "autoencoder"
_SEED = 2**42  # of the corruption: no seed that a user is likely to train with
_CHOOSING = 256  # training images on which the baselines are chosen
_EXAMPLES = 2  # for each noise level


@dataclass(frozen=True)
class Comparison:
    """Mean PSNR in dB of several methods at several noise levels, and examples."""

    corruption: CorruptionName
    levels: tuple[float, ...]
    count: int  # of images
    psnr: dict[str, list[float]]  # method -> for each level
    chosen: dict[str, list[str]]  # method -> for each level, what was chosen for it
    examples: list[dict[str, np.ndarray]]  # for each level: method or "clean" -> uint8 [n, S, S, C]


def report_levels(config: DenoiseTrainConfig) -> tuple[float, ...]:
    """The least, the middle and the greatest noise level of training, without repetitions."""
    low, high = config.noise_levels
    return tuple(dict.fromkeys((low, round((low + high) / 2, 6), high)))


@full_float32_precision()
def compare_methods(
    network: DenoisingAutoencoder,
    packed: PackedImages,
    rows: np.ndarray,
    corruption: CorruptionName,
    levels: Sequence[float],
    training: tuple[PackedImages, np.ndarray] | None,
) -> Comparison:
    """Denoise the images `rows` of a packed folder at every noise level.

    `training`: a packed folder and the indices of the images that PCA learns from and both
    baselines are chosen on; None: no baselines but the noisy images. The corruption is always the
    same. The network is used in evaluation mode, and comes back in the mode that it was in.
    """
    read, mode = row_reader(packed.images), network.training
    comparison = Comparison(corruption, tuple(levels), len(rows), {}, {}, [])
    device = next(network.parameters()).device
    if training is not None:
        numbers = int(np.prod(packed.images.shape[1:]))
        chosen = choose_for_pca(training[1], numbers)
        pixels = row_reader(training[0].images)(chosen)
        pca = principal_components(pixels)
        clean = images.to_float(torch.from_numpy(pixels[:: max(1, len(pixels) // _CHOOSING)]))
    network.eval()
    for number, level in enumerate(levels):
        methods = {"noisy": ("", lambda x: x)}
        if training is not None:
            noisy = corrupt_images(clean, corruption, level, _SEED + 1, number)
            methods = baselines(pca, clean, noisy)
        methods[NETWORK] = ("", lambda x: _denoise(network, x, device))
        sums = dict.fromkeys(methods, 0.0)
        comparison.examples.append({})
        for first, true in _batches(read, rows, batch_size(packed.size)):
            noisy = corrupt_images(true, corruption, level, _SEED, number, first)
            found = {name: function(noisy) for name, (_, function) in methods.items()}
            for name, denoised in found.items():
                sums[name] += float(psnr(true, denoised).double().sum())
            if first == 0:
                comparison.examples[-1].update(
                    (name, images.to_uint8(shown[:_EXAMPLES]).numpy())
                    for name, shown in {"clean": true, **found}.items()
                )
        for name, (about, _) in methods.items():
            comparison.psnr.setdefault(name, []).append(sums[name] / len(rows))
            comparison.chosen.setdefault(name, []).append(about)
    network.train(mode)
    return comparison


@torch.no_grad()
def _denoise(network: DenoisingAutoencoder, noisy: Tensor, device: torch.device) -> Tensor:
    x = noisy.to(device).contiguous(memory_format=torch.channels_last)
    return network(x).float().cpu()


def _batches(read, rows: np.ndarray, size: int) -> Iterator[tuple[int, Tensor]]:
    """The images `rows` as batches [n, C, S, S] in [-1, 1], each with the place of its first."""
    for first in range(0, len(rows), size):
        yield first, images.to_float(torch.from_numpy(read(rows[first : first + size])))


def table(comparison: Comparison) -> list[str]:
    """The PSNR of every method, as lines of text."""
    cells = [[comparison.corruption, *comparison.psnr]]
    for i, level in enumerate(comparison.levels):
        row = [f"{level:g}"]
        for name, values in comparison.psnr.items():
            about = comparison.chosen[name][i]
            row.append(f"{values[i]:.2f}" + (f" ({about})" if about else ""))
        cells.append(row)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        f"mean PSNR in dB on {comparison.count:,} images",
        *(
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in cells
        ),
    ]
