"""Seeds to images. The image of a seed does not depend on the other seeds that are sampled."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import update_bn

from dcgan import images
from dcgan.config import TrainConfig
from dcgan.errors import UsageError
from dcgan.latent import noise_from_seeds
from dcgan.networks import Generator, fold_batch_norm
from dcgan.runs import load_generator
from dcgan.runtime.atomic_files import replace_atomically
from dcgan.runtime.device import use_bf16
from dcgan.runtime.disk import check_free_space, disk_errors, make_folder
from dcgan.runtime.threads import parallel_for_each

# Latents in every forward pass, padded if there are fewer, so that an image does not depend on how
# many are sampled: the shape of a batch decides which kernels run and in what order they sum.
BATCH_SIZE = 64
_MAX_GRID_PIXELS = 2**27  # 0.4 GB, which image viewers still open
_RECALIBRATION_LATENTS = 16 * BATCH_SIZE
_THOROUGH_RECALIBRATION_LATENTS = 100 * BATCH_SIZE
_FILES_PER_JOB = 8  # PNG files that a thread writes in one go: one by one takes 15 % longer


def load(
    path: Path,
    *,
    raw: bool = False,
    recalibrate: bool = False,
    device: torch.device | str = "cpu",
) -> Generator:
    """The generator of a checkpoint file or run folder, in evaluation mode. Raises UserError.

    `raw`: the weights of the last step, not their average. `recalibrate`: compute the statistics
    of batch norm again, over 6,400 latents.
    """
    G = load_generator(path, ema=not raw, device=device)
    if recalibrate:
        recalibrate_batch_norm(G, _THOROUGH_RECALIBRATION_LATENTS)
    return G


def recalibrate_batch_norm(G: Generator, count: int = _RECALIBRATION_LATENTS) -> None:
    """Replace G's running statistics by means over the images of seeds 0, 1, ..., count - 1.

    Running statistics belong to earlier weights, and an average of weights has none of its own
    (standing statistics: Brock et al. 2019, section 4.1). The mode of G stays as it is. On a GPU
    the host waits once per layer and batch, since `update_bn` reads the counters of batch norm.
    """
    device = next(G.parameters()).device
    batches = (range(start, start + BATCH_SIZE) for start in range(0, count, BATCH_SIZE))
    update_bn((latents_from_seeds(G, seeds).to(device) for seeds in batches), G)


def parse_label(G: Generator, label: str | None) -> dict[int, float]:
    """Parse the labels "smiling=1,hat=0" or "dog" -> {index: 0 or 1}; None gives {}.

    Raises UsageError for labels that G was not trained with.
    """
    if label is None:
        return {}
    if G.labels is None:
        raise UsageError(f"--label {label}: this network was not trained with --conditional")
    return G.labels.parse(label)


def latents_from_seeds(
    G: Generator, seeds: Sequence[int], truncation: float | None = None, label: str | None = None
) -> Tensor:
    """The inputs of G for seeds, float32 on the CPU: [N, latent_dim], or [N, latent_dim +
    num_labels] for a conditional G. `truncation`: see `latent.truncate`; `label`: see
    `parse_label`.
    """
    fixed = parse_label(G, label)
    z = noise_from_seeds(seeds, G.latent_dim, G.latent, truncation)
    return z if G.labels is None else torch.cat([z, G.labels.from_seeds(seeds, fixed)], 1)


def make_renderer(
    G: Generator, precision: str = TrainConfig.precision
) -> Callable[[Tensor], Tensor]:
    """A function of latents [BATCH_SIZE, latent_dim] to uint8 [BATCH_SIZE, S, S, C] on G's device.

    It holds a copy of G's weights as they are now, in evaluation mode. `precision`: "auto", "fp32"
    or "bf16", see `use_bf16`.
    """
    device = next(G.parameters()).device
    dtype = torch.bfloat16 if use_bf16(device, precision) else torch.float32
    network = fold_batch_norm(G).to(dtype)

    @torch.inference_mode()
    def renderer(z: Tensor) -> Tensor:
        return images.to_uint8(network(z.to(device, dtype)))

    return renderer


def render(G: Generator, z: Tensor, precision: str = TrainConfig.precision) -> Iterator[np.ndarray]:
    """Latents [N, latent_dim] -> uint8 [n, S, S, C] in batches of at most BATCH_SIZE, in order.

    `precision`: see `make_renderer`.
    """
    yield from _render_batches(make_renderer(G, precision), z.split(BATCH_SIZE))


def sample(
    G: Generator,
    seeds: Sequence[int],
    truncation: float | None = None,
    precision: str = TrainConfig.precision,
    label: str | None = None,
) -> Iterator[np.ndarray]:
    """Images of seeds, uint8 [n, S, S, C] in batches. Image i depends on G and seeds[i] alone.

    `truncation`: see `latent.truncate`; `precision`: see `make_renderer`; `label`: see
    `parse_label`. Raises UsageError for labels that G was not trained with.
    """
    batches = (seeds[start : start + BATCH_SIZE] for start in range(0, len(seeds), BATCH_SIZE))
    z = (latents_from_seeds(G, batch, truncation, label) for batch in batches)
    yield from _render_batches(make_renderer(G, precision), z)


def _render_batches(
    renderer: Callable[[Tensor], Tensor], batches: Iterable[Tensor]
) -> Iterator[np.ndarray]:
    """Render batches of at most BATCH_SIZE latents, padded to BATCH_SIZE."""
    for z in batches:
        padded = torch.zeros(BATCH_SIZE, *z.shape[1:])
        padded[: len(z)] = z
        yield renderer(padded)[: len(z)].cpu().numpy()


def sample_grid(
    G: Generator, seeds: Sequence[int], columns: int | None = None, truncation: float | None = None
) -> np.ndarray:
    """The images of seeds as one picture, uint8 [H, W, C]."""
    return grid(sample(G, seeds, truncation), columns)


def check_grid_size(G: Generator, count: int) -> None:
    """Raise UsageError where a grid of `count` images would have over _MAX_GRID_PIXELS pixels."""
    pixels = count * G.size**2
    if pixels > _MAX_GRID_PIXELS:
        raise UsageError(
            f"a grid of {count:,} images has {pixels:,} pixels, more than {_MAX_GRID_PIXELS:,}: "
            f"ask for fewer, or `dcgan sample` them with --each or --npy"
        )


def grid(batches: Iterable[np.ndarray], columns: int | None = None) -> np.ndarray:
    """Batches of images as one picture, see `images.make_grid`."""
    return images.make_grid(np.concatenate(list(batches)), columns)


def save_each(folder: Path, seeds: Sequence[int], batches: Iterator[np.ndarray]) -> None:
    """Write every image as folder/seed-00000042.png, while the next batches are rendered.

    Raises UserError if writing fails; the files written until then are complete.
    """
    with disk_errors(folder):
        make_folder(Path(folder))
    paths = (Path(folder) / f"seed-{seed:08d}.png" for seed in seeds)
    files = zip(paths, itertools.chain.from_iterable(batches), strict=True)
    jobs = iter(lambda: list(itertools.islice(files, _FILES_PER_JOB)), [])
    parallel_for_each(_save_pngs, jobs, max_pending=2 * BATCH_SIZE // _FILES_PER_JOB)


def _save_pngs(files: list[tuple[Path, np.ndarray]]) -> None:
    for path, image in files:
        images.save_png(path, image)


def save_npy(path: Path, count: int, batches: Iterator[np.ndarray]) -> None:
    """Write `count` images as one uint8 array [count, S, S, C], a batch at a time.

    Raises UserError if writing fails, or if there is not enough disk space.
    """
    with replace_atomically(path, durable=False) as partial, open(partial, "wb") as file:
        for batch in batches:
            if file.tell() == 0:
                check_free_space(path, count * batch[0].nbytes)
                header = np.lib.format.header_data_from_array_1_0(batch)
                header["shape"] = (count, *batch.shape[1:])
                np.lib.format.write_array_header_1_0(file, header)
            file.write(batch.data)
