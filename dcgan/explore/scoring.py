"""What a classifier says of the images of latents."""

from collections.abc import Iterator

import torch
from torch import Tensor

from dcgan.config import TrainConfig
from dcgan.explore.classifier import LabelClassifier
from dcgan.networks import Generator, fold_batch_norm
from dcgan.runtime.device import full_float32_precision
from dcgan.sampling import batch_size, make_renderer

_MAX_PASS_PIXELS = 2**16


class Scorer:
    """The logits of a classifier for the images of a generator.

    Raises UserError for a classifier of other images.
    """

    def __init__(
        self, G: Generator, classifier: LabelClassifier, precision: str = TrainConfig.precision
    ):
        classifier.check_generator(G)
        self.classifier = classifier
        self.batch_size = batch_size(G.size)
        # Of one pass with gradients. A fixed size makes results independent of the other latents.
        self.pass_size = min(max(_MAX_PASS_PIXELS // G.size**2, 1), self.batch_size)
        self.device = next(G.parameters()).device
        classifier.network.to(self.device)
        self._render = make_renderer(G, precision)
        self._folded = fold_batch_norm(G)

    def outputs(self, z: Tensor) -> Tensor:
        """Latents [N, D] -> logits of labels and values of their pictures, on the CPU."""
        images: Iterator[Tensor] = (self._render(batch) for batch in z.split(self.batch_size))
        return self.classifier.outputs(images)

    def logits(self, z: Tensor) -> Tensor:
        """Latents [N, D] -> logits of the labels, [N, K] on the CPU."""
        return self.classifier.logits(self.outputs(z))

    def differentiable(self, z: Tensor) -> Tensor:
        """Latents [n, D] on the device -> logits [n, K], as a differentiable function."""
        with full_float32_precision():
            return self.classifier.logits(self.classifier.network(self._folded(z)))


def first_features(G: Generator, z: Tensor) -> Tensor:
    """Latents [N, D] -> G's first maps after batch norm and activation, [N, F] on the CPU."""
    layers = fold_batch_norm(G).layers[:3]
    device = next(G.parameters()).device
    with torch.inference_mode(), full_float32_precision():
        parts = [
            layers(batch.to(device)[:, :, None, None]).flatten(1).cpu()
            for batch in z.split(batch_size(G.size))
        ]
    return torch.cat(parts)
