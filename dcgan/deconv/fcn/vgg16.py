"""VGG16 with its dense layers as convolutions."""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dcgan.deconv.fcn.backbones import Backbone
from dcgan.deconv.fcn.normalization import IMAGE_CHANNELS, ImageNetNormalization
from dcgan.deconv.fcn.weights import assign_weights, read_weights
from dcgan.errors import UserError
from dcgan.sizes import Conv, Layer, Pool, output_sizes, receptive_field

_DEPTHS = (2, 2, 3, 3, 3)  # convolutions before each pooling
_WIDTHS = (64, 128, 256, 512, 512)
_FC_WIDTH = 4096
_FC_KERNEL = 7
_PAPER_PADDING = 100
_DROPOUT = 0.5
_MAX_DIGITS = 10  # of a layer's number; Python refuses to read thousands


class VGG16(Backbone):
    """VGG16 (Simonyan and Zisserman 2014, configuration D) as Long et al. 2015 use it: the maps
    pool1, pool2, pool3, pool4 and fc7, of strides 2, 4, 8, 16 and 32.

    x: [N, 3 or 1, H, W] in [-1, 1], of any height and width; poolings round up, as in Caffe.

    `pad_fc6`: fc6, the convolution of 7x7, pads its input by 3, and conv1_1 by 1. Otherwise fc6
    pads nothing and conv1_1 pads the image by 100 pixels, as the authors' networks do, which takes
    several times as long for small images. `widths` of the five blocks and `fc_width` of fc6 and
    fc7 scale it.
    """

    def __init__(
        self,
        pad_fc6: bool = False,
        widths: Sequence[int] = _WIDTHS,
        fc_width: int = _FC_WIDTH,
    ):
        blocks: list[nn.Module] = []
        layers: list[Layer] = []
        ends: list[int] = []  # of the layers up to each map
        in_channels = 3
        for depth, out_channels in zip(_DEPTHS, widths, strict=True):
            block: list[nn.Module] = []
            for _ in range(depth):
                padding = 1 if layers or pad_fc6 else _PAPER_PADDING
                convolution = nn.Conv2d(in_channels, out_channels, 3, padding=padding)
                block += [convolution, nn.ReLU(inplace=True)]
                layers.append(Conv(3, 1, padding))
                in_channels = out_channels
            block.append(nn.MaxPool2d(2, ceil_mode=True))
            layers.append(Pool(2, 2, ceil=True))
            blocks.append(nn.Sequential(*block))
            ends.append(len(layers))
        layers.append(Conv(_FC_KERNEL, 1, _FC_KERNEL // 2 if pad_fc6 else 0))
        ends[-1] = len(layers)
        fields = [receptive_field(layers[:end]) for end in ends]
        super().__init__(IMAGE_CHANNELS, (*widths[:-1], fc_width), fields)
        self._layers, self._ends = layers, ends
        self.normalize = ImageNetNormalization()
        self.blocks = nn.ModuleList(blocks)
        self.fc6 = nn.Conv2d(in_channels, fc_width, _FC_KERNEL, padding=layers[-1].padding)
        self.fc7 = nn.Conv2d(fc_width, fc_width, 1)
        _initialize(self)

    def map_sides(self, side: int) -> list[int]:
        sides = output_sizes(self._layers, side)
        return [sides[end - 1] for end in self._ends]

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.normalize(x)
        maps = []
        for block in self.blocks:
            x = block(x)
            maps.append(x)
        for layer in (self.fc6, self.fc7):
            x = F.dropout(F.relu(layer(x), inplace=True), _DROPOUT, self.training)
        return [*maps[:-1], x]


def load_vgg16(path: Path, pad_fc6: bool = False) -> VGG16:
    """VGG16 with the weights of torchvision's `vgg16`, from a safetensors file of its state dict.

    Its dense layers become fc6 and fc7; that of the classes is left out. Raises UserError for a
    file that does not hold them.
    """
    tensors = read_weights(path)
    with torch.device("meta"):
        network = VGG16(pad_fc6)
    network.normalize = ImageNetNormalization()
    theirs = sorted((key for key in tensors if key.startswith("features.")), key=_place)
    ours = [key for key in network.state_dict() if key.startswith("blocks.")]
    if len(theirs) != len(ours):
        raise UserError(f"weights {path} are not of torchvision's vgg16")
    renamed = {our: tensors[their] for our, their in zip(ours, theirs, strict=True)}
    for layer, their in (("fc6", "classifier.0"), ("fc7", "classifier.3")):
        for part in ("weight", "bias"):
            tensor = tensors.get(f"{their}.{part}")
            expected = network.get_parameter(f"{layer}.{part}").shape
            if tensor is None or tensor.numel() != expected.numel():
                raise UserError(f"weights {path} are not of torchvision's vgg16: see {their}")
            renamed[f"{layer}.{part}"] = tensor.view(expected)
    assign_weights(network, renamed, path, "vgg16")
    return network.requires_grad_(True)


def _place(key: str) -> tuple[int, bool]:
    """Where "features.N.weight" stands among the tensors of a network in order."""
    number = key.split(".")[1]
    known = number.isdecimal() and len(number) < _MAX_DIGITS
    return (int(number) if known else -1), key.endswith("bias")


def _initialize(network: nn.Module) -> None:
    """Weights that keep the size of activations (He et al. 2015, equation 10)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            assert module.bias is not None
            nn.init.zeros_(module.bias)
