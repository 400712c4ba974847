"""What a user can mend: one clear line, no traceback."""


class UserError(Exception):
    """Something outside the program is wrong: a file, a folder, the disk. Exit code 1."""

    exit_code = 1


class UsageError(UserError):
    """The command itself is wrong: a flag, a value, a combination of them. Exit code 2."""

    exit_code = 2
