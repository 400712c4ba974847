"""Child processes: start and end, and results from one that may crash."""

import errno
import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import islice
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from dcgan.runtime.threads import environment_variables

Item = TypeVar("Item")

# Spawned, not forked: a fork would inherit torch's threads in whatever state they are.
_CONTEXT = multiprocessing.get_context("spawn")
ONE_THREAD = dict.fromkeys(
    ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
_starting = threading.Lock()  # `_child_environment` changes what all threads share


class ChildFailed(Exception):
    """A child process has crashed or hangs; the message is like "it was ended by SIGBUS"."""

    def __init__(self, reason: str, out_of_memory: bool = False):
        super().__init__(reason)
        self.out_of_memory = out_of_memory
        """Whether full memory is a likely cause: Linux ends a process by SIGKILL then."""


class ChildNotStarted(ChildFailed):
    """A child process could not be started, or could not import what it needs."""


class Child:
    """A child process that calls one function for each request, and answers with its result.

    Raises ChildNotStarted.
    """

    def __init__(self) -> None:
        self.connection, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_serve, args=(theirs,), daemon=True)
        with theirs, _child_environment():
            try:
                self._process.start()
            except OSError as error:  # too many processes, no memory for one
                self.connection.close()
                raise _not_started(error) from error

    def send(self, message: Any) -> None:
        """Send the function, at first, and then a request. The function's module is imported by
        the child, so it must not be the `__main__` module.
        """
        with suppress(BrokenPipeError, ConnectionResetError):  # `receive` says why
            self.connection.send(message)

    def receive(self, timeout: float | None = None) -> Any:
        """The answer to the oldest request that has none.

        Raises the exception of the function, and ChildFailed if the process dies or does not
        answer for `timeout` seconds.
        """
        try:
            if not self.connection.poll(timeout):
                raise ChildFailed(f"it did not answer for {timeout:g} seconds")
            answer, error = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            raise self._failure() from None
        if error is not None:
            raise error
        return answer

    def close(self) -> None:
        """Kill the process, whatever it does."""
        self._process.kill()
        self._process.join()
        self.connection.close()

    def _failure(self) -> ChildFailed:
        code = self._process.exitcode or 0
        try:
            name = signal.Signals(-code).name
        except ValueError:
            return ChildFailed(f"it was ended by exit code {code}")
        return ChildFailed(f"it was ended by {name}", out_of_memory=name == "SIGKILL")


def stream_from_child(
    generate: Callable[..., Iterable[Item]], *arguments: Any, timeout: float = 60
) -> Iterator[Item]:
    """Yield what `generate(*arguments)` yields in a process of its own, which may crash.

    Raises the exceptions of `generate`, and ChildFailed if the process dies or yields nothing for
    `timeout` seconds. The process is killed when the iterator is closed.
    """
    with closing(Child()) as child:
        child.send(_Stream(generate, arguments))
        child.send(None)
        while items := child.receive(timeout):
            child.send(None)
            yield from items


class _Stream:
    """Called again and again, the items of `generate(*arguments)` as tuples of one, then ()."""

    def __init__(self, generate: Callable[..., Iterable], arguments: tuple):
        self._generate, self._arguments = generate, arguments
        self._items: Iterator | None = None

    def __call__(self, _: None) -> tuple:
        if self._items is None:
            self._items = iter(self._generate(*self._arguments))
        return tuple(islice(self._items, 1))


def _not_started(error: Exception) -> ChildNotStarted:
    reason = f"it could not start ({type(error).__name__}: {error})"
    full = isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM
    return ChildNotStarted(reason, full)


def _serve(connection: Connection) -> None:
    """Answer requests until the parent kills this process, or is gone."""
    _set_up_child()
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            function = connection.recv()
        except EOFError:
            return
        except Exception as error:  # mostly of an import
            connection.send((None, _not_started(error)))
            return
        while True:
            connection.send(_answer(function, connection.recv()))


def _answer(function: Callable[[Any], Any], request: Any) -> tuple[Any, Exception | None]:
    try:
        return function(request), None
    except Exception as error:
        error.add_note(f"In a child process:\n{traceback.format_exc()}")
        return None, error


@contextmanager
def _child_environment() -> Iterator[None]:
    """Start child processes in this block: with Ctrl-C blocked, one thread each for BLAS, and
    without running the parent's `__main__` module again.

    Ctrl-C reaches every process of a terminal, but only the parent handles it: it is blocked until
    `_set_up_child` ignores it. One thread each, because packing starts a process for every CPU.
    A child would run a script without a main guard from its start, and cannot find one that came
    through standard input.
    """
    masks = hasattr(signal, "pthread_sigmask")
    with _starting, environment_variables(ONE_THREAD), _main_hidden():
        before = None
        if masks:
            resource_tracker.ensure_running()  # its start would unblock Ctrl-C
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            if before is not None:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _main_hidden() -> Iterator[None]:
    """Hide from multiprocessing where the `__main__` module comes from, and so what to run."""
    main: dict[str, Any] = vars(sys.modules["__main__"])
    before: dict[str, Any] = {n: main[n] for n in ("__spec__", "__file__") if n in main}
    main["__spec__"] = None
    main.pop("__file__", None)
    try:
        yield
    finally:
        main.pop("__spec__")
        main.update(before)


def _set_up_child() -> None:
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
