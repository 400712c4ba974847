"""Scores of a segmentation network on packed images with masks."""

from dataclasses import dataclass

import numpy as np
import torch

from dcgan import images
from dcgan.data import PackedImages, row_reader
from dcgan.deconv.fcn.network import FCN
from dcgan.deconv.fcn.scores import ConfusionMatrix, SegmentationScores
from dcgan.networks import evaluating
from dcgan.runtime.device import full_float32_precision
from dcgan.runtime.progress import progress_bar
from dcgan.sampling import batch_size

_EXAMPLES = 6


@dataclass(frozen=True)
class Segmentation:
    """Scores of predicted masks, and examples."""

    scores: SegmentationScores
    counts: np.ndarray  # int64 [classes, classes]: pixels by true and by predicted class
    count: int  # of images
    images: np.ndarray  # uint8 [n, S, S, C]
    masks: np.ndarray  # uint8 [n, S, S]
    predicted: np.ndarray  # uint8 [n, S, S]


@full_float32_precision()
@torch.no_grad()
def evaluate_segmenter(network: FCN, packed: PackedImages, rows: np.ndarray) -> Segmentation:
    """Compare predicted and true masks of the images `rows`, which have the network's classes.

    The network is used in evaluation mode, and comes back in the mode that it was in.
    """
    assert packed.masks is not None
    read_images, read_masks = row_reader(packed.images), row_reader(packed.masks)
    on = next(network.parameters()).device
    confusion = ConfusionMatrix(packed.mask_names, on)
    examples: list[np.ndarray] = []
    size = batch_size(packed.size)
    with evaluating(network), progress_bar(len(rows), "segmenting", "image", delay=2) as bar:
        for first in range(0, len(rows), size):
            some = rows[first : first + size]
            pixels, masks = read_images(some), read_masks(some)
            x = images.to_float(torch.from_numpy(pixels).to(on))
            predicted = network(x).argmax(1)
            confusion.add(torch.from_numpy(masks).to(on).long(), predicted)
            if not examples:
                examples = [pixels, masks, predicted.to(torch.uint8).cpu().numpy()]
            bar.update(len(some))
    shown = (example[:_EXAMPLES] for example in examples)
    counts = confusion.counts.cpu().numpy()
    return Segmentation(confusion.scores(), counts, len(rows), *shown)
