"""Disk space that a run needs, and what is free where it will be written."""

import math
import shutil
from collections.abc import Mapping
from pathlib import Path

from dcgan.config import TrainConfig
from dcgan.runs.layout import CHECKPOINTS, METRICS_FILE, checkpoint_path, sample_grid_path
from dcgan.runtime.disk import format_size

_FILES_PER_GRID = 3  # a PNG, and two images of TensorBoard
_FILES_PER_LINE = 2  # metrics.jsonl, and TensorBoard's scalars


def estimate_run_size(config: TrainConfig, done: int, short_run: Path, short_steps: int) -> int:
    """Bytes that a run adds after `done` steps, and a checkpoint that is being written.

    The files are as large as those of `short_run`, a run of `short_steps` steps that logs each.
    """
    steps = max(config.steps - done, 0)
    saves = math.ceil(steps / config.save_every)
    checkpoints = min(saves, config.keep or saves) + bool(config.eval_every)  # and the best
    if done and config.keep:  # new checkpoints replace those of the run
        existing = list((config.out / CHECKPOINTS).glob("*.safetensors"))
        checkpoints = max(checkpoints - len(existing), 0)
    grids = math.ceil(steps / config.sample_every) * _FILES_PER_GRID
    lines = math.ceil(steps / config.log_every) * _FILES_PER_LINE
    checkpoint_size = checkpoint_path(short_run, short_steps).stat().st_size
    grid_size = sample_grid_path(short_run, short_steps).stat().st_size
    line_size = (short_run / METRICS_FILE).stat().st_size // short_steps
    return (checkpoints + 1) * checkpoint_size + grids * grid_size + lines * line_size


def find_full_disks(needed: Mapping[Path, int]) -> tuple[str, list[str]]:
    """Free space of the disks of these folders, as text, and one problem for each that is too full.

    `needed`: bytes that each folder will take; folders on one disk add up.
    """
    by_disk: dict[int, tuple[Path, int]] = {}
    for folder, size in needed.items():
        if size:
            existing = _existing_parent(folder)
            disk = existing.stat().st_dev
            _, others = by_disk.get(disk, (existing, 0))
            by_disk[disk] = existing, others + size
    free = {folder: _free_bytes(folder) for folder, _ in by_disk.values()}
    problems = [
        f"the disk of {folder} has {format_size(free[folder])} free, "
        f"and {format_size(size)} are needed"
        for folder, size in by_disk.values()
        if size > free[folder]
    ]
    return " and ".join(map(format_size, free.values())), problems


def _existing_parent(folder: Path) -> Path:
    """The folder itself, or the nearest of its parents that exists."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free
