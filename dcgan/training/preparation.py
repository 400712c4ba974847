"""What the training loop needs before it starts: checked options, a trainer, its batches."""

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from dcgan.config import TrainConfig, require
from dcgan.config.training import DeviceOptions
from dcgan.data import PackedImages, split_images
from dcgan.errors import UsageError, UserError
from dcgan.latent import Labels
from dcgan.runs.checkpoint import Checkpoint, damaged
from dcgan.runtime import distributed
from dcgan.runtime.terminal import print_lines
from dcgan.runtime.threads import available_cpus, within_quota
from dcgan.training.adaptive_augmentation import resolve_probability
from dcgan.training.batches import Batch, BatchLoader, no_labels
from dcgan.training.run_state import RunState
from dcgan.training.trainer import Trainer


def check_batch_shares(config: TrainConfig) -> None:
    """Raise UsageError unless every micro-batch of every process has two images or more."""
    processes = distributed.world_size()
    require(
        config.batch_size % processes == 0 and config.batch_size >= 2 * processes,
        "batch_size",
        config.batch_size,
        f"a multiple of the {processes} processes, with at least 2 images for each",
    )
    share = config.batch_size // processes
    require(
        share % config.accumulate == 0 and share // config.accumulate >= 2,
        "accumulate",
        config.accumulate,
        f"a divisor of the {share} images of each process, and smaller than that",
    )


def choose_threads(config: DeviceOptions, found: Checkpoint | None) -> int:
    """The number of threads to train with: --threads, else that of the run that is resumed.

    Results depend on it in their last bits. Where this machine has too few CPUs for it, and in a
    new run, it is torch's own choice, within the quota of a container. Where that is more, says so
    on stderr.
    """
    if config.threads:
        return config.threads
    # Not of the CPUs of this thread: OpenMP may have bound it to one of several.
    own = within_quota(torch.get_num_threads())
    recorded = found.config.get("threads") if found else None
    most = max(own, available_cpus() // distributed.local_size())
    if not (isinstance(recorded, int) and 1 <= recorded <= most):
        return own
    if recorded < own and distributed.is_main():
        line = f"the run keeps its number of threads, {recorded}; torch would take --threads {own}"
        print_lines(line, file=sys.stderr)
    return recorded


def check_shape(config: TrainConfig, packed: PackedImages) -> None:
    """Raise UsageError unless the networks are for images like these."""
    for name in ("size", "channels"):
        theirs = getattr(packed, name)
        require(
            getattr(config, name) == theirs,
            name,
            getattr(config, name),
            f"{theirs}, with which the images of {packed.folder} were packed",
        )


def make_trainer(packed: PackedImages, config: TrainConfig, on: torch.device) -> Trainer:
    """A new trainer for these images. Raises UsageError for --conditional without labels."""
    augment_p = resolve_probability(config, len(packed))
    config = dataclasses.replace(config, augment_p=augment_p)
    if not config.conditional:
        return Trainer(config, on)
    if packed.labels is None:
        raise UsageError(f"--conditional: the images of {packed.folder} have no labels")
    return Trainer(config, on, read_labels(packed))


def read_labels(packed: PackedImages) -> Labels:
    """The labels of packed images, counted."""
    assert packed.labels is not None
    return Labels.from_images(packed.meta["label_kind"], packed.label_names, packed.labels)


def load_state(trainer: Trainer, run: Path, found: Checkpoint | None) -> RunState | None:
    """Load a checkpoint into a new trainer; return its state, with no tensors but the "sums.".

    Raises UserError where the checkpoint is of other networks, and where processes have found
    checkpoints of different steps.
    """
    step = found.step if found else 0
    if not distributed.all_equal(step, trainer.device):
        raise UserError(
            f"this process would resume from step {step}, and others from other steps: "
            f"{run} must be the same folder for all processes"
        )
    if found is None:
        return None
    state = RunState.from_checkpoint(found)
    try:
        trainer.load(state)
    except ValueError as error:
        raise damaged(found.path, error) from error
    kept = {name: value for name, value in state.tensors.items() if name.startswith("sums.")}
    return dataclasses.replace(state, tensors=kept)


def make_batches(trainer: Trainer, packed: PackedImages) -> Iterator[Batch]:
    """The batches of this process from the trainer's step on, --d-steps for each step.

    The trainer gets those of the held-out images.
    """
    config = trainer.config
    labels = packed.multi_hot if config.conditional else no_labels
    share = distributed.rank(), distributed.world_size()
    training, held_out = split_images(len(packed), config.held_out_share, config.seed)
    loader = BatchLoader(packed.images, config, trainer.device, *share, labels, training)
    if len(held_out):
        trainer.augment.memorization.held_out = loader.of_images(held_out)
    return loader.starting_at(trainer.step * config.d_steps)
