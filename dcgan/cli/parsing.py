"""Words of the command line to options: what tyro reads, with mistakes that take one line."""

import contextlib
import dataclasses
import io
import re
from collections.abc import Sequence
from pathlib import Path

import tyro

from dcgan.errors import UsageError


def leading(
    args: Sequence[str], choices: tuple[str, ...], what: str, default: str | None
) -> tuple[str | None, Sequence[str]]:
    """Split a first word that is one of `choices` from the flags after it."""
    if not args or args[0].startswith("-"):
        return default, args
    if args[0] not in choices:
        raise UsageError(f"no {what} {args[0]!r}; one of {', '.join(choices)}")
    return args[0], args[1:]


def parse(default, prog: str, about: str, args: Sequence[str], first: Sequence[str] = ()):
    """Read flags over a default instance of a config; the option classes it is of group the help.

    Raises UsageError with tyro's first sentence where the flags are wrong, and a hint where what it
    does not know is one of the words that come `first`.
    """
    kind = type(default)
    groups = kind.__bases__[::-1] if len(kind.__bases__) > 1 else (kind,)
    titles = [re.sub("(Options|Config)$", "", group.__name__).lower() for group in groups]
    groups = [*map(marked, groups)]
    parts = [
        group(**{field.name: getattr(default, field.name) for field in dataclasses.fields(group)})
        for group in groups
    ]
    shell = dataclasses.make_dataclass("Options", zip(titles, groups, strict=True))
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            parsed = tyro.cli(
                shell,
                args=args,
                prog=prog,
                description=about,
                default=shell(*parts),
                config=(tyro.conf.OmitArgPrefixes, tyro.conf.DisallowNone),
            )
    except SystemExit as stop:
        if stop.code:
            sentence = first_sentence(errors.getvalue())
            late = [word for word in args if word in first] if "Unrecognized" in sentence else ()
            hints = [f"{word} comes before the flags: {prog} {word} ..." for word in late]
            raise UsageError(" ".join([sentence, *hints, f"See {prog} --help"])) from None
        raise
    values = {}
    for title in titles:
        values |= vars(getattr(parsed, title))
    return kind(**{k: v.expanduser() if isinstance(v, Path) else v for k, v in values.items()})


def marked(group: type) -> type:
    """An option class with tyro's own mark on its `positional` fields: config knows no tyro."""
    words = {
        field.name: tyro.conf.Positional[field.type]
        for field in dataclasses.fields(group)
        if "positional" in field.metadata
    }
    members = {"__annotations__": words, "__doc__": group.__doc__}
    return type(group.__name__, (group,), members) if words else group


def first_sentence(box: str) -> str:
    """What tyro's framed error says before its first rule, as one line ending in a full stop."""
    lines = [line.strip("│╭╮╰╯|+ ") for line in box.replace("─", "-").splitlines()]
    rules = [i for i, line in enumerate(lines) if "-" * 10 in line]
    inside = lines[rules[0] + 1 : rules[1]] if len(rules) > 1 else lines
    return " ".join(" ".join(inside).split()).rstrip(".") + "."
