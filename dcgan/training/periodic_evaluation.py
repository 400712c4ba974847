"""Evaluation along a training run."""

import torch

from dcgan import sampling
from dcgan.config import TrainConfig
from dcgan.data import PackedImages
from dcgan.evaluation import Comparison, RandomFeatures, choose_images, read_images
from dcgan.networks import Generator

_PIXEL_IMAGES = 500  # images for the metrics that are computed from pixels


class Evaluator:
    """Scores a generator on the same latents, against the same real images, every time.

    It takes no numbers from global random generators, so that training continues as without it.
    """

    def __init__(self, config: TrainConfig, packed: PackedImages, device: torch.device):
        """Extract the features of `eval_images` real images. Raises UserError for too few."""
        self.config = config
        chosen = choose_images(packed, config.eval_images)
        self.comparison = Comparison(
            read_images(packed, chosen),
            RandomFeatures().to(device),
            device,
            pixel_images=min(_PIXEL_IMAGES, len(chosen), config.eval_images),
        )

    def scores(self, G: Generator) -> dict[str, float]:
        """The scores of `Comparison` for the images of seeds 0, 1, 2, ..."""
        seeds = range(self.config.eval_images)
        return self.comparison.scores(sampling.sample(G, seeds, precision=self.config.precision))
