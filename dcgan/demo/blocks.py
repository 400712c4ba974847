"""Gradio's blocks, which answer in words whatever is sent to them."""

import functools
import html
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcgan.demo.uploads import is_within
from dcgan.errors import UserError
from dcgan.runtime.terminal import print_lines

if TYPE_CHECKING:
    import gradio as gr

_SECONDS = 20  # that a message stays
_MAX_DEPTH = 20  # of JSON


def message(text: str) -> "gr.Error":
    """An error that the page shows as text, and that does not print a traceback."""
    import gradio as gr

    return gr.Error(
        html.escape(text, quote=False), _SECONDS, title="Not possible", print_exception=False
    )


def in_words(answer: Callable) -> Callable:
    """The same function, whose UserErrors become messages on the page."""

    @functools.wraps(answer)
    def answered(*values: Any) -> Any:
        try:
            return answer(*values)
        except UserError as error:
            raise message(str(error)) from None

    return answered


def guarded_blocks(folder: Path, **options: Any) -> "gr.Blocks":
    """Blocks whose errors are messages, also those of values that Gradio itself cannot take.

    Values that name files outside of `folder`, the folder of uploads, are refused: Gradio copies
    whatever file of this machine or of the network a value names, of any control.
    """
    import gradio as gr

    class GuardedBlocks(gr.Blocks):
        async def process_api(self, block_fn: Any, inputs: Any, *args: Any, **others: Any) -> Any:
            try:
                if _names_other_files(inputs, folder):
                    raise message("send a photo of yours: this names a file of others")
                return await super().process_api(block_fn, inputs, *args, **others)
            except gr.Error as error:
                error.print_exception = False
                raise
            except Exception as error:
                print_lines(f"demo: {type(error).__name__}: {error}"[:200], file=sys.stderr)
                raise message("this cannot be done: load the page again") from None

    return GuardedBlocks(**options)


def _names_other_files(value: Any, folder: Path, depth: int = 0) -> bool:
    """Whether a JSON value names any file that is not in the folder, or is too deep to tell."""
    if depth > _MAX_DEPTH:
        return True
    if isinstance(value, dict):
        path = value.get("path", folder)
        if not isinstance(path, str | Path) or not is_within(path, folder):
            return True
        value = list(value.values())
    return isinstance(value, list) and any(
        _names_other_files(each, folder, depth + 1) for each in value
    )
