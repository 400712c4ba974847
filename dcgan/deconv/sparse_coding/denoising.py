"""Denoising by reconstruction: what the filters cannot build sparsely is left out."""

import torch
from torch import Tensor

from dcgan.deconv.sparse_coding.checks import check_images
from dcgan.errors import UsageError


def signal_to_noise(clean: Tensor, images: Tensor) -> Tensor:
    """10 log10(|clean|^2 / |images - clean|^2) of each image [N, C, H, W], in dB: [N]."""
    if clean.shape != images.shape:
        raise UsageError(f"images {list(images.shape)} cannot be compared to {list(clean.shape)}")
    power, error = (x.square().flatten(1).sum(1) for x in (clean, images - clean))
    return 10 * torch.log10(power / error)


def add_noise(images: Tensor, snr: float, seed: int = 0) -> Tensor:
    """Images [N, C, H, W] with white Gaussian noise, each at a signal-to-noise ratio in dB."""
    images = check_images(images)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(images.shape, generator=generator).to(images)
    power = images.square().mean((1, 2, 3), keepdim=True)
    return images + noise * (power * 10 ** (-snr / 10)).sqrt()
