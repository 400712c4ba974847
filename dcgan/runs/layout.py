"""The names of all files and folders in a run folder."""

import re
from pathlib import Path

from dcgan.runtime.atomic_files import partial_pattern, remove

CONFIG_FILE = "config.json"
METRICS_FILE = "metrics.jsonl"
SAMPLES = "samples"
CHECKPOINTS = "checkpoints"
_BEST_CHECKPOINT = "best.safetensors"
EVALUATIONS = "evaluations"  # scores of `dcgan evaluate`
DIVERGED = "diverged"  # checkpoints with numbers that are not finite

_WRITTEN_ATOMICALLY = (  # folder in the run folder, and pattern of file names
    ("", CONFIG_FILE),
    ("", METRICS_FILE),
    (SAMPLES, "step-*.png"),
    (CHECKPOINTS, "step-*.safetensors"),
    (CHECKPOINTS, _BEST_CHECKPOINT),
    (DIVERGED, "step-*.safetensors"),
)
_SAFETENSORS_TEMPORARY = ".tmp" + "[0-9A-Za-z]" * 6  # beside the file that it writes


def checkpoint_path(run: Path, step: int) -> Path:
    """The file of the checkpoint of a step."""
    return Path(run) / CHECKPOINTS / f"step-{step:08d}.safetensors"


def list_checkpoints(run: Path) -> list[Path]:
    """The checkpoints of a run that have a step in their name, oldest first."""
    return _sorted_by_step(Path(run) / CHECKPOINTS, ".safetensors")


def best_checkpoint_path(run: Path) -> Path:
    """The file of the checkpoint with the best evaluation, which is never deleted."""
    return Path(run) / CHECKPOINTS / _BEST_CHECKPOINT


def diverged_path(run: Path, step: int) -> Path:
    """The file of the checkpoint of a step whose numbers are not finite."""
    return Path(run) / DIVERGED / f"step-{step:08d}.safetensors"


def sample_grid_path(run: Path, step: int) -> Path:
    """The file of the sample grid of a step."""
    return Path(run) / SAMPLES / f"step-{step:08d}.png"


def list_sample_grids(run: Path) -> list[Path]:
    """The sample grids of a run, oldest first."""
    return _sorted_by_step(Path(run) / SAMPLES, ".png")


def latest_sample_grid(run: Path) -> Path | None:
    """The newest sample grid of a run; None where there is none."""
    return next(reversed(list_sample_grids(run)), None)


def step_from_name(path: Path) -> int:
    """The step in the name of a file; -1 where it has none."""
    match = re.fullmatch(r"step-(\d{1,18})", path.stem)
    return int(match[1]) if match else -1


def remove_temporaries(run: Path) -> None:
    """Delete the temporary files that killed processes of this run have left."""
    for folder, name in _WRITTEN_ATOMICALLY:
        for path in (run / folder).glob(partial_pattern(name)):
            remove(path)
    for folder in (CHECKPOINTS, DIVERGED):
        for path in (run / folder).glob(_SAFETENSORS_TEMPORARY):
            remove(path)


def _sorted_by_step(folder: Path, ending: str) -> list[Path]:
    """Files with a step in their name. OSError for a folder that may not be read: `glob` would
    call it empty, and a run would begin anew in it.
    """
    paths = [path for path in folder.iterdir() if path.suffix == ending] if folder.is_dir() else []
    return sorted(
        (path for path in paths if step_from_name(path) >= 0 and path.is_file()), key=step_from_name
    )
