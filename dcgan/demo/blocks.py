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

_MAX_DEPTH = 20  # of JSON
_FAILED = "this cannot be done: load the page again"


def in_words(answer: Callable, outputs: int) -> Callable:
    """A function that returns what `answer` does for so many outputs, and an empty message. Where
    it raises an error, these stay as they are, and the message says what is wrong. Where it returns
    None, the message stays as well.

    Gradio's own way to show errors needs its queue, in which a slider would wait.
    """
    import gradio as gr

    @functools.wraps(answer)
    def answered(*values: Any) -> list:
        try:
            if (parts := answer(*values)) is None:
                return [gr.skip()] * (outputs + 1)
            return [*(parts if isinstance(parts, tuple | list) else [parts]), ""]
        except UserError as error:
            words = str(error)
        except Exception as error:
            words = _report(error)
        return [*[gr.skip()] * outputs, f'<p role="alert">{html.escape(words)}</p>']

    return answered


def _report(error: Exception) -> str:
    """Print a line about an error that should not happen; -> words for the visitor."""
    print_lines(f"demo: {type(error).__name__}: {error}"[:200], file=sys.stderr)
    return _FAILED


def guarded_blocks(folder: Path, **options: Any) -> "gr.Blocks":
    """Blocks whose errors are short words, also those of values that Gradio itself cannot take.

    Values that name files outside of `folder`, the folder of uploads, are refused: Gradio copies
    whatever file of this machine or of the network a value names, of any control.
    """
    import gradio as gr

    class GuardedBlocks(gr.Blocks):
        async def process_api(self, block_fn: Any, inputs: Any, *args: Any, **others: Any) -> Any:
            try:
                if _names_other_files(inputs, folder):
                    raise gr.Error("send a photo of yours: this names a file of others")
                return await super().process_api(block_fn, inputs, *args, **others)
            except gr.Error as error:
                error.print_exception = False
                raise
            except Exception as error:
                raise gr.Error(_report(error), print_exception=False) from None

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
