"""What is known about a model: how it was trained, on what, and how it was evaluated."""

import json
import math
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcgan.config import PRESETS, TrainConfig, config_from_dict, format_flag, format_option
from dcgan.errors import UserError
from dcgan.explore.finding_classifier import run_images
from dcgan.runs import Checkpoint
from dcgan.runs.layout import CHECKPOINTS, EVALUATIONS
from dcgan.runtime.hashing import file_sha256

_MAX_EVALUATION_BYTES = 2**20
# Options that do not change the result.
_IRRELEVANT = {"device", "threads", "workers", "cuda_graphs", "compile", "fresh", "dry_run", "keep"}
_IRRELEVANT |= {"log_every", "sample_every", "save_every"}
_NEED_ROOT = ("celeba", "lsun", "folder", "voc")


@dataclass(frozen=True)
class Evaluation:
    """Scores of `dcgan evaluate`, by features and metric, and the protocol of their computation."""

    scores: dict[str, dict[str, float]]
    protocol: dict[str, Any]


def training_command(found: Checkpoint) -> str | None:
    """The command that trains such a model: a preset, and the options that differ from it. Folders
    are placeholders, since their names are of one machine.

    None for networks whose options another version of dcgan has written.
    """
    try:
        config = config_from_dict(found.config)
    except UserError:
        return None
    differing = {name: _differing(config, preset) for name, preset in PRESETS.items()}
    sources = {name: preset.source for name, preset in PRESETS.items()}
    preset = min(PRESETS, key=lambda name: (sources[name] != config.source, len(differing[name])))
    words = ["dcgan", "train", preset]
    if config.data:
        words += ["--data", "PACKED"]
    elif config.source in _NEED_ROOT:
        words += ["--root", "IMAGES"]
    if config.from_:
        words += ["--from", "CHECKPOINT"]
    for name in differing[preset]:
        value = getattr(config, name)
        if isinstance(value, bool):
            words.append(format_option(name, value))
        elif value is not None:
            values = value if isinstance(value, tuple) else (value,)
            words += [format_flag(name), *map(str, values)]
    return shlex.join(words)


def _differing(config: TrainConfig, preset: TrainConfig) -> list[str]:
    """The options that differ from a preset, but for paths and those that change no result."""
    return [
        name
        for name, value in vars(config).items()
        if value != getattr(preset, name) and name not in _IRRELEVANT and not _is_path(name)
    ]


def _is_path(name: str) -> bool:
    return "Path" in str(TrainConfig.__dataclass_fields__[name].type)


def count_images(found: Checkpoint) -> int | None:
    """How many images the model was trained on; None where that is not known here any more."""
    packed = run_images(found.path)
    if packed is not None:
        return len(packed)
    if found.labels and found.labels.kind == "class":
        return int(found.labels.counts.sum())
    count = found.config.get("count")
    is_faces = found.config.get("source") == "faces" and not found.config.get("data")
    return count if is_faces and type(count) is int else None


def last_evaluation(found: Checkpoint) -> Evaluation | None:
    """The newest scores of this very checkpoint file that `dcgan evaluate` has stored.

    Files that are no such scores are passed over.
    """
    folder = Path() if found.shared else found.path.parent
    folder = (folder.parent if folder.name == CHECKPOINTS else folder) / EVALUATIONS
    digest = file_sha256(found.path)
    try:
        paths = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    except OSError:
        return None
    evaluations = (_read_evaluation(path, digest) for path in paths)
    return next(filter(None, evaluations), None)


def _read_evaluation(path: Path, digest: str) -> Evaluation | None:
    try:
        if path.stat().st_size > _MAX_EVALUATION_BYTES:
            return None
        content = json.loads(path.read_text(encoding="utf-8"))
        protocol, results = content["protocol"], content["results"]
        if not isinstance(protocol, dict) or protocol.get("checkpoint_sha256") != digest:
            return None
        scores = {
            group: {name: value for name, value in values.items() if _is_number(value)}
            for group, values in results.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return Evaluation(scores, protocol)


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]
