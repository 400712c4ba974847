"""Before the first step: looks over the data, rehearses the run, and says what it will take."""

import contextlib
import dataclasses
import io
import math
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from dcgan import checkpoint, device, trainer
from dcgan.config import TrainConfig
from dcgan.data import survey
from dcgan.data.batches import Batches
from dcgan.data.pack import pack
from dcgan.data.packed import Packed, open_packed
from dcgan.data.raw import EncodedSource
from dcgan.data.rows import reader
from dcgan.data.sources import open_source
from dcgan.data.subset import Subset
from dcgan.errors import UserError
from dcgan.log import read_metrics, samples_path

LOOKED_AT = 4096  # images, drawn at random
PIXELS = 2**28  # bytes, if that is fewer images
SECONDS = 3.0  # that steps are timed for, and at least two of them
STEPS = 3  # of the rehearsal; it is stopped and continued before the last

Say = Callable[[str, str], None]


def examine(config: TrainConfig, say: Say) -> list[str]:
    """Say what the data and the run are like, one (topic, line) at a time; return what is wrong.

    Raises UserError where that ends the examination. Nothing it writes is left behind.
    """
    device.tune(config.threads)
    on = device.pick(config.device)
    trainer.to_continue(config, config.out)
    with tempfile.TemporaryDirectory(prefix="dcgan-doctor-") as scratch:
        packed, count, packing, wrong = data(config, Path(scratch), say)
        wrong += look(config, packed, say)
        return wrong + run(config, packed, count, packing, Path(scratch), on, say)


# The data


def data(config: TrainConfig, scratch: Path, say: Say) -> tuple[Packed, int, float, list[str]]:
    """Images to look at, how many there are in all, seconds to pack them, and what is wrong."""
    if config.data:
        packed = open_packed(config.data)
        shape = "x".join(map(str, packed.images.shape[1:]))
        say("data", f"{len(packed):,} images of {shape}, packed in {config.data}")
        return packed, len(packed), 0.0, []
    source = open_source(config)
    chosen = drawn(len(source), config)
    say("data", f"{len(source):,} images of {config.source}{seen(len(chosen), len(source))}")
    for note in source.notes:
        say("note", note)
    if isinstance(source, EncodedSource):
        sizes, modes = survey.sizes_and_modes(source, chosen)
        for line in describe(sizes, config):
            say("sizes", line)
        say("modes", ", ".join(f"{mode} {n:,}" for mode, n in modes.most_common()) or "none")
    started = time.perf_counter()
    with quiet():
        subset = Subset(source, chosen)
        packed = pack(
            subset, scratch / "data", config.size, config.channels, config.crop, 1, config.workers
        )
    took = (time.perf_counter() - started) / len(chosen)
    skipped, wrong = packed.meta["skipped"], []
    say("broken", f"{len(skipped):,} of {len(chosen):,}" if skipped else "none")
    for image in skipped[:3]:
        say("", f"{image['name']}: {image['reason']}")
    if len(skipped) > config.max_bad * len(chosen):
        share = len(skipped) / len(chosen)
        wrong = [f"{share:.1%} of the images cannot be read (--max-bad {config.max_bad:g})"]
    return packed, len(source), took * len(source), wrong


def drawn(count: int, config: TrainConfig) -> np.ndarray:
    """Some of `count` images at random, in order; all where they are few."""
    most = min(count, LOOKED_AT, max(PIXELS // (config.size**2 * config.channels), 2))
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False))


def seen(some: int, count: int) -> str:
    return "" if some == count else f"; looked at {some:,} of them, drawn at random"


def describe(sizes: np.ndarray, config: TrainConfig) -> Iterator[str]:
    """Lines on widths and heights [n, 2]."""
    if not len(sizes):
        return
    low, middle, high = np.quantile(sizes, [0, 0.5, 1], axis=0, method="nearest").astype(int)
    if (low == high).all():
        yield f"all {low[0]} x {low[1]} pixels"
    else:
        yield (
            f"from {low[0]} x {low[1]} to {high[0]} x {high[1]} pixels, "
            f"median {middle[0]} x {middle[1]}"
        )
    small = int((sizes.min(1) < config.size).sum())
    if small:
        yield f"{small:,} smaller than --size {config.size}, which blurs them"
    oblong = int((sizes.max(1) > 1.5 * sizes.min(1)).sum())
    if oblong and config.crop is None:
        yield f"{oblong:,} lose more than a third to the square crop"


def look(config: TrainConfig, packed: Packed, say: Say) -> list[str]:
    """Look for what does a GAN no good among the packed images."""
    chosen = drawn(len(packed), config)
    images = reader(packed.images)(chosen)
    among = f"of {len(images):,}"
    if len(chosen) < len(packed):
        among += f", drawn at random; in all {len(packed):,} there are more pairs to find"
    flat, again = survey.constant(images), survey.copies(images)
    near = np.zeros_like(flat)
    near[~flat & ~again] = survey.near_copies(images[~flat & ~again])
    findings = (("constant", flat), ("copies", again), ("look-alike", near))
    for topic, which in findings:
        say(topic, f"{which.sum():,} {among}" if which.any() else "none")
    if packed.labels is not None:
        shares = survey.balance(packed.labels[chosen], packed.label_names)
        (least, few), (most, many) = shares[0], shares[-1]
        say("labels", f"{len(shares)}, from {few:.1%} ({least}) to {many:.1%} ({most})")
    shown = (("a single colour", flat), ("copies of others", again | near))
    return [f"{w.mean():.0%} of the images are {what}" for what, w in shown if w.mean() > 0.5]


# The run


def run(
    config: TrainConfig,
    packed: Packed,
    count: int,
    packing: float,
    scratch: Path,
    on: torch.device,
    say: Say,
) -> list[str]:
    """Rehearse a run, and say what the whole of it takes."""
    if on.type == "cuda":
        torch.cuda.reset_peak_memory_stats(on)
    try:
        with quiet():
            last, same = rehearse(config, packed, scratch, on)
            per_step = timed(config, packed, on)
    except (RuntimeError, MemoryError) as error:  # torch's own for want of memory among them
        reason = str(error).splitlines()[0] if str(error) else "not enough memory"
        raise UserError(f"not fit to train: a step fails ({reason})") from error
    numbers = read_metrics(last.parents[1])[-1]
    values = [value for value in numbers.values() if isinstance(value, int | float)]
    say("steps", f"D and G, loss {numbers['loss_D']:.3f} and {numbers['loss_G']:.3f}")
    say("resume", "bit for bit" if same else "differs from a run without a stop")
    rate, seconds = config.batch_size / per_step, per_step * config.steps
    say("speed", f"{rate:,.0f} images/s on {on.type}, {1000 * per_step:,.0f} ms a step")
    whole = f"{config.steps:,} steps, {config.steps * config.batch_size:,} images: {clock(seconds)}"
    say("whole run", whole + (f", and {clock(packing)} to pack" if packing else ""))
    say("memory", peak(on))
    needed, free = disk(config, last), free_near(config.out)
    image_bytes = 0 if config.data else count * packed.images[0].nbytes
    say("disk", f"{size(needed)} for the run, {size(image_bytes)} to pack; {size(free)} free")
    wrong = [] if all(map(math.isfinite, values)) else ["the losses are not finite"]
    if not same and on.type == "cpu":
        wrong.append("a continued run differs from one without a stop")
    if needed + image_bytes > free:
        wrong.append(f"the disk has {size(free)} free, and {size(needed + image_bytes)} are needed")
    return wrong


def rehearse(
    config: TrainConfig, packed: Packed, scratch: Path, on: torch.device
) -> tuple[Path, bool]:
    """A short run, and the same with a stop: the last checkpoint, whether both end the same."""

    def fit(name: str, steps: int) -> Path:
        out = scratch / name
        short = dataclasses.replace(
            config, out=out, steps=steps, log_every=1, sample_every=STEPS, save_every=STEPS
        )
        return trainer.fit(short, packed, out, on, trainer.to_continue(short, out))

    fit("stopped", STEPS - 1)
    stopped, whole = (
        checkpoint.read(fit(name, STEPS)).tensors("") for name in ("stopped", "whole")
    )
    same = all(torch.equal(value, stopped[name]) for name, value in whole.items())
    return checkpoint.path_of(scratch / "whole", STEPS), same


def timed(config: TrainConfig, packed: Packed, on: torch.device) -> float:
    """Seconds that a step takes."""
    ours, batches = trainer.Trainer(config, on), Batches(packed.images, config, on)
    started, steps = 0.0, -2  # the first two make what the others use again
    for batch in batches.starting_at(0):
        float(ours.update(batch)["loss_D"])  # waits for the device
        steps += 1
        if steps == 0:
            started = time.perf_counter()
        elif steps >= 2 and time.perf_counter() - started > SECONDS:
            return (time.perf_counter() - started) / steps
    raise AssertionError("batches have no end")


def peak(on: torch.device) -> str:
    """The most memory that this process has used so far."""
    lines = []
    with contextlib.suppress(ImportError):  # there is none on Windows
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        lines.append(size(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit))
    if on.type == "cuda":
        lines.append(f"{size(torch.cuda.max_memory_allocated(on))} of the GPU")
    return f"{' and '.join(lines) or 'unknown'} at its peak"


def disk(config: TrainConfig, last: Path) -> int:
    """Bytes of the finished run: what is kept, and one checkpoint that is being written."""
    saves = -(-config.steps // config.save_every)
    kept = min(saves, config.keep or saves) + 1
    grids = -(-config.steps // config.sample_every) * 3  # a PNG, and two in TensorBoard's file
    lines = -(-config.steps // config.log_every) * 2
    line = (last.parents[1] / "metrics.jsonl").stat().st_size // STEPS
    grid = samples_path(last.parents[1], STEPS).stat().st_size
    return kept * last.stat().st_size + grids * grid + lines * line


def free_near(folder: Path) -> int:
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the progress bars and remarks of what is only rehearsed."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield


def clock(seconds: float) -> str:
    """ "about 3 min"."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * length:
            return f"about {seconds / length:.3g} {unit}"
    return f"about {seconds:.3g} s"


def size(count: float) -> str:
    """ "1.2 GB"."""
    for unit, length in (("GB", 1e9), ("MB", 1e6)):
        if count >= length:
            return f"{count / length:.3g} {unit}"
    return f"{count / 1e3:.3g} kB"
