"""Copies of tensors in host memory, made without waiting for the device."""

from collections.abc import Mapping

import torch
from torch import Tensor


class HostCopy:
    """Copies of named tensors, which later changes of the tensors do not affect.

    CUDA tensors are copied asynchronously. Only `read` waits for the device, and may be called
    from another thread.
    """

    def __init__(self, tensors: Mapping[str, Tensor]):
        self._copies = {name: _to_host(tensor) for name, tensor in tensors.items()}
        devices = {tensor.device for tensor in tensors.values() if tensor.is_cuda}
        self._events = [torch.cuda.current_stream(device).record_event() for device in devices]

    def read(self) -> dict[str, Tensor]:
        """The copies, contiguous and on the CPU; waits until they have arrived."""
        for event in self._events:
            event.synchronize()
        return self._copies


def _to_host(tensor: Tensor) -> Tensor:
    # Copies to memory that is not pinned make the host wait.
    copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
    return copy.copy_(tensor.detach(), non_blocking=tensor.is_cuda)
