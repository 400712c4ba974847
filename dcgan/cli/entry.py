"""Entry points: run a command, print an error as one line, and return an exit code."""

import io
import os
import sys
from collections.abc import Sequence
from types import FrameType

import dcgan
from dcgan.cli.commands import COMMANDS, Command
from dcgan.errors import UsageError, UserError, describe_os_error
from dcgan.runtime.signals import interrupt, on_second_signal, raise_on_stop_signals
from dcgan.runtime.terminal import print_lines


def main(args: Sequence[str] | None = None) -> int:
    """Run `dcgan COMMAND ...` and return the exit code; see `run`."""
    return run(_dispatch, args, "dcgan")


def run(command: Command, args: Sequence[str] | None, prog: str) -> int:
    """Run one command and return its exit code.

    Without `args` the process is this command's alone: it takes the flags of the process, replaces
    outputs that are closed, and a second signal ends it at once.

    UserError (its `exit_code`), OSError (1) and Ctrl-C (130) become one line on stderr; a closed
    pipe (141) is silent. Under torchrun only the first process with an error prints it.
    """
    owns_process = args is None
    if owns_process:
        _prepare_output()
    words = [str(arg) for arg in (sys.argv[1:] if args is None else args)]
    code, message = 0, None
    try:
        with (
            raise_on_stop_signals(),
            on_second_signal(_exit_at_once if owns_process else interrupt),
        ):
            code = _exit_code(command, words, prog)
            if owns_process:
                sys.stdout.flush()
    except UserError as error:
        code, message = error.exit_code, str(error)
    except KeyboardInterrupt:
        code, message = 130, "interrupted"
    except OSError as error:
        code, message = 1, describe_os_error(error)
        if error.filename is None:
            if owns_process:
                _discard_stdout()
            if isinstance(error, BrokenPipeError):
                return 141
    if message and _is_first_report(message):
        print_lines(f"{prog}: {message}", file=sys.stderr)
    return code


def _dispatch(args: Sequence[str], prog: str) -> None:
    """Run the command that the first word names, or list all commands."""
    if args and args[0] in COMMANDS:
        COMMANDS[args[0]](args[1:], f"{prog} {args[0]}")
    elif args and args[0] in ("-h", "--help"):
        lines = (f"  {name:<10}  {command.__doc__}" for name, command in COMMANDS.items())
        print_lines(f"usage: {prog} COMMAND [--help | flags], or {prog} --version", "", *lines)
    else:
        problem = f"unknown command {args[0]!r}" if args else "no command given"
        raise UsageError(f"{problem}: choose one of {', '.join(COMMANDS)}; see {prog} --help")


def _exit_code(command: Command, args: Sequence[str], prog: str) -> int:
    if args and args[0] == "--version":
        print_lines(f"dcgan {dcgan.__version__}")
        return 0
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


def _discard_stdout() -> None:
    """Discard what could not be written to stdout, or flushing it fails again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _exit_at_once(signum: int, _frame: FrameType | None) -> None:
    """End the process: only what is not saved yet is lost."""
    os.write(2, b"\nstopped at once\n")  # the signal may have interrupted print
    os._exit(128 + signum)


def _is_first_report(message: str) -> bool:
    """Whether no other process under the same torchrun has reported this error yet."""
    if "RANK" not in os.environ:
        return True
    from dcgan.runtime import distributed

    return distributed.is_first_to_report(message)
