"""`dcgan segment evaluate`: the scores of a run and the picture of examples."""

import numpy as np

from dcgan import images
from dcgan.config.segmentation import SegmentEvaluateConfig
from dcgan.config.validation import require_options
from dcgan.data import PackedImages, is_packed, open_packed
from dcgan.deconv.fcn.evaluation import Segmentation, evaluate_segmenter
from dcgan.deconv.fcn.figure import draw_examples
from dcgan.deconv.fcn.loading import segmenter_in
from dcgan.deconv.fcn.state import SegmentationState
from dcgan.deconv.fcn.training import packed_folder
from dcgan.deconv.training import hold_out
from dcgan.errors import UserError
from dcgan.explore.outputs import check_outputs
from dcgan.runs.checkpoint import SEGMENTER, Checkpoint
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.runtime import device as devices
from dcgan.runtime.cpu_sharing import sharing_cpus


def evaluate(config: SegmentEvaluateConfig) -> Segmentation:
    """Measure the network of a run on images that it was not trained on, and write the picture of
    examples.

    Raises UserError for files that are missing or do not fit each other.
    """
    require_options(config, SegmentEvaluateConfig, "evaluate")
    check_outputs((config.out,), (config.run,))
    devices.reuse_freed_memory()
    found = find_checkpoint(config.run, SEGMENTER)
    network = segmenter_in(found, config.device)
    packed, rows = _choose_images(config, found)
    if packed.mask_names != network.class_names:
        raise UserError(
            f"the masks in {packed.folder} have the classes {_listed(packed.mask_names)}, and "
            f"those of {config.run} {_listed(network.class_names)}"
        )
    with sharing_cpus():
        segmentation = evaluate_segmenter(network, packed, rows)
    names = packed.mask_names
    picture = draw_examples(segmentation.images, segmentation.masks, segmentation.predicted, names)
    images.save_png(config.out, picture)
    return segmentation


def _choose_images(
    config: SegmentEvaluateConfig, found: Checkpoint
) -> tuple[PackedImages, np.ndarray]:
    """The images to measure on. Raises UserError where there are none with masks."""
    trained = SegmentationState.config_in(found)
    folder = packed_folder(config.data) or trained.data
    if folder is None or (config.data is None and not is_packed(folder)):
        raise UserError(f"{folder}, which {found.path} was trained on, is gone: give --data")
    packed = open_packed(folder)
    if packed.masks is None:
        raise UserError(f"the images in {packed.folder} have no masks")
    if packed.fingerprint == found.header["data"]:
        _, rows = hold_out(len(packed), trained.held_out, trained.seed)
        return packed, rows[: config.images]
    if config.data is None:
        raise UserError(
            f"{folder} does not hold the images that {found.path} was trained on: give --data"
        )
    return packed, np.linspace(0, len(packed) - 1, min(len(packed), config.images)).astype(int)


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown}, ... ({len(names)})" if len(names) > 5 else shown
