"""The training loop of a single network."""

import dataclasses
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch

from dcgan.config.network_training import NetworkTrainConfig
from dcgan.data import PackedImages, open_packed
from dcgan.deconv.training.resuming import announce_resume, check_images, checkpoint_to_resume
from dcgan.deconv.training.tasks import NetworkTasks
from dcgan.deconv.training.trainer import NetworkTrainer
from dcgan.errors import UsageError
from dcgan.runs.checkpoint import Checkpoint, damaged
from dcgan.runs.layout import checkpoint_path
from dcgan.runtime import device
from dcgan.runtime.cpu_sharing import sharing_cpus
from dcgan.runtime.memory import out_of_memory_errors
from dcgan.runtime.signals import Stopped, collect_stop_signals
from dcgan.runtime.terminal import print_lines
from dcgan.training.image_loader import ImageLoader, save_before_errors
from dcgan.training.preparation import choose_threads


class Training(NamedTuple):
    """What a kind of training makes of its options and images."""

    trainer: NetworkTrainer
    loader: ImageLoader


@device.restored_settings()
def train_network(
    config: NetworkTrainConfig,
    Tasks: type[NetworkTasks],
    make_training: Callable[[Any, PackedImages, torch.device, Checkpoint | None], Training],
    cure: str,
) -> Path:
    """Train on the packed images that `config` names, or resume the run in config.out.

    `make_training` gets the options, the images, the device and the checkpoint that is resumed.
    `cure`: what to try where memory is too small. Returns the last checkpoint, in
    config.out/checkpoints. Raises UserError for missing or unreadable data, a run folder of other
    networks or data, a full disk, too little memory, and a loss that is not finite; UsageError for
    options that do not fit the data; Stopped, with everything saved, after Ctrl-C or SIGTERM.
    """
    if config.data is None:
        raise UsageError("--data: name a packed folder; `dcgan prepare` makes one from raw images")
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise UsageError("this training runs in one process: start it without torchrun")
    on = device.select_device(config.device)
    found = checkpoint_to_resume(Tasks.State, config)
    packed = open_packed(config.data)
    check_images(packed, found)
    config = dataclasses.replace(config, threads=choose_threads(config, found))
    device.configure_torch(config.threads)
    sharing = sharing_cpus() if on.type == "cpu" else nullcontext()
    random = torch.random.fork_rng([on] if on.type == "cuda" else [])
    with out_of_memory_errors(on.type, cure), sharing, random:
        return _fit(make_training(config, packed, on, found), packed, Tasks, found)


def _fit(
    training: Training, packed: PackedImages, Tasks: type[NetworkTasks], found: Checkpoint | None
) -> Path:
    """Train from the checkpoint `found` if there is one; return the last one."""
    trainer, config = training.trainer, training.trainer.config
    with collect_stop_signals() as stop:
        state = None
        if found:
            state = Tasks.State.from_checkpoint(found)
            try:
                trainer.load(state)
            except ValueError as error:
                raise damaged(found.path, error) from error
            if trainer.step >= config.steps:
                done = f"{config.out} has done its {trainer.step} steps"
                print_lines(f"{done}: raise --steps to train longer", file=sys.stderr)
                return found.path
            announce_resume(Tasks.State, config, found)
        tasks = Tasks(trainer, packed, state)
        with tasks.recorder:
            batches = training.loader.starting_at(trainer.step)
            for _ in range(trainer.step, config.steps):
                with save_before_errors(tasks.save_at_once):
                    batch = next(batches)
                tasks.after_step(trainer.update(batch))
                if stop and trainer.step < config.steps:
                    tasks.save_at_once()
                    done = f"stopped after step {trainer.step} of {config.steps}"
                    raise Stopped(stop[0], f"{done}; the same command resumes it")
    return checkpoint_path(config.out, trainer.step)
