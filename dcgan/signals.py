"""Ctrl-C and SIGTERM leave nothing half done: a run ends between two steps, not within one."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dcgan.errors import UserError


class Stopped(UserError):
    """The run was asked to stop, and its state is saved. Exit code 128 + signal, as in shells."""

    def __init__(self, signum: int, message: str):
        super().__init__(message)
        self.exit_code = 128 + signum


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """SIGTERM and SIGHUP raise Stopped, so that what is half done is cleaned up on the way out."""

    def stop(signum, _frame) -> None:
        raise Stopped(signum, "terminated")

    with handling(stop, "SIGTERM", "SIGHUP"):
        yield


@contextmanager
def requests_to_stop() -> Iterator[list[int]]:
    """Collect SIGINT, SIGTERM and SIGHUP in the list it yields. A second one acts as usual."""
    received: list[int] = []

    def note(signum, _frame) -> None:
        received.append(signum)
        restore()

    with handling(note, "SIGINT", "SIGTERM", "SIGHUP") as restore:
        yield received


@contextmanager
def handling(handler: Callable, *names: str) -> Iterator[Callable[[], None]]:
    """Handle signals in the block; yield what restores the usual handlers before its end.

    A signal that is ignored stays so: `nohup` and shells say by that what shall not end a job.
    """
    there = [getattr(signal, name) for name in names if hasattr(signal, name)]
    heeded = [signum for signum in there if signal.getsignal(signum) != signal.SIG_IGN]
    usual = {signum: signal.signal(signum, handler) for signum in heeded}

    def restore() -> None:
        for signum, former in usual.items():
            signal.signal(signum, former)

    try:
        yield restore
    finally:
        restore()
