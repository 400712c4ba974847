"""Many processes under torchrun: start-up, rank 0, and the mean of the gradients."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors

from dcgan.errors import UsageError


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Whether this process is the one that writes files and talks to the user."""
    return rank() == 0


@contextmanager
def started(device: torch.device) -> Iterator[torch.device]:
    """Join the process group that torchrun set up, if any, and yield this process's device.

    Raises UsageError where there are more processes than GPUs, or no collectives for the device.
    """
    if not {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= set(os.environ):
        yield device
        return
    if device.type == "cuda":
        device = own_gpu(int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(device)
        dist.init_process_group("nccl", device_id=device)
    elif device.type == "cpu":
        dist.init_process_group("gloo")
    else:
        raise UsageError(f"--device {device.type} cannot be shared by processes: --device cpu can")
    yield device
    # Not after an error: the others wait in a message then, and taking leave would wait for them.
    dist.destroy_process_group()


def own_gpu(local_rank: int) -> torch.device:
    """The GPU of this process: its number on the machine, or the only one it is shown."""
    count = torch.cuda.device_count()
    if 1 < count <= local_rank:
        raise UsageError(f"process {local_rank} has no GPU: this machine has {count}")
    return torch.device("cuda", local_rank if local_rank < count else 0)


@contextmanager
def main_first() -> Iterator[None]:
    """Rank 0 runs the block first; the others wait, then find what it made.

    Where rank 0 fails, torchrun ends the others.
    """
    if not is_main():
        dist.barrier()
    yield
    if is_main() and dist.is_initialized():
        dist.barrier()


@torch.no_grad()
def average(tensors: Iterable[Tensor]) -> None:
    """Replace tensors of one type by their mean over all processes, in one message."""
    tensors = list(tensors)
    if world_size() == 1 or not tensors:
        return
    flat = _flatten_dense_tensors(tensors)
    dist.all_reduce(flat)
    flat /= world_size()
    torch._foreach_copy_(tensors, list(_unflatten_dense_tensors(flat, tensors)))


def largest(number: int, device: torch.device) -> int:
    """The largest of the numbers that the processes call this with. Waits for all of them."""
    if world_size() == 1:
        return number
    tensor = torch.tensor(number, device=device)
    dist.all_reduce(tensor, dist.ReduceOp.MAX)
    return int(tensor)
