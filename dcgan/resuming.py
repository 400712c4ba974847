"""Whether a run folder may be trained in, and from which checkpoint on."""

import json
from pathlib import Path

from dcgan import checkpoint
from dcgan.checks import NETWORK, flag
from dcgan.config import TrainConfig
from dcgan.errors import UserError
from dcgan.recorder import CONFIG

OPTIONS = ("size", "width", "latent_dim", "batch_size", "steps", "seed")  # of every version's runs


def to_continue(config: TrainConfig, run: Path) -> checkpoint.Checkpoint | None:
    """The checkpoint that a run folder goes on from; None for a new run.

    Raises UserError where the folder is of another run, or of something else: nothing that a user
    made is written over.
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
    return found


def is_empty_or_run(folder: Path) -> bool:
    """Whether a folder is empty, or was begun by a run that stopped before its first checkpoint."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        return set(OPTIONS) <= set(config)
    except FileNotFoundError:
        return not any(folder.iterdir())
    except (OSError, ValueError, TypeError, RecursionError):
        return False
