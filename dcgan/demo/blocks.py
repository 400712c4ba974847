"""Gradio's blocks, which answer in words whatever is sent to them."""

import functools
import html
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dcgan.errors import UserError
from dcgan.runtime.terminal import print_lines

if TYPE_CHECKING:
    import gradio as gr

_SECONDS = 20  # that a message stays
_MAX_DEPTH = 20  # of JSON


def message(text: str) -> "gr.Error":
    """An error that the page shows as text, and that does not print a traceback."""
    import gradio as gr

    return gr.Error(html.escape(text), _SECONDS, title="Not possible", print_exception=False)


def in_words(answer: Callable) -> Callable:
    """The same function, whose UserErrors become messages on the page."""

    @functools.wraps(answer)
    def answered(*values: Any) -> Any:
        try:
            return answer(*values)
        except UserError as error:
            raise message(str(error)) from None

    return answered


def guarded_blocks(**options: Any) -> "gr.Blocks":
    """Blocks whose errors are messages, also those of values that Gradio itself cannot take.

    Where the value of any control names a file by an address, Gradio would fetch it: such values
    are refused.
    """
    import gradio as gr

    class GuardedBlocks(gr.Blocks):
        async def process_api(self, block_fn: Any, inputs: Any, *args: Any, **others: Any) -> Any:
            try:
                if _names_an_address(inputs):
                    raise message("files are taken from your machine alone, not from an address")
                return await super().process_api(block_fn, inputs, *args, **others)
            except gr.Error as error:
                error.print_exception = False
                raise
            except Exception as error:
                print_lines(f"demo: {type(error).__name__}: {error}"[:200], file=sys.stderr)
                raise message("this cannot be done: load the page again") from None

    return GuardedBlocks(**options)


def _names_an_address(value: Any, depth: int = 0) -> bool:
    """Whether any file in a JSON value has an address for a path, or the value is too deep."""
    if depth > _MAX_DEPTH:
        return True
    if isinstance(value, dict):
        if "://" in str(value.get("path", "")):
            return True
        value = list(value.values())
    return isinstance(value, list) and any(_names_an_address(each, depth + 1) for each in value)
