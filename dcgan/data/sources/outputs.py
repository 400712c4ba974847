"""What dcgan has written: it is never read as raw images, wherever it lies."""

import json
import os
from collections.abc import Collection
from pathlib import Path

from dcgan.config import (
    DEFAULT_GRID,
    ArithmeticConfig,
    CanvasConfig,
    CompareConfig,
    DirectionConfig,
    InvertConfig,
    NeighboursConfig,
    TimelapseConfig,
    WalkConfig,
)
from dcgan.data.packed_files import IMAGES, META
from dcgan.runtime.picture_mark import OUTPUT_MARK

_CONFIG_FILE = "config.json"
_ALWAYS_IN_CONFIG = {"latent_dim", "batch_size", "seed"}  # of a run
_SAMPLES = "samples"  # of a run
_MAX_CONFIG_BYTES = 2**20
# To look into every picture would take much longer than a walk.
_PICTURES = {
    DEFAULT_GRID.name,
    *(kind.out.name for kind in (WalkConfig, ArithmeticConfig, DirectionConfig, InvertConfig)),
    CanvasConfig.out.name,
    *(kind.out.name for kind in (NeighboursConfig, CompareConfig, TimelapseConfig)),
}
_MARKED_BYTES = 2**12  # from the start


def output_kind(folder: Path, names: Collection[str]) -> str | None:
    """What dcgan has written as this folder, which holds `names`: "a run", "packed images"; or
    None.
    """
    if META in names and IMAGES in names:
        return "packed images"
    return "a run" if _CONFIG_FILE in names and _is_run_config(folder / _CONFIG_FILE) else None


def output_around(root: Path) -> str | None:
    """What dcgan has written, if that is `root` or the samples of a run; else None."""
    root = root.resolve()
    for folder in (root, *([root.parent] if root.name == _SAMPLES else [])):
        if kind := output_kind(folder, [path.name for path in folder.iterdir()]):
            return kind
    return None


def is_output_picture(path: str) -> bool:
    """Whether this file is a picture that a command has written under its default name."""
    if os.path.basename(path) not in _PICTURES:
        return False
    try:
        with open(path, "rb") as file:
            return OUTPUT_MARK.encode() in file.read(_MARKED_BYTES)
    except OSError:
        return False


def _is_run_config(path: Path) -> bool:
    try:
        if path.stat().st_size > _MAX_CONFIG_BYTES:
            return False
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(config, dict) and set(config) >= _ALWAYS_IN_CONFIG
