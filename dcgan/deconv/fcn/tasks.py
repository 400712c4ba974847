"""The tasks of a segmentation run that recur every N steps: its scores and its pictures."""

from typing import Any

import numpy as np

from dcgan.deconv.fcn.evaluation import evaluate_segmenter
from dcgan.deconv.fcn.figure import draw_confusion, draw_examples
from dcgan.deconv.fcn.state import SegmentationState
from dcgan.deconv.fcn.trainer import SegmentationTrainer
from dcgan.deconv.training import NetworkTasks

_SCORES = ("pixel_accuracy", "mean_accuracy", "mean_iu", "frequency_weighted_iu")


class SegmentationTasks(NetworkTasks):
    """Logs the scores of held-out images, the IU of every class, examples and the confusion."""

    State = SegmentationState
    trainer: SegmentationTrainer

    def evaluate(self) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        packed = self.packed
        found = evaluate_segmenter(self.trainer.network, packed, self.evaluated)
        scores, names = found.scores, packed.mask_names
        values = {name: getattr(scores, name) for name in _SCORES}
        values |= {f"iu/{name}": iu for name, iu in zip(names, scores.iu, strict=True)}
        values = {name: value for name, value in values.items() if np.isfinite(value)}
        pictures = {
            "segmented": draw_examples(found.images, found.masks, found.predicted, names),
            "confusion": draw_confusion(found.counts, names),
        }
        return values, pictures

    def state_fields(self) -> dict[str, Any]:
        return {
            "architecture": self.trainer.architecture,
            "mask_names": list(self.packed.mask_names),
            "size": self.packed.size,
            "channels": self.packed.channels,
        }
