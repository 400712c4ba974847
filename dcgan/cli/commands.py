"""The commands of `dcgan`: each function parses flags, does the work and prints what it wrote.

torch is imported only while a command runs, so that --help and wrong flags answer at once.
"""

import json
import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, get_args

from dcgan.cli.parsing import parse_flags, split_choice
from dcgan.cli.train_parsing import parse_train_config
from dcgan.config import (
    DEFAULT_GRID,
    PRESETS,
    CompareConfig,
    EvaluateConfig,
    NeighboursConfig,
    PrepareConfig,
    SampleConfig,
    SourceName,
    TimelapseConfig,
    WalkConfig,
    config_to_dict,
    parse_seeds,
)
from dcgan.errors import UsageError, UserError
from dcgan.runtime.disk import check_writable
from dcgan.runtime.terminal import print_lines

if TYPE_CHECKING:
    import numpy as np

    from dcgan.networks import Generator


def train(args: Sequence[str], prog: str) -> None:
    """Train a DCGAN on CelebA, LSUN, your own images or the built-in cartoon faces."""
    config = parse_train_config(args, prog, "train a DCGAN.")
    if config.dry_run:
        print_lines(*json.dumps(config_to_dict(config), indent=2).split("\n"))
        return

    from dcgan.runs import layout
    from dcgan.training import loop

    checkpoint = loop.train(config)
    if int(os.environ.get("RANK", 0)) == 0:
        run = checkpoint.parent.parent
        if grid := layout.latest_sample_grid(run):
            print_lines(f"sample grid  {grid}")
        print_lines(f"checkpoint   {checkpoint}")
        print_lines(f"TensorBoard  tensorboard --logdir {shlex.quote(str(run.parent))}")


def sample(args: Sequence[str], prog: str) -> None:
    """Generate images from a checkpoint: a grid, single files or a NumPy array."""
    config = parse_flags(SampleConfig, args, prog, sample.__doc__)
    seeds = config.seed_list()

    from dcgan import images, sampling

    G = _load_generator(config)
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


def prepare(args: Sequence[str], prog: str) -> None:
    """Decode, crop and resize raw images once, into a packed folder for training."""
    sources = get_args(SourceName)
    source, args = split_choice(args, sources, "source")
    if source is None and not {"-h", "--help"} & set(args):
        raise UsageError(f"name a source: {prog} {'|'.join(sources)} --root RAW --out DIR")
    description = (
        f"{prog} SOURCE [flags]: decode, crop and resize raw images once, into a packed folder for "
        f"training. SOURCE is one of {', '.join(sources)}."
    )
    defaults = {"source": source} if source else {}
    config = parse_flags(PrepareConfig, args, prog, description, defaults)

    from dcgan.data import packing

    print_lines(packing.prepare(config).folder)


def walk(args: Sequence[str], prog: str) -> None:
    """Animate a path through latent space between the images of some seeds."""
    config = parse_flags(WalkConfig, args, prog, walk.__doc__)
    seeds = parse_seeds(config.seeds)

    from dcgan import images, latent, sampling

    images.animation_format(config.out)
    check_writable(config.out)
    G = _load_generator(config)
    stops = sampling.latents_from_seeds(G, seeds, config.truncation, config.label)
    path = latent.walk(stops, config.frames, G.latent_dim)
    frames = [f for chunk in sampling.render(G, path, config.precision) for f in chunk]
    images.save_animation(config.out, frames, config.seconds / config.frames)
    print_lines(config.out)


def evaluate(args: Sequence[str], prog: str) -> None:
    """Measure a checkpoint against real images: Fréchet distance, precision, recall, ..."""
    config = parse_flags(EvaluateConfig, args, prog, evaluate.__doc__)

    from dcgan import evaluation

    print_lines(evaluation.evaluate(**vars(config)))


def neighbours(args: Sequence[str], prog: str) -> None:
    """Find the training images nearest to generated ones, to see whether G memorised them."""
    config = parse_flags(NeighboursConfig, args, prog, neighbours.__doc__)

    from dcgan.evaluation import report_memorization

    print_lines(report_memorization(**vars(config)))


def doctor(args: Sequence[str], prog: str) -> None:
    """Check the data and try out a training run: speed, memory, disk space, resuming."""
    if args and not args[0].startswith("-") and args[0] not in PRESETS:
        args = ["--data", *args]
    description = (
        "check the data and try out a training run; "
        f"or {prog} PACKED [flags] for a packed folder. Nothing is kept."
    )
    config = parse_train_config(args, prog, description)

    from dcgan.reports.doctor import diagnose

    def report(topic: str, line: str) -> None:
        print_lines(f"{topic:<10} {line}")

    if problems := diagnose(config, report):
        raise UserError(f"not fit to train: {'; '.join(problems)}")
    print_lines("fit to train")


def compare(args: Sequence[str], prog: str) -> None:
    """Compare runs: a table, and a picture of their samples and loss curves."""
    config = parse_flags(CompareConfig, args, prog, compare.__doc__)
    if len(config.runs) < 2:
        raise UsageError(f"name two runs or more: {prog} RUN RUN ...")
    seeds = parse_seeds(config.seeds)

    from dcgan.reports.compare import format_table, open_runs, save_comparison
    from dcgan.runtime import device

    runs = open_runs(config.runs)
    save_comparison(config.out, runs, seeds, device.select_device(config.device))
    print_lines(*format_table(runs).split("\n"), config.out)


def timelapse(args: Sequence[str], prog: str) -> None:
    """Animate the sample grids of a run, from first to last."""
    config = parse_flags(TimelapseConfig, args, prog, timelapse.__doc__)

    from dcgan import images
    from dcgan.reports.timelapse import load_frames

    images.animation_format(config.out)
    check_writable(config.out)
    frames = load_frames(config.run, config.seconds)
    images.save_animation(config.out, frames, config.seconds / len(frames))
    print_lines(config.out)


Command = Callable[[Sequence[str], str], None]

COMMANDS: dict[str, Command] = {
    command.__name__: command
    for command in (
        *(train, sample, prepare, walk, evaluate, neighbours),
        *(doctor, compare, timelapse),
    )
}


def _load_generator(config: SampleConfig | WalkConfig) -> "Generator":
    """The generator of the checkpoint that is given, on the chosen device."""
    from dcgan import sampling
    from dcgan.runtime import device

    device.reuse_freed_memory()
    return sampling.load(
        config.checkpoint,
        raw=config.raw,
        recalibrate=config.recalibrate,
        device=device.select_device(config.device),
    )


def _show_progress(chunks: Iterable["np.ndarray"], total: int) -> Iterator["np.ndarray"]:
    """Yield chunks of images, with a progress bar of `total` images after two seconds."""
    from dcgan.runtime.progress import progress_bar

    with progress_bar(total, "sampling", "img", delay=2) as bar:
        for chunk in chunks:
            yield chunk
            bar.update(len(chunk))
