"""A preflight run: a few steps of every phase before a long run, and an estimate of the whole."""

import contextlib
import dataclasses
import io
import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from dcgan.config import MIN_IMAGES, TrainConfig
from dcgan.data import PackedImages
from dcgan.errors import UserError
from dcgan.reports.disk_space import estimate_run_size, find_full_disks
from dcgan.runs import checkpoint
from dcgan.runs.metrics_file import read_metrics
from dcgan.runtime.disk import format_size
from dcgan.training import loop, preparation
from dcgan.training.monitoring import Diverged

_TIMED_SECONDS = 3.0  # over which steps are timed, at least two of them
_STEPS = 3  # of the preflight run, which is stopped and resumed before the last

Say = Callable[[str, str], None]
"""Reports a finding: its topic, and a line of text."""


class PackingCost(NamedTuple):
    """Seconds and bytes that packing the images needs; zeros if they are packed already."""

    seconds: float = 0.0
    bytes: int = 0


def run_preflight(
    config: TrainConfig,
    packed: PackedImages,
    done: int,
    packing: PackingCost,
    scratch: Path,
    device: torch.device,
    say: Say,
) -> list[str]:
    """Try every phase of a run, and return the problems found.

    Passes findings to `say`, with the time, memory and disk space that the steps after `done` need.
    Writes to the folder `scratch` alone. Raises UserError where a step fails.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    try:
        with suppress_output():
            run, same = _compare_resumed_run(config, packed, scratch, device)
            step_seconds = _time_step(config, packed, device)
    except (RuntimeError, MemoryError) as error:  # RuntimeError: torch's for lack of memory, too
        reason = str(error).splitlines()[0] if str(error) else "not enough memory"
        raise UserError(f"not fit to train: a step fails ({reason})") from error
    except UserError as error:
        if isinstance(error.__context__, Diverged):  # the error names files that are not kept
            cause = f"{error.__context__}. Try a lower --lr-G and --lr-D"
            raise UserError(f"not fit to train: {cause}") from error
        raise
    metrics = read_metrics(run)[-1]
    say("steps", f"D and G, loss {metrics['loss_D']:.3f} and {metrics['loss_G']:.3f}")
    say("resume", "bit for bit" if same else "differs from a run without a stop")
    speed = config.batch_size / step_seconds
    say("speed", f"{speed:,.0f} images/s on {device.type}, {1000 * step_seconds:,.0f} ms a step")
    say("rest" if done else "whole run", _describe_duration(config, done, step_seconds, packing))
    say("memory", _describe_peak_memory(device))
    size = estimate_run_size(config, done, run, _STEPS)
    free, problems = find_full_disks({config.out: size, config.data_cache: packing.bytes})
    sizes = f"{format_size(size)} for the run, {format_size(packing.bytes)} to pack"
    say("disk", f"{sizes}; {free} free")
    if not same and device.type == "cpu":
        problems = ["a resumed run differs from one without a stop", *problems]
    values = [value for value in metrics.values() if isinstance(value, int | float)]
    if not all(map(math.isfinite, values)):
        problems = ["the losses are not finite", *problems]
    return problems


def _compare_resumed_run(
    config: TrainConfig, packed: PackedImages, scratch: Path, device: torch.device
) -> tuple[Path, bool]:
    """Run a few steps without a stop, and again with a stop and a resume.

    Returns the folder of the first run, and whether both end with the same tensors.
    """

    def fit(name: str, steps: int) -> Path:
        out = scratch / name
        short = dataclasses.replace(
            config,
            out=out,
            steps=steps,
            log_every=1,
            sample_every=_STEPS,
            save_every=_STEPS,
            lr_decay="none",  # a decay over --steps would differ between the runs
            patience=0,
            eval_images=min(config.eval_images, MIN_IMAGES),  # only to see that it works
        )
        return loop.fit(short, packed, out, device, loop.checkpoint_to_resume(short, out))

    fit("stopped", _STEPS - 1)
    stopped, whole = (
        checkpoint.read(fit(name, _STEPS)).tensors("") for name in ("stopped", "whole")
    )
    same = all(torch.equal(value, stopped[name]) for name, value in whole.items())
    return scratch / "whole", same


def _time_step(config: TrainConfig, packed: PackedImages, device: torch.device) -> float:
    """Mean seconds of a step after warm-up."""
    trainer = preparation.make_trainer(packed, config, device)
    started, steps = 0.0, -trainer.warm_up
    batches = [preparation.make_batches(trainer, packed)] * config.d_steps
    for step_batches in zip(*batches, strict=False):
        scalars = trainer.update(*step_batches, held_out=trainer.held_out_batch())
        float(scalars["loss_D"])  # waits for the device
        steps += 1
        if steps == 0:
            started = time.perf_counter()
        elif steps >= 2 and time.perf_counter() - started > _TIMED_SECONDS:
            return (time.perf_counter() - started) / steps
    raise AssertionError("batches have no end")


def _describe_duration(
    config: TrainConfig, done: int, step_seconds: float, packing: PackingCost
) -> str:
    steps = max(config.steps - done, 0)
    duration = _format_duration(step_seconds * steps)
    text = f"{steps:,} steps, {steps * config.batch_size:,} images: {duration}"
    if config.eval_every:
        text += f", beside its {math.ceil(steps / config.eval_every):,} evaluations"
    if packing.bytes:
        text += f", and {_format_duration(packing.seconds)} to pack"
    return text


def _describe_peak_memory(device: torch.device) -> str:
    """Peak memory of this process so far, as text."""
    sizes = []
    with contextlib.suppress(ImportError):  # Windows has no such module
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        sizes.append(format_size(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit))
    if device.type == "cuda":
        sizes.append(f"{format_size(torch.cuda.max_memory_reserved(device))} of the GPU")
    return f"{' and '.join(sizes) or 'unknown'} at its peak"


@contextlib.contextmanager
def suppress_output() -> Iterator[None]:
    """Hide what is printed inside, progress bars too."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        yield


def _format_duration(seconds: float) -> str:
    """A duration to three digits: "about 3 min"."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * length:
            return f"about {seconds / length:.3g} {unit}"
    return f"about {seconds:.3g} s"
