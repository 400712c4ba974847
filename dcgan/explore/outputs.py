"""Checks of the files that a command is going to write, before the work for them is done."""

from collections.abc import Iterable
from pathlib import Path

from dcgan.errors import UserError
from dcgan.runtime.disk import check_writable


def check_outputs(outputs: Iterable[Path], inputs: Iterable[object]) -> None:
    """Raise UserError for outputs that cannot be written, are one file, or are among the files to
    read.

    inputs: paths; others, such as the seeds of a walk, are passed over.
    """
    read = [path for path in inputs if isinstance(path, Path) and path.exists()]
    places = set()
    for path in outputs:
        check_writable(path)
        if (place := path.resolve()) in places:
            raise UserError(f"{path} would be written twice: name another file")
        places.add(place)
        if path.exists() and any(path.samefile(other) for other in read):
            raise UserError(f"{path} would be replaced, and is read: name another --out")
