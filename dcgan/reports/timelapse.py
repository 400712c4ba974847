"""The sample grids of a run, in order, as one animation: the same latents while G learns."""

import re
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from dcgan.config import MIN_FRAME_SECONDS
from dcgan.errors import UserError
from dcgan.runs.layout import SAMPLES


def load_frames(run: Path, seconds: float) -> list[np.ndarray]:
    """The grids of a run, oldest first, uint8 of one shape [H, W, C]; fewer if time is short.

    Smaller ones are set on white. What cannot be read is named on stderr and passed over; raises
    UserError where nothing is left.
    """
    paths = grids(run)
    most = max(int(seconds / MIN_FRAME_SECONDS), 1)
    if len(paths) > most:  # the first and the last stay
        paths = [paths[i] for i in np.linspace(0, len(paths) - 1, most).round().astype(int)]
    pictures = [picture for path in paths if (picture := read(path)) is not None]
    if not pictures:
        raise UserError(f"{run} has no sample grid in {SAMPLES} that can be read")
    return alike(pictures)


def grids(run: Path) -> list[Path]:
    """The grids of a run in the order of their steps. Raises UserError where there is no run."""
    folder = Path(run) / SAMPLES
    if not folder.is_dir():
        raise UserError(f"{run}: no such run folder, or it has no {SAMPLES}")
    found = {
        int(match[1]): path
        for path in folder.iterdir()
        if (match := re.fullmatch(r"step-(\d{1,18})\.png", path.name))
    }
    return [found[step] for step in sorted(found)]


def read(path: Path) -> np.ndarray | None:
    """One grid as uint8 [H, W, 3]; None where it is damaged."""
    try:
        with Image.open(path, formats=("PNG",)) as image:
            return np.asarray(image.convert("RGB"))
    # On damaged files Pillow's parsers raise nearly every exception there is.
    except Exception as error:
        print(f"passed over: {path} ({error})", file=sys.stderr)
        return None


def alike(pictures: list[np.ndarray]) -> list[np.ndarray]:
    """Pictures [h, w, C] set on white at the top left of the largest height and width."""
    height, width = np.max([picture.shape[:2] for picture in pictures], axis=0)
    return [
        np.pad(
            picture,
            ((0, height - picture.shape[0]), (0, width - picture.shape[1]), (0, 0)),
            constant_values=255,
        )
        for picture in pictures
    ]
