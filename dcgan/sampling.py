"""Seeds to images, the same image whatever else is sampled with it."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dcgan import device, images, latents
from dcgan.data import rows
from dcgan.files import make_folder, replacing, writing
from dcgan.folding import folded
from dcgan.models import Generator
from dcgan.threads import for_each

# Every forward pass has this many latents, so that a picture does not depend on how many others
# are wanted: kernels are chosen, and sums are ordered, by the shape of the batch.
CHUNK = 64
TOGETHER = 8  # images a thread writes at a time: handing over costs as much as half an image


def render(G: Generator, z: Tensor, precision: str = "auto") -> Iterator[np.ndarray]:
    """Latents [N, latent_dim] -> uint8 [n, S, S, C] in chunks of at most CHUNK, in order.

    The images are those of evaluation mode; G stays as it is. `precision`: "auto", "fp32" or
    "bf16", see `device.computes_in_bf16`.
    """
    paint = painter(G, precision)
    yield from map(paint, z.split(CHUNK))


def sample(
    G: Generator,
    seeds: Sequence[int],
    truncation: float | None = None,
    precision: str = "auto",
) -> Iterator[np.ndarray]:
    """Images of seeds, uint8 [n, S, S, C] in chunks. Image i depends on G and seeds[i] alone.

    `truncation`: see `latents.truncate`; `precision`: see `render`.
    """
    paint = painter(G, precision)
    for start in range(0, len(seeds), CHUNK):
        chosen = seeds[start : start + CHUNK]
        yield paint(latents.of_seeds(chosen, G.latent_dim, G.latent, truncation))


def painter(G: Generator, precision: str) -> Callable[[Tensor], np.ndarray]:
    """A function of at most CHUNK latents to their images, of G as it is now."""
    on = next(G.parameters()).device
    dtype = torch.bfloat16 if device.computes_in_bf16(on, precision) else torch.float32
    network = folded(G).to(dtype)

    @torch.inference_mode()
    def paint(z: Tensor) -> np.ndarray:
        padded = torch.zeros(CHUNK, *z.shape[1:])
        padded[: len(z)] = z
        pixels = images.to_uint8(network(padded.to(on, dtype)))
        return pixels[: len(z)].cpu().numpy()

    return paint


def sample_grid(
    G: Generator, seeds: Sequence[int], columns: int | None = None, truncation: float | None = None
) -> np.ndarray:
    """All seeds as one picture, uint8 [H, W, C]."""
    return images.grid(np.concatenate(list(sample(G, seeds, truncation))), columns)


def save_each(folder: Path, seeds: Sequence[int], chunks: Iterator[np.ndarray]) -> None:
    """Write every image as folder/seed-00000042.png, some while the next are drawn.

    Raises UserError where the disk refuses; every file that is there then is whole.
    """
    with writing(folder):
        make_folder(Path(folder))
    paths = (Path(folder) / f"seed-{seed:08d}.png" for seed in seeds)
    files = zip(paths, itertools.chain.from_iterable(chunks), strict=True)
    jobs = iter(lambda: list(itertools.islice(files, TOGETHER)), [])
    for_each(save_some, jobs, ahead=2 * CHUNK // TOGETHER)


def save_some(files: list[tuple[Path, np.ndarray]]) -> None:
    for path, image in files:
        images.save_png(path, image)


def save_npy(path: Path, count: int, chunks: Iterator[np.ndarray]) -> None:
    """Write `count` images as one uint8 array [count, S, S, C], a chunk at a time."""
    with replacing(path, durable=False) as partial, open(partial, "wb") as file:
        for chunk in chunks:
            if file.tell() == 0:
                rows.write_header(file, (count, *chunk.shape[1:]))
            file.write(chunk)
