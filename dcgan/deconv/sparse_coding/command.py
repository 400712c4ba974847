"""The work of `dcgan sparse`: filters of a packed folder, and the picture of them."""

import numpy as np
import torch
from torch import Tensor

from dcgan import images
from dcgan.config import SparseConfig
from dcgan.config.validation import require_options
from dcgan.data import PackedImages, open_packed, row_reader
from dcgan.deconv.sparse_coding.checks import check_filter_size, check_memory
from dcgan.deconv.sparse_coding.contrast import normalize_contrast
from dcgan.deconv.sparse_coding.denoising import add_noise, denoise, signal_to_noise
from dcgan.deconv.sparse_coding.encoding import encode
from dcgan.deconv.sparse_coding.figure import Column, draw_sparse
from dcgan.deconv.sparse_coding.learning import learn_filters
from dcgan.errors import UserError
from dcgan.runtime.device import select_device
from dcgan.runtime.disk import check_writable
from dcgan.runtime.progress import progress_bar

_SHOWN = 4  # images
_SHOWN_DEVIATIONS = 2.5  # of normalised images, from grey to white
_NO_CONTRAST = 1e-3  # of a normalised image: its largest value, by rounding


def report_sparse(config: SparseConfig) -> list[str]:
    """Learn filters, draw them to `config.out`, and say in lines what they reach.

    The images that are reconstructed are others than those learnt from, if there are others. Raises
    UserError for folders and files, and for images without contrast; UsageError for options that do
    not fit the images.
    """
    require_options(config, SparseConfig, "report_sparse")
    check_writable(config.out)
    packed = open_packed(config.data)
    size = (packed.size, packed.size)
    check_filter_size((config.size, config.size), size)
    check_memory(min(config.count, len(packed)), config.filters, size)
    device = select_device(config.device)
    learnt_from, others = choose_images(packed, config.count, config.seed)
    y = normalize_contrast(learnt_from.to(device), config.sigma).normalized
    if not _varies(y).any():
        raise UserError(
            f"{config.data}: there is nothing to learn from: the images are of one colour, or "
            f"--sigma {config.sigma:g} is so small that its window removes all of them"
        )
    with progress_bar(config.rounds, "learning filters", "round") as bar:
        learned = learn_filters(
            *(y, config.filters, config.size, config.weight, config.p, config.rounds, config.seed),
            on_round=lambda: bar.update(1),
        )
    contrast = normalize_contrast(others.to(device), config.sigma)
    codes = encode(contrast.normalized, learned.filters, config.weight, config.p)
    values = (codes.maps != 0).sum().item() / contrast.normalized.numel()
    energies = learned.energies.tolist()
    lines = [
        f"energy of {_counted(len(y), 'image')}: {energies[0]:,.0f}, after "
        f"{_counted(config.rounds, 'round')} {energies[-1]:,.0f}",
        f"reconstruction: {_mean_snr(contrast.normalized, codes.reconstructions)}, "
        f"{values:.2f} nonzero coefficients for each value of the image",
    ]
    columns = [
        Column("image", others),
        Column("normalised", _to_shown(contrast.normalized)),
        Column("reconstruction", _to_shown(codes.reconstructions)),
        Column("with contrast", contrast.restore(codes.reconstructions).clamp(-1, 1)),
    ]
    if config.noise is not None:
        noisy = add_noise(contrast.normalized, config.noise, config.seed)
        sigma = (noisy - contrast.normalized).square().mean().sqrt().item()
        denoised = denoise(noisy, learned.filters, sigma)
        columns += [
            Column(f"noise, {config.noise:g} dB", _to_shown(noisy)),
            Column("denoised", _to_shown(denoised)),
        ]
        lines.append(
            f"denoising: {_mean_snr(contrast.normalized, noisy)} to "
            f"{_mean_snr(contrast.normalized, denoised)}"
        )
    images.save_png(config.out, draw_sparse(learned.filters, columns, energies))
    return [*lines, str(config.out)]


def choose_images(packed: PackedImages, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """`count` random images to learn from and up to 4 others, float32 [N, C, H, W] in [-1, 1].

    Of a folder with too few images, the others are among those learnt from.
    """
    order = np.random.default_rng(seed).permutation(len(packed))
    chosen, others = order[:count], order[count : count + _SHOWN]
    if not len(others):
        others = order[:_SHOWN]
    read = row_reader(packed.images)
    learnt_from, shown = (
        images.to_float(torch.from_numpy(read(rows))).contiguous() for rows in (chosen, others)
    )
    return learnt_from, shown


def _to_shown(normalized: Tensor) -> Tensor:
    return (normalized / _SHOWN_DEVIATIONS).clamp(-1, 1)


def _varies(normalized: Tensor) -> Tensor:
    """Whether images [N, C, H, W] have any contrast, more than rounding leaves: [N]."""
    return normalized.abs().amax((1, 2, 3)) > _NO_CONTRAST


def _mean_snr(clean: Tensor, found: Tensor) -> str:
    """The mean over the images that have any contrast."""
    varies = _varies(clean)
    if not varies.any():
        return "images without contrast"
    return f"{signal_to_noise(clean[varies], found[varies]).mean().item():.1f} dB"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"
