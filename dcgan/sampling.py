"""Seeds to images, the same image whatever else is sampled with it."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dcgan import images
from dcgan.config import SamplingOptions
from dcgan.data import write_npy_header
from dcgan.errors import UsageError
from dcgan.latent import noise
from dcgan.networks.batch_norm import folded, recalibrate
from dcgan.networks.models import Generator
from dcgan.runs.loading import load_generator
from dcgan.runtime import device
from dcgan.runtime.files import check_room, make_folder, replacing, writing
from dcgan.runtime.threads import for_each

# Every forward pass has this many latents, so that a picture does not depend on how many others
# are wanted: kernels are chosen, and sums are ordered, by the shape of the batch.
CHUNK = 64
MAX_PIXELS = 2**27  # of a grid: what viewers open, and 0.4 GB
MEASURED = 16 * CHUNK  # latents that batch norm's statistics of an averaged G are measured over
MEASURED_WELL = 100 * CHUNK
TOGETHER = 8  # images that a thread writes at a time: one by one takes 15 % longer


def painter(G: Generator, precision: str = "auto") -> Callable[[Tensor], Tensor]:
    """A function of latents [CHUNK, latent_dim] to uint8 [CHUNK, S, S, C], on the device of G.

    It draws with G as it is now, in evaluation mode, and leaves G as it is. `precision`: "auto",
    "fp32" or "bf16", see `device.computes_in_bf16`.
    """
    on = next(G.parameters()).device
    dtype = torch.bfloat16 if device.computes_in_bf16(on, precision) else torch.float32
    network = folded(G).to(dtype)

    @torch.inference_mode()
    def paint(z: Tensor) -> Tensor:
        return images.to_uint8(network(z.to(on, dtype)))

    return paint


def render(G: Generator, z: Tensor, precision: str = "auto") -> Iterator[np.ndarray]:
    """Latents [N, latent_dim] -> uint8 [n, S, S, C] in chunks of at most CHUNK, in order.

    `precision`: see `painter`.
    """
    yield from in_chunks(painter(G, precision), z.split(CHUNK))


def sample(
    G: Generator,
    seeds: Sequence[int],
    truncation: float | None = None,
    precision: str = "auto",
    label: str | None = None,
) -> Iterator[np.ndarray]:
    """Images of seeds, uint8 [n, S, S, C] in chunks. Image i depends on G and seeds[i] alone.

    `truncation`: see `latents.truncate`; `precision`: see `painter`; `label`: see
    `conditions.Conditions.of_seeds`. Raises UsageError for labels that G does not know.
    """
    groups = (seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK))
    z = (of_seeds(G, group, truncation, label) for group in groups)
    yield from in_chunks(painter(G, precision), z)


def load(path: Path, options: SamplingOptions, on: torch.device) -> Generator:
    """The generator of a checkpoint or run folder as `options` ask for it. Raises UserError."""
    G = load_generator(path, ema=not options.raw, device=on)
    if options.recalibrate:
        calibrate(G, MEASURED_WELL)
    return G


def calibrate(G: Generator, count: int = MEASURED) -> None:
    """Give batch norm the statistics that it has over `count` latents, see `recalibrate`."""
    on = next(G.parameters()).device
    groups = (range(start, start + CHUNK) for start in range(0, count, CHUNK))
    recalibrate(G, (of_seeds(G, seeds).to(on) for seeds in groups))


def of_seeds(
    G: Generator, seeds: Sequence[int], truncation: float | None = None, label: str | None = None
) -> Tensor:
    """What G makes the images of seeds from: latents, and the labels after them if it knows any."""
    z = noise.of_seeds(seeds, G.latent_dim, G.latent, truncation)
    return torch.cat([z, G.conditions.of_seeds(seeds, label)], 1)


def in_chunks(paint: Callable[[Tensor], Tensor], chunks: Iterable[Tensor]) -> Iterator[np.ndarray]:
    """Paint at most CHUNK latents at a time, each time as if they were CHUNK."""
    for z in chunks:
        padded = torch.zeros(CHUNK, *z.shape[1:])
        padded[: len(z)] = z
        yield paint(padded)[: len(z)].cpu().numpy()


def sample_grid(
    G: Generator, seeds: Sequence[int], columns: int | None = None, truncation: float | None = None
) -> np.ndarray:
    """All seeds as one picture, uint8 [H, W, C]."""
    return grid(sample(G, seeds, truncation), columns)


def check_grid(G: Generator, count: int) -> None:
    """Raise UsageError where a grid of so many images is no picture that anybody could open."""
    pixels = count * G.size**2
    if pixels > MAX_PIXELS:
        raise UsageError(
            f"a grid of {count:,} images has {pixels:,} pixels, more than {MAX_PIXELS:,}: "
            f"ask for fewer, or `dcgan sample` them with --each or --npy"
        )


def grid(chunks: Iterable[np.ndarray], columns: int | None = None) -> np.ndarray:
    """Chunks of images as one picture, see `images.grid`."""
    return images.grid(np.concatenate(list(chunks)), columns)


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
    """Write `count` images as one uint8 array [count, S, S, C], a chunk at a time.

    Raises UserError where the disk refuses, or has no room for all of them.
    """
    with replacing(path, durable=False) as partial, open(partial, "wb") as file:
        for chunk in chunks:
            if file.tell() == 0:
                check_room(path, count * chunk[0].nbytes)
                write_npy_header(file, (count, *chunk.shape[1:]))
            file.write(chunk)
