"""The range that networks trained on ImageNet read images in."""

import torch
from torch import Tensor, nn

IMAGE_CHANNELS = (1, 3)  # that it takes
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


class ImageNetNormalization(nn.Module):
    """Images in [-1, 1], RGB or grey, [N, 3 or 1, H, W], as networks trained on ImageNet with
    torchvision's recipe take them: less its mean and divided by its standard deviation,
    [N, 3, H, W].
    """

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        mean, std = (torch.tensor(values)[:, None, None] for values in (_MEAN, _STD))
        self.register_buffer("shift", 2 * mean - 1, persistent=False)
        self.register_buffer("scale", 1 / (2 * std), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.shift) * self.scale
