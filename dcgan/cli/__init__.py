"""The command line: `dcgan COMMAND ...`, `train.py` and `sample.py`."""

from dcgan.cli.commands import main, prepare, run, sample, train, walk

__all__ = ["main", "prepare", "run", "sample", "train", "walk"]
