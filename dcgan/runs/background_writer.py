"""One background thread that writes what training hands it, in order."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class BackgroundWriter:
    """Does jobs one after another in the background; used as a context, it ends when all are done.

    The first job that raises is the last one that is done, and its exception is raised as it is by
    the next `submit` or `flush`, or at the end of the block. A block that raises something itself
    still has its jobs done, and raises that.
    """

    def __init__(self, max_pending: int):
        """`max_pending` jobs may wait besides the one being done; then `submit` waits with them."""
        self.room = threading.Semaphore(max_pending + 1)
        # Python lets an executor finish even where the wait for it is interrupted.
        self.thread = ThreadPoolExecutor(1, "writer")
        self.error: BaseException | None = None

    def __enter__(self) -> "BackgroundWriter":
        return self

    def __exit__(self, kind, *_) -> None:
        self.wait()  # before shutdown: Python 3.11 forgets a thread if a signal breaks its join
        self.thread.shutdown()
        if kind is None:
            self.check()

    def submit(self, job: Callable[..., None], *args) -> Future:
        """Have job(*args) done; the future tells when. Raises what an earlier job has raised."""
        self.check()
        self.room.acquire()
        return self.thread.submit(self.do, job, *args)

    def flush(self) -> None:
        """Wait until all jobs are done. Raises what one of them has raised."""
        self.wait()
        self.check()

    def wait(self) -> None:
        self.thread.submit(lambda: None).result()

    def check(self) -> None:
        if self.error:
            raise self.error

    def do(self, job: Callable[..., None], *args) -> None:
        try:
            if not self.error:
                job(*args)
        except BaseException as error:
            self.error = error
        finally:
            self.room.release()
