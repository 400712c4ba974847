"""The checkpoints of a run folder: which one is loaded, and which ones are kept."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from dcgan.config.hub_names import parse_hub_name
from dcgan.config.validation import to_path
from dcgan.errors import UserError
from dcgan.hub import fetch_networks
from dcgan.pretrained import pretrained_files
from dcgan.runs.checkpoint import GAN, Checkpoint, OtherKind, damaged, read
from dcgan.runs.layout import CHECKPOINTS, SAMPLES, list_checkpoints, step_from_name
from dcgan.runtime import distributed
from dcgan.runtime.terminal import print_lines

_MAX_NAMES = 10  # in a message


def latest_checkpoint(
    run: Path, check: Callable[[Checkpoint], None] = lambda found: None, kind: str = GAN
) -> Checkpoint | None:
    """The newest usable checkpoint of a run folder; None if there are no checkpoints.

    Damaged files, and those for which `check` raises UserError, are skipped with a warning on
    stderr. Raises UserError if all are skipped, and for a run of another `kind`, see
    `checkpoint.read`.
    """
    paths = list_checkpoints(run)
    for path in reversed(paths):
        try:
            found = read(path, kind)
            # A run that resumes from it would repeat the same steps after every restart.
            if found.step != step_from_name(path):
                raise damaged(path, f"it is of step {found.step}, but its name says another")
            check(found)
            return found
        except OtherKind:
            raise
        except UserError as error:
            warn_skipped(error)
    if paths:
        raise UserError(f"{run} has no checkpoint that can be read")
    return None


def warn_skipped(error: UserError) -> None:
    """Print on stderr why a file is skipped, once, in the main process."""
    if distributed.is_main():
        _warn(f"skipped: {error}")


@cache  # the command line reads a run before training does
def _warn(line: str) -> None:
    print_lines(line, file=sys.stderr)


def find_checkpoint(path: Path, kind: str = GAN) -> Checkpoint:
    """Open a checkpoint file, the newest usable checkpoint of a run folder (see `run_folder`),
    networks that come with the package (see `pretrained_files`), or those of a repository on the
    Hub, hf://user/name (see `hub.fetch_networks`).

    Raises UserError if there is none, with the names of checkpoints and runs in the folder, or if
    it is of another `kind`, see `checkpoint.read`.
    """
    path = to_path(path)
    if name := parse_hub_name(path):
        first, *others = [read(file, kind) for file in fetch_networks(name)]
        return _with_others(first, [other.path for other in others])
    if pretrained := pretrained_files(path):
        return _with_others(read(pretrained[0], kind), pretrained[1:])
    try:
        if not path.exists():
            raise UserError(f"{path}: no such checkpoint or run folder")
        if path.is_file():
            return read(path, kind)
        run = run_folder(path)
        if (run / CHECKPOINTS).is_dir() and (found := latest_checkpoint(run, kind=kind)):
            return found
        paths = sorted(path.iterdir())
        files = [path.name for path in paths if path.suffix == ".safetensors" and path.is_file()]
        raise no_run_folder(path, f"{CHECKPOINTS}/step-*.safetensors", files)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


def _with_others(found: Checkpoint, files: Sequence[Path]) -> Checkpoint:
    return dataclasses.replace(found, other_files=tuple(files), shared=True)


def run_folder(path: Path) -> Path:
    """The run folder that a path names: itself, or the one around its checkpoints or samples."""
    real = path.resolve()
    is_part = real.name in (CHECKPOINTS, SAMPLES) and (real.parent / CHECKPOINTS).is_dir()
    return real.parent if is_part else path


def no_run_folder(path: Path, lacks: str, files: Sequence[str] = ()) -> UserError:
    """The error to raise for a path without the files of a run.

    It names the runs in the folder, or the checkpoint `files`, so that one of them can be given.
    """
    if not path.is_dir():
        is_file = path.exists()
        return UserError(
            f"{path} is a file: name the run folder" if is_file else f"{path}: no such run folder"
        )
    runs = sorted(run.parent.name for run in path.glob(f"*/{CHECKPOINTS}") if run.is_dir())
    for names, what in ((runs, "run"), (files, "checkpoint")):
        if names:
            more = ", ..." if len(names) > _MAX_NAMES else ""
            listed = ", ".join(names[:_MAX_NAMES]) + more
            return UserError(f"{path} is no run folder: name one {what} of those in it: {listed}")
    return UserError(f"{path} is no run folder: it has no {lacks}")


def prune_checkpoints(newest: Path, keep: int) -> None:
    """Delete all but the last `keep` checkpoints up to `newest`; 0 keeps all."""
    paths = list_checkpoints(newest.parent.parent)
    if keep and newest in paths:  # it is not if a user has moved it away
        for path in paths[: paths.index(newest) + 1][:-keep]:
            path.unlink(missing_ok=True)
