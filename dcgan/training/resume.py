"""Whether a run folder may be trained in, and from which checkpoint on."""

import glob
import json
import math
import os
import re
import sys
from dataclasses import fields
from pathlib import Path

import torch
from torch import Tensor

from dcgan.config import (
    NETWORK_OPTIONS,
    EvaluationOptions,
    LossOptions,
    TrainConfig,
    config_to_dict,
    format_flag,
    format_option,
)
from dcgan.errors import UserError
from dcgan.runs import checkpoint
from dcgan.runs.layout import CONFIG_FILE, DIVERGED
from dcgan.runs.run_folder import latest_checkpoint
from dcgan.runtime import distributed
from dcgan.runtime.disk import disk_errors, make_folder
from dcgan.runtime.locks import LOCK_FILE
from dcgan.training.monitoring import Diverged, check_health_state

OPTIONS = ("size", "width", "latent_dim", "batch_size", "steps", "seed")  # of every version's runs

MAY_CHANGE = (  # along a run, which then is none that its last flags alone describe
    *(field.name for kind in (LossOptions, EvaluationOptions) for field in fields(kind)),
    *("lr_G", "lr_D", "beta1", "beta2", "clip", "smooth", "lr_decay", "accumulate", "flip"),
    *("ema_images", "precision", "steps", "log_every", "sample_every", "save_every"),
    *("keep", "on_nan"),
)

MOST_ROLLBACKS = 3


def to_continue(config: TrainConfig, run: Path) -> checkpoint.Checkpoint | None:
    """The checkpoint that a run folder goes on from; None for a new run.

    Raises UserError where the folder is of another run, or of something else: nothing that a user
    made is written over. Says on stderr which options change.
    """
    found = latest_checkpoint(run, check_resumable)
    if found is None:
        if run.exists() and not (run.is_dir() and is_empty_or_run(run)):
            raise UserError(f"{run} holds other files: use another --out, new or empty")
        return None
    for name in (*NETWORK_OPTIONS, "conditional", "seed", "batch_size", "d_steps"):
        ours, theirs = getattr(config, name), found.config[name]
        if ours != theirs:
            ours = format_option(name, ours).removeprefix(f"{format_flag(name)} ")
            raise UserError(
                f"{found.path} was trained with {format_option(name, theirs)}, not {ours}: "
                f"use that, or another --out"
            )
    changes = changed(config, found)
    if rollbacks := found.header.get("rollbacks"):
        changes.append(f"1/{2**rollbacks} of --lr-G and --lr-D after {rollbacks} rollbacks")
    if changes and distributed.is_main():
        print(f"{run} goes on from step {found.step} with {', '.join(changes)}", file=sys.stderr)
    return found


def check_resumable(found: checkpoint.Checkpoint) -> None:
    """Raise UserError unless training can go on from this checkpoint; sampling needs less."""
    header = found.header
    try:
        for name in ("seed", "batch_size"):
            checkpoint.check_whole(name, header["config"][name])
        seconds, data, meter = (header[name] for name in ("seconds", "data", "meter"))
        if type(seconds) not in (int, float) or not 0 <= seconds < math.inf:
            raise ValueError(f"seconds cannot be {seconds!r}")
        if not isinstance(data, str):
            raise TypeError(f"data cannot be {data!r}")
        if not isinstance(meter, dict) or set(meter) != {"totals", "added"}:
            raise TypeError("meter does not hold sums")
        checkpoint.check_whole("added", meter["added"])
        rollbacks = header.get("rollbacks", 0)
        checkpoint.check_whole("rollbacks", rollbacks)
        if rollbacks > MOST_ROLLBACKS:
            raise ValueError(f"rollbacks cannot be {rollbacks}")
        for name, total in dict(meter["totals"]).items():
            if type(total) not in (int, float):
                raise TypeError(f"the meter's sum of {name} cannot be {total!r}")
        if "health" in header:
            check_health_state(header["health"])
    except KeyError as error:
        raise checkpoint.damaged(found.path, f"its header lacks {error}") from error
    except (ValueError, TypeError) as error:
        raise checkpoint.damaged(found.path, error) from error


def changed(config: TrainConfig, found: checkpoint.Checkpoint) -> list[str]:
    """What is another recipe than the checkpoint's: "--r1 0.5 (2.0 before)"."""
    ours, theirs = json.loads(json.dumps(config_to_dict(config))), found.config
    return [
        f"{format_flag(name)} {words(ours[name])} ({words(theirs[name])} before)"
        for name in MAY_CHANGE
        if name in theirs and not same(ours[name], theirs[name])
    ]


def same(ours, theirs) -> bool:
    """Whether a value is that of the checkpoint, which says what --augment-p auto stood for."""
    return ours == theirs or (ours == "auto" and theirs in ("adaptive", 0.0))


def consequence(
    error: Diverged,
    config: TrainConfig,
    run: Path,
    found: checkpoint.Checkpoint | None,
    rollbacks: int,
) -> None:
    """Say what follows numbers that are not finite; raise that as UserError where it is the end.

    `found` is the last good checkpoint, and this would be rollback number `rollbacks`.
    """
    step = found.step if found else 0
    if config.on_nan == "rollback" and rollbacks <= MOST_ROLLBACKS:
        if distributed.is_main():
            print(
                f"{error}: back to step {step}, with 1/{2**rollbacks} of --lr-G and --lr-D",
                file=sys.stderr,
            )
        return
    tried = f", after {MOST_ROLLBACKS} rollbacks" if config.on_nan == "rollback" else ""
    cure = "" if tried else ", or --on-nan rollback"
    raise UserError(
        f"{error}{tried}. {run / DIVERGED} holds the networks as they were; the last good "
        f"checkpoint is {found.path if found else 'none'}. Try a lower --lr-G and --lr-D{cure}"
    )


def words(value) -> str:
    return " ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def last_strength(found: checkpoint.Checkpoint) -> Tensor:
    """How likely an augmentation was at last, 0-dim; 0 where there was none yet. UserError."""
    p = found.tensors("augment.").get("p", torch.zeros(()))
    if p.shape != () or not 0 <= p <= 1:
        raise checkpoint.damaged(found.path, "its augment.p is no probability")
    return p


def fresh(out: Path, on: torch.device) -> Path:
    """OUT, or the first of OUT-2, OUT-3, ... after those there are; made now, the same for all.

    Where torchrun has restarted the processes it is the last one, which they began.
    """
    number = 0
    if distributed.is_main():
        there = [out, *out.parent.glob(f"{glob.escape(out.name)}-*")]
        ends = [path.name.removeprefix(out.name) for path in there if os.path.lexists(path)]
        numbers = [1 if not end else int(end[1:]) for end in ends if re.fullmatch(r"(-\d+)?", end)]
        restarted = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0
        number = max(max(numbers, default=0) + 1 - restarted, 1)
    number = distributed.max_over_processes(number, on)
    run = out.with_name(f"{out.name}-{number}") if number > 1 else out
    if distributed.is_main():
        with disk_errors(run):
            make_folder(run)
    return run


def is_empty_or_run(folder: Path) -> bool:
    """Whether a folder is empty, or was begun by a run that stopped before its first checkpoint."""
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        return set(OPTIONS) <= set(config)
    except FileNotFoundError:
        return all(path.name == LOCK_FILE for path in folder.iterdir())
    except (OSError, ValueError, TypeError, RecursionError):
        return False
