"""The command line: `dcgan COMMAND ...`, `train.py` and `sample.py`."""

from dcgan.cli.commands import (
    arithmetic,
    canvas,
    compare,
    denoise,
    direction,
    doctor,
    evaluate,
    features,
    invert,
    neighbours,
    prepare,
    sample,
    sizes,
    timelapse,
    train,
    visualize,
    walk,
)
from dcgan.cli.entry import main, run

__all__ = [
    "arithmetic",
    "canvas",
    "compare",
    "denoise",
    "direction",
    "doctor",
    "evaluate",
    "features",
    "invert",
    "main",
    "neighbours",
    "prepare",
    "run",
    "sample",
    "sizes",
    "timelapse",
    "train",
    "visualize",
    "walk",
]
