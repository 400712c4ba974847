"""Finding the latents of a generator's own samples, as 8-bit images: Adam and `dcgan.latent`."""

import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.harness import time_in_turns
from dcgan import images, sampling
from dcgan.config import InvertConfig
from dcgan.latent import invert, psnr
from dcgan.networks import Generator, fold_batch_norm
from dcgan.runs import load_generator

FOUND = 0.95  # cosine similarity from which on latents count as found
_FIRST_SEED = 1000
_TIMED = 16  # images

Finder = Callable[[Generator, Tensor], Tensor]


def find_by_adam(G: Generator, targets: Tensor, steps: int = 600) -> Tensor:
    """Latents of images [N, C, S, S], all in one batch: Adam on the squared error, from zero, with
    a learning rate that falls to zero.
    """
    folded = fold_batch_norm(G)
    z = torch.zeros(len(targets), G.latent_dim, requires_grad=True)
    optimizer = torch.optim.Adam([z], lr=0.1, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        (folded(z) - targets).square().sum().backward()
        optimizer.step()
        schedule.step()
    return z.detach()


def find_by_dcgan(G: Generator, targets: Tensor, restarts: int = InvertConfig.restarts) -> Tensor:
    """Latents of images [N, C, S, S], as `dcgan invert` finds them without an encoder."""
    return invert(G, targets, restarts=restarts).latents


FINDERS: dict[str, Finder] = {
    "Adam, 600 steps": find_by_adam,
    "dcgan, no restart": lambda G, targets: find_by_dcgan(G, targets, restarts=0),
    "dcgan": find_by_dcgan,
}


def own_samples(G: Generator, count: int) -> tuple[Tensor, Tensor]:
    """Latents [N, latent_dim] and G's images of them [N, C, S, S], rounded to 8 bits."""
    z = sampling.latents_from_seeds(G, range(_FIRST_SEED, _FIRST_SEED + count))
    pixels = torch.cat([torch.from_numpy(batch) for batch in sampling.render(G, z, "fp32")])
    return z, images.to_float(pixels)


def score(G: Generator, z: Tensor, targets: Tensor, find: Finder) -> tuple[float, float]:
    """The share of the latents that are found, and the median PSNR in dB."""
    found = find(G, targets)
    share = (F.cosine_similarity(found, z) >= FOUND).float().mean().item()
    with torch.no_grad():
        return share, psnr(targets, G(found)).median().item()


def run(rounds: int, checkpoint: Path = Path("faces"), count: int = 64) -> list[dict]:
    """Rows of the table of results; the times are CPU seconds of an image."""
    G = load_generator(checkpoint)
    z, targets = own_samples(G, count)
    rows = []
    for name, find in FINDERS.items():
        share, decibels = score(G, z, targets, find)
        about = {"benchmark": "inverting own samples", "variant": name}
        rows += [{**about, "share": share}, {**about, "psnr_db": [decibels]}]

    def timed(find: Finder) -> Callable[[], float]:
        def work() -> float:
            begun = time.process_time()
            find(G, targets[:_TIMED])
            return (time.process_time() - begun) / min(_TIMED, count)

        return work

    timings = time_in_turns({name: timed(find) for name, find in FINDERS.items()}, rounds)
    return rows + [timing.row("CPU time of inverting an image") for timing in timings]
