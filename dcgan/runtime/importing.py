"""Modules of the user, imported by the names that options give."""

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import ModuleType


def import_module(name: str, stack: ExitStack) -> ModuleType:
    """Import a module, which is searched for in the current folder where there is none elsewhere.

    Other files of that folder can then be imported too, until `stack` ends.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name}."):  # it is there, and imports what is not
            raise
    stack.enter_context(_current_folder_importable())
    return importlib.import_module(name)


@contextmanager
def _current_folder_importable() -> Iterator[None]:
    folder = os.getcwd()
    if folder in sys.path:
        yield
        return
    sys.path.append(folder)  # last: no file there replaces a module of Python or of a library
    try:
        yield
    finally:
        with suppress(ValueError):  # the imported module may have removed it
            sys.path.remove(folder)
