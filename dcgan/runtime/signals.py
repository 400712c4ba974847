"""Ctrl-C and SIGTERM leave nothing half done: a run ends between two steps, not within one."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dcgan.errors import UserError

_ECHO = 2.0  # seconds


class Stopped(UserError):
    """The run was asked to stop, and its state is saved. Exit code 128 + signal, as in shells."""

    def __init__(self, signum: int, message: str):
        super().__init__(message)
        self.exit_code = 128 + signum


@contextmanager
def raise_on_sigterm() -> Iterator[None]:
    """SIGTERM and SIGHUP raise Stopped, so that what is half done is cleaned up on the way out."""

    def stop(signum, _frame) -> None:
        raise Stopped(signum, "terminated")

    with _signal_handlers(stop, "SIGTERM", "SIGHUP"):
        yield


@contextmanager
def collect_stop_signals() -> Iterator[list[int]]:
    """Collect SIGINT, SIGTERM and SIGHUP in the list it yields. A second one ends all at once.

    That loses what is not saved yet, and nothing else: files appear whole.
    """
    received: list[int] = []
    # torchrun passes on what the processes have from the terminal already.
    echo = _ECHO if "TORCHELASTIC_RUN_ID" in os.environ else 0.0
    first = 0.0

    def note(signum, _frame) -> None:
        nonlocal first
        if not received:
            first = time.monotonic()
        elif time.monotonic() - first >= echo:
            os.write(2, b"\nstopped at once\n")  # print may be at work already
            os._exit(128 + signum)
        received.append(signum)

    with _signal_handlers(note, "SIGINT", "SIGTERM", "SIGHUP"):
        yield received


@contextmanager
def _signal_handlers(handler: Callable, *names: str) -> Iterator[None]:
    """Handle signals in the block, and restore the usual handlers after it.

    A signal that is ignored stays so: `nohup` and shells say by that what shall not end a job.
    """
    there = [getattr(signal, name) for name in names if hasattr(signal, name)]
    heeded = [signum for signum in there if signal.getsignal(signum) != signal.SIG_IGN]
    usual = {signum: signal.signal(signum, handler) for signum in heeded}

    try:
        yield
    finally:
        for signum, former in usual.items():
            signal.signal(signum, former)
