"""Trained networks as files for PyTorch's DCGAN example (github.com/pytorch/examples, dcgan)."""

import dataclasses
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from dcgan.config import PRESETS, format_option
from dcgan.config.validation import to_path
from dcgan.errors import UserError
from dcgan.export.pytorch_names import example_names
from dcgan.networks import Discriminator, Generator, build_networks
from dcgan.runs.checkpoint import Checkpoint, network_options
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.runs.loading import assign_tensors, in_full_precision
from dcgan.runtime.atomic_files import replace_atomically

# Options for which the example has one value. Its flags --nz, --ngf and --ndf set the others, and
# the number of channels follows from its data.
_FIXED_G = ("size", "kernel_size", "latent")
_FIXED_D = ("batch_norm_D", "bias_D", "spectral_norm", "minibatch_std")


def export_to_pytorch_example(run: Path, folder: Path) -> list[Path]:
    """Write networks so that the example loads them, `netG.load_state_dict(load_file(path))`.

    `run`: a checkpoint file or run folder. Writes into `folder`: netG.safetensors and
    netD.safetensors, the networks of the last step, which training goes on from;
    netG_averaged.safetensors, if the averaged G has other weights. A checkpoint of the averaged G
    alone gives netG.safetensors. Returns the paths.

    Raises UserError if there is no usable checkpoint, for networks that the example cannot express,
    for files that are there already, and if writing fails.
    """
    found, folder = find_checkpoint(run), to_path(folder)
    averaged, last, weights_D = (found.tensors(prefix) for prefix in ("ema.", "G.", "D."))
    if not (last or averaged):
        raise UserError(f"{found.path} does not hold a generator")
    _check_expressible(found, bool(weights_D))
    config = dataclasses.replace(PRESETS["pytorch-example"], **network_options(found.config))
    with torch.device("meta"):
        G, D = build_networks(config)
    networks: dict[str, tuple[Generator | Discriminator, dict[str, Tensor]]]
    networks = {"netG": (G, last or averaged)}
    if weights_D:
        networks["netD"] = (D, weights_D)
    if last and averaged and not _same_weights(last, averaged):
        networks["netG_averaged"] = (G, averaged)
    files = {
        folder / f"{name}.safetensors": _renamed(found, network, tensors)
        for name, (network, tensors) in networks.items()
    }
    for path in files:
        if path.exists():
            raise UserError(f"{path} is there already: name another folder")
    for path, tensors in files.items():
        with replace_atomically(path) as partial:
            try:
                save_file(tensors, partial, {"format": "pt"})
            except SafetensorError as error:
                raise OSError(str(error)) from error
    return list(files)


def _check_expressible(found: Checkpoint, has_D: bool) -> None:
    """Raise UserError, which names an option, unless the example can have such networks."""
    if found.labels is not None:
        raise UserError(
            f"{found.path} was trained with --conditional, and PyTorch's example has no labels"
        )
    for name in (*_FIXED_G, *(_FIXED_D if has_D else ())):
        ours, theirs = found.config[name], getattr(PRESETS["pytorch-example"], name)
        if ours != theirs:
            advice = " (a file of its generator alone can be exported)" if name in _FIXED_D else ""
            raise UserError(
                f"{found.path} was trained with {format_option(name, ours)}, and PyTorch's example "
                f"has {format_option(name, theirs)}{advice}"
            )


def _renamed(
    found: Checkpoint, network: Generator | Discriminator, tensors: dict[str, Tensor]
) -> dict[str, Tensor]:
    """The tensors of a network under their names in the example. Raises UserError for others."""
    tensors = {name: in_full_precision(tensor) for name, tensor in tensors.items()}
    assign_tensors(network, tensors, found.path, type(network).__name__)
    names = example_names(network)
    return {names[name]: tensor.contiguous() for name, tensor in tensors.items()}


def _same_weights(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether two generators are the same apart from the statistics of batch norm."""
    weights = [name for name in one if name.endswith((".weight", ".bias"))]
    return all(name in other and torch.equal(one[name], other[name]) for name in weights)
