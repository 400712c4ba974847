"""Resuming a run: its checkpoint, the options that may change, rollbacks after a divergence."""

import glob
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from dcgan.config import (
    NETWORK_OPTIONS,
    OF_OLDER_RUNS,
    DataOptions,
    EvaluationOptions,
    LossOptions,
    TrainConfig,
    config_from_dict,
    config_to_dict,
    format_flag,
    format_option,
)
from dcgan.data import PackedImages
from dcgan.errors import UsageError, UserError
from dcgan.runs import checkpoint
from dcgan.runs.checkpoint import Checkpoint, damaged
from dcgan.runs.checkpoint_folder import latest_checkpoint, warn_skipped
from dcgan.runs.layout import CONFIG_FILE, DIVERGED, best_checkpoint_path, list_checkpoints
from dcgan.runtime import distributed
from dcgan.runtime.disk import disk_errors, make_folder
from dcgan.runtime.locks import LOCK_FILE
from dcgan.runtime.terminal import print_lines
from dcgan.training.best_evaluation import BestEvaluation
from dcgan.training.monitoring import Diverged
from dcgan.training.run_state import MAX_ROLLBACKS, RunState

# In the config.json of every run, whichever options later versions add.
_ALWAYS_IN_CONFIG = ("size", "width", "latent_dim", "batch_size", "steps", "seed")
# Along a run.
_FIXED = (*NETWORK_OPTIONS, "conditional", "seed", "batch_size", "d_steps", "held_out_share")
# Not `root`: the same images may have moved.
_FREE_OF_RAW_IMAGES = ("root", "max_bad", "workers")
_FIXED_OF_RAW_IMAGES = tuple(
    field.name for field in fields(DataOptions) if field.name not in _FREE_OF_RAW_IMAGES
)
_CHANGEABLE = (
    *(field.name for kind in (LossOptions, EvaluationOptions) for field in fields(kind)),
    *("lr_G", "lr_D", "beta1", "beta2", "clip", "smooth", "lr_decay", "accumulate", "flip"),
    *("ema_images", "precision", "steps", "log_every", "sample_every", "save_every"),
    *("keep", "on_nan", "threads"),
)


def config_of_run(run: Path) -> TrainConfig | None:
    """The options with which `train` resumes the run in a folder; None if there are no checkpoints.

    `dataclasses.replace` changes some of them, for example `steps`. Raises UserError where no
    checkpoint can be read.
    """
    run = Path(run)
    found = latest_checkpoint(run, check_resumable)
    if found is None:
        return None
    try:
        return _config_in(run, found.config | {"threads": None})  # see `choose_threads`
    except (UsageError, TypeError) as error:
        raise damaged(found.path, error) from error


def config_of_begun_run(run: Path) -> TrainConfig | None:
    """The options of a run that stopped before its first checkpoint, from its config.json.

    None where there is none that can be used.
    """
    run = Path(run)
    if list_checkpoints(run) or not (config := config_of_folder(run, _ALWAYS_IN_CONFIG)):
        return None
    try:
        return _config_in(run, config)
    except (UsageError, TypeError):
        return None


def checkpoint_to_resume(config: TrainConfig, run: Path) -> Checkpoint | None:
    """The checkpoint that training in a run folder resumes from; None for a new run.

    Raises UserError where the folder holds a run with other fixed options, or files of anything
    else, which are never overwritten.
    """
    found = latest_checkpoint(run, check_resumable)
    if found is None:
        check_empty_or_begun(run, _ALWAYS_IN_CONFIG)
        return None
    ours, theirs = _as_json(config), OF_OLDER_RUNS | found.config
    # Packed images may be given instead of raw ones; whether they are the same shows later.
    packed_once = config.data or theirs.get("data")
    fixed = (*_FIXED, *(() if packed_once else _FIXED_OF_RAW_IMAGES))
    if contradiction := first_contradiction(ours, theirs, fixed):
        raise UserError(
            f"{found.path} was trained {contradiction}: use that, or another --out; --from {run} "
            f"then starts from its networks"
        )
    return found


def first_contradiction(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], fixed: Iterable[str]
) -> str | None:
    """The first of the options that cannot change along a run and differs, as "with --width 4, not
    8"; None where all agree. Both as a checkpoint holds them.
    """
    for name in fixed:
        if name in theirs and ours[name] != theirs[name]:
            wanted = format_option(name, ours[name]).removeprefix(f"{format_flag(name)} ")
            return f"with {format_option(name, theirs[name])}, not {wanted}"
    return None


def check_same_images(packed: PackedImages, found: Checkpoint) -> None:
    """Raise UserError unless a checkpoint was trained on these images, which are unchanged."""
    if found.header["data"] != packed.fingerprint:
        raise UserError(
            f"{found.path} was trained on other images than those in {packed.folder}: use another "
            f"--out, and --from {found.path.parent.parent} to start from its networks"
        )
    if distributed.is_main():
        packed.check_unchanged()


def announce_resume(config: TrainConfig, run: Path, found: Checkpoint) -> None:
    """Print on stderr from which step a run resumes, and which options change."""
    changes = changed_options(_as_json(config), found.config, _CHANGEABLE)
    if rollbacks := found.header["rollbacks"]:
        changes.append(f"1/{2**rollbacks} of --lr-G and --lr-D after {rollbacks} rollbacks")
    if distributed.is_main():
        options = f" with {', '.join(changes)}" if changes else ""
        print_lines(f"{run} resumes from step {found.step}{options}", file=sys.stderr)


def check_resumable(found: Checkpoint) -> None:
    """Raise UserError unless training can resume from a checkpoint, which takes more than sampling
    does.
    """
    if "data" not in found.header:
        raise UserError(
            f"{found.path} holds networks alone, without the state of a training: "
            f"--from {found.path.parent.parent} and another --out train on from them"
        )
    RunState.from_checkpoint(found)


def best_to_resume(config: TrainConfig, run: Path, state: RunState | None) -> BestEvaluation:
    """The best evaluation of a run that resumes from `state`.

    That of best.safetensors where it is of a later step than `state`: a killed run has evaluated
    steps that are repeated now. Otherwise that of `state`.
    """
    best, path = BestEvaluation.of(config, state.best if state else None), best_checkpoint_path(run)
    if not path.is_file():
        return best
    try:
        kept = BestEvaluation.of(config, RunState.from_checkpoint(checkpoint.read(path)).best)
    except UserError as error:
        warn_skipped(error)
        return best
    later = kept.value is not None and kept.step > (state.step if state else 0)
    return kept if later else best


def handle_divergence(
    error: Diverged, config: TrainConfig, run: Path, found: Checkpoint | None, rollbacks: int
) -> None:
    """Announce a rollback to the last good checkpoint `found`, the `rollbacks`-th of the run.

    Raises UserError where --on-nan stops the run instead, or rollbacks have not helped.
    """
    step = found.step if found else 0
    if config.on_nan == "rollback" and rollbacks <= MAX_ROLLBACKS:
        if distributed.is_main():
            print_lines(
                f"{error}: back to step {step}, with 1/{2**rollbacks} of --lr-G and --lr-D",
                file=sys.stderr,
            )
        return
    tried = f", after {MAX_ROLLBACKS} rollbacks" if config.on_nan == "rollback" else ""
    cure = "" if tried else ", or --on-nan rollback"
    raise UserError(
        f"{error}{tried}. {run / DIVERGED} holds the networks as they were; the last good "
        f"checkpoint is {found.path if found else 'none'}. Try a lower --lr-G and --lr-D{cure}"
    )


def new_run_folder(out: Path, device: torch.device) -> Path:
    """Make OUT, or the first of OUT-2, OUT-3, ... that is free, the same in all processes.

    After a restart by torchrun it is the last one that exists, which these processes have begun.
    """
    number = 0
    if distributed.is_main():
        paths = [out, *out.parent.glob(f"{glob.escape(out.name)}-*")]
        ends = [path.name.removeprefix(out.name) for path in paths if os.path.lexists(path)]
        numbers = [1 if not end else int(end[1:]) for end in ends if re.fullmatch(r"(-\d+)?", end)]
        restarted = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0
        number = max(max(numbers, default=0) + 1 - restarted, 1)
    number = distributed.max_over_processes(number, device)
    run = out.with_name(f"{out.name}-{number}") if number > 1 else out
    if distributed.is_main():
        with disk_errors(run):
            make_folder(run)
    return run


def changed_options(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], names: Iterable[str]
) -> list[str]:
    """Those of the named options that differ from `theirs`, as "--r1 0.5 (2.0 before)".

    Both as a checkpoint holds them.
    """
    return [
        f"{format_flag(name)} {_format_value(ours[name])} ({_format_value(theirs[name])} before)"
        for name in names
        if name in theirs and not _is_same(ours[name], theirs[name])
    ]


def _as_json(config: TrainConfig) -> dict[str, Any]:
    """The options as a checkpoint holds them: with lists in place of tuples."""
    return json.loads(json.dumps(config_to_dict(config)))


def _is_same(ours: object, theirs: object) -> bool:
    """Whether two values are the same; a checkpoint holds what --augment-p auto stood for."""
    return ours == theirs or (ours == "auto" and theirs in ("adaptive", 0.0))


def _format_value(value: object) -> str:
    return " ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def _config_in(run: Path, options: dict[str, Any]) -> TrainConfig:
    """The stored options of a run, which lies in the folder `run` now. Raises UsageError."""
    of_folder = {"out": str(run), "fresh": False, "dry_run": False}
    return config_from_dict(options | of_folder)


def check_empty_or_begun(run: Path, always: Iterable[str]) -> None:
    """Raise UserError unless a folder without checkpoints is missing, is empty, or was begun by a
    run that stopped before its first one, and whose config.json has the options `always`.
    """
    if run.exists() and not (run.is_dir() and _is_empty_or_begun(run, always)):
        raise UserError(f"{run} holds other files: use another --out, new or empty")


def _is_empty_or_begun(folder: Path, always: Iterable[str]) -> bool:
    try:
        if all(path.name == LOCK_FILE for path in folder.iterdir()):
            return True
    except OSError:
        return False
    return config_of_folder(folder, always) is not None


def config_of_folder(folder: Path, always: Iterable[str]) -> dict[str, Any] | None:
    """The content of the config.json of a run; None where there is no such file with the options
    `always`.
    """
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        return config if set(always) <= set(config) else None
    except (OSError, ValueError, TypeError, RecursionError):
        return None
