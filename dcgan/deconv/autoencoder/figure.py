"""A picture of examples: clean, noisy and denoised by each method, with their PSNR."""

import numpy as np
import torch

from dcgan import images
from dcgan.deconv.autoencoder.evaluation import Comparison
from dcgan.explore.figures import GAP, Figure
from dcgan.latent.inversion import psnr


def draw_comparison(comparison: Comparison) -> np.ndarray:
    """A column for each method, a row for each example at each noise level: uint8 [H, W, 3]."""
    methods = ["clean", *comparison.psnr]
    first = comparison.examples[0]["clean"]
    sheet = Figure(first.shape[1])
    left, y = GAP, GAP
    for column, name in enumerate(methods):
        sheet.text(name, left + column * (sheet.cell + GAP), y)
    y += sheet.line
    for level, example in zip(comparison.levels, comparison.examples, strict=True):
        for i in range(len(example["clean"])):
            for column, name in enumerate(methods):
                x = left + column * (sheet.cell + GAP)
                sheet.image(example[name][i], x, y)
                text = f"{comparison.corruption} {level:g}"
                if name != "clean":
                    text = f"{_psnr(example['clean'][i], example[name][i]):.1f} dB"
                for line, words in enumerate(sheet.wrap(text)):
                    sheet.text(words, x, y + sheet.cell + GAP // 2 + line * sheet.line)
            y += sheet.cell + sheet.line + GAP
    return sheet.render()


def _psnr(clean: np.ndarray, denoised: np.ndarray) -> float:
    """The PSNR of one image uint8 [S, S, C]; infinite for equal ones."""
    pair = [images.to_float(torch.from_numpy(image[None])) for image in (clean, denoised)]
    return float(psnr(*pair))
