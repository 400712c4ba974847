"""`dcgan denoise apply`: one noisy picture to a denoised one."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dcgan import images
from dcgan.config.denoising import DenoiseApplyConfig
from dcgan.config.validation import require_options
from dcgan.deconv.autoencoder.loading import load_autoencoder
from dcgan.deconv.autoencoder.network import DenoisingAutoencoder
from dcgan.errors import UsageError, UserError
from dcgan.explore.outputs import check_outputs
from dcgan.explore.photos import read_photo, read_whole_photo
from dcgan.runtime import device as devices
from dcgan.runtime.device import full_float32_precision
from dcgan.sampling import batch_size

_MAX_PIXELS = 2**25  # of a picture in windows: 33 megapixels, 1 GB of sums


def apply(config: DenoiseApplyConfig) -> Path:
    """Denoise the picture of `config`, write the result, and return its path.

    The picture is grey or colour as the network is. Raises UserError for files that are missing, no
    pictures or in the way.
    """
    require_options(config, DenoiseApplyConfig, "apply")
    check_outputs((config.out,), (config.run, config.picture))
    devices.reuse_freed_memory()
    network = load_autoencoder(config.run, config.device)
    if config.windows:
        pixels = read_whole_photo(config.picture, network.channels)
        if pixels.shape[0] * pixels.shape[1] > _MAX_PIXELS:
            raise UserError(f"{config.picture}: more than {_MAX_PIXELS:,} pixels: make it smaller")
    else:
        pixels = read_photo(config.picture, network.size, network.channels)
    images.save_png(config.out, denoise(network, pixels))
    return config.out


@full_float32_precision()
def denoise(network: DenoisingAutoencoder, pixels: np.ndarray) -> np.ndarray:
    """A noisy image uint8 [H, W, C] of any size -> the same, denoised.

    One of the network's size goes through it as a whole. Another one goes through it in windows of
    that size, which overlap by half or more; where they do, their weighted mean is taken, with
    weights that fall towards the borders of a window. Smaller images are mirrored until they fill a
    window. Raises UsageError for arrays of another type, or with other channels than the network's.
    """
    wanted = pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.size
    if not wanted or pixels.shape[2] != network.channels:
        raise UsageError(
            f"denoise needs an image uint8 [H, W, {network.channels}], not {pixels.dtype} "
            f"{list(pixels.shape)}"
        )
    x = images.to_float(torch.from_numpy(np.ascontiguousarray(pixels[None])))
    with torch.no_grad():
        made = _forward(network, x) if _fits(network, x) else _in_windows(network, x)
    return images.to_uint8(made)[0].numpy()


def _fits(network: DenoisingAutoencoder, x: Tensor) -> bool:
    return x.shape[2:] == (network.size, network.size)


def _forward(network: DenoisingAutoencoder, x: Tensor) -> Tensor:
    on = next(network.parameters()).device
    return network(x.to(on).contiguous(memory_format=torch.channels_last)).float().cpu()


def _in_windows(network: DenoisingAutoencoder, x: Tensor) -> Tensor:
    """x: [1, C, H, W] -> the same shape."""
    size, (height, width) = network.size, x.shape[2:]
    x = _mirrored_to(x, size)
    ramp = torch.sin(torch.pi * (torch.arange(size) + 0.5) / size).square()
    weight = ramp[:, None] * ramp
    corners = [
        (top, left) for top in _starts(x.shape[2], size) for left in _starts(x.shape[3], size)
    ]
    total, weights = torch.zeros_like(x), torch.zeros(x.shape[2:])
    step = batch_size(size)
    for first in range(0, len(corners), step):
        some = corners[first : first + step]
        parts = torch.cat([x[:, :, top : top + size, left : left + size] for top, left in some])
        for made, (top, left) in zip(_forward(network, parts), some, strict=True):
            total[0, :, top : top + size, left : left + size] += weight * made
            weights[top : top + size, left : left + size] += weight
    return (total / weights)[:, :, :height, :width]


def _starts(side: int, size: int) -> list[int]:
    """Where windows of `size` begin on a side, the last one at its end."""
    return [*range(0, side - size, size // 2), side - size]


def _mirrored_to(x: Tensor, size: int) -> Tensor:
    """x continued by its mirror images to the right and below, to `size` pixels at least."""
    while min(x.shape[2:]) < size:
        below, right = (min(side, max(size - side, 0)) for side in x.shape[2:])
        x = torch.cat([x, x.flip(2)[:, :, :below]], 2)
        x = torch.cat([x, x.flip(3)[:, :, :, :right]], 3)
    return x
