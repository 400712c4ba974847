"""`dcgan invert`: photos to latents, a picture that compares both, and the file of the latents."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dcgan import images, sampling
from dcgan.config import InvertConfig
from dcgan.config.validation import require_options
from dcgan.explore.encoder import obtain_encoder, pretrained_encoder
from dcgan.explore.latents_file import LATENTS, save_latents
from dcgan.explore.outputs import check_outputs
from dcgan.explore.photos import read_photos
from dcgan.latent import Inversion, invert
from dcgan.latent.inversion import needs_encoder
from dcgan.networks import Discriminator, Encoder, Generator
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.runs.loading import discriminator_in
from dcgan.runs.tensor_file import check_not_replacing
from dcgan.runtime import device as devices
from dcgan.runtime.cpu_sharing import sharing_cpus
from dcgan.runtime.disk import check_writable
from dcgan.runtime.progress import progress_bar
from dcgan.runtime.terminal import print_lines

_MAX_COLUMNS = 16  # of the picture


def invert_photos(
    G: Generator,
    D: Discriminator | None,
    photos: Sequence[Path],
    *,
    encoder: Encoder | None = None,
    label: str | None = None,
    restarts: int = InvertConfig.restarts,
) -> Inversion:
    """The latents of photos, and how well G makes the photos from them; see `latent.invert`.

    D may be None: then there are no feature distances. `label`: see `sampling.parse_label`. Without
    an encoder, the one that comes with the package is taken if it is of this G; for another
    conditional G whose labels are not all given one is trained, which takes some seconds. Shows
    progress bars. Raises UserError for files that are no photos, UsageError for labels that G does
    not have.
    """
    return _invert_pixels(G, D, read_photos(G, photos), encoder, label, restarts)


def _invert_pixels(
    G: Generator,
    D: Discriminator | None,
    pixels: np.ndarray,
    encoder: Encoder | None,
    label: str | None,
    restarts: int,
) -> Inversion:
    """The inversion of images uint8 [N, S, S, C]."""
    labels, total = sampling.parse_label(G, label), len(pixels)
    targets = images.to_float(torch.from_numpy(pixels))
    with sharing_cpus():
        encoder = encoder or pretrained_encoder(G)
        if encoder is None and needs_encoder(G, labels):
            encoder = obtain_encoder(G)
        with progress_bar(total, "inverting", "photo", delay=2) as bar:
            return invert(G, targets, D, encoder, labels, restarts, on_image=bar.update)


def report_inversion(config: InvertConfig) -> Inversion:
    """Invert the photos of `config`, print how well, and write the picture and the latents.

    Raises UserError for files that are missing, no photos or in the way, UsageError for values that
    cannot work.
    """
    require_options(config, InvertConfig, "report_inversion")
    _check_outputs(config)
    devices.reuse_freed_memory()
    device = devices.select_device(config.device)
    checkpoint = config.checkpoint
    G = sampling.load(checkpoint, raw=config.raw, recalibrate=config.recalibrate, device=device)
    sampling.check_grid_size(G, 2 * len(config.photos))
    sampling.parse_label(G, config.label)  # before the encoder is trained
    originals = read_photos(G, config.photos)
    D = load_discriminator_if_any(checkpoint, device)
    encoder = None if config.encoder is None else obtain_encoder(G, config.encoder)
    found = _invert_pixels(G, D, originals, encoder, config.label, config.restarts)
    about = list(_describe(G, config.photos, found))
    print_lines(*(_line(each) for each in about))
    images.save_png(config.out, inversion_picture(originals, found))
    save_latents(config.latents_file(), G, found.latents, about)
    return found


def load_discriminator_if_any(
    checkpoint: Path, device: torch.device | str = "cpu"
) -> Discriminator | None:
    """The discriminator of a checkpoint; None where it has none. Raises as `load_discriminator`."""
    found = find_checkpoint(checkpoint)
    return discriminator_in(found, device) if found.tensors("D.") else None


def _check_outputs(config: InvertConfig) -> None:
    """Raise UserError for outputs that cannot be written, or that would replace other files."""
    inputs = (config.checkpoint, *config.photos)
    check_outputs((config.out, config.latents_file()), inputs)
    check_not_replacing(config.latents_file(), LATENTS)
    if config.encoder is not None:
        check_writable(config.encoder)


def _describe(G: Generator, photos: Sequence[Path], found: Inversion) -> Iterator[dict[str, Any]]:
    """What is known about each photo, as JSON can hold it."""
    for i, photo in enumerate(photos):
        about: dict[str, Any] = {"file": photo.name, "psnr": round(found.psnr[i].item(), 2)}
        if found.feature_distance is not None:
            about["feature_distance"] = round(found.feature_distance[i].item(), 4)
        if G.labels is not None:
            present = found.latents[i, G.latent_dim :].nonzero().flatten().tolist()
            about["labels"] = [G.labels.names[index] for index in present]
        yield about


def _line(about: dict[str, Any]) -> str:
    """What is known about a photo, for the terminal."""
    words = [f"{about['file']}: PSNR {about['psnr']:.1f} dB"]
    if "feature_distance" in about:
        words.append(f"feature distance {about['feature_distance']:.3f}")
    if "labels" in about:
        words.append(f"labels {', '.join(about['labels']) or 'none'}")
    return ", ".join(words)


def inversion_picture(originals: np.ndarray, found: Inversion) -> np.ndarray:
    """Images uint8 [N, S, S, C] and below them their reconstructions, as one picture."""
    made = images.to_uint8(found.reconstructions).numpy()
    columns = min(len(originals), _MAX_COLUMNS)
    white = np.full((-len(originals) % columns, *originals.shape[1:]), 255, np.uint8)
    rows = [np.concatenate([cells, white]) for cells in (originals, made)]
    pairs = np.stack([cells.reshape(-1, columns, *cells.shape[1:]) for cells in rows], 1)
    return images.make_grid(pairs.reshape(-1, *originals.shape[1:]), columns)
