"""Checks of the files that a command is going to write, before the work for them is done."""

from collections.abc import Iterable
from pathlib import Path

from dcgan.errors import UserError
from dcgan.runtime.disk import check_writable


def check_outputs(outputs: Iterable[Path], inputs: Iterable[object]) -> None:
    """Raise UserError for outputs that cannot be written, or that are among the files to read.

    inputs: paths; others, such as the seeds of a walk, are passed over.
    """
    read = [path for path in inputs if isinstance(path, Path) and path.exists()]
    for path in outputs:
        check_writable(path)
        if path.exists() and any(path.samefile(other) for other in read):
            raise UserError(f"{path} would be replaced, and is read: name another --out")
