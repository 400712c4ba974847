"""Pixel-wise prediction by fully convolutional networks.

Long, Shelhamer and Darrell 2015, "Fully Convolutional Networks for Semantic Segmentation"
(arXiv:1411.4038).
"""

from dcgan.deconv.fcn.backbones import Backbone
from dcgan.deconv.fcn.batches import SegmentationBatch, SegmentationLoader
from dcgan.deconv.fcn.convert import HeatMap, convert_fc
from dcgan.deconv.fcn.discriminator_backbone import DiscriminatorBackbone
from dcgan.deconv.fcn.evaluation import Segmentation, evaluate_segmenter
from dcgan.deconv.fcn.figure import overlay
from dcgan.deconv.fcn.loading import load_segmenter
from dcgan.deconv.fcn.network import FCN
from dcgan.deconv.fcn.onnx_model import export_onnx
from dcgan.deconv.fcn.palette import class_colours, colour_mask, save_mask
from dcgan.deconv.fcn.prediction import predict, segment
from dcgan.deconv.fcn.reporting import evaluate
from dcgan.deconv.fcn.scores import ConfusionMatrix, SegmentationScores, score_counts
from dcgan.deconv.fcn.tiling import TileContext, tile_context
from dcgan.deconv.fcn.torchvision_backbone import TorchvisionBackbone
from dcgan.deconv.fcn.training import train
from dcgan.deconv.fcn.upsampling import Upsampling, bilinear_taps
from dcgan.deconv.fcn.vgg16 import VGG16, load_vgg16

__all__ = [
    "FCN",
    "VGG16",
    "Backbone",
    "ConfusionMatrix",
    "DiscriminatorBackbone",
    "HeatMap",
    "Segmentation",
    "SegmentationBatch",
    "SegmentationLoader",
    "SegmentationScores",
    "TileContext",
    "TorchvisionBackbone",
    "Upsampling",
    "bilinear_taps",
    "class_colours",
    "colour_mask",
    "convert_fc",
    "evaluate",
    "evaluate_segmenter",
    "export_onnx",
    "load_segmenter",
    "load_vgg16",
    "overlay",
    "predict",
    "save_mask",
    "score_counts",
    "segment",
    "tile_context",
    "train",
]
