"""Tensors as they are now, on the host, without holding up training."""

from collections.abc import Mapping

import torch
from torch import Tensor


class HostCopy:
    """Copies of named tensors, which do not change when the tensors do.

    On CUDA the copies are only ordered, behind what has been ordered before: nothing waits for the
    device until they are read, which another thread may do.
    """

    def __init__(self, tensors: Mapping[str, Tensor]):
        self.copies = {name: on_host(tensor) for name, tensor in tensors.items()}
        devices = {tensor.device for tensor in tensors.values() if tensor.is_cuda}
        self.copied = [torch.cuda.current_stream(device).record_event() for device in devices]

    def read(self) -> dict[str, Tensor]:
        """The copies, contiguous and on the CPU, as soon as they are there."""
        for event in self.copied:
            event.synchronize()
        return self.copies


def on_host(tensor: Tensor) -> Tensor:
    # Only into pinned memory does a device copy while the host goes on.
    copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
    return copy.copy_(tensor.detach(), non_blocking=tensor.is_cuda)
