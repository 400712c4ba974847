"""Whether a run folder may be trained in, and from which checkpoint on."""

import dataclasses
import json
import sys
from pathlib import Path

import torch
from torch import Tensor

from dcgan import checkpoint, distributed
from dcgan.checks import NETWORK, flag
from dcgan.config import ObjectiveOptions, TrainConfig, to_json
from dcgan.errors import UserError
from dcgan.recorder import CONFIG

OPTIONS = ("size", "width", "latent_dim", "batch_size", "steps", "seed")  # of every version's runs

OF_RECIPE = (  # may change along a run, which then is none that its flags alone describe
    *(field.name for field in dataclasses.fields(ObjectiveOptions)),
    *("lr_G", "lr_D", "beta1", "beta2", "smooth", "lr_decay", "accumulate", "flip", "ema_images"),
)


def to_continue(config: TrainConfig, run: Path) -> checkpoint.Checkpoint | None:
    """The checkpoint that a run folder goes on from; None for a new run.

    Raises UserError where the folder is of another run, or of something else: nothing that a user
    made is written over. Says on stderr which options of the recipe change.
    """
    found = checkpoint.newest(run)
    if found is None:
        if run.exists() and not (run.is_dir() and is_empty_or_run(run)):
            raise UserError(f"{run} holds other files: use another --out, new or empty")
        return None
    checkpoint.check_resumable(found)
    for name in (*NETWORK, "conditional", "seed", "batch_size", "d_steps"):
        ours, theirs = getattr(config, name), found.config[name]
        if ours != theirs:
            raise UserError(
                f"{found.path} was trained with {flag(name)} {theirs}, not {ours}: "
                f"use that, or another --out"
            )
    if (changes := changed(config, found)) and distributed.is_main():
        print(f"{run} goes on from step {found.step} with {', '.join(changes)}", file=sys.stderr)
    return found


def changed(config: TrainConfig, found: checkpoint.Checkpoint) -> list[str]:
    """What is another recipe than the checkpoint's: "--r1 0.5 (2.0 before)"."""
    ours, theirs = json.loads(json.dumps(to_json(config))), found.config
    return [
        f"{flag(name)} {words(ours[name])} ({words(theirs[name])} before)"
        for name in OF_RECIPE
        if name in theirs and ours[name] not in (theirs[name], "auto")  # that is resolved later
    ]


def words(value) -> str:
    return " ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def last_strength(found: checkpoint.Checkpoint) -> Tensor:
    """How likely an augmentation was at last, 0-dim; 0 where there was none yet. UserError."""
    p = found.tensors("augment.").get("p", torch.zeros(()))
    if p.shape != () or not 0 <= p <= 1:
        raise checkpoint.damaged(found.path, "its augment.p is no probability")
    return p


def is_empty_or_run(folder: Path) -> bool:
    """Whether a folder is empty, or was begun by a run that stopped before its first checkpoint."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        return set(OPTIONS) <= set(config)
    except FileNotFoundError:
        return not any(folder.iterdir())
    except (OSError, ValueError, TypeError, RecursionError):
        return False
