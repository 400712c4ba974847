"""Resuming the run of a single network: its checkpoint, and the options that may change."""

import dataclasses
import sys
from pathlib import Path

from dcgan.config.network_training import NetworkTrainConfig
from dcgan.config.validation import MIN_IMAGES
from dcgan.data import PackedImages
from dcgan.deconv.training.state import NetworkState
from dcgan.errors import UsageError, UserError
from dcgan.runs.checkpoint import Checkpoint
from dcgan.runs.checkpoint_folder import latest_checkpoint
from dcgan.runtime.terminal import print_lines
from dcgan.training.resume import (
    changed_options,
    check_empty_or_begun,
    config_of_folder,
    first_contradiction,
)

_ALWAYS_IN_CONFIG = ("batch_size", "steps", "seed")  # whichever options later versions add
_NEVER_ANNOUNCED = ("data", "out", "device")


def options_of_run(State: type[NetworkState], run: Path) -> NetworkTrainConfig | None:
    """The options with which a command resumes the run in a folder; None for a new run.

    Raises UserError where no checkpoint can be read, or where the run is of another kind.
    """
    here = {"out": run, "threads": None}
    found = latest_checkpoint(run, _checker(State), State.kind)
    if found:
        return dataclasses.replace(State.config_in(found), **here)
    if begun := config_of_folder(run, _always_in_config(State)):
        try:
            return State.config_class.from_dict(begun | here)
        except (UsageError, TypeError):
            return None
    return None


def checkpoint_to_resume(
    State: type[NetworkState], config: NetworkTrainConfig
) -> Checkpoint | None:
    """The checkpoint that training resumes from; None for a new run.

    Raises UserError where the folder holds a run with other fixed options, one of another kind, or
    files of anything else, which are never overwritten.
    """
    found = latest_checkpoint(config.out, _checker(State), State.kind)
    if found is None:
        check_empty_or_begun(config.out, _always_in_config(State))
        return None
    if contradiction := first_contradiction(config.to_dict(), found.config, State.fixed):
        raise UserError(f"{found.path} was trained {contradiction}: use that, or another --out")
    return found


def check_images(packed: PackedImages, found: Checkpoint | None) -> None:
    """Raise UserError for too few images, and for others than a checkpoint was trained on."""
    if len(packed) < MIN_IMAGES:
        raise UserError(f"{packed.folder}: {len(packed)} images are too few, {MIN_IMAGES} are not")
    if not found:
        return
    if found.header["data"] != packed.fingerprint:
        raise UserError(
            f"{found.path} was trained on other images than those in {packed.folder}: use another "
            f"--out"
        )
    packed.check_unchanged()


def announce_resume(
    State: type[NetworkState], config: NetworkTrainConfig, found: Checkpoint
) -> None:
    """Print on stderr from which step a run resumes, and which options change."""
    ours = config.to_dict()
    names = [name for name in ours if name not in (*State.fixed, *_NEVER_ANNOUNCED)]
    changes = changed_options(ours, found.config, names)
    options = f" with {', '.join(changes)}" if changes else ""
    print_lines(f"{config.out} resumes from step {found.step}{options}", file=sys.stderr)


def _checker(State: type[NetworkState]):
    """A function that raises UserError unless training can resume from a checkpoint."""

    def check(found: Checkpoint) -> None:
        State.from_checkpoint(found)
        State.config_in(found)

    return check


def _always_in_config(State: type[NetworkState]) -> tuple[str, ...]:
    return (*_ALWAYS_IN_CONFIG, *State.fixed)
