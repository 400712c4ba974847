"""Fully convolutional networks for segmentation (Long, Shelhamer and Darrell 2015)."""

from dcgan.deconv.fcn.batches import SegmentationBatch, SegmentationLoader
from dcgan.deconv.fcn.scores import ConfusionMatrix, SegmentationScores

__all__ = ["ConfusionMatrix", "SegmentationBatch", "SegmentationLoader", "SegmentationScores"]
