"""Denoising by reconstruction: what the filters cannot build sparsely is left out."""

import torch
from torch import Tensor

from dcgan.deconv.sparse_coding.checks import check_images, check_positive
from dcgan.deconv.sparse_coding.encoding import encode
from dcgan.errors import UsageError

# Times 1 / sigma. On photographs at 8 to 14 dB, 1 to 2 give about the same.
_WEIGHT = 1.5


def denoise(noisy: Tensor, filters: Tensor, sigma: float) -> Tensor:
    """Reconstruct images [N, C, H, W] with white noise of standard deviation `sigma` from filters
    [K, C, h, w]: the less exactly, the more noise there is. Raises UsageError as `encode` does.
    """
    check_positive("sigma", sigma)
    return encode(noisy, filters, _WEIGHT / sigma).reconstructions


def add_noise(images: Tensor, snr: float, seed: int = 0) -> Tensor:
    """Images [N, C, H, W] with white Gaussian noise, each at a signal-to-noise ratio in dB."""
    images = check_images(images)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(images.shape, generator=generator).to(images)
    power = images.square().mean((1, 2, 3), keepdim=True)
    return images + noise * (power * 10 ** (-snr / 10)).sqrt()


def signal_to_noise(clean: Tensor, images: Tensor) -> Tensor:
    """10 log10(|clean|^2 / |images - clean|^2) of each image [N, C, H, W], in dB: [N]."""
    if clean.shape != images.shape:
        raise UsageError(f"images {list(images.shape)} cannot be compared to {list(clean.shape)}")
    power, error = (x.square().flatten(1).sum(1) for x in (clean, images - clean))
    return 10 * torch.log10(power / error)
