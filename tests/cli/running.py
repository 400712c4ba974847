"""Commands as a user runs them, for the tests beside this file."""

import subprocess
import sys
from pathlib import Path

from dcgan import cli

ROOT = Path(__file__).parents[2]


def run_python(*args, **options) -> subprocess.CompletedProcess[str]:
    """Run Python in the project's folder: a script and its flags, or `-c` and code."""
    command = [sys.executable, *map(str, args)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, **options)


def fail(capsys, command, *args) -> tuple[int, str]:
    """Exit code and the one line of stderr of a command that must fail without output."""
    code = cli.run(command, [str(a) for a in args], "dcgan")
    out, err = capsys.readouterr()
    assert code != 0
    assert out == ""
    assert err.startswith("dcgan: ") and err.count("\n") == 1, err
    return code, err
