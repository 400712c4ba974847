"""Handling of Ctrl-C and SIGTERM: a run ends between two steps, and no file is half written."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType

from dcgan.errors import UserError

Handler = Callable[[int, FrameType | None], object]

_ECHO_SECONDS = 2.0
_REPEAT_SECONDS = 0.1  # after which a signal is raised again that has been swallowed
interrupt: Handler = signal.default_int_handler  # raises KeyboardInterrupt
_second_signal: ContextVar[Handler] = ContextVar("_second_signal", default=interrupt)


class Stopped(UserError):
    """The run was asked to stop, and its state is saved. Exit code 128 + signal, as in shells."""

    def __init__(self, signum: int, message: str):
        super().__init__(message)
        self.exit_code = 128 + signum


class _Signal(KeyboardInterrupt):
    """A signal on its way out of a block. Libraries catch Exception where they try something."""

    def __init__(self, when_gone: Callable[[], object]):
        super().__init__()
        self._when_gone = when_gone

    def __del__(self) -> None:
        self._when_gone()


@contextmanager
def raise_on_stop_signals() -> Iterator[None]:
    """A signal ends the block, and its `finally` clauses run: SIGINT by KeyboardInterrupt, SIGTERM
    and SIGHUP by Stopped.

    It is repeated where its exception has been swallowed: Python does so in destructors and in
    callbacks of the garbage collector, and libraries by a bare `except`.
    """
    received: list[int] = []
    inside = True

    def stop(signum: int, _frame: FrameType | None) -> None:
        received.append(signum)
        raise _Signal(repeat)  # not a variable: this frame would keep it alive

    def repeat() -> None:
        if inside:  # at once it might be swallowed again
            timer = threading.Timer(_REPEAT_SECONDS, send)
            timer.daemon = True
            timer.start()

    def send() -> None:
        if inside:
            os.kill(os.getpid(), received[0])

    try:
        with _signal_handlers(stop, "SIGINT", "SIGTERM", "SIGHUP"):
            yield
    except BaseException as error:
        if not received:
            raise
        # Also where a library has turned the exception into one of its own.
        if received[0] == signal.SIGINT:
            raise KeyboardInterrupt from error
        raise Stopped(received[0], "terminated") from error
    finally:
        inside = False


@contextmanager
def on_second_signal(handler: Handler) -> Iterator[None]:
    """In the block, `handler` takes the signals that follow the first of `collect_stop_signals`."""
    token = _second_signal.set(handler)
    try:
        yield
    finally:
        _second_signal.reset(token)


@contextmanager
def collect_stop_signals() -> Iterator[list[int]]:
    """Yield a list, to which the first SIGINT, SIGTERM or SIGHUP is appended instead of its effect.

    Further ones raise KeyboardInterrupt, unless the caller has chosen (`on_second_signal`).
    """
    received: list[int] = []
    # Ctrl-C reaches every process, and torchrun then sends them a second signal for it.
    echo_seconds = _ECHO_SECONDS if "TORCHELASTIC_RUN_ID" in os.environ else 0.0
    first = 0.0

    def collect(signum: int, frame: FrameType | None) -> None:
        nonlocal first
        if not received:
            first = time.monotonic()
            received.append(signum)
        elif time.monotonic() - first >= echo_seconds:
            _second_signal.get()(signum, frame)

    with _signal_handlers(collect, "SIGINT", "SIGTERM", "SIGHUP"):
        yield received


@contextmanager
def _signal_handlers(handler: Handler, *names: str) -> Iterator[None]:
    """Handle the named signals in the block, and restore the former handlers after it.

    Ignored signals stay ignored: `nohup` and shells use that to keep a job alive. Handlers that are
    not Python's stay too. In other threads than the main one nothing is handled: Python gives
    signals to that one alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    known = [getattr(signal, name) for name in names if hasattr(signal, name)]
    kept = (signal.SIG_IGN, None)  # None: a handler that could not be restored
    handled = [signum for signum in known if signal.getsignal(signum) not in kept]
    former = {signum: signal.signal(signum, handler) for signum in handled}

    try:
        yield
    finally:
        for signum, former_handler in former.items():
            signal.signal(signum, former_handler)
