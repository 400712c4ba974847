"""Trained segmentation networks, loaded from checkpoints."""

from pathlib import Path

import torch

from dcgan.deconv.fcn.building import empty_fcn
from dcgan.deconv.fcn.network import FCN
from dcgan.deconv.fcn.state import SegmentationState
from dcgan.errors import UserError
from dcgan.runs.checkpoint import SEGMENTER, Checkpoint, damaged
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.runs.loading import assign_tensors
from dcgan.runtime.device import select_device


def load_segmenter(path: Path, device: torch.device | str = "cpu") -> FCN:
    """The segmentation network of a run folder or checkpoint file, in evaluation mode.

    Its `class_names` are those of the masks. `device`: see `select_device`. Raises UserError if
    there is no usable checkpoint of a segmentation network, or no such device.
    """
    return segmenter_in(find_checkpoint(path, SEGMENTER), device)


def segmenter_in(found: Checkpoint, device: torch.device | str = "cpu") -> FCN:
    """The network of a checkpoint, as `load_segmenter` returns it."""
    network = fcn_in(found).to(select_device(device)).to(memory_format=torch.channels_last)
    return network.requires_grad_(False).eval()


def fcn_in(found: Checkpoint) -> FCN:
    """The network of a checkpoint on the CPU, to be trained on. Raises UserError for damage."""
    state = SegmentationState.from_checkpoint(found)
    try:
        network = empty_fcn(state.architecture, len(state.mask_names))
    except (UserError, TypeError, ValueError, KeyError) as error:
        raise damaged(found.path, error) from error
    assign_tensors(network, state.section("fcn."), found.path, "FCN")
    network.class_names = tuple(state.mask_names)
    return network
