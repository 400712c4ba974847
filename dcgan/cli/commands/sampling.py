"""`dcgan sample`."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from dcgan.cli.commands.checkpoints import load_generator
from dcgan.cli.parsing import parse_flags
from dcgan.config import DEFAULT_GRID, SampleConfig
from dcgan.runtime.disk import check_writable
from dcgan.runtime.terminal import print_lines

if TYPE_CHECKING:
    import numpy as np


def sample(args: Sequence[str], prog: str) -> None:
    """Generate images from a checkpoint: a grid, single files or a NumPy array."""
    config = parse_flags(SampleConfig, args, prog, sample.__doc__)
    seeds = config.seed_list()

    from dcgan import images, sampling

    G = load_generator(config.checkpoint, config)
    grid = config.out or not (config.each or config.npy)
    out = config.out or DEFAULT_GRID
    if grid:
        sampling.check_grid_size(G, len(seeds))
        check_writable(out)

    def generate() -> Iterator["np.ndarray"]:
        chunks = sampling.sample(G, seeds, config.truncation, config.precision, config.label)
        return _show_progress(chunks, len(seeds))

    if config.each:
        sampling.save_each(config.each, seeds, generate())
        print_lines(config.each)
    if config.npy:
        sampling.save_npy(config.npy, len(seeds), generate())
        print_lines(config.npy)
    if grid:
        images.save_png(out, sampling.grid(generate(), config.columns()))
        print_lines(out)


def _show_progress(chunks: Iterable["np.ndarray"], total: int) -> Iterator["np.ndarray"]:
    """Yield chunks of images, with a progress bar of `total` images after two seconds."""
    from dcgan.runtime.progress import progress_bar

    with progress_bar(total, "sampling", "img", delay=2) as bar:
        for chunk in chunks:
            yield chunk
            bar.update(len(chunk))
