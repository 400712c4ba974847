"""Checks that all options share: types, choices, ranges; and the names of their flags."""

import dataclasses
import os
import re
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from dcgan.errors import UsageError

MIN_IMAGES = 10  # of each kind, for any metric

_IMPORT = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def require(valid: bool, name: str, value: object, rule: str) -> None:
    """Raise UsageError "--NAME must be RULE, not VALUE" unless `valid`."""
    if not valid:
        raise UsageError(f"{format_flag(name)} must be {rule}, not {value}")


def require_at_least(minimum: int, options: object, *names: str) -> None:
    """Raise UsageError for options below `minimum`; an option of None keeps its default."""
    for name in names:
        value = getattr(options, name)
        require(value is None or value >= minimum, name, value, f"at least {minimum}")


def require_ending(path: Path | None, ending: str, name: str) -> None:
    """Raise UsageError unless the name of the file ends in `ending`, in any case."""
    if path is not None and Path(path).suffix.lower() != ending:
        raise UsageError(f"{format_flag(name)} {path}: the file name must end in {ending}")


def require_import(name: str | None, option: str, form: str) -> None:
    """Raise UsageError unless a name is written as `form`, such as "module:Class"."""
    if name is not None and not _IMPORT.fullmatch(name):  # C:\x is a path
        raise UsageError(f"{format_flag(option)} {name}: write it as {form}")


def validate_types(options: Any) -> None:
    """Raise UsageError for values of another type, or other choices, than the fields declare.

    The command line cannot give such values; Python code can. What can be meant only in one way is
    converted in place: text to a Path (and its "~"), lists to tuples, NumPy's numbers to Python's.
    """
    for field in dataclasses.fields(options):
        value = _convert(getattr(options, field.name), field.type)
        require(_matches(value, field.type), field.name, repr(value), _describe(field.type))
        object.__setattr__(options, field.name, value)  # the dataclasses are frozen


def require_options(options: object, kind: type, caller: str) -> None:
    """Raise UsageError "CALLER needs a KIND, not OPTIONS" for options of another class."""
    if not isinstance(options, kind):
        article = "an" if kind.__name__[0] in "AEIO" else "a"
        raise UsageError(f"{caller} needs {article} {kind.__name__}, not {options!r}")


def to_path(path: str | os.PathLike[str]) -> Path:
    """A path with the user's home folder for "~". Raises UsageError for what is no path."""
    if path == "":  # which would be the current folder
        raise UsageError("a path is empty")
    try:
        return Path(path).expanduser()
    except (RuntimeError, TypeError) as error:  # an unknown home folder, or another type
        raise UsageError(f"{path!r} is no path: {error}") from error


def format_flag(name: str) -> str:
    """The command-line flag of an option: "batch_size" -> "--batch-size", "from_" -> "--from"."""
    return "--" + name.rstrip("_").replace("_", "-")


def format_option(name: str, value: object) -> str:
    """The flag that gives an option this value: "--width 8", "--no-flip"."""
    if isinstance(value, bool):
        return format_flag(name if value else f"no_{name}")
    words = " ".join(map(str, value)) if isinstance(value, list | tuple) else value
    return f"{format_flag(name)} {words}".rstrip()


def _convert(value: object, kind: Any) -> object:
    """`value` as the type of a field, where it stands for a value of that type; else unchanged."""
    parts = get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        converted = (_convert(value, part) for part in parts)
        return next((x for x in converted if _matches(x, kind)), value)
    if get_origin(kind) is tuple and isinstance(value, list | tuple):
        return tuple(_convert(item, parts[0]) for item in value)
    if kind is Path and isinstance(value, str | os.PathLike) and value != "":
        return to_path(value)
    number = getattr(value, "item", None)  # NumPy's
    if number is not None and getattr(value, "ndim", None) == 0:
        return number()
    return value


def _matches(value: object, kind: Any) -> bool:
    """Whether `value` is of a field's type: a class, Literal, X | Y or tuple[X, ...]."""
    parts = get_args(kind)
    if get_origin(kind) is Literal:
        return any(value == choice and type(value) is type(choice) for choice in parts)
    if get_origin(kind) in (Union, UnionType):
        return any(_matches(value, part) for part in parts)
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(_matches(item, parts[0]) for item in value)
    if kind in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, (int, float) if kind is float else kind)


def _describe(kind: Any) -> str:
    """A field's type in words: "int", "one of 1, 3", "tuple of str", "Path or None"."""
    parts = get_args(kind)
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, parts))}"
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(map(_describe, parts))
    if get_origin(kind) is tuple:
        return f"a tuple, each item {_describe(parts[0])}"
    return "None" if kind is type(None) else f"of type {kind.__name__}"
