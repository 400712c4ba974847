"""Progress bars in terminals and notebooks, and lines of progress in files and pipes."""

import sys
from typing import Any, TextIO

from tqdm import tqdm
from tqdm.auto import tqdm as tqdm_auto

_LINE_SECONDS = 30.0  # between two lines where stderr is no terminal
_LINE = "{desc}: {n_fmt}/{total_fmt} {unit} in {elapsed}, {remaining} left{postfix}"


class _WholeLines:
    """A text stream that writes what tqdm redraws in place as one line each."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> None:
        if line := text.strip("\r\n "):
            self._stream.write(f"{line}\n")

    def flush(self) -> None:
        self._stream.flush()


def progress_bar(total: int, what: str, unit: str, **options: Any) -> tqdm:
    """A progress bar on stderr or in a notebook; a line every 30 seconds where there is neither.

    `options`: of tqdm.
    """
    stream = sys.stderr
    is_terminal = getattr(stream, "isatty", lambda: False)()  # a page's stream may have none
    if type(stream).__module__.startswith("ipykernel"):
        return tqdm_auto(total=total, desc=what, unit=unit, **options)
    if stream is None or is_terminal:
        return tqdm(total=total, desc=what, unit=unit, dynamic_ncols=True, **options)
    options |= {"mininterval": _LINE_SECONDS, "maxinterval": _LINE_SECONDS}
    lines = _WholeLines(stream)
    return tqdm(total=total, desc=what, unit=unit, file=lines, bar_format=_LINE, **options)
