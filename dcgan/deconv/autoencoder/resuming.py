"""Resuming the run of a denoising autoencoder: its checkpoint, and the options that may change."""

import dataclasses
import sys
from pathlib import Path

from dcgan.config.denoising import (
    DenoiseTrainConfig,
    denoise_config_from_dict,
    denoise_config_to_dict,
)
from dcgan.data import PackedImages
from dcgan.deconv.autoencoder.state import DenoisingState, config_in
from dcgan.errors import UsageError, UserError
from dcgan.runs.checkpoint import DENOISER, Checkpoint
from dcgan.runs.checkpoint_folder import latest_checkpoint
from dcgan.runtime.terminal import print_lines
from dcgan.training.resume import (
    changed_options,
    check_empty_or_begun,
    config_of_folder,
    first_contradiction,
)

# In the config.json of every run, whichever options later versions add.
_ALWAYS_IN_CONFIG = ("code_dim", "corruption", "batch_size", "steps", "seed")
_NETWORKS = ("width", "kernel_size", "code_dim")
_FIXED = (*_NETWORKS, "seed", "batch_size", "held_out")  # along a run
_FOLDERS = ("data", "out", "decoder")  # which may have moved


def config_of_run(run: Path) -> DenoiseTrainConfig | None:
    """The options with which `train` resumes the run in a folder; None for a new run.

    Raises UserError where no checkpoint can be read, or where the run is of a GAN.
    """
    found = latest_checkpoint(run, check_resumable, DENOISER)
    if found:
        return dataclasses.replace(config_in(found), out=run, threads=None)
    if begun := config_of_folder(run, _ALWAYS_IN_CONFIG):
        try:
            return denoise_config_from_dict(begun | {"out": str(run), "threads": None})
        except (UsageError, TypeError):
            return None
    return None


def checkpoint_to_resume(config: DenoiseTrainConfig) -> Checkpoint | None:
    """The checkpoint that training resumes from; None for a new run.

    Raises UserError where the folder holds a run with other fixed options, a GAN's run, or files of
    anything else, which are never overwritten.
    """
    run = config.out
    found = latest_checkpoint(run, check_resumable, DENOISER)
    if found is None:
        check_empty_or_begun(run, _ALWAYS_IN_CONFIG)
        return None
    ours, theirs = denoise_config_to_dict(config), found.config
    # The networks around a GAN's generator have its options, whatever the flags are.
    fixed = [name for name in _FIXED if config.decoder is None or name not in _NETWORKS]
    if contradiction := first_contradiction(ours, theirs, fixed):
        raise UserError(f"{found.path} was trained {contradiction}: use that, or another --out")
    if (config.decoder is None) != (theirs.get("decoder") is None):
        state = "with" if theirs.get("decoder") else "without"
        raise UserError(f"{found.path} was trained {state} --decoder: do so, or use another --out")
    return found


def check_resumable(found: Checkpoint) -> None:
    """Raise UserError unless training can resume from a checkpoint."""
    DenoisingState.from_checkpoint(found)
    config_in(found)


def check_same_images(packed: PackedImages, found: Checkpoint) -> None:
    """Raise UserError unless a checkpoint was trained on these images, which are unchanged."""
    if found.header["data"] != packed.fingerprint:
        raise UserError(
            f"{found.path} was trained on other images than those in {packed.folder}: use another "
            f"--out"
        )
    packed.check_unchanged()


def announce_resume(config: DenoiseTrainConfig, found: Checkpoint) -> None:
    """Print on stderr from which step a run resumes, and which options change."""
    ours, theirs = denoise_config_to_dict(config), found.config
    names = [name for name in ours if name not in (*_FIXED, *_FOLDERS, "device")]
    changes = changed_options(ours, theirs, names)
    options = f" with {', '.join(changes)}" if changes else ""
    print_lines(f"{config.out} resumes from step {found.step}{options}", file=sys.stderr)
