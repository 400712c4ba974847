"""The checkpoints of a run folder."""

import sys
from collections.abc import Callable
from pathlib import Path

from dcgan.errors import UserError
from dcgan.runs.checkpoint import Checkpoint, damaged, read
from dcgan.runs.layout import CHECKPOINTS, list_checkpoints, step_from_name
from dcgan.runtime import distributed


def latest_checkpoint(
    run: Path, check: Callable[[Checkpoint], None] = lambda found: None
) -> Checkpoint | None:
    """The newest readable checkpoint of a run folder; None where there is none at all.

    Damaged files, and those for which `check` raises UserError, are named on stderr and passed
    over; UserError if nothing else is left.
    """
    paths = list_checkpoints(run)
    for path in reversed(paths):
        try:
            found = read(path)
            # A run that resumed from another step than the name says would do so for ever.
            if found.step != step_from_name(path):
                raise damaged(path, f"it is of step {found.step}, and has another name")
            check(found)
            return found
        except UserError as error:
            warn_skipped(error)
    if paths:
        raise UserError(f"{run} holds no checkpoint that can be read")
    return None


def warn_skipped(error: UserError) -> None:
    """Say on stderr which file goes unused, and why."""
    if distributed.is_main():
        print(f"passed over: {error}", file=sys.stderr)


def find_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint that a file or a run folder stands for. Raises UserError for others."""
    path = Path(path)
    try:
        if not path.exists():
            raise UserError(f"{path}: no such checkpoint or run folder")
        if path.is_file():
            return read(path)
        found = latest_checkpoint(path) if (path / CHECKPOINTS).is_dir() else None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    if found is None:
        raise UserError(f"{path} is no run folder: it holds no {CHECKPOINTS}/step-*.safetensors")
    return found


def prune_checkpoints(newest: Path, keep: int) -> None:
    """Delete what is older than the last `keep` checkpoints up to `newest`; 0 keeps all."""
    paths = list_checkpoints(newest.parent.parent)
    if keep and newest in paths:  # else a user has moved it away
        for path in paths[: paths.index(newest) + 1][:-keep]:
            path.unlink(missing_ok=True)
