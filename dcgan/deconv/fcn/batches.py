"""The batches of a segmentation network: images and their masks, mirrored and cropped alike."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dcgan.data import PackedImages, row_reader
from dcgan.errors import UsageError, UserError
from dcgan.training.image_loader import ImageLoader

_CROP_STREAM = 7  # number of a random stream, see `training.image_loader`


class SegmentationBatch(NamedTuple):
    """The inputs of a training step, on the device."""

    real: Tensor  # [n, C, S, S] in [-1, 1]
    mask: Tensor  # int64 [n, S, S], class numbers or IGNORED


class SegmentationLoader(ImageLoader[SegmentationBatch]):
    """Loads the images of any step with their masks, as a pure function of the seed and the step.

    flip: mirror an image and its mask with probability 0.5. crop: cut a random square of so many
    pixels out of both; None: the whole images. The images `chosen`, indices [M], are shown, or all.
    Raises UserError for a packed folder without masks, UsageError for a crop beyond the images.
    """

    def __init__(
        self,
        packed: PackedImages,
        device: torch.device,
        *,
        batch_size: int,
        seed: int,
        flip: bool,
        crop: int | None = None,
        chosen: np.ndarray | None = None,
        rank: int = 0,
        world_size: int = 1,
    ):
        if packed.masks is None:
            raise UserError(f"{packed.folder} has no masks: pack the images with --masks")
        if crop is not None and not 1 <= crop <= packed.size:
            raise UsageError(f"--crop must be from 1 to {packed.size}, the image size, not {crop}")
        super().__init__(
            packed.images,
            device,
            batch_size=batch_size,
            seed=seed,
            flip=flip,
            rank=rank,
            world_size=world_size,
            chosen=chosen,
        )
        self.masks, self.size, self.crop = row_reader(packed.masks), packed.size, crop

    def other_inputs(self, step: int, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        masks = self.masks(indices)
        masks = np.where(self.mirrored(step)[:, None, None], masks[:, :, ::-1], masks)
        if self.crop is None:
            return (masks,)
        corners = self.random(_CROP_STREAM, step).integers(
            0, self.size - self.crop + 1, (self.batch_size, 2)
        )[self.slice]
        rows, columns = (corners[:, i, None] + np.arange(self.crop) for i in (0, 1))  # [n, crop]
        images = np.arange(len(masks))[:, None, None]
        return masks[images, rows[:, :, None], columns[:, None]], rows, columns

    def make_inputs(self, real: Tensor, *others: Tensor) -> SegmentationBatch:
        mask, *places = others
        if places:
            rows, columns = places
            images = torch.arange(len(real), device=real.device)[:, None, None]
            shown = real.permute(0, 2, 3, 1)[images, rows[:, :, None], columns[:, None]]
            real = shown.permute(0, 3, 1, 2)  # channels last in memory, as before
        return SegmentationBatch(real, mask.long())
