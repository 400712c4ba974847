"""Entry points: run a command, print an error as one line, and return an exit code."""

import io
import os
import sys
from collections.abc import Sequence

from dcgan.cli.commands import COMMANDS, Command
from dcgan.errors import UsageError, UserError
from dcgan.runtime.signals import raise_on_sigterm
from dcgan.runtime.threads import limit_openmp_spinning


def main(args: Sequence[str] | None = None) -> int:
    """Run `dcgan COMMAND ...` and return the exit code."""
    return run(_dispatch, sys.argv[1:] if args is None else args, "dcgan")


def run(command: Command, args: Sequence[str], prog: str) -> int:
    """Run one command and return its exit code.

    UserError (its `exit_code`), OSError (1) and Ctrl-C (130) become one line on stderr; a closed
    pipe (141) is silent. Under torchrun only the first process with an error prints it.
    """
    _prepare_output()
    limit_openmp_spinning()
    code, message = 0, None
    try:
        with raise_on_sigterm():
            code = _exit_code(command, args, prog)
            sys.stdout.flush()
    except UserError as error:
        code, message = error.exit_code, " ".join(str(error).split())
    except KeyboardInterrupt:
        code, message = 130, "interrupted"
    except OSError as error:
        code, message = 1, f"{error.filename}: {error.strerror}"
        if error.filename is None:
            message = str(error)
            # Writing to stdout has failed. Discard its buffer, or flushing fails again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if isinstance(error, BrokenPipeError):
                return 141
    if message and _is_first_report(message):
        print(f"{prog}: {message}", file=sys.stderr)
    return code


def _dispatch(args: Sequence[str], prog: str) -> None:
    """Run the command that the first word names, or list all commands."""
    if args and args[0] in COMMANDS:
        COMMANDS[args[0]](args[1:], f"{prog} {args[0]}")
    elif args and args[0] in ("-h", "--help"):
        lines = (f"  {name:<10}  {command.__doc__}" for name, command in COMMANDS.items())
        print(f"usage: {prog} COMMAND [--help | flags]\n", *lines, sep="\n")
    else:
        problem = f"unknown command {args[0]!r}" if args else "no command given"
        raise UsageError(f"{problem}: choose one of {', '.join(COMMANDS)}; see {prog} --help")


def _exit_code(command: Command, args: Sequence[str], prog: str) -> int:
    try:
        command(args, prog)
    except SystemExit as stop:  # tyro's, after --help
        return int(stop.code or 0)
    return 0


def _prepare_output() -> None:
    """Make stdout and stderr usable if the caller has closed them, and for any file name."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115  (cron starts without them)
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _is_first_report(message: str) -> bool:
    """Whether no other process under the same torchrun has reported this error yet."""
    if "RANK" not in os.environ:
        return True
    from dcgan.runtime import distributed

    return distributed.is_first_to_report(message)
