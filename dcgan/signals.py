"""Ctrl-C and SIGTERM leave nothing half done: a run ends between two steps, not within one."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from dcgan.errors import UserError


class Stopped(UserError):
    """The run was asked to stop, and its state is saved. Exit code 128 + signal, as in shells."""

    def __init__(self, signum: int, message: str):
        super().__init__(message)
        self.exit_code = 128 + signum


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """SIGTERM raises Stopped, so that what is half done is cleaned up on the way out."""

    def stop(signum, _frame) -> None:
        raise Stopped(signum, "terminated")

    usual = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, usual)


@contextmanager
def requests_to_stop() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM in the list it yields. A second one has its usual effect."""
    received: list[int] = []

    def note(signum, _frame) -> None:
        received.append(signum)
        restore()

    def restore() -> None:
        for signum, handler in usual.items():
            signal.signal(signum, handler)

    usual = {signum: signal.signal(signum, note) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        restore()
