"""The discriminator of Radford et al. 2015 (arXiv:1511.06434), section 3, with later options."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from dcgan.config import TrainConfig, validate_network
from dcgan.networks.initialization import dcgan_initialize, equalize_kernel_scales, he_initialize
from dcgan.networks.layers import (
    BASE_SIZE,
    LEAKY_SLOPE,
    MinibatchStdLayer,
    StridedConv2d,
    WindowScore,
    feature_channels,
)


class Discriminator(nn.Module):
    """Images to logits of being real by strided convolutions.

    x: [N, channels, size, size] in [-1, 1] -> [N]. A larger image gets the mean of the logits of
    all its windows.

    `batch_norm_D` puts batch norm between the first and the last layer (Radford et al. 2015);
    `bias_D` gives a bias to the layers without it; `spectral_norm` divides every kernel by its
    largest singular value (Miyato et al. 2018); `minibatch_std` appends the map of
    `MinibatchStdLayer`. A conditional D also takes labels, [N, num_labels] in {0, 1}, and adds the
    inner product of their embedding and the last features, averaged over positions, to the logit
    (projection discriminator, Miyato and Koyama 2018, equation 3); it raises ValueError without
    labels.
    """

    def __init__(
        self,
        size: int = TrainConfig.size,
        channels: int = TrainConfig.channels,
        width: int = TrainConfig.width,
        kernel_size: int = TrainConfig.kernel_size,
        batch_norm_D: bool = TrainConfig.batch_norm_D,
        bias_D: bool = TrainConfig.bias_D,
        spectral_norm: bool = TrainConfig.spectral_norm,
        minibatch_std: bool = TrainConfig.minibatch_std,
        num_labels: int = 0,
    ):
        super().__init__()
        validate_network(
            size=size,
            channels=channels,
            width=width,
            kernel_size=kernel_size,
            batch_norm_D=batch_norm_D,
            spectral_norm=spectral_norm,
        )
        self.has_batch_norm = batch_norm_D
        last, *widths = feature_channels(size, width)
        blocks: list[nn.Sequential] = []
        convolutions: list[StridedConv2d] = []
        in_channels = channels
        for out_channels in reversed([last, *widths]):
            norm = [nn.BatchNorm2d(out_channels)] if blocks and batch_norm_D else []
            bias = bias_D and not norm
            convolution = StridedConv2d(in_channels, out_channels, kernel_size, bias)
            activation = nn.LeakyReLU(LEAKY_SLOPE, inplace=True)
            blocks.append(nn.Sequential(convolution, *norm, activation))
            convolutions.append(convolution)
            in_channels = out_channels
        self.blocks = nn.ModuleList(blocks)
        self.minibatch_std = MinibatchStdLayer() if minibatch_std else None
        self.score = WindowScore(last + minibatch_std, BASE_SIZE)
        self.embed = nn.Linear(num_labels, last, bias=False) if num_labels else None
        dcgan_initialize(self)
        if not batch_norm_D:
            he_initialize(self)
            kernels = [*(layer.weight for layer in convolutions), self.score.weight]
            equalize_kernel_scales(kernels, None if self.embed is None else self.embed.weight)
        if spectral_norm:
            for module in self.modules():
                if isinstance(module, StridedConv2d | nn.Conv2d | nn.Linear):
                    nn.utils.parametrizations.spectral_norm(module)

    def features(self, x: Tensor, batches: int = 1) -> list[Tensor]:
        """Activations of every block, from [N, width, size/2, size/2] to [N, widest, 4, 4].

        Batch norm treats each of the `batches` that are one after another in x for itself.
        """
        maps = []
        for block in self.blocks:
            if self.has_batch_norm and batches > 1:
                for layer in block.children():
                    has_statistics = isinstance(layer, nn.BatchNorm2d)
                    x = _each_batch(layer, x, batches if has_statistics else 1)
            else:
                x = block(x)  # with its hooks
            maps.append(x)
        return maps

    def forward(self, x: Tensor, labels: Tensor | None = None, batches: int = 1) -> Tensor:
        """The logits of `batches` batches of one size, one after another in x.

        Batch norm and `minibatch_std` treat each for itself. One pass takes less time than several.
        """
        maps = self.features(x, batches)[-1]
        # Logits of bf16 have 8 bits, too few for a loss of their differences.
        with _autocast_off(maps.device.type):
            return self._logits(maps.to(next(self.score.parameters()).dtype), labels, batches)

    def _logits(self, maps: Tensor, labels: Tensor | None, batches: int) -> Tensor:
        """The logits [N] of the last features [N, widest, h, w]."""
        with_std = maps
        if self.minibatch_std is not None:
            with_std = _each_batch(self.minibatch_std, maps, batches)
        logits = self.score(with_std).mean((1, 2, 3))
        if self.embed is not None:
            if labels is None:
                raise ValueError("a conditional D needs labels")
            logits = logits + (self.embed(labels.to(maps.dtype)) * maps.mean((2, 3))).sum(1)
        return logits


def _each_batch(function: Callable[[Tensor], Tensor], x: Tensor, batches: int) -> Tensor:
    """The results of a function of each of the batches that are one after another in x."""
    if batches == 1:
        return function(x)
    return torch.cat([function(batch) for batch in x.chunk(batches)])


def _autocast_off(device_type: str) -> AbstractContextManager:
    """Compute in the precision of the operands in the block."""
    if not torch.amp.is_autocast_available(device_type):  # as on "meta"
        return nullcontext()
    return torch.autocast(device_type, enabled=False)
