"""Training of a segmentation network."""

import dataclasses
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dcgan.config import DataOptions, TrainConfig
from dcgan.config.segmentation import DRAWN_FACES, SegmentTrainConfig
from dcgan.config.validation import require_options
from dcgan.data import IGNORED, PackedImages, is_packed, open_or_pack, row_reader
from dcgan.deconv.fcn.batches import SegmentationLoader
from dcgan.deconv.fcn.tasks import SegmentationTasks
from dcgan.deconv.fcn.trainer import SegmentationTrainer, balancing_weights
from dcgan.deconv.training import Training, hold_out, train_network
from dcgan.errors import UserError
from dcgan.runs.checkpoint import Checkpoint

_BLOCK = 1024  # masks in memory at a time
_TRAIN_IMAGES_STREAM = 9  # number of a random stream, see `training.image_loader`


def train(config: SegmentTrainConfig) -> Path:
    """Train a fully convolutional network on packed images with masks, or resume the run in
    config.out.

    config.data `faces` stands for the built-in faces with masks of their parts, which are packed
    first unless they are. Returns the last checkpoint, and raises as `train_network`.
    """
    require_options(config, SegmentTrainConfig, "train")
    config = dataclasses.replace(config, data=packed_folder(config.data))
    cure = "a smaller --batch-size or --width, or a larger --stride"
    return train_network(config, SegmentationTasks, _make_training, cure)


def packed_folder(data: Path | None) -> Path | None:
    """The packed folder that --data stands for: that of the built-in faces for `faces`, packed
    first unless they are.
    """
    drawn = data == DRAWN_FACES and not is_packed(DRAWN_FACES)
    return pack_face_parts().folder if drawn else data


def pack_face_parts() -> PackedImages:
    """The built-in faces with masks of their parts, packed in the folder of data."""
    options = DataOptions(source="face-parts")
    return open_or_pack(options, TrainConfig.size, TrainConfig.channels, TrainConfig.data_cache)


def _make_training(
    config: SegmentTrainConfig, packed: PackedImages, on: torch.device, found: Checkpoint | None
) -> Training:
    if packed.masks is None:
        raise UserError(
            f"the images in {packed.folder} have no masks: pack them with "
            f"`dcgan prepare folder --masks` or voc"
        )
    rows = training_rows(config, len(packed))
    class_weights = None
    if config.class_weights == "balanced":
        class_weights = balancing_weights(class_frequencies(packed, rows))
    classes = len(packed.mask_names)
    trainer = SegmentationTrainer(
        config, packed.size, packed.channels, classes, class_weights, on, found
    )
    loader = SegmentationLoader(
        packed,
        on,
        batch_size=config.batch_size,
        seed=config.seed,
        flip=config.flip,
        crop=config.crop,
        chosen=rows,
    )
    return Training(trainer, loader)


def training_rows(config: SegmentTrainConfig, count: int) -> np.ndarray:
    """The indices of the images to train on, of `count`, ascending."""
    rows, _ = hold_out(count, config.held_out, config.seed)
    if config.train_images is None:
        return rows
    order = np.random.default_rng([config.seed, _TRAIN_IMAGES_STREAM]).permutation(len(rows))
    return np.sort(rows[order[: config.train_images]])


def class_frequencies(packed: PackedImages, rows: np.ndarray) -> Tensor:
    """The share of each class in the pixels of the images where it occurs: float64 [classes].

    By Eigen and Fergus 2015, section 4.3.3.
    """
    assert packed.masks is not None
    classes, read = len(packed.mask_names), row_reader(packed.masks)
    own, around = np.zeros(classes), np.zeros(classes)
    for first in range(0, len(rows), _BLOCK):
        for mask in read(rows[first : first + _BLOCK]):
            counts = np.bincount(mask.ravel(), minlength=IGNORED + 1)[:classes]
            own += counts
            around += (counts > 0) * counts.sum()
    return torch.from_numpy(own / np.maximum(around, 1))
