"""A device without float64, such as Apple's GPUs, on any machine.

Its tensors say that they are on "meta" and compute on the CPU. An operation on them that makes
float64 is refused with the words of PyTorch on such a GPU.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_any, tree_leaves, tree_map

DEVICE = torch.device("meta")


class _OnDevice(torch.Tensor):
    """A tensor whose device is DEVICE, around one on the CPU."""

    elem: Tensor

    @staticmethod
    def __new__(cls, elem: Tensor) -> "_OnDevice":
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            elem.shape,
            strides=elem.stride(),
            storage_offset=elem.storage_offset(),
            dtype=elem.dtype,
            device=DEVICE,
        )
        made.elem = elem
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(func, args, kwargs or {})


class WithoutFloat64(TorchDispatchMode):
    """In the block, tensors can be made on DEVICE and copied to it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # In inference mode `to(device)` and others arrive in one piece.
        with self, torch.inference_mode(False):
            parts = func.decompose(*args, **(kwargs or {}))
        if parts is not NotImplemented:
            return parts
        # Inference mode does not know of tensors around others.
        with torch.inference_mode(False), torch.no_grad():
            return _compute(func, args, kwargs or {})


def _compute(func: Any, args: Iterable[Any], kwargs: Mapping[str, Any]) -> Any:
    target = kwargs.get("device")
    on_device = tree_any(lambda x: isinstance(x, _OnDevice), (args, kwargs))
    if target is not None:
        on_device = torch.device(target).type == DEVICE.type
        kwargs = {**kwargs, "device": torch.device("cpu")}
    copies = func.overloadpacket.__name__ == "copy_"
    bare_args, bare_kwargs = tree_map(_bare, (args, kwargs))
    made = func(*bare_args, **bare_kwargs)
    if copies:  # to the device of the first, whatever that of the second
        on_device = isinstance(args[0], _OnDevice)
    if not on_device:
        return made
    wrappers = {id(x.elem): x for x in tree_leaves((args, kwargs)) if isinstance(x, _OnDevice)}

    def wrap(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if value.dtype == torch.float64:
            raise TypeError(f"{func}: the MPS framework doesn't support float64")
        known = wrappers.get(id(value))
        return _OnDevice(value) if known is None else known

    return tree_map(wrap, made)


def _bare(value: Any) -> Any:
    return value.elem if isinstance(value, _OnDevice) else value
