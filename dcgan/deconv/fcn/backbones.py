"""What a fully convolutional network is built on: maps of an image, and where their units lie."""

from collections.abc import Sequence
from typing import Self

from torch import Tensor, nn

from dcgan.sizes import ReceptiveField


class Backbone(nn.Module):
    """A network whose forward gives maps of images, of rising stride.

    x: [N, C, H, W] in [-1, 1], with C one of `image_channels` -> the maps [N, channels[k], h, w],
    in a list.
    `fields` says what a unit of each sees, along both axes: its stride and the middle of its first
    unit on the image, in pixels. Each stride is a multiple of the one before.

    Frozen by `freeze`, its parameters get no gradients, and batch norm and dropout stay in
    evaluation mode, whatever mode the network around it is put into.
    """

    def __init__(
        self,
        image_channels: Sequence[int],
        channels: Sequence[int],
        fields: Sequence[ReceptiveField],
    ):
        super().__init__()
        self.image_channels = tuple(image_channels)
        self.channels, self.fields = tuple(channels), tuple(fields)
        self.frozen = False

    def map_sides(self, side: int) -> list[int]:
        """The sides of the maps, of an image with this side, along one axis.

        Raises UsageError where a layer leaves nothing of so small an image.
        """
        raise NotImplementedError

    def forward(self, x: Tensor) -> list[Tensor]:
        raise NotImplementedError

    def freeze(self) -> Self:
        """Keep all of it as it is from now on; returns itself."""
        self.frozen = True
        return self.requires_grad_(False).train(False)

    def train(self, mode: bool = True) -> Self:
        return super().train(mode and not self.frozen)
