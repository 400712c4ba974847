"""Samples of a generator, where a segmentation network finds an object in them, and what a
classifier says of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from dcgan import images
from dcgan.config import TrainConfig
from dcgan.deconv.fcn import FCN
from dcgan.explore.classifier import LabelClassifier
from dcgan.networks import Generator
from dcgan.runtime.device import full_float32_precision
from dcgan.sampling import batch_size, make_renderer

_MIN_SHARE = 1 / 500  # of an image, for an object that counts


@dataclass(frozen=True, eq=False)
class Seen:
    """Images, uint8 [N, S, S, C], the pixels that show the object, bool [N, S, S], and the logits
    of the classifier's labels, [N, K], where there is a classifier. On the CPU.
    """

    pixels: Tensor
    masks: Tensor
    logits: Tensor | None


@dataclass(frozen=True, eq=False)
class Observer:
    """Finds an object in images, with the class `index` of a segmentation network and, if there is
    one for it, the label `label` of a classifier.
    """

    segmenter: FCN
    index: int
    classifier: LabelClassifier | None = None
    label: int = 0
    precision: str = TrainConfig.precision

    def masks(self, G: Generator, z: Tensor) -> Tensor:
        """Where the object is in the images of latents [N, D]: bool [N, S, S]."""
        return torch.cat([self._find(pixels) for pixels in self._draw(G, z)])

    def has_object(self, G: Generator, z: Tensor) -> Tensor:
        """Which images have the object, by the classifier if there is one: bool [N]."""
        if self.classifier is None:
            return have_object(self.masks(G, z))
        logits = self.classifier.logits(self.classifier.outputs(self._draw(G, z)))
        return logits[:, self.label] > 0

    def look(self, G: Generator, z: Tensor) -> Seen:
        """What is in the images of latents, all of which are kept in memory."""
        batches = list(self._draw(G, z))
        masks = torch.cat([self._find(pixels) for pixels in batches])
        logits = None
        if self.classifier is not None:
            logits = self.classifier.logits(self.classifier.outputs(batches))
        return Seen(torch.cat(batches), masks, logits)

    def _draw(self, G: Generator, z: Tensor) -> Iterator[Tensor]:
        """Latents -> uint8 [n, S, S, C], the same whatever is drawn beside them, in batches."""
        render = make_renderer(G, self.precision)
        for latents in z.split(batch_size(G.size)):
            yield render(latents).cpu()

    def _find(self, pixels: Tensor) -> Tensor:
        device = next(self.segmenter.parameters()).device
        with torch.inference_mode(), full_float32_precision():
            scores = self.segmenter(images.to_float(pixels.to(device)))
        return (scores.argmax(1) == self.index).cpu()


def have_object(masks: Tensor) -> Tensor:
    """Which masks, bool [N, S, S], show an object of at least 1/500 of the image: bool [N]."""
    return masks.flatten(1).float().mean(1) >= _MIN_SHARE
