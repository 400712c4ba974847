"""`dcgan timelapse`: the sample grids of a run in the order of its steps, of the same latents."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from dcgan.config import MIN_FRAME_SECONDS, validate_duration
from dcgan.config.validation import to_path
from dcgan.errors import UserError
from dcgan.runs.checkpoint_folder import no_run_folder, run_folder
from dcgan.runs.layout import SAMPLES, list_sample_grids
from dcgan.runtime.terminal import print_lines


def load_frames(run: Path, seconds: float) -> list[np.ndarray]:
    """The sample grids of a run for an animation of `seconds`, oldest first, uint8 [H, W, 3].

    Grids are left out evenly where the animation is too short for all of them. Smaller grids are
    padded with white to one shape. Damaged grids are skipped with a warning. Raises UserError where
    no grid is left, UsageError for a duration that `--seconds` does not allow.
    """
    run = run_folder(to_path(run))
    validate_duration(seconds)
    if not (run / SAMPLES).is_dir():
        raise no_run_folder(run, SAMPLES)
    paths = list_sample_grids(run)
    max_frames = max(int(seconds / MIN_FRAME_SECONDS), 1)
    if len(paths) > max_frames:  # the first and the last stay
        paths = [paths[i] for i in np.linspace(0, len(paths) - 1, max_frames).round().astype(int)]
    pictures = [picture for path in paths if (picture := _read_grid(path)) is not None]
    if not pictures:
        raise UserError(f"{run} has no sample grid in {SAMPLES} that can be read")
    return _pad_to_one_size(pictures)


def _read_grid(path: Path) -> np.ndarray | None:
    """One grid as uint8 [H, W, 3]; None, with a warning, if it is damaged."""
    try:
        with Image.open(path, formats=("PNG",)) as image:
            return np.asarray(image.convert("RGB"))
    # On damaged files Pillow raises nearly every kind of exception.
    except Exception as error:
        print_lines(f"skipped: {path} ({error})", file=sys.stderr)
        return None


def _pad_to_one_size(pictures: list[np.ndarray]) -> list[np.ndarray]:
    """Pad pictures [h, w, C] with white, right and below, to the largest height and width."""
    height, width = np.max([picture.shape[:2] for picture in pictures], axis=0)
    return [
        np.pad(
            picture,
            ((0, height - picture.shape[0]), (0, width - picture.shape[1]), (0, 0)),
            constant_values=255,
        )
        for picture in pictures
    ]
