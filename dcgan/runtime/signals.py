"""Handling of Ctrl-C and SIGTERM: a run ends between two steps, and no file is half written."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from dcgan.errors import UserError

_ECHO_SECONDS = 2.0


class Stopped(UserError):
    """The run was asked to stop, and its state is saved. Exit code 128 + signal, as in shells."""

    def __init__(self, signum: int, message: str):
        super().__init__(message)
        self.exit_code = 128 + signum


@contextmanager
def raise_on_sigterm() -> Iterator[None]:
    """In the block, SIGTERM and SIGHUP raise Stopped, so that `finally` clauses run."""

    def stop(signum: int, _frame: FrameType | None) -> None:
        raise Stopped(signum, "terminated")

    with _signal_handlers(stop, "SIGTERM", "SIGHUP"):
        yield


@contextmanager
def collect_stop_signals() -> Iterator[list[int]]:
    """Yield a list, to which SIGINT, SIGTERM and SIGHUP are appended instead of being raised.

    A second signal ends the process at once: only what is not saved yet is lost.
    """
    received: list[int] = []
    # Ctrl-C reaches every process, and torchrun then sends them a second signal for it.
    echo_seconds = _ECHO_SECONDS if "TORCHELASTIC_RUN_ID" in os.environ else 0.0
    first = 0.0

    def collect(signum: int, _frame: FrameType | None) -> None:
        nonlocal first
        if not received:
            first = time.monotonic()
        elif time.monotonic() - first >= echo_seconds:
            os.write(2, b"\nstopped at once\n")  # the signal may have interrupted print
            os._exit(128 + signum)
        received.append(signum)

    with _signal_handlers(collect, "SIGINT", "SIGTERM", "SIGHUP"):
        yield received


@contextmanager
def _signal_handlers(handler: Callable, *names: str) -> Iterator[None]:
    """Handle the named signals in the block, and restore the former handlers after it.

    Ignored signals stay ignored: `nohup` and shells use that to keep a job alive.
    """
    known = [getattr(signal, name) for name in names if hasattr(signal, name)]
    handled = [signum for signum in known if signal.getsignal(signum) != signal.SIG_IGN]
    former = {signum: signal.signal(signum, handler) for signum in handled}

    try:
        yield
    finally:
        for signum, former_handler in former.items():
            signal.signal(signum, former_handler)
