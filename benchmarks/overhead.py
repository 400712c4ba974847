"""Share of training time spent outside the updates of D and G, at the default intervals."""

import contextlib
import dataclasses
import os
import statistics
import tempfile
import time
from collections import defaultdict
from functools import partial
from pathlib import Path

import torch

from dcgan import sampling
from dcgan.config import PRESETS, TrainConfig
from dcgan.data import open_or_pack
from dcgan.runtime import device
from dcgan.training.batches import BatchLoader
from dcgan.training.periodic_tasks import PeriodicTasks
from dcgan.training.trainer import Trainer

# name -> configuration, and steps to time in a round
CASES = {"faces": (PRESETS["faces"], 20), "width 64, batch 64": (TrainConfig(), 2)}
NEVER = 10**9
CALL_INTERVALS = {  # part -> steps between two calls
    "data": 1,
    "EMA": 1,
    "record": 1,
    "log": TrainConfig.log_every,
    "batch norm": TrainConfig.sample_every,  # for the samples, and every other time a checkpoint
    "samples": TrainConfig.sample_every,
    "checkpoint": TrainConfig.save_every,
}
WRITER_INTERVALS = {
    f"{name}, written": CALL_INTERVALS[name] for name in ("log", "samples", "checkpoint")
}


def run(rounds: int) -> list[dict]:
    """Rows of the results: `share` of the training thread's time, and `share_with_writer` if the
    background writer has no core of its own; `ms_a_step` holds the parts.

    On a GPU each part is synchronised, which overstates its share.
    """
    return [
        {
            "benchmark": f"all but the steps of D and G, {case}",
            "variant": "logs, grids, checkpoints, average, data",
            **_measure(config, steps, rounds),
        }
        for case, (config, steps) in CASES.items()
    ]


def _measure(config: TrainConfig, steps: int, rounds: int) -> dict:
    device.configure_torch()
    on = device.select_device("auto")
    seconds = defaultdict(list)

    def timed(name, function, *args):
        _synchronize(on)
        begun = time.perf_counter()
        result = function(*args)
        _synchronize(on)
        seconds[name].append(time.perf_counter() - begun)
        return result

    config = dataclasses.replace(
        config, count=1000, steps=NEVER, log_every=NEVER, sample_every=NEVER, save_every=NEVER
    )
    with contextlib.ExitStack() as stack:
        silence = stack.enter_context(open(os.devnull, "w"))
        stack.enter_context(contextlib.redirect_stderr(silence))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        packed = open_or_pack(config, config.size, config.channels, folder / "data")
        trainer = Trainer(config, on)
        update_average = trainer.ema.update
        trainer.ema.update = lambda decay: timed("EMA", update_average, decay)
        batches = BatchLoader(packed.images, config, on).starting_at(0)
        tasks = stack.enter_context(PeriodicTasks(trainer, packed, folder / "run"))
        for index in range(rounds + 1):
            if index == 1:
                seconds.clear()  # the first was the warm-up
            for _ in range(steps):
                batch = timed("data", next, batches)
                scalars = timed("update", trainer.update, batch)
                timed("record", tasks.after_step, scalars)
            timed("batch norm", sampling.recalibrate_batch_norm, trainer.G_ema)
            for name, write in (
                ("log", partial(tasks.write_scalars, {})),
                ("samples", tasks.write_samples),
                ("checkpoint", tasks.write_step_checkpoint),
            ):
                timed(name, write)
                timed(f"{name}, written", tasks.flush)
    median = {name: 1e3 * statistics.median(times) for name, times in seconds.items()}
    step = median["update"] - median["EMA"]
    parts = {
        name: median[name] / every for name, every in (CALL_INTERVALS | WRITER_INTERVALS).items()
    }
    here, behind = (
        sum(parts[name] for name in names) for names in (CALL_INTERVALS, WRITER_INTERVALS)
    )
    return {
        "share": here / (step + here),
        "share_with_writer": (here + behind) / (step + here + behind),
        "ms_a_step": {"D and G": step, **parts},
    }


def _synchronize(on: torch.device) -> None:
    if on.type == "cuda":
        torch.cuda.synchronize(on)
