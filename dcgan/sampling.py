"""Seeds to images, the same image whatever else is sampled with it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dcgan import images, latents
from dcgan.data import rows
from dcgan.files import replacing
from dcgan.models import Generator

# Every forward pass has this many latents, so that a picture does not depend on how many others
# are wanted: kernels are chosen, and sums are ordered, by the shape of the batch.
CHUNK = 64


@torch.inference_mode()
def pixels(G: Generator, z: Tensor) -> Tensor:
    """Latents [CHUNK, latent_dim] -> uint8 [CHUNK, S, S, C], both on the device of G.

    G is left in the mode it was in; the images are those of evaluation mode.
    """
    training = G.training
    G.eval()
    try:
        return images.to_uint8(G(z))
    finally:
        G.train(training)


def render(G: Generator, z: Tensor) -> Iterator[np.ndarray]:
    """Latents [N, latent_dim] -> uint8 [n, S, S, C] in chunks of at most CHUNK, in order.

    G is left in the mode it was in; the images are those of evaluation mode.
    """
    device = next(G.parameters()).device
    for chunk in z.split(CHUNK):
        padded = torch.zeros(CHUNK, *chunk.shape[1:])
        padded[: len(chunk)] = chunk
        yield pixels(G, padded.to(device))[: len(chunk)].cpu().numpy()


def sample(
    G: Generator, seeds: Sequence[int], truncation: float | None = None
) -> Iterator[np.ndarray]:
    """Images of seeds, uint8 [n, S, S, C] in chunks. Image i depends on G and seeds[i] alone.

    `truncation`: see `latents.truncate`.
    """
    for start in range(0, len(seeds), CHUNK):
        chosen = seeds[start : start + CHUNK]
        yield from render(G, latents.of_seeds(chosen, G.latent_dim, G.latent, truncation))


def sample_grid(
    G: Generator, seeds: Sequence[int], columns: int | None = None, truncation: float | None = None
) -> np.ndarray:
    """All seeds as one picture, uint8 [H, W, C]."""
    return images.grid(np.concatenate(list(sample(G, seeds, truncation))), columns)


def save_each(folder: Path, seeds: Sequence[int], chunks: Iterator[np.ndarray]) -> None:
    """Write every image as folder/seed-00000042.png."""
    names = iter(seeds)
    for chunk in chunks:
        for image in chunk:
            images.save_png(Path(folder) / f"seed-{next(names):08d}.png", image)


def save_npy(path: Path, count: int, chunks: Iterator[np.ndarray]) -> None:
    """Write `count` images as one uint8 array [count, S, S, C], a chunk at a time."""
    with replacing(path, durable=False) as partial, open(partial, "wb") as file:
        for chunk in chunks:
            if file.tell() == 0:
                rows.write_header(file, (count, *chunk.shape[1:]))
            file.write(chunk)
