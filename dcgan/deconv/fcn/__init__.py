"""Pixel-wise prediction by fully convolutional networks.

Long, Shelhamer and Darrell 2015, "Fully Convolutional Networks for Semantic Segmentation"
(arXiv:1411.4038).
"""

from dcgan.deconv.fcn.backbones import Backbone
from dcgan.deconv.fcn.convert import HeatMap, convert_fc
from dcgan.deconv.fcn.discriminator_backbone import DiscriminatorBackbone
from dcgan.deconv.fcn.network import FCN
from dcgan.deconv.fcn.tiling import TileContext, tile_context
from dcgan.deconv.fcn.torchvision_backbone import TorchvisionBackbone
from dcgan.deconv.fcn.upsampling import Upsampling, bilinear_taps
from dcgan.deconv.fcn.vgg16 import VGG16, load_vgg16

__all__ = [
    "FCN",
    "VGG16",
    "Backbone",
    "DiscriminatorBackbone",
    "HeatMap",
    "TileContext",
    "TorchvisionBackbone",
    "Upsampling",
    "bilinear_taps",
    "convert_fc",
    "load_vgg16",
    "tile_context",
]
