"""Training in several processes under torchrun: start-up, rank 0, averages over processes."""

import os
import secrets
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from dcgan.errors import UsageError, UserError
from dcgan.runtime.host_copy import HostCopy
from dcgan.runtime.turns import Turns, connection_errors

_STORE_TIMEOUT = timedelta(seconds=5)
_turns: Turns | None = None  # in the block of `process_group`, where there are several processes
_graphs: weakref.WeakSet[torch.cuda.CUDAGraph] = weakref.WeakSet()  # see `reset_at_end`


def rank() -> int:
    """The rank of this process; 0 outside a process group."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """The number of processes; 1 outside a process group."""
    return dist.get_world_size() if dist.is_initialized() else 1


def _is_under_torchrun() -> bool:
    """Whether torchrun has started this process."""
    return {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= set(os.environ)


def is_first_to_report(message: str) -> bool:
    """Whether no other process of this torchrun job has reported the same message before.

    Works before `process_group` and after an error. True if the other processes cannot be reached.
    """
    try:
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = dist.TCPStore(
            address, port, is_master=False, timeout=_STORE_TIMEOUT, wait_for_workers=False
        )
        start = os.environ.get("TORCHELASTIC_RESTART_COUNT", "")
        return store.add(f"dcgan{start}: {message}", 1) == 1
    except (KeyError, ValueError, RuntimeError):
        return True


def is_main() -> bool:
    """Whether this process writes the files and prints: rank 0."""
    return rank() == 0


@contextmanager
def process_group(device: torch.device) -> Iterator[torch.device]:
    """Join the process group of torchrun, if any, and yield this process's device.

    Raises UsageError where there are more processes than GPUs, for the number of one GPU, or no
    backend for the device, and UserError where NCCL cannot start.
    """
    global _turns
    if not _is_under_torchrun():
        yield device
        return
    if device.index is not None:
        raise UsageError(f"--device {device} with torchrun: give --device {device.type}")
    if device.type == "cuda":
        device = _local_gpu(_local_rank())
        torch.cuda.set_device(device)
        # NCCL would register the buffers of operations in CUDA graphs, which saves copies of some
        # MB, and has been seen to hang (NVIDIA/nccl#2389, pytorch/torchtitan#3306).
        os.environ.setdefault("NCCL_GRAPH_REGISTER", "0")
        try:
            dist.init_process_group("nccl", device_id=device, **_rendezvous_options())
        except dist.DistBackendError as error:
            reason = f"NCCL cannot start: {str(error).strip().splitlines()[0]}"
            if "Duplicate GPU" in str(error):
                reason = "two processes have one GPU: start one process for each (--nproc-per-node)"
            raise UserError(reason) from error
    elif device.type == "cpu":
        dist.init_process_group("gloo", **_rendezvous_options())
    else:
        raise UsageError(f"--device {device.type} cannot be shared by processes: --device cpu can")
    try:
        _turns = _make_turns(device) if world_size() > 1 else None
        yield device
        with main_first("writing the last files"):
            pass
    except Exception as error:
        if _turns:
            _turns.fail(error)
        raise
    finally:
        _turns = None
        # The traceback of an error may hold them longer than this process holds NCCL.
        for graph in list(_graphs):
            graph.reset()
    # Not after an error: the other processes then wait in a collective operation, and a barrier
    # would wait for them. Otherwise needed: Gloo's threads free the tensors of an operation after
    # it has ended, and abort the process if the interpreter exits then (pytorch/pytorch#179291).
    _barrier()
    dist.destroy_process_group()


def _rendezvous_options() -> dict:
    """Arguments of `init_process_group`: a store of addresses for this restart of torchrun alone.

    torchrun keeps one store over its restarts, in which a process would find the addresses of dead
    processes and wait for them (pytorch/pytorch#135712). Several machines do not count restarts in
    common: there TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 makes torchrun use a new store.
    """
    one_machine = os.environ.get("GROUP_WORLD_SIZE") == "1"
    if not one_machine or os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return {}
    store, rank, world_size = next(dist.rendezvous("env://"))
    start = os.environ["TORCHELASTIC_RESTART_COUNT"]
    return {"store": dist.PrefixStore(start, store), "rank": rank, "world_size": world_size}


def _make_turns(device: torch.device) -> Turns:
    """The turns of this process group, on the store that its processes have met on.

    A random name keeps them apart from those of earlier starts, of which torchrun keeps the store.
    """
    name = max_over_processes(secrets.randbits(62) if is_main() else 0, device)
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = dist.TCPStore(address, port, is_master=False, wait_for_workers=False)
    return Turns(dist.PrefixStore(f"turns {name}", store), rank(), world_size())


def _local_rank() -> int:
    """The number of this process on its machine."""
    return int(os.environ.get("LOCAL_RANK", 0))


def local_size() -> int:
    """The number of processes of this job on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if _is_under_torchrun() else 1


def _local_gpu(local_rank: int) -> torch.device:
    """The GPU with the index `local_rank`, or the only visible one. UsageError if there is none."""
    count = torch.cuda.device_count()
    if 1 < count <= local_rank:
        raise UsageError(f"process {local_rank} has no GPU: this machine has {count}")
    return torch.device("cuda", local_rank if local_rank < count else 0)


@contextmanager
def main_first(doing: str) -> Iterator[None]:
    """Run the block in rank 0 first, and in the other ranks when that is done.

    They wait as long as rank 0 lives, and say once a minute what it is `doing`. If it fails, they
    raise UserError with its reason.
    """
    if _turns:
        with _turns.first(0, doing):
            yield
    else:
        yield


def from_main(doing: str, work: Callable[[], str]) -> str:
    """The result of `work` in rank 0, which alone calls it, in all processes; see `main_first`."""
    return _turns.take(0, doing, work) if _turns else work()


def from_machine(doing: str, work: Callable[[], str]) -> str:
    """As `from_main`, with the first process of each machine in the place of rank 0."""
    return _turns.take(rank() - _local_rank(), doing, work) if _turns else work()


def can_capture_averages() -> bool:
    """Whether CUDA graphs may contain averages over processes: with NCCL, in the block of
    `process_group`, or where there is one process.
    """
    return world_size() == 1 or (_turns is not None and dist.get_backend() == dist.Backend.NCCL)


def reset_at_end(graph: torch.cuda.CUDAGraph) -> None:
    """Reset a CUDA graph at the end of `process_group`, also after an error.

    NCCL ends only when no graph contains its operations any more (pytorch/pytorch#115388).
    """
    _graphs.add(graph)


@torch.no_grad()
def average_tensors(tensors: Iterable[Tensor]) -> None:
    """Replace tensors of one dtype by their mean over all processes, in one all-reduce.

    The tensors must be laid out in memory in the same order in all processes, without gaps, or
    RuntimeError is raised.
    """
    tensors = list(tensors)
    if world_size() == 1 or not tensors:
        return
    views = [_in_memory_order(tensor) for tensor in tensors]
    flat = torch.cat(views)
    _all_reduce(flat, dist.ReduceOp.SUM)
    flat /= world_size()
    torch._foreach_copy_(views, flat.split([view.numel() for view in views]))


def _in_memory_order(tensor: Tensor) -> Tensor:
    """A tensor as a view [numel] in the order of its memory. RuntimeError if it has gaps.

    Another order would take one kernel per tensor to read and one to write, instead of one for all.
    """
    dimensions = sorted(range(tensor.dim()), key=tensor.stride, reverse=True)
    return tensor.permute(dimensions).view(-1)


def in_own_row(tensor: Tensor) -> Tensor:
    """Rows [world_size, ...] whose average over the processes holds the tensors of all of them."""
    if world_size() == 1:
        return tensor[None]
    rows = tensor.new_zeros(world_size(), *tensor.shape)
    rows[rank()] = tensor * world_size()
    return rows


class StopFlag:
    """A flag that any process may set, and that all of them read as set after the same step.

    `tensor` must be among those that are averaged at every step. On a GPU the value of the step
    before is read: its copy has arrived by then, so that the host does not wait for the device.
    """

    def __init__(self, device: torch.device):
        # After averaging: the share of processes that have set it, in [0, 1].
        self.tensor = torch.zeros((), device=device)
        self.delayed = device.type == "cuda"
        self._previous = HostCopy({})
        self._own = False

    def set(self, value: bool) -> None:
        """This process's value for the next average."""
        self._own = value
        if world_size() > 1:
            self.tensor.fill_(float(value))

    def is_set(self) -> bool:
        """Whether any process had set it at the last averaging; on a GPU, the one before."""
        if world_size() == 1:
            return self._own
        latest = HostCopy({"share": self.tensor})
        read, self._previous = self._previous if self.delayed else latest, latest
        return any(share > 0 for share in read.read().values())


def max_over_processes(number: int, device: torch.device) -> int:
    """The largest `number` of all processes. Waits for all of them."""
    if world_size() == 1:
        return number
    tensor = torch.tensor(number, device=device)
    _all_reduce(tensor, dist.ReduceOp.MAX)
    return int(tensor)


def all_equal(number: int, device: torch.device) -> bool:
    """Whether all processes have the same `number`. Waits for all of them."""
    return max_over_processes(number, device) == -max_over_processes(-number, device)


def _all_reduce(tensor: Tensor, operation: dist.ReduceOp.RedOpType) -> None:
    """Reduce a tensor over all processes in place. Raises UserError if one of them has ended."""
    with connection_errors():
        dist.all_reduce(tensor, operation)


def _barrier() -> None:
    """Wait until all processes have called this. Raises UserError if one of them has ended."""
    with connection_errors():
        dist.barrier()
