"""Networks of the user's own code: calling it, reading weights, and initialising anew."""

import os
from contextlib import ExitStack
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.nn.parameter import is_lazy

from dcgan.deconv.weights import Mismatch, find_mismatch
from dcgan.errors import UserError
from dcgan.runs.foreign_files import describe_foreign_file
from dcgan.runtime.importing import import_module

_MISMATCHES: dict[Mismatch, str] = {
    "missing": "lacks",
    "unknown": "has the unknown",
    "other shape": "has other shapes of",
}


def call_function(name: str) -> nn.Module:
    """The network that "module:function" returns; its random numbers are the same every time.

    The current folder stays, so that the paths of other options mean the same after it.
    """
    module, _, attribute = name.partition(":")
    folder = os.getcwd()
    try:
        with ExitStack() as stack, torch.random.fork_rng(devices=[]):
            found = getattr(import_module(module, stack), attribute)
            torch.manual_seed(0)
            network = found if isinstance(found, nn.Module) else found()
    except (Exception, SystemExit) as error:  # a user's code can raise anything
        raise UserError(f"--network {name}: {type(error).__name__}: {error}") from error
    finally:
        os.chdir(folder)
    if not isinstance(network, nn.Module):
        raise UserError(f"--network {name} returns a {type(network).__name__}, no torch.nn.Module")
    if any(is_lazy(each) or each.is_meta for each in (*network.parameters(), *network.buffers())):
        raise UserError(
            f"--network {name} returns a network whose parameters have no values yet (lazy, or on "
            f"the device meta): initialise them in the function"
        )
    return network


def load_weights(network: nn.Module, path: Path, name: str) -> None:
    """Read weights into a network. Raises UserError unless all of both fit each other."""
    if not path.is_file():
        raise UserError(f"--weights {path}: no such file")
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        reason = describe_foreign_file(path) or f"it is no valid safetensors file: {error}"
        raise UserError(f"--weights {path}: {reason}") from error
    if mismatch := find_mismatch(network, tensors):
        kind, names = mismatch
        raise UserError(
            f"--weights {path} does not fit --network {name}: it {_MISMATCHES[kind]} {names}"
        )
    network.load_state_dict(tensors)


def randomize(network: nn.Module) -> None:
    """Initialise all layers of a network anew by their `reset_parameters`, in place.

    Raises UserError for a module with parameters that has no such method.
    """
    for name, module in network.named_modules():
        reset = getattr(module, "reset_parameters", None)
        if callable(reset):
            reset()
        elif any(True for _ in module.parameters(recurse=False)):
            raise UserError(
                f"--random: the module {name or type(module).__name__} has parameters and no "
                f"method reset_parameters()"
            )
