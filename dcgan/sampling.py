"""Seeds to images. The image of a seed does not depend on the other seeds that are sampled."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dcgan import images
from dcgan.config import TrainConfig
from dcgan.errors import UsageError
from dcgan.latent import noise_from_seeds
from dcgan.networks import Generator, fold_batch_norm, recalibrate
from dcgan.runs import load_generator
from dcgan.runtime.atomic_files import replace_atomically
from dcgan.runtime.device import full_float32_precision, use_bf16
from dcgan.runtime.disk import check_free_space, disk_errors, make_folder
from dcgan.runtime.threads import parallel_for_each

_MAX_BATCH_SIZE = 64
_MAX_BATCH_PIXELS = 2**18  # 64 images of 64x64, one from 512x512
# Of one forward pass: docs/recipe.md has the times. Every pass has as many latents as follow from
# the size of the images, padded if there are fewer, so that an image does not depend on how many
# are sampled: the shape of a batch decides which kernels run and in what order they sum.
_MAX_PASS_PIXELS = {torch.float32: 2**16, torch.bfloat16: 2**18}
_MAX_GRID_PIXELS = 2**27  # 0.4 GB, which image viewers still open
_RECALIBRATION_BATCH = 64  # latents: the statistics are means over such batches
# In several passes a batch takes 2.6 times as long. In one, it takes 0.6 GB at 256 pixels.
_MAX_RECALIBRATION_PIXELS = 2**22
_RECALIBRATION_LATENTS = 16 * _RECALIBRATION_BATCH
_THOROUGH_RECALIBRATION_LATENTS = 100 * _RECALIBRATION_BATCH
_FILES_PER_JOB = 8  # PNG files that a thread writes in one go: one by one takes 15 % longer
_MAX_PENDING_JOBS = 16


def batch_size(size: int) -> int:
    """How many images of a size are sampled, read or scored at a time: 64 down to 1."""
    return _as_many_as_fit(_MAX_BATCH_PIXELS, size)


def _as_many_as_fit(pixels: int, size: int) -> int:
    return min(max(pixels // size**2, 1), _MAX_BATCH_SIZE)


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


def recalibrate_batch_norm(G: Generator, count: int | None = None) -> None:
    """Replace G's running statistics by means over the images of seeds 0, 1, ..., count - 1.

    They are means over batches of 64, see `networks.recalibrate`. `count` is 1,024 if not given.
    """
    count = count or _RECALIBRATION_LATENTS
    device = next(G.parameters()).device
    size = _RECALIBRATION_BATCH
    batches = (range(start, start + size) for start in range(0, count, size))
    latents = (latents_from_seeds(G, seeds).to(device) for seeds in batches)
    most = _as_many_as_fit(_MAX_RECALIBRATION_PIXELS, G.size)
    recalibrate(G, latents, max_latents=most)


def check_generator(G: object) -> None:
    """Raise UsageError for what has no latents, for example the path of a checkpoint."""
    if not hasattr(G, "latent_dim"):
        kind = type(G).__name__
        raise UsageError(f"sampling needs a Generator, see dcgan.load_generator, not a {kind}")


def parse_label(G: Generator, label: str | None) -> dict[int, float]:
    """Parse the labels "smiling=1,hat=0" or "dog" -> {index: 0 or 1}; None gives {}.

    Raises UsageError for labels that G was not trained with.
    """
    if label is None:
        return {}
    if not isinstance(label, str):
        raise UsageError(f'--label must be text such as "smiling=1,hat=0", not {label!r}')
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
    check_generator(G)
    fixed = parse_label(G, label)
    z = noise_from_seeds(seeds, G.latent_dim, G.latent, truncation)
    return z if G.labels is None else torch.cat([z, G.labels.from_seeds(seeds, fixed)], 1)


def make_renderer(
    G: Generator, precision: str = TrainConfig.precision
) -> Callable[[Tensor], Tensor]:
    """A function of latents [N, latent_dim] to images uint8 [N, S, S, C] on G's device.

    It holds a copy of G's weights as they are now, in evaluation mode. `precision`: "auto", "fp32"
    or "bf16", see `use_bf16`; "fp32" is full float32 in training too.
    """
    check_generator(G)
    device = next(G.parameters()).device
    dtype = torch.bfloat16 if use_bf16(device, precision) else torch.float32
    network = fold_batch_norm(G).to(dtype)

    @torch.inference_mode()
    @full_float32_precision()
    def renderer(z: Tensor) -> Tensor:
        is_grid = z.shape[2:].numel() > 1  # each of its own in any case, see `networks.tiles`
        count = 1 if is_grid else _as_many_as_fit(_MAX_PASS_PIXELS[dtype], G.size)
        return torch.cat(
            [
                images.to_uint8(network(_pad(latents, count)))[: len(latents)]
                for latents in z.to(device, dtype).split(count)
            ]
        )

    return renderer


def _pad(z: Tensor, count: int) -> Tensor:
    """Latents [N, ...] with zeros after them -> [count, ...]."""
    return torch.cat([z, z.new_zeros(count - len(z), *z.shape[1:])])


def render(G: Generator, z: Tensor, precision: str = TrainConfig.precision) -> Iterator[np.ndarray]:
    """Latents [N, latent_dim] -> uint8 [n, S, S, C] in batches, see `batch_size`, in order.

    `precision`: see `make_renderer`. Raises UsageError for latents of another shape.
    """
    renderer = make_renderer(G, precision)
    z, width = torch.as_tensor(z), G.layers[0].in_channels
    if z.dim() not in (2, 4) or z.shape[1] != width:
        raise UsageError(f"latents must have the shape [N, {width}], not {list(z.shape)}")
    for batch in z.split(batch_size(G.size)):
        yield renderer(batch).cpu().numpy()


def sample(
    G: Generator,
    seeds: Sequence[int],
    truncation: float | None = None,
    precision: str = TrainConfig.precision,
    label: str | None = None,
) -> Iterator[np.ndarray]:
    """Images of seeds, uint8 [n, S, S, C] in batches. Image i depends on G and seeds[i] alone.

    `truncation`: see `latent.truncate`; `precision`: see `make_renderer`; `label`: see
    `parse_label`. Raises UsageError for labels that G was not trained with, and for seeds that are
    no whole numbers of at least 0.
    """
    if not hasattr(seeds, "__len__") or not hasattr(seeds, "__getitem__"):
        raise UsageError(f"seeds must be a sequence of whole numbers, not {seeds!r}")
    renderer, count = make_renderer(G, precision), batch_size(G.size)
    for start in range(0, len(seeds), count):
        z = latents_from_seeds(G, seeds[start : start + count], truncation, label)
        yield renderer(z).cpu().numpy()


def sample_grid(
    G: Generator, seeds: Sequence[int], columns: int | None = None, truncation: float | None = None
) -> np.ndarray:
    """The images of seeds as one picture, uint8 [H, W, C]. Raises UsageError as `sample` does, and
    for no seeds or too many.
    """
    if hasattr(seeds, "__len__"):
        check_grid_size(G, len(seeds))
    return grid(sample(G, seeds, truncation), columns)


def check_grid_size(G: Generator, count: int) -> None:
    """Raise UsageError where a grid of `count` images would have over _MAX_GRID_PIXELS pixels."""
    check_generator(G)
    pixels = count * G.size**2
    if pixels > _MAX_GRID_PIXELS:
        raise UsageError(
            f"a grid of {count:,} images has {pixels:,} pixels, more than {_MAX_GRID_PIXELS:,}: "
            f"ask for fewer, or `dcgan sample` them with --each or --npy"
        )


def grid(batches: Iterable[np.ndarray], columns: int | None = None) -> np.ndarray:
    """Batches of images as one picture, see `images.make_grid`. UsageError where there are none."""
    rows = list(batches)
    if not rows:
        raise UsageError("a grid needs an image or more: name a seed")
    return images.make_grid(np.concatenate(rows), columns)


def save_each(folder: Path, seeds: Sequence[int], batches: Iterator[np.ndarray]) -> None:
    """Write every image as folder/seed-00000042.png, while the next batches are rendered.

    Raises UserError if writing fails; the files written until then are complete.
    """
    with disk_errors(folder):
        make_folder(Path(folder))
    paths = (Path(folder) / f"seed-{seed:08d}.png" for seed in seeds)
    files = zip(paths, itertools.chain.from_iterable(batches), strict=True)
    jobs = iter(lambda: list(itertools.islice(files, _FILES_PER_JOB)), [])
    parallel_for_each(_save_pngs, jobs, max_pending=_MAX_PENDING_JOBS)


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
