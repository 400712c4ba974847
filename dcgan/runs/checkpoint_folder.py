"""The checkpoints of a run folder: which one is loaded, and which ones are kept."""

import sys
from collections.abc import Callable
from pathlib import Path

from dcgan.config.validation import to_path
from dcgan.errors import UserError
from dcgan.runs.checkpoint import Checkpoint, damaged, read
from dcgan.runs.layout import CHECKPOINTS, list_checkpoints, step_from_name
from dcgan.runtime import distributed
from dcgan.runtime.terminal import print_lines

_MAX_NAMES = 10  # in a message


def latest_checkpoint(
    run: Path, check: Callable[[Checkpoint], None] = lambda found: None
) -> Checkpoint | None:
    """The newest usable checkpoint of a run folder; None if there are no checkpoints.

    Damaged files, and those for which `check` raises UserError, are skipped with a warning on
    stderr. Raises UserError if all are skipped.
    """
    paths = list_checkpoints(run)
    for path in reversed(paths):
        try:
            found = read(path)
            # A run that resumes from it would repeat the same steps after every restart.
            if found.step != step_from_name(path):
                raise damaged(path, f"it is of step {found.step}, but its name says another")
            check(found)
            return found
        except UserError as error:
            warn_skipped(error)
    if paths:
        raise UserError(f"{run} has no checkpoint that can be read")
    return None


def warn_skipped(error: UserError) -> None:
    """Print on stderr why a file is skipped, in the main process."""
    if distributed.is_main():
        print_lines(f"skipped: {error}", file=sys.stderr)


def find_checkpoint(path: Path) -> Checkpoint:
    """Open a checkpoint file, or the newest usable checkpoint of a run folder, or of the folder
    `checkpoints` in it.

    Raises UserError if there is none, with the names of checkpoints and runs in the folder.
    """
    path = to_path(path)
    try:
        if not path.exists():
            raise UserError(f"{path}: no such checkpoint or run folder")
        if path.is_file():
            return read(path)
        run = path.resolve().parent if path.resolve().name == CHECKPOINTS else path
        if (run / CHECKPOINTS).is_dir() and (found := latest_checkpoint(run)):
            return found
        raise UserError(f"{path} is no run folder: {_describe_content(path)}")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


def _describe_content(folder: Path) -> str:
    """Which checkpoints or runs a folder holds, so that one of them can be named instead."""
    paths = sorted(folder.iterdir())
    files = [path.name for path in paths if path.suffix == ".safetensors" and path.is_file()]
    runs = [path.name for path in paths if (path / CHECKPOINTS).is_dir()]
    for names, what in ((runs, "run"), (files, "checkpoint")):
        if names:
            more = ", ..." if len(names) > _MAX_NAMES else ""
            return f"name one {what} of those in it: {', '.join(names[:_MAX_NAMES])}{more}"
    return f"it has no {CHECKPOINTS}/step-*.safetensors"


def prune_checkpoints(newest: Path, keep: int) -> None:
    """Delete all but the last `keep` checkpoints up to `newest`; 0 keeps all."""
    paths = list_checkpoints(newest.parent.parent)
    if keep and newest in paths:  # it is not if a user has moved it away
        for path in paths[: paths.index(newest) + 1][:-keep]:
            path.unlink(missing_ok=True)
