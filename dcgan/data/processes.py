"""Child processes: start and end, and results streamed from one that may crash."""

import faulthandler
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from dcgan.runtime.threads import environment_variables

Item = TypeVar("Item")

# Spawned, not forked: a fork would inherit torch's threads in whatever state they are.
CONTEXT = multiprocessing.get_context("spawn")
ONE_THREAD = dict.fromkeys(
    ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)


class ChildFailed(Exception):
    """A child process has crashed or hangs; the message is like "it was ended by SIGBUS"."""


def stream_from_child(
    generate: Callable[..., Iterable[Item]], *arguments: Any, timeout: float = 60
) -> Iterator[Item]:
    """Yield what `generate(*arguments)` yields in a process of its own, which may crash.

    Raises the exceptions of `generate`, and ChildFailed if the process dies or yields nothing for
    `timeout` seconds. The process is killed when the iterator is closed.
    """
    receiver, sender = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_send_all, args=(sender, generate, arguments), daemon=True)
    with child_environment():
        process.start()
    sender.close()
    try:
        while True:
            if not receiver.poll(timeout):
                raise ChildFailed(f"it did not answer for {timeout:g} seconds")
            item, error, done = receiver.recv()
            if error is not None:
                raise error
            if done:
                return
            yield item
    except (EOFError, ConnectionResetError):
        process.join()
        raise ChildFailed(f"it was ended by {_cause(process.exitcode)}") from None
    finally:
        process.kill()
        process.join()
        receiver.close()


def _cause(exit_code: int | None) -> str:
    try:
        return signal.Signals(-(exit_code or 0)).name
    except ValueError:
        return f"exit code {exit_code}"


def _send_all(sender: Connection, generate: Callable[..., Iterable], arguments: tuple) -> None:
    set_up_child()
    try:
        for item in generate(*arguments):
            sender.send((item, None, False))
        sender.send((None, None, True))
    except Exception as error:
        sender.send((None, error, True))


@contextmanager
def child_environment() -> Iterator[None]:
    """Start child processes in this block: with Ctrl-C blocked, and one thread each for BLAS.

    Ctrl-C reaches every process of a terminal, but only the parent handles it: it is blocked until
    `set_up_child` ignores it. One thread each, because packing starts a process for every CPU core.
    """
    masks = hasattr(signal, "pthread_sigmask")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if masks else None
    try:
        with environment_variables(ONE_THREAD):
            yield
    finally:
        if before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def set_up_child() -> None:
    """Ignore Ctrl-C, and exit when the parent does; to be called first in a child process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    """End this process with its parent; else children of a killed one wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def exit_after(seconds: float) -> Iterator[None]:
    """End this process if the block takes longer, even if it hangs in a C library."""
    with open(os.devnull, "w") as nowhere:
        faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
