"""`dcgan arithmetic`: sums and differences of latents, drawn as in figure 7 of Radford et al. 2015
(arXiv:1511.06434).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dcgan import latent, sampling
from dcgan.config import TrainConfig
from dcgan.errors import UsageError
from dcgan.explore.figures import GAP, Figure
from dcgan.networks import Generator

_SHOWN = 3  # exemplars of an operand


@dataclass(frozen=True)
class Operand:
    """What is added or subtracted: the mean of some exemplars."""

    added: bool
    name: str  # as a caption
    z: Tensor  # [n, D]


@dataclass(frozen=True)
class Sum:
    """The result of arithmetic, and what its figure shows. Images are uint8 [S, S, C]."""

    operands: list[Operand]
    exemplars: list[np.ndarray]  # [n, S, S, C] of each operand
    means: np.ndarray  # [operands, S, S, C], of the means of latents
    z: Tensor  # [1 + 8, D]: the result, and neighbours of it
    results: np.ndarray  # [1 + 8, S, S, C]
    pixel_means: np.ndarray  # [operands, S, S, C], the means of images
    pixel_result: np.ndarray  # [S, S, C], the same arithmetic on images


def arithmetic(
    G: Generator, operands: Sequence[Operand], precision: str = TrainConfig.precision
) -> Sum:
    """Add and subtract the mean latents of operands, and their mean images for comparison.

    All latents that are drawn are scaled to those G has seen in training, see
    `latent.to_typical`. Raises UsageError for latents of another shape, and where nothing is added.
    """
    renderer = sampling.make_renderer(G, precision)
    width = G.layers[0].in_channels
    for operand in operands:
        if operand.z.dim() != 2 or operand.z.shape[1] != width or not len(operand.z):
            raise UsageError(
                f"the latents of an operand must have the shape [n, {width}], "
                f"not {list(operand.z.shape)}"
            )

    def draw(z: Tensor) -> np.ndarray:
        return renderer(z).cpu().numpy()

    def typical(z: Tensor) -> Tensor:
        return latent.to_typical(z, G.latent_dim, G.latent)

    plus = [operand.z for operand in operands if operand.added]
    minus = [operand.z for operand in operands if not operand.added]
    result = typical(latent.add_and_subtract(plus, minus))
    near = typical(latent.neighbours(result, G.latent_dim))
    z = torch.cat([result[None], near])
    exemplars = [draw(operand.z) for operand in operands]
    pixel_means = np.stack([images.mean(0, dtype=np.float64) for images in exemplars])
    signs = np.array([1 if operand.added else -1 for operand in operands])
    pixel_result = np.tensordot(signs, pixel_means, 1)
    return Sum(
        list(operands),
        exemplars,
        draw(typical(torch.stack([operand.z.mean(0) for operand in operands]))),
        z,
        draw(z),
        _to_uint8(pixel_means),
        _to_uint8(pixel_result),
    )


def _to_uint8(values: np.ndarray) -> np.ndarray:
    return values.round().clip(0, 255).astype(np.uint8)


def draw_arithmetic(done: Sum) -> np.ndarray:
    """The figure, uint8 [H, W, 3]: in columns three exemplars of each operand, the image of the
    mean latent of all of them, and the mean of their images; on the right the result amid eight
    neighbours, and the result of the arithmetic on images.
    """
    figure = Figure(done.results.shape[1])
    step, line = figure.cell + GAP, figure.line
    captions = [figure.wrap(operand.name) for operand in done.operands]
    for lines, exemplars in zip(captions, done.exemplars, strict=True):
        if len(exemplars) > _SHOWN:
            lines.append(f"{len(exemplars)} exemplars")
    of_exemplars = GAP + line * max(map(len, captions))
    of_means = of_exemplars + _SHOWN * step + 2 * line
    of_pixels = of_means + step + 2 * line
    signs = 2 * line  # the width of the columns between operands
    figure.text("mean of latents", GAP, of_means - line)
    figure.text("mean of images", GAP, of_pixels - line)
    x = GAP
    for i, operand in enumerate(done.operands):
        if i or not operand.added:
            for y in (of_means, of_pixels):
                figure.text("+" if operand.added else "-", x + line // 2, y + step // 2 - line)
            x += signs
        for row, caption in enumerate(captions[i]):
            figure.text(caption, x, GAP + row * line)
        for row, image in enumerate(done.exemplars[i][:_SHOWN]):
            figure.image(image, x, of_exemplars + row * step)
        figure.image(done.means[i], x, of_means)
        figure.image(done.pixel_means[i], x, of_pixels)
        x += step
    for y in (of_means, of_pixels):
        figure.text("=", x + line // 2, y + step // 2 - line)
    x += signs
    figure.text("result, and 8 neighbours", x, of_means - 2 * step - line)
    around = [*done.results[1:5], done.results[0], *done.results[5:]]
    for k, image in enumerate(around):
        figure.image(image, x + k % 3 * step, of_means + (k // 3 - 2) * step)
    figure.image(done.pixel_result, x + step, of_pixels)
    return figure.render()
