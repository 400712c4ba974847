"""Parsing of flags into config dataclasses by tyro, with errors of one line."""

import contextlib
import dataclasses
import inspect
import io
import os
import re
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import docstring_parser
import tyro

from dcgan.cli.hints import hints
from dcgan.config import format_flag
from dcgan.errors import UsageError

_MIN_COLUMNS = 60  # of the text of --help, also where the terminal is narrower
_parsing = threading.Lock()  # stderr and the environment are of all threads

Config = TypeVar("Config")

_MESSAGES_OF_PYTHON = {
    r"no type matching (\S.*?) could be .* from \[\]\. .*": r"give it \1.",
    r"no type matching (\S.*?) could be .* from \[(.*?)\]\. .*": r"it is \1, not \2.",
    r"Missing value for argument '(--\S+)'\. Expected 1 values\.": r"\1 needs a value.",
    r"Missing value for argument '\w+\.(\w+)'\. Expected 1 values\.": r"the \1 is missing.",
    r"invalid literal for int\(\) with base 10: ('.*')": r"\1 is no whole number",
    r"could not convert string to float: ('.*')": r"\1 is no number",
}


def split_choice(
    args: Sequence[str], choices: Sequence[str], what: str
) -> tuple[str | None, Sequence[str]]:
    """Split a first word, which must be one of `choices`, from the flags; None if there is none.

    Raises UsageError for any other word: "unknown WHAT ...".
    """
    if not args or args[0].startswith("-"):
        return None, args
    if args[0] not in choices:
        message = f"unknown {what} {args[0]!r}: choose one of {', '.join(choices)}"
        if "folder" in choices and os.path.exists(args[0]):
            message += f". Your own images are given as: folder --root {args[0]}"
        raise UsageError(message)
    return args[0], args[1:]


def parse_flags(
    kind: type[Config],
    args: Sequence[str],
    prog: str,
    description: str | None,
    defaults: Mapping[str, Any] | None = None,
    first_words: Sequence[str] = (),
) -> Config:
    """Parse the flags of a config dataclass; its base classes are the groups of its --help.

    `defaults` replace those of the dataclass. Raises UsageError for wrong flags, with hints.
    `first_words`: words that must come before the flags.
    """
    _refuse_empty_values(args)
    bases = kind.__bases__[::-1] if len(kind.__bases__) > 1 else (kind,)
    groups = {_heading(base): _group(base, kind, defaults or {}) for base in bases}
    options = dataclasses.make_dataclass("Options", groups.items())
    try:
        parsed = _run_tyro(options, args, prog, description)
    except UsageError as error:
        advice = hints(kind, args, first_words, prog)
        raise UsageError(" ".join([str(error), *advice, f"See {prog} --help"])) from None
    values: dict[str, Any] = {}
    for heading in groups:
        values |= vars(getattr(parsed, heading))
    return kind(**values)


def _refuse_empty_values(args: Sequence[str]) -> None:
    """Raise UsageError for an empty value, which as a path would be the current folder.

    As --out that is refused where anything lies in it.
    """
    for before, word in zip(["", *args], args, strict=False):
        flag = word[:-1] if word.startswith("--") and word.endswith("=") else before
        if flag != "--out" and (not word or flag != before):
            place = f" after {flag}" if flag.startswith("--") else ""
            raise UsageError(f"an empty value{place}: is a variable of the shell not set?")


def _run_tyro(options: type, args: Sequence[str], prog: str, description: str | None) -> Any:
    """An instance of `options` from flags. Raises UsageError with tyro's first sentence.

    Raises SystemExit after --help.
    """
    errors = io.StringIO()
    try:
        with _parsing, contextlib.redirect_stderr(errors), _wide_terminal():
            return tyro.cli(
                options,
                args=args,
                prog=prog,
                description=description,
                config=(tyro.conf.OmitArgPrefixes, tyro.conf.DisallowNone),
            )
    except SystemExit as stop:
        if stop.code:
            raise UsageError(_first_sentence(errors.getvalue())) from None
        raise


@contextlib.contextmanager
def _wide_terminal() -> Iterator[None]:
    """Let tyro lay out --help for _MIN_COLUMNS or more: in fewer it prints one letter a line."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(max(_MIN_COLUMNS, shutil.get_terminal_size().columns))
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def _heading(group: type) -> str:
    """Heading of an option class in --help: LossOptions -> "loss" (tyro appends "options")."""
    return re.sub("(Options|Config)$", "", group.__name__).lower()


def _group(group: type, kind: type, defaults: Mapping[str, Any]) -> type:
    """A dataclass of an option class's fields with tyro's annotations, and without validation.

    `kind` inherits from it, and may have other defaults.
    """
    helptexts = _field_docstrings(group)
    annotated: Any = Annotated  # of types that a type checker cannot know
    fields = []
    for field in dataclasses.fields(group):
        default = defaults.get(field.name, getattr(kind, field.name, field.default))
        # For a default of None or () the help text says what happens.
        hint = "" if default is None or default == () else None
        text, flag = helptexts[field.name], format_flag(field.name)[2:]
        marks: list[Any] = [tyro.conf.arg(name=flag, help=text, help_behavior_hint=hint)]
        if "positional" in field.metadata:
            marks.append(tyro.conf.Positional)
        if "repeated" in field.metadata:
            marks.append(tyro.conf.UseAppendAction)
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
    text = " ".join(" ".join(inside).split()).rstrip(".") + "."
    for python, ours in _MESSAGES_OF_PYTHON.items():
        text = re.sub(python, ours, text)
    return text
