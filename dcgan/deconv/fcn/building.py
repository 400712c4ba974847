"""Segmentation networks as options and checkpoints describe them."""

from collections.abc import Mapping
from typing import Any

import torch

from dcgan.config import NETWORK_OPTIONS, TrainConfig
from dcgan.config.segmentation import DISCRIMINATOR, SegmentTrainConfig
from dcgan.deconv.fcn.backbones import Backbone
from dcgan.deconv.fcn.discriminator_backbone import DiscriminatorBackbone
from dcgan.deconv.fcn.network import FCN
from dcgan.deconv.fcn.normalization import ImageNetNormalization
from dcgan.deconv.fcn.torchvision_backbone import TorchvisionBackbone
from dcgan.deconv.fcn.vgg16 import VGG16, load_vgg16
from dcgan.errors import UserError
from dcgan.networks import Discriminator, build_network
from dcgan.runs.checkpoint import network_options
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.runs.loading import discriminator_in

VGG = "vgg16"
_LARGEST = 128  # pixels: D for images of this size has maps of the strides 2 to 32, as VGG16


def new_fcn(
    config: SegmentTrainConfig, size: int, channels: int, classes: int
) -> tuple[FCN, dict[str, Any]]:
    """A network for images of `size` pixels and `channels`, and its architecture, which
    `empty_fcn` takes.

    Raises UserError for weights that cannot be read or do not fit, UsageError for a backbone that
    does not exist or has no map of the stride.
    """
    architecture = {"backbone": config.backbone, "stride": config.stride_for(size)}
    if config.backbone == DISCRIMINATOR:
        D, options = _discriminator(config, size, channels)
        architecture |= options
        backbone: Backbone = DiscriminatorBackbone(D)
    elif config.backbone == VGG:
        # The authors' padding of 100 pixels is more than a small image.
        backbone = load_vgg16(config.weights, True) if config.weights else VGG16(pad_fc6=True)
    else:
        backbone = TorchvisionBackbone(config.backbone, config.weights)
    if channels not in backbone.image_channels:
        wanted = " or ".join(map(str, backbone.image_channels))
        raise UserError(
            f"the images have {channels} channels, and the backbone takes images of {wanted}"
        )
    if config.freeze:
        backbone.freeze()
    return FCN(backbone, classes, config.stride_for(size)), architecture


def empty_fcn(architecture: Mapping[str, Any], classes: int) -> FCN:
    """A network whose parameters and batch norm are on "meta", to be assigned.

    Raises UsageError, UserError, TypeError, ValueError or KeyError for an architecture that no
    `new_fcn` has returned.
    """
    name = architecture["backbone"]
    with torch.device("meta"):
        if name == DISCRIMINATOR:
            options = network_options({**_defaults(), **architecture})
            backbone: Backbone = DiscriminatorBackbone(build_network(Discriminator, options))
        elif name == VGG:
            backbone = VGG16(pad_fc6=True)
        else:
            backbone = TorchvisionBackbone(name)
    if isinstance(backbone, VGG16 | TorchvisionBackbone):
        backbone.normalize = ImageNetNormalization()  # in no checkpoint
    return FCN(backbone, classes, architecture["stride"])


def _discriminator(
    config: SegmentTrainConfig, size: int, channels: int
) -> tuple[Discriminator, dict[str, Any]]:
    """The discriminator whose blocks are the backbone, and its options."""
    if config.weights is not None:
        found = find_checkpoint(config.weights)
        return discriminator_in(found), network_options(found.config)
    # Batch norm, which the D of a GAN does without, makes supervised training faster.
    norm = {"batch_norm_D": True, "bias_D": False}
    shape = {"size": min(size, _LARGEST), "channels": channels, "width": config.width}
    options = _defaults() | norm | shape
    return build_network(Discriminator, options), options


def _defaults() -> dict[str, Any]:
    return {name: getattr(TrainConfig, name) for name in NETWORK_OPTIONS}
