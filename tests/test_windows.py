"""The package without what only POSIX systems have, in a process of its own."""

import os
import subprocess
import sys

import pytest

from tests.cli.running import ROOT

WITHOUT_POSIX = """
import os, shutil, signal, sys
import filelock, torch, tensorboard.compat.proto.event_pb2  # they know Windows
from multiprocessing import popen_spawn_posix, resource_tracker

resource_tracker._HAVE_SIGMASK = False

for name in (
    "fork", "forkpty", "preadv", "pread", "pwritev", "posix_fadvise", "posix_fallocate", "nice",
    "sched_getaffinity", "sched_setaffinity", "sysconf", "getuid", "geteuid", "uname",
    "getloadavg", "chown", "mkfifo", "setsid", "killpg", "O_DIRECTORY", "O_NOFOLLOW",
):
    if hasattr(os, name):
        delattr(os, name)
for name in ("SIGHUP", "SIGALRM", "SIGUSR1", "SIGBUS", "pthread_sigmask", "setitimer"):
    delattr(signal, name)
for name in ("fcntl", "resource", "pwd", "grp", "termios", "tty"):
    sys.modules[name] = None  # importing it fails
"""
EVERY_MODULE = """
import importlib, pkgutil, dcgan
for module in pkgutil.walk_packages(dcgan.__path__, "dcgan."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""
EVERY_COMMAND = """
from dcgan import cli
network = "--size 16 --width 4 --batch-size 8 --count 24 --eval-images 10 --device cpu".split()
folders = ["--out", "run", "--data-cache", "cache"]
codes = [
    cli.main(["train", "faces", *network, *folders, "--steps", "2", "--keep", "1"]),
    cli.main(["train", "faces", *network, *folders, "--steps", "4", "--keep", "1"]),
    cli.main(["sample", "run", "--out", "grid.png"]),
    cli.main(["sample", "run", "--count", "8", "--each", "pictures"]),
    cli.main("prepare folder --root pictures --out packed --size 16 --workers 2".split()),
    cli.main(["doctor", "faces", *network, "--out", "other", "--data-cache", "other"]),
]
assert codes == [0, 0, 0, 0, 0, 0], codes
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has nothing to take away")
def test_nothing_needs_what_only_posix_systems_have(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        f"{WITHOUT_POSIX}if __name__ == '__main__':\n"
        + "".join(f"    {line}\n" for line in f"{EVERY_MODULE}{EVERY_COMMAND}".splitlines())
    )
    command = [sys.executable, script]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
