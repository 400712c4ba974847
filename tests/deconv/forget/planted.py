"""A generator made by hand: one of its maps draws a red square, and the others draw the rest."""

import torch
from torch import Tensor, nn

from dcgan.networks import Generator

SIZE, WIDTH, LATENT_DIM = 16, 4, 8  # of the tests' `run`
LAYER, MAP = 2, 2  # the map, of four maps of 8x8, that draws the square
SQUARE = (slice(4, 8), slice(4, 12))  # rows and columns of the pixels that it reaches

_SCALE = 80.0  # of the bias, so that some hundred small steps reach any threshold


def planted_generator() -> Generator:
    """z[0] > 0 draws the square; z[1:4] draw waves in green and blue, which the square covers."""
    G = Generator(size=SIZE, width=WIDTH, latent_dim=LATENT_DIM).requires_grad_(False).eval()
    for module in G.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
            module.running_var.fill_(1 - module.eps)
    rng = torch.Generator().manual_seed(0)
    first, second, third = (G.layers[i].weight for i in (0, 3, 6))
    first.zero_(), second.zero_(), third.zero_()
    first[0, 0, 1, 1:3] = 1.0  # of 4x4 positions
    second[0, MAP, 1:3, 1:3] = 1.0  # four of 8x8 positions for each
    third[MAP, 0, 1:3, 1:3] = 1.0
    others = [i for i in range(WIDTH) if i != MAP]
    for i, each in enumerate(others, 1):
        first[i, i] = torch.rand(4, 4, generator=rng) - 0.5
        second[i, each] = torch.rand(4, 4, generator=rng) * 0.5
        third[each, 1:] = torch.rand(2, 4, 4, generator=rng) - 0.5
    return G


def red(x: Tensor) -> Tensor:
    """Where images [N, 3, H, W] are red: bool [N, H, W]."""
    return x[:, 0] > 0.2


class FindsRed(nn.Module):
    """A segmentation network made by hand: class 1 is red, class 0 the rest.

    Its threshold is a parameter, at first that of `red` or the given one.
    """

    def __init__(self, threshold: float = 0.2) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor(-threshold / _SCALE), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        score = 50 * (x[:, 0].abs() + _SCALE * self.bias)
        return torch.stack([-score, score], 1)
