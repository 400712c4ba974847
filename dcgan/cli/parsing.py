"""Command-line words to dataclasses, by tyro, with errors of one line."""

import contextlib
import dataclasses
import inspect
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import docstring_parser
import tyro

from dcgan.errors import UsageError

Config = TypeVar("Config")


def split_choice(
    args: Sequence[str], choices: Sequence[str], what: str
) -> tuple[str | None, Sequence[str]]:
    """Split the first word, one of `choices`, from the flags after it; None if flags come first.

    `what` names it in the UsageError for any other word.
    """
    if not args or args[0].startswith("-"):
        return None, args
    if args[0] not in choices:
        raise UsageError(f"unknown {what} {args[0]!r}: choose one of {', '.join(choices)}")
    return args[0], args[1:]


def parse_flags(
    kind: type[Config],
    args: Sequence[str],
    prog: str,
    description: str | None,
    defaults: Mapping[str, Any] | None = None,
    first_words: Sequence[str] = (),
) -> Config:
    """Read the flags of a config dataclass; the option classes it inherits from group its --help.

    `defaults` replace those of the dataclass. Raises UsageError with tyro's first sentence for
    wrong flags; the error also says so if one of `first_words` comes after the flags.
    """
    bases = kind.__bases__[::-1] if len(kind.__bases__) > 1 else (kind,)
    groups = {_heading(base): _group(base, defaults or {}) for base in bases}
    shell = dataclasses.make_dataclass("Options", groups.items())
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            parsed: Any = tyro.cli(
                shell,
                args=args,
                prog=prog,
                description=description,
                config=(tyro.conf.OmitArgPrefixes, tyro.conf.DisallowNone),
            )
    except SystemExit as stop:
        if stop.code:
            sentence = _first_sentence(errors.getvalue())
            late = [word for word in args if word in first_words]
            hints = [f"Put {word} before the flags: {prog} {word} ..." for word in late]
            hints = hints if "Unrecognized" in sentence else []
            raise UsageError(" ".join([sentence, *hints, f"See {prog} --help"])) from None
        raise
    values: dict[str, Any] = {}
    for heading in groups:
        values |= vars(getattr(parsed, heading))
    return kind(**{k: v.expanduser() if isinstance(v, Path) else v for k, v in values.items()})


def _heading(group: type) -> str:
    """Heading of an option class in --help: LossOptions -> "loss" (tyro appends "options")."""
    return re.sub("(Options|Config)$", "", group.__name__).lower()


def _group(group: type, defaults: Mapping[str, Any]) -> type:
    """A dataclass of an option class's fields with tyro's annotations, and without validation."""
    helptexts = _field_docstrings(group)
    annotated: Any = Annotated  # of types that a type checker cannot know
    fields = []
    for field in dataclasses.fields(group):
        default = defaults.get(field.name, field.default)
        # Where the default is nothing, the help text itself says what happens then.
        hint = "" if default is None or default == () else None
        marks: list[Any] = [tyro.conf.arg(help=helptexts[field.name], help_behavior_hint=hint)]
        if "positional" in field.metadata:
            marks.append(tyro.conf.Positional)
        fields.append(
            (
                field.name,
                annotated[(field.type, *marks)],
                dataclasses.field(default=default, kw_only=True),
            )
        )
    made = dataclasses.make_dataclass(group.__name__, fields)
    made.__doc__ = inspect.getdoc(group)
    return made


def _field_docstrings(group: type) -> dict[str, str]:
    """The docstring below each field, in one line: tyro itself would keep the line breaks."""
    return {
        field.arg_name: " ".join((field.description or "").split())
        for base in reversed(group.__mro__[:-1])
        for field in docstring_parser.parse_from_object(base).params
    }


def _first_sentence(box: str) -> str:
    """The text of tyro's framed error up to its first rule, as one line ending in a full stop."""
    lines = [line.strip("│╭╮╰╯|+ ") for line in box.replace("─", "-").splitlines()]
    rules = [i for i, line in enumerate(lines) if "-" * 10 in line]
    inside = lines[rules[0] + 1 : rules[1]] if len(rules) > 1 else lines
    return " ".join(" ".join(inside).split()).rstrip(".") + "."
