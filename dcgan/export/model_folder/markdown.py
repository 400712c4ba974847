"""Markdown and YAML of texts that may be hostile, such as the names of labels."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence

from dcgan.errors import printable

_MAX_CHARACTERS = 100  # of a text that is quoted
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}


def escape(text: object) -> str:
    """A text on one line, at most 100 characters of it, that Markdown and HTML show as it is.

    ASCII punctuation has a backslash (CommonMark 0.31, section 2.4), and < > & are entities, so
    that no link, picture, tag, entity, cell of a table or heading begins in it.
    """
    shown = printable(" ".join(str(text).split()))
    if len(shown) > _MAX_CHARACTERS:
        shown = shown[:_MAX_CHARACTERS] + "..."
    return re.sub(r"[!-/:-@\[-`{-~]", lambda found: _ENTITIES.get(found[0], "\\" + found[0]), shown)


def code_block(lines: Iterable[str], language: str = "") -> str:
    """A fenced block of code, whose fence is longer than all rows of backticks in it."""
    content = "\n".join(map(printable, lines))
    longest = max(map(len, re.findall(r"`+", content)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{content}\n{fence}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown already."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def front_matter(values: Mapping[str, str | list[str]]) -> str:
    """Metadata in YAML between two lines of dashes, at the top of a page.

    Texts are in double quotes with the escapes of JSON, which are those of YAML as well.
    """
    lines = [f"{name}: {json.dumps(value)}" for name, value in values.items()]
    return "\n".join(["---", *lines, "---"])
