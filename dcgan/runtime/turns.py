"""Turns: one process works, and the others wait for it as long as it lives.

They wait on the store of the process group. Collective operations end the job after some minutes
(NCCL: ten), and packing, evaluating or saving to a slow disk may take longer.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import torch.distributed as dist

from dcgan.errors import UserError, describe_os_error
from dcgan.runtime.terminal import print_lines

_REPORT_SECONDS = 60.0
_MAX_PAUSE = 0.25  # seconds between two looks
_FAREWELL_SECONDS = 2.0  # for the others to read why this process ends
_FAILED, _ENDED = "failed", "ended"


@contextmanager
def connection_errors() -> Iterator[None]:
    """Turn the error of a lost connection into a UserError."""
    try:
        yield
    except RuntimeError as error:  # Gloo's and the store's; NCCL ends the process itself
        raise UserError(f"another process is gone: {str(error).splitlines()[0]}") from error


class Turns:
    """The turns of all processes of a group. All of them must begin the same turns, in order."""

    def __init__(self, store: dist.Store, rank: int, world_size: int):
        self.store, self.rank, self.world_size = store, rank, world_size
        self.begun = 0

    def take(self, worker: int, doing: str, work: Callable[[], str]) -> str:
        """The result of `work` in the process `worker`, which alone calls it, in every process."""
        if self.rank != worker:
            return self._wait(worker, doing)
        with self._announced() as results:
            results.append(work())
        return results[0]

    @contextmanager
    def first(self, worker: int, doing: str) -> Iterator[None]:
        """Run the block in the process `worker` first, and in the others when that is done."""
        if self.rank != worker:
            self._wait(worker, doing)
            yield
            return
        with self._announced():
            yield

    def fail(self, error: Exception) -> None:
        """Tell those who wait that this process ends with an error.

        Rank 0 may hold the store, so it stays until the others have ended too, for two seconds.
        """
        with suppress(RuntimeError):  # the store is gone
            self.store.set(_FAILED, self._describe(error))
            deadline = time.monotonic() + _FAREWELL_SECONDS
            ended = self.store.add(_ENDED, 1)
            while self.rank == 0 and ended < self.world_size and time.monotonic() < deadline:
                time.sleep(0.02)
                ended = self.store.add(_ENDED, 0)

    @contextmanager
    def _announced(self) -> Iterator[list[str]]:
        """Take this process's turn in the block, and tell the others its result or its error."""
        key, results = self._next(self.rank), list[str]()
        try:
            yield results
        except Exception as error:
            with suppress(RuntimeError):  # the store is gone
                self.store.set(key, self._describe(error))
            raise
        with connection_errors():
            self.store.set(key, json.dumps({"result": next(iter(results), "")}))

    def _wait(self, worker: int, doing: str) -> str:
        """Wait for a turn of another process, and return its result.

        Says so once a minute. Raises UserError with the error of that process, or where a process
        has ended.
        """
        key, started, reports = self._next(worker), time.monotonic(), 0
        while (answer := self._look(key)) is None:
            waited = time.monotonic() - started
            if waited >= (reports + 1) * _REPORT_SECONDS:
                reports += 1
                if self.rank == worker + 1:  # one of those who wait
                    minutes = f"{waited / 60:.0f} min"
                    print_lines(f"waiting for rank {worker}: {doing} ({minutes})", file=sys.stderr)
            time.sleep(min(0.001 + waited / 10, _MAX_PAUSE))
        if "error" in answer:
            error = UserError(answer["error"])
            error.exit_code = answer["exit_code"]
            raise error
        return answer["result"]

    def _look(self, key: str) -> dict | None:
        """What has been said under a key, or by a process that has failed; None so far."""
        with connection_errors():
            for name in (key, _FAILED):
                if self.store.check([name]):
                    return json.loads(self.store.get(name))
        return None

    def _next(self, worker: int) -> str:
        self.begun += 1
        return f"turn {self.begun} of {worker}"

    def _describe(self, error: Exception) -> str:
        """An error as `_wait` reads it, in the words that the command line prints, and once."""
        if isinstance(error, UserError):
            return json.dumps({"error": str(error), "exit_code": error.exit_code})
        if isinstance(error, OSError):
            return json.dumps({"error": describe_os_error(error), "exit_code": 1})
        text = f"rank {self.rank} has failed: {type(error).__name__}: {error}"
        return json.dumps({"error": text, "exit_code": 1})
