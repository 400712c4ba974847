"""A short run before the long one: whether every phase works, and what the whole will take."""

import contextlib
import dataclasses
import io
import math
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from dcgan.config import TrainConfig
from dcgan.data import PackedImages
from dcgan.errors import UserError
from dcgan.runs import checkpoint
from dcgan.runs.layout import CHECKPOINTS, METRICS_FILE, checkpoint_path, sample_grid_path
from dcgan.runs.metrics_file import read_metrics
from dcgan.training import loop
from dcgan.training.monitoring import Diverged

TIMED_SECONDS = 3.0  # that steps are timed for, and at least two of them
PREFLIGHT_STEPS = 3  # of the preflight run, which is stopped and continued before the last

Say = Callable[[str, str], None]
"""Takes a topic and a line on it."""


class PackingCost(NamedTuple):
    """What packing takes; nothing where the images are packed."""

    seconds: float = 0.0
    bytes: int = 0


def run_preflight(
    config: TrainConfig,
    packed: PackedImages,
    done: int,
    packing: PackingCost,
    scratch: Path,
    on: torch.device,
    say: Say,
) -> list[str]:
    """Make a short run, and say what it takes, but for the steps that are done."""
    if on.type == "cuda":
        torch.cuda.reset_peak_memory_stats(on)
    try:
        with quiet():
            last, same = compare_resumed_run(config, packed, scratch, on)
            per_step = timed(config, packed, on)
    except (RuntimeError, MemoryError) as error:  # torch's own for want of memory among them
        reason = str(error).splitlines()[0] if str(error) else "not enough memory"
        raise UserError(f"not fit to train: a step fails ({reason})") from error
    except UserError as error:
        if isinstance(error.__context__, Diverged):  # its sentence is of files that are not kept
            cause = f"{error.__context__}. Try a lower --lr-G and --lr-D"
            raise UserError(f"not fit to train: {cause}") from error
        raise
    numbers = read_metrics(last.parents[1])[-1]
    values = [value for value in numbers.values() if isinstance(value, int | float)]
    say("steps", f"D and G, loss {numbers['loss_D']:.3f} and {numbers['loss_G']:.3f}")
    say("resume", "bit for bit" if same else "differs from a run without a stop")
    rate, steps = config.batch_size / per_step, max(config.steps - done, 0)
    say("speed", f"{rate:,.0f} images/s on {on.type}, {1000 * per_step:,.0f} ms a step")
    whole = f"{steps:,} steps, {steps * config.batch_size:,} images: {clock(per_step * steps)}"
    if config.eval_every:
        whole += f", beside its {-(-steps // config.eval_every):,} evaluations"
    if packing.bytes:
        whole += f", and {clock(packing.seconds)} to pack"
    say("rest" if done else "whole run", whole)
    say("memory", peak(on))
    of_run = disk(config, done, last)
    room, short = disks({config.out: of_run, config.data_cache: packing.bytes})
    say("disk", f"{volume(of_run)} for the run, {volume(packing.bytes)} to pack; {room} free")
    wrong = [] if all(map(math.isfinite, values)) else ["the losses are not finite"]
    if not same and on.type == "cpu":
        wrong.append("a continued run differs from one without a stop")
    return wrong + short


def compare_resumed_run(
    config: TrainConfig, packed: PackedImages, scratch: Path, on: torch.device
) -> tuple[Path, bool]:
    """A short run, and the same with a stop: the last checkpoint, whether both end the same."""

    def fit(name: str, steps: int) -> Path:
        out = scratch / name
        # Rates that fall over all --steps would differ between the two.
        short = dataclasses.replace(
            config,
            out=out,
            steps=steps,
            log_every=1,
            sample_every=PREFLIGHT_STEPS,
            save_every=PREFLIGHT_STEPS,
            lr_decay="none",
            patience=0,
            eval_images=min(config.eval_images, 10),  # whether it can be done, not how well G does
        )
        return loop.fit(short, packed, out, on, loop.checkpoint_to_resume(short, out))

    fit("stopped", PREFLIGHT_STEPS - 1)
    stopped, whole = (
        checkpoint.read(fit(name, PREFLIGHT_STEPS)).tensors("") for name in ("stopped", "whole")
    )
    same = all(torch.equal(value, stopped[name]) for name, value in whole.items())
    return checkpoint_path(scratch / "whole", PREFLIGHT_STEPS), same


def timed(config: TrainConfig, packed: PackedImages, on: torch.device) -> float:
    """Seconds that a step takes."""
    ours = loop.make_trainer(packed, config, on)
    started, steps = 0.0, -ours.warm_up
    for of_step in zip(*[loop.make_batches(ours, packed)] * config.d_steps, strict=False):
        float(ours.update(*of_step)["loss_D"])  # waits for the device
        steps += 1
        if steps == 0:
            started = time.perf_counter()
        elif steps >= 2 and time.perf_counter() - started > TIMED_SECONDS:
            return (time.perf_counter() - started) / steps
    raise AssertionError("batches have no end")


def peak(on: torch.device) -> str:
    """The most memory that this process has used so far."""
    lines = []
    with contextlib.suppress(ImportError):  # there is none on Windows
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        lines.append(volume(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit))
    if on.type == "cuda":
        lines.append(f"{volume(torch.cuda.max_memory_reserved(on))} of the GPU")
    return f"{' and '.join(lines) or 'unknown'} at its peak"


def disk(config: TrainConfig, done: int, last: Path) -> int:
    """Bytes that the steps to be done add: what is kept, and a checkpoint that is being written."""
    steps = max(config.steps - done, 0)
    saves = -(-steps // config.save_every)
    kept = min(saves, config.keep or saves) + bool(config.eval_every)
    if done and config.keep:  # new ones replace those that are there
        there = list((config.out / CHECKPOINTS).glob("*.safetensors"))
        kept = max(kept - len(there), 0)
    kept += 1
    grids = -(-steps // config.sample_every) * 3  # a PNG, and two in TensorBoard's file
    lines = -(-steps // config.log_every) * 2
    line = (last.parents[1] / METRICS_FILE).stat().st_size // PREFLIGHT_STEPS
    grid = sample_grid_path(last.parents[1], PREFLIGHT_STEPS).stat().st_size
    return kept * last.stat().st_size + grids * grid + lines * line


def disks(needed: dict[Path, int]) -> tuple[str, list[str]]:
    """What is free where so many bytes are needed, and what is wrong where they are too many."""
    together: dict[int, tuple[Path, int]] = {}
    for folder, count in needed.items():
        if count:
            there = nearest(folder)
            _, others = together.get(there.stat().st_dev, (there, 0))
            together[there.stat().st_dev] = there, others + count
    free = {there: free_in(there) for there, _ in together.values()}
    wrong = [
        f"the disk of {there} has {volume(free[there])} free, and {volume(count)} are needed"
        for there, count in together.values()
        if count > free[there]
    ]
    return " and ".join(map(volume, free.values())), wrong


def nearest(folder: Path) -> Path:
    """The folder itself, or that of its parents which there is."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())


def free_in(folder: Path) -> int:
    return shutil.disk_usage(folder).free


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the progress bars and remarks of the preflight run."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        yield


def clock(seconds: float) -> str:
    """ "about 3 min"."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * length:
            return f"about {seconds / length:.3g} {unit}"
    return f"about {seconds:.3g} s"


def volume(count: float) -> str:
    """ "1.2 GB"."""
    for unit, length in (("GB", 1e9), ("MB", 1e6)):
        if count >= length:
            return f"{count / length:.3g} {unit}"
    return f"{count / 1e3:.3g} kB"
