"""The command line: `dcgan train | sample | prepare | ...`, made from the dataclasses of config.

torch is imported only when a command runs, so that --help and mistakes answer at once.
"""

import dataclasses
import json
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

import tyro

from dcgan.cli.parsing import leading, parse
from dcgan.config import (
    PRESETS,
    CompareConfig,
    EvaluateConfig,
    NeighboursConfig,
    PrepareConfig,
    SampleConfig,
    SamplingOptions,
    SourceName,
    TimelapseConfig,
    TrainConfig,
    WalkConfig,
    config_to_dict,
    parse_seeds,
)
from dcgan.errors import UsageError, UserError
from dcgan.runtime.signals import raise_on_sigterm
from dcgan.runtime.threads import limit_openmp_spinning


def train(args: Sequence[str], prog: str) -> None:
    """Train on the built-in faces, CelebA, LSUN, a folder of images, ..."""
    config = train_config(args, prog, "trains a DCGAN.")
    if config.dry_run:
        print(json.dumps(config_to_dict(config), indent=2))
        return

    from dcgan.runs import layout
    from dcgan.training import loop

    checkpoint = loop.train(config)
    if int(os.environ.get("RANK", 0)) == 0:
        run = checkpoint.parent.parent
        print(f"sample grid  {layout.latest_sample_grid(run)}")
        print(f"checkpoint   {checkpoint}")
        print(f"TensorBoard  tensorboard --logdir {shlex.quote(str(run.parent))}")


def train_config(args: Sequence[str], prog: str, does: str) -> TrainConfig:
    """The configuration that [PRESET] [flags] stand for."""
    named, args = leading(args, tuple(PRESETS), "preset", None)
    preset = named or "faces"
    default = PRESETS[preset]
    about = (
        f"{prog} [PRESET] [flags] {does} PRESET is one of {', '.join(PRESETS)}. "
        f"The defaults shown are those of {preset}."
    )
    config = parse(default, prog, about, args, first=tuple(PRESETS))
    if config.data:
        from dcgan.data import open_packed

        packed = open_packed(config.data)
        if named is None:
            source = str(packed.meta.get("source"))
            default = PRESETS[source if source in PRESETS else "folder"]
        default = dataclasses.replace(default, size=packed.size, channels=packed.channels)
        config = parse(default, prog, about, args)
        for name in ("size", "channels"):
            ours, theirs = getattr(config, name), getattr(packed, name)
            if ours != theirs:
                raise UsageError(f"--{name} {ours}: the images of {config.data} have {theirs}")
    return config


def doctor(args: Sequence[str], prog: str) -> None:
    """Check the data and try every phase of a training run before it starts."""
    if args and not args[0].startswith("-") and args[0] not in PRESETS:
        args = ["--data", *args]
    does = "checks the data and tries every phase of the run; a packed folder may stand for PRESET."
    config = train_config(args, prog, does)

    from dcgan.reports.doctor import diagnose

    def say(topic: str, line: str) -> None:
        print(f"{topic:<10} {line}", flush=True)

    if wrong := diagnose(config, say):
        raise UserError(f"not fit to train: {'; '.join(wrong)}")
    print("fit to train")


def prepare(args: Sequence[str], prog: str) -> None:
    """Pack raw images once, for many runs."""
    sources = get_args(SourceName)
    source, args = leading(args, sources, "source", None)
    if source is None and not {"-h", "--help"} & set(args):
        raise UsageError(f"which source? {prog} {'|'.join(sources)} --root RAW --out DIR")
    default = PrepareConfig(source=source or TrainConfig.source, out=tyro.MISSING)
    about = f"{prog} SOURCE [flags] packs the images of SOURCE, one of {', '.join(sources)}."
    config = parse(default, prog, about, args)

    from dcgan.data import packing

    print(packing.prepare(config).folder)


def sample(args: Sequence[str], prog: str) -> None:
    """Draw images from a checkpoint or a run folder."""
    config = parse(SampleConfig(checkpoint=tyro.MISSING), prog, sample.__doc__, args)
    seeds = config.seed_list()

    from dcgan import images, sampling

    G = load(config)
    grid = config.out or not (config.each or config.npy)
    if grid:
        sampling.check_grid_size(G, len(seeds))

    def draw() -> Iterator:
        chunks = sampling.sample(G, seeds, config.truncation, config.precision, config.label)
        return progress(chunks, len(seeds))

    if config.each:
        sampling.save_each(config.each, seeds, draw())
        print(config.each)
    if config.npy:
        sampling.save_npy(config.npy, len(seeds), draw())
        print(config.npy)
    if grid:
        out = config.out or Path("samples.png")
        images.save_png(out, sampling.grid(draw(), config.columns()))
        print(out)


def walk(args: Sequence[str], prog: str) -> None:
    """Animate a walk between the images of some seeds."""
    config = parse(WalkConfig(checkpoint=tyro.MISSING), prog, walk.__doc__, args)
    seeds = parse_seeds(config.seeds)

    from dcgan import images, latent, sampling

    images.animation_format(config.out)
    G = load(config)
    stops = sampling.latents_from_seeds(G, seeds, config.truncation, config.label)
    path = latent.walk(stops, config.frames, G.latent_dim)
    frames = [f for chunk in sampling.render(G, path, config.precision) for f in chunk]
    images.save_animation(config.out, frames, config.seconds / config.frames)
    print(config.out)


def compare(args: Sequence[str], prog: str) -> None:
    """Put runs beside each other: a table, and a picture of their grids and curves."""
    config = parse(CompareConfig(), prog, compare.__doc__, args)
    if len(config.runs) < 2:
        raise UsageError(f"compare which runs? {prog} RUN RUN ...")
    seeds = parse_seeds(config.seeds)

    from dcgan.reports.compare import format_table, open_runs, save_comparison
    from dcgan.runtime import device

    runs = open_runs(config.runs)
    save_comparison(config.out, runs, seeds, device.select_device(config.device))
    print(format_table(runs))
    print(config.out)


def timelapse(args: Sequence[str], prog: str) -> None:
    """Animate the sample grids of a run, from its first to its last."""
    config = parse(TimelapseConfig(run=tyro.MISSING), prog, timelapse.__doc__, args)

    from dcgan import images
    from dcgan.reports.timelapse import load_frames

    images.animation_format(config.out)
    frames = load_frames(config.run, config.seconds)
    images.save_animation(config.out, frames, config.seconds / len(frames))
    print(config.out)


def evaluate(args: Sequence[str], prog: str) -> None:
    """Compare a checkpoint with real images: distances, precision, recall, variety."""
    default = EvaluateConfig(checkpoint=tyro.MISSING, data=tyro.MISSING)
    config = parse(default, prog, evaluate.__doc__, args)

    from dcgan import evaluation

    print(evaluation.evaluate(**vars(config)))


def neighbours(args: Sequence[str], prog: str) -> None:
    """Find the training images nearest to samples, and tell whether G has learnt them by heart."""
    default = NeighboursConfig(checkpoint=tyro.MISSING, data=tyro.MISSING)
    config = parse(default, prog, neighbours.__doc__, args)

    from dcgan.evaluation import report_memorization

    print(report_memorization(**vars(config)))


COMMANDS = {
    "train": train,
    "sample": sample,
    "prepare": prepare,
    "walk": walk,
    "doctor": doctor,
    "compare": compare,
    "timelapse": timelapse,
    "evaluate": evaluate,
    "neighbours": neighbours,
}


def subcommand(args: Sequence[str], prog: str) -> None:
    """Run the command that the first word names."""
    if args and args[0] in COMMANDS:
        COMMANDS[args[0]](args[1:], f"{prog} {args[0]}")
    elif args and args[0] in ("-h", "--help"):
        about = (f"  {name:<10}  {command.__doc__}" for name, command in COMMANDS.items())
        print(f"usage: {prog} COMMAND [--help | flags]\n", *about, sep="\n")
    else:
        found = f"no command {args[0]!r}." if args else "which command?"
        raise UsageError(f"{found} One of {', '.join(COMMANDS)}; see {prog} --help")


def main(args: Sequence[str] | None = None) -> int:
    """Run `dcgan COMMAND ...` and return the exit code."""
    return run(subcommand, sys.argv[1:] if args is None else args, "dcgan")


def run(command, args: Sequence[str], prog: str) -> int:
    """Run one command: a user's mistake becomes one line on stderr and an exit code."""
    # Python leaves them None where the caller closed them, as cron may.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # of file names in a narrow encoding
    limit_openmp_spinning()
    code, message = 0, None
    try:
        with raise_on_sigterm():
            try:
                command(args, prog)
            except SystemExit as stop:  # tyro's, after --help
                code = stop.code or 0
            sys.stdout.flush()
    except UserError as error:
        code, message = error.exit_code, " ".join(str(error).split())
    except KeyboardInterrupt:
        code, message = 130, "interrupted"
    except OSError as error:
        code, message = 1, str(error)
        if error.filename is None:
            # It was the output that failed; what it still holds must not fail again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if isinstance(error, BrokenPipeError):
                return 141
    if message and is_news(message):
        print(f"{prog}: {message}", file=sys.stderr)
    return code


def is_news(message: str) -> bool:
    """Whether to print this: what all processes under torchrun have to say, one of them does."""
    if "RANK" not in os.environ:
        return True
    from dcgan.runtime import distributed

    return distributed.is_first_to_report(message)


def load(config: SamplingOptions):
    """The generator that the flags of `sample` and `walk` name, on its device."""
    from dcgan import sampling
    from dcgan.runtime import device

    device.reuse_freed_memory()
    return sampling.load(
        config.checkpoint,
        raw=config.raw,
        recalibrate=config.recalibrate,
        device=device.select_device(config.device),
    )


def progress(chunks: Iterator, total: int) -> Iterator:
    """Pass chunks of images on, and show how many of `total` there are if it takes long."""
    from tqdm import tqdm

    with tqdm(total=total, desc="sampling", unit="img", delay=2, disable=None) as bar:
        for chunk in chunks:
            yield chunk
            bar.update(len(chunk))
