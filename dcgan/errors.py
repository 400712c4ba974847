"""Errors that the user can fix; the command line prints them as one line, without a traceback."""


class UserError(Exception):
    """A file, a folder, the disk or the machine is wrong. Exit code 1."""

    exit_code = 1


class UsageError(UserError):
    """A flag, a value or a combination of them is wrong. Exit code 2."""

    exit_code = 2
