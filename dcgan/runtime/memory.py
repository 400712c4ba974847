"""Full memory as UserError."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from dcgan.errors import UserError

_OUT_OF_HOST_MEMORY = (
    *("can't allocate memory", "can't start new thread"),
    "could not create a primitive",  # says oneDNN, which gives no reason: shapes are its other one
)


@contextmanager
def out_of_memory_errors(device_type: str, cure: str) -> Iterator[None]:
    """Turn the errors of a full memory in the block into a UserError that says what to try."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        whose = "GPU's " if device_type == "cuda" else ""
        raise UserError(f"the {whose}memory is full: try {cure}") from error


def _is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, says that memory is full.

    Where host memory is full, torch raises a plain RuntimeError, and so does a thread that starts.
    """
    if error is None:
        return False
    of_host = any(words in str(error) for words in _OUT_OF_HOST_MEMORY)
    is_own = isinstance(error, torch.OutOfMemoryError | MemoryError) or of_host
    return is_own or _is_out_of_memory(error.__context__)
