"""What is printed. No other module prints: names and texts of files must not command terminals."""

from typing import TextIO

from dcgan.errors import printable


def print_lines(*lines: object, file: TextIO | None = None) -> None:
    """Print lines of printable text on `file`; None: stdout."""
    print(*(printable(str(line)) for line in lines), sep="\n", file=file, flush=True)
