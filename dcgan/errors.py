"""Errors that the user can fix; the command line prints them as one line, without a traceback."""


class UserError(Exception):
    """A file, a folder, the disk or the machine is wrong. Exit code 1.

    The message becomes one line of printable text.
    """

    exit_code = 1

    def __init__(self, message: object):
        super().__init__(printable(" ".join(str(message).split())))


class UsageError(UserError):
    """A flag, a value or a combination of them is wrong. Exit code 2."""

    exit_code = 2


def describe_os_error(error: OSError) -> str:
    """An error of the system in one line: the file, if it has one, and the reason."""
    return str(error) if error.filename is None else f"{error.filename}: {error.strerror}"


def printable(text: str) -> str:
    r"""The text with escapes such as \x1b for characters that command a terminal or hide on it:
    control characters, line breaks, changes of the writing direction, surrogates.

    Names and texts in files of others may hold these.
    """
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
