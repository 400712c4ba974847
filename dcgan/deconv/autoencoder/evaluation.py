"""PSNR of a denoising autoencoder beside the noisy images, a median filter and PCA."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from dcgan import images
from dcgan.config.denoising import CorruptionName, DenoiseTrainConfig
from dcgan.data import PackedImages, row_reader
from dcgan.deconv.autoencoder.baselines import (
    Denoiser,
    Methods,
    baselines,
    choose_for_pca,
    principal_components,
)
from dcgan.deconv.autoencoder.corruption import corrupt_images
from dcgan.deconv.autoencoder.network import DenoisingAutoencoder
from dcgan.latent.inversion import psnr
from dcgan.runtime.device import full_float32_precision
from dcgan.runtime.progress import progress_bar
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
    comparison = Comparison(corruption, tuple(levels), len(rows), {}, {}, [])
    baselines_for = _fit_baselines(*training, corruption) if training else _no_baselines
    mode = network.training
    network.eval()
    with progress_bar(len(levels), "measuring", "noise level", delay=2) as bar:
        for number, level in enumerate(levels):
            methods: Methods = baselines_for(number, level)
            methods[NETWORK] = ("", partial(_denoise, network))
            denoisers = {name: function for name, (_, function) in methods.items()}
            corrupt = partial(corrupt_images, kind=corruption, level=level, seed=_SEED, step=number)
            means, examples = _measure(denoisers, packed, rows, corrupt)
            for name, (about, _) in methods.items():
                comparison.psnr.setdefault(name, []).append(means[name])
                comparison.chosen.setdefault(name, []).append(about)
            comparison.examples.append(examples)
            bar.update(1)
    network.train(mode)
    return comparison


def _fit_baselines(
    packed: PackedImages, rows: np.ndarray, corruption: CorruptionName
) -> Callable[[int, float], Methods]:
    """A function from a noise level and its number to the baselines for it, fitted to the images
    `rows`.
    """
    pixels = row_reader(packed.images)(choose_for_pca(rows, packed.images[0].size))
    pca = principal_components(pixels)
    clean = images.to_float(torch.from_numpy(pixels[:: max(1, len(pixels) // _CHOOSING)]))

    def for_level(number: int, level: float) -> Methods:
        noisy = corrupt_images(clean, corruption, level, _SEED + 1, number)
        return baselines(pca, clean, noisy)

    return for_level


def _no_baselines(number: int, level: float) -> Methods:
    return {"noisy": ("", lambda x: x)}


def _measure(
    denoisers: dict[str, Denoiser],
    packed: PackedImages,
    rows: np.ndarray,
    corrupt: Callable[..., Tensor],
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """The mean PSNR of each denoiser on the images `rows`, and what they make of the first ones."""
    read, size = row_reader(packed.images), batch_size(packed.size)
    sums, examples = dict.fromkeys(denoisers, 0.0), {}
    for first in range(0, len(rows), size):
        clean = images.to_float(torch.from_numpy(read(rows[first : first + size])))
        noisy = corrupt(clean, first=first)
        found = {name: denoise(noisy) for name, denoise in denoisers.items()}
        for name, denoised in found.items():
            sums[name] += float(psnr(clean, denoised).double().sum())
        if first == 0:
            shown = {"clean": clean, **found}
            examples = {k: images.to_uint8(x[:_EXAMPLES]).numpy() for k, x in shown.items()}
    return {name: total / len(rows) for name, total in sums.items()}, examples


@torch.no_grad()
def _denoise(network: DenoisingAutoencoder, noisy: Tensor) -> Tensor:
    x = noisy.to(next(network.parameters()).device).contiguous(memory_format=torch.channels_last)
    return network(x).float().cpu()


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
