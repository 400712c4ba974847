"""`dcgan segment predict`: the classes of the pixels of a picture of any size."""

import numpy as np
import torch
from torch import Tensor

from dcgan import images
from dcgan.config.segmentation import SegmentPredictConfig
from dcgan.config.validation import require_options
from dcgan.deconv.fcn.figure import overlay
from dcgan.deconv.fcn.loading import load_segmenter
from dcgan.deconv.fcn.network import FCN
from dcgan.deconv.fcn.palette import save_mask
from dcgan.deconv.fcn.tiling import tile_context
from dcgan.errors import UsageError
from dcgan.explore.outputs import check_outputs
from dcgan.explore.photos import read_whole_photo
from dcgan.networks import evaluating
from dcgan.runtime import device as devices
from dcgan.runtime.device import full_float32_precision
from dcgan.runtime.progress import progress_bar

TILE_SIDE = 512  # pixels. Smaller tiles read more around them; larger ones need more memory


def predict(config: SegmentPredictConfig) -> dict[str, float]:
    """Segment the picture of `config`, and write the overlay and the mask.

    Returns the share of the pixels of each class that occurs, from the largest. Raises UserError
    for files that are missing, no pictures, too small or in the way.
    """
    require_options(config, SegmentPredictConfig, "predict")
    outputs = [path for path in (config.out, config.index) if path is not None]
    check_outputs(outputs, (config.run, config.picture))
    devices.reuse_freed_memory()
    network = load_segmenter(config.run, config.device)
    pixels = read_whole_photo(config.picture, max(network.backbone.image_channels))
    mask = segment(network, pixels)
    images.save_png(config.out, overlay(pixels, mask))
    if config.index is not None:
        save_mask(config.index, mask)
    counts = np.bincount(mask.ravel(), minlength=network.classes)
    order = np.argsort(-counts, kind="stable")
    return {network.class_names[i]: counts[i] / mask.size for i in order if counts[i]}


@full_float32_precision()
@torch.no_grad()
def segment(network: FCN, pixels: np.ndarray, tile_side: int = TILE_SIDE) -> np.ndarray:
    """An image uint8 [H, W, C] of any size -> the class of every pixel, uint8 [H, W].

    It goes through the network in tiles with as much around them as their scores depend on, so that
    the result is that of the whole image. The network is used in evaluation mode, and comes back in
    the mode that it was in. Raises UsageError for arrays of another type, or with other channels
    than the network's, and UserError for images that are too small.
    """
    channels = network.backbone.image_channels
    wanted = pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.size
    if not wanted or pixels.shape[2] not in channels:
        raise UsageError(
            f"segment needs an image uint8 [H, W, {' or '.join(map(str, channels))}], not "
            f"{pixels.dtype} {list(pixels.shape)}"
        )
    height, width = pixels.shape[:2]
    context = tile_context(network)
    mask = np.empty((height, width), np.uint8)
    tops, lefts = range(0, height, tile_side), range(0, width, tile_side)
    with (
        evaluating(network),
        progress_bar(len(tops) * len(lefts), "segmenting", "tile", delay=2) as bar,
    ):
        for top in tops:
            bottom = min(top + tile_side, height)
            rows = context.reads(top, bottom, height)
            for left in lefts:
                right = min(left + tile_side, width)
                columns = context.reads(left, right, width)
                classes = _forward(network, pixels[slice(*rows), slice(*columns)])
                inner = classes[top - rows[0] :, left - columns[0] :]
                mask[top:bottom, left:right] = inner[: bottom - top, : right - left]
                bar.update(1)
    return mask


def _forward(network: FCN, pixels: np.ndarray) -> np.ndarray:
    """The classes of a part of an image: uint8 [h, w, C] -> uint8 [h, w]."""
    on = next(network.parameters()).device
    x: Tensor = images.to_float(torch.from_numpy(np.ascontiguousarray(pixels[None])).to(on))
    return network(x)[0].argmax(0).to(torch.uint8).cpu().numpy()
