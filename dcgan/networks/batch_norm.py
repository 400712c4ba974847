"""Batch norm of a generator: running statistics that pause or are recalibrated, and folding."""

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.nn.utils.parametrize import ParametrizationList
from torch.optim.swa_utils import update_bn

from dcgan.networks.channels_last import to_channels_last
from dcgan.networks.generator import Generator
from dcgan.networks.layers import LatentProjection, StridedConvTranspose2d


@torch.no_grad()
def fold_batch_norm(G: Generator) -> Generator:
    """A copy of G in evaluation mode, without the passes over memory of batch norm. G stays as it
    is.

    In evaluation mode batch norm multiplies each channel by a number and adds another. The kernel
    and the bias of the convolution before it take them in, and an `Identity` takes its place.
    """
    copied = copy.deepcopy(G).requires_grad_(False).eval()
    layers = copied.layers
    for i, norm in enumerate(layers):
        if isinstance(norm, nn.BatchNorm2d):
            convolution, mean, variance = layers[i - 1], norm.running_mean, norm.running_var
            assert isinstance(convolution, LatentProjection | StridedConvTranspose2d)
            assert mean is not None and variance is not None
            convolution.weight, convolution.bias = fuse_conv_bn_weights(
                convolution.weight, None, mean, variance, norm.eps, norm.weight, norm.bias, True
            )
            layers[i] = nn.Identity()
    return copied.to(memory_format=torch.channels_last)


def running_statistics(network: nn.Module) -> list[Tensor]:
    """The buffers of batch norm and of a spectral norm that training updates; no copies."""
    return [buffer for buffer in network.buffers() if buffer.is_floating_point()]


@contextmanager
def running_statistics_paused(network: nn.Module) -> Iterator[None]:
    """Leave the running statistics of batch norm and the singular vectors of a spectral norm alone
    in the block; batches are normalised as otherwise.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    lists = [module for module in network.modules() if isinstance(module, ParametrizationList)]
    spectral_norms = [module for module in chain(*lists) if module.training]
    for norm in norms:
        norm.track_running_stats = False
    for spectral_norm in spectral_norms:
        spectral_norm.eval()
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
        for spectral_norm in spectral_norms:
            spectral_norm.train()


@torch.no_grad()
def recalibrate(G: Generator, batches: Iterable[Tensor], max_latents: int) -> None:
    """Replace G's running statistics by the means over batches of latents [n, latent_dim].

    Running statistics belong to earlier weights, and an average of weights has none of its own
    (standing statistics: Brock et al. 2019, section 4.1). At most `max_latents` go through G at a
    time, which changes the statistics by rounding alone. The mode of G stays as it is. On a GPU the
    host waits once per layer and batch, since `update_bn` reads the counters of batch norm.
    """
    update_bn(batches, _InPasses(G, max_latents).train(G.training))


class _InPasses(nn.Module):
    """G in training mode, for batches of latents whose feature maps do not fit into memory."""

    def __init__(self, G: Generator, max_latents: int):
        super().__init__()
        self.G, self.max_latents = G, max_latents

    def forward(self, z: Tensor) -> None:
        """Update the running statistics as `G(z)` does."""
        if len(z) <= self.max_latents:
            self.G(z)
            return
        # Batch norm needs the statistics of the whole batch. They are found layer by layer, with
        # the layers before it computed anew: in all 2.5 times the work, since half of all layers
        # are as small as they are cheap.
        passes = to_channels_last(z[:, :, None, None]).split(self.max_latents)
        before = nn.Sequential()
        for layer in self.G.layers:
            if isinstance(layer, nn.BatchNorm2d):
                count, mean, variance = _channel_moments(before(latents) for latents in passes)
                _add_to_means(layer, mean, variance * (count / (count - 1)))
                layer = _Normalization(layer, mean, variance)
            before.append(layer)


def _add_to_means(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    """Take the statistics of one more batch into the running ones, which are means over batches."""
    batches, means, variances = norm.num_batches_tracked, norm.running_mean, norm.running_var
    assert batches is not None and means is not None and variances is not None
    share = 1 / int(batches.add_(1))
    means.lerp_(mean, share)
    variances.lerp_(variance, share)


class _Normalization(nn.Module):
    """Batch norm by given means and variances."""

    def __init__(self, norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor):
        super().__init__()
        self.norm, self.mean, self.variance = norm, mean, variance

    def forward(self, x: Tensor) -> Tensor:
        norm = self.norm
        return F.batch_norm(x, self.mean, self.variance, norm.weight, norm.bias, eps=norm.eps)


def _channel_moments(maps: Iterable[Tensor]) -> tuple[int, Tensor, Tensor]:
    """Number of values in a channel of all maps [n, C, H, W]; means and variances [C]."""
    counts, moments = [], []
    for x in maps:
        counts.append(x.numel() // x.shape[1])
        moments.append(torch.stack(torch.var_mean(x, (0, 2, 3), correction=0)))
    variances, means = torch.stack(moments).unbind(1)  # [passes, C] each
    shares = torch.tensor(counts).to(means)[:, None] / sum(counts)
    mean = (shares * means).sum(0)
    return sum(counts), mean, (shares * (variances + (means - mean).square())).sum(0)
