"""Classifiers with dense layers as fully convolutional networks (Long et al. 2015, section 3.1)."""

from typing import Any

import torch
from torch import Tensor, fx, nn

from dcgan.deconv.fcn.conversion import Conversion
from dcgan.deconv.fcn.converted_layers import unconvertible
from dcgan.deconv.fcn.graph_fields import fields_of
from dcgan.deconv.fcn.graph_operations import is_boundary, module_of
from dcgan.deconv.visualize.tracing import input_error, probe_inputs
from dcgan.errors import UsageError, UserError
from dcgan.networks import Classifier, Discriminator, StridedConv2d, WindowScore, evaluating
from dcgan.networks.layers import BASE_SIZE

_RGB = 3


class HeatMap(nn.Module):
    """A classifier at all windows of an image: [N, C, H, W] -> [N, outputs, h, w].

    The unit (i, j) is what the classifier gives for the `window` (height, width) of the image that
    begins at the pixel (i, j) times `stride`. Where the classifier does not read the last pixels of
    its images, the last windows may pass the border of the image by these.
    """

    def __init__(self, network: nn.Module, window: tuple[int, int], stride: tuple[int, int]):
        super().__init__()
        self.network, self.window, self.stride = network, window, stride

    def forward(self, x: Tensor) -> Tensor:
        if any(side < least for side, least in zip(x.shape[2:], self.window, strict=True)):
            height, width = x.shape[2:]
            raise UserError(
                f"an image of {width}x{height} pixels is smaller than the window of the "
                f"classifier, {self.window[1]}x{self.window[0]}"
            )
        return self.network(x)


def convert_fc(
    classifier: nn.Module, input_size: int | tuple[int, int], channels: int | None = None
) -> HeatMap:
    """A classifier of images of `input_size`, (height, width), as a fully convolutional network.

    `channels` of the images: by default those that the first convolution reads.

    The first dense layer becomes a convolution of the size of the maps that it reads, further ones
    convolutions of 1x1; pooling to a fixed size becomes the pooling that it is for images of that
    size, of stride 1 where it is global. All weights are views of those of the classifier: none is
    copied, and training one trains the other. The network is in evaluation mode.

    For an image of `input_size` the heat map is the classifier's output. On larger images it is so
    for every window if no layer pads its input and no pooling reaches beyond it (`ceil_mode`).
    Where layers pad, a window reads there what lies beside it in the image, instead of zeros, so
    that only windows at whose borders the maps are zero agree; units depend on the image around
    them in one way wherever they are far enough from its borders.

    Known are modules and functions of PyTorch for convolutions, poolings, activations, dropout,
    batch norm, sums and concatenations, flattening by whatever call, and the toolkit's `Classifier`
    and `Discriminator`. Raises UserError that names the layer for others, UsageError for sizes that
    are no whole numbers, images that the classifier cannot take and what is no module.
    """
    if not isinstance(classifier, nn.Module):
        kind = type(classifier).__name__
        raise UsageError(f"convert_fc needs a classifier, an nn.Module, not a {kind}")
    height, width = _sides(input_size)
    network = _as_chain(classifier, height, width)
    modules = dict(network.named_modules())
    with evaluating(network):
        try:
            graph = _Tracer().trace(network)
        except Exception as error:  # a classifier's code can raise anything
            raise UserError(
                f"the classifier cannot be traced: {type(error).__name__}: {error}"
            ) from error
        channels = channels or _image_channels(network, height * width)
        shapes = _shapes(network, graph, (channels, height, width))
    conversion = Conversion(modules, shapes)
    converted = conversion.convert(graph)
    converted.eliminate_dead_code(is_boundary)
    fields = fields_of(converted, conversion.modules)
    for node in converted.nodes:
        if not is_boundary(node) and node not in fields:
            raise unconvertible(node, module_of(node, conversion.modules))
    (output,) = (node for node in converted.nodes if node.op == "output")
    along_height, along_width = (axis.field.stride for axis in fields[output.args[0]])
    used = fx.GraphModule(conversion.modules, converted).eval()
    return HeatMap(used, (height, width), (int(along_height), int(along_width))).eval()


def _sides(size: object) -> tuple[int, int]:
    """Height and width of images of `size`. Raises UsageError unless they are whole numbers."""
    sides = tuple(size) if isinstance(size, tuple | list) else (size, size)
    if len(sides) != 2 or not all(type(side) is int and side > 0 for side in sides):
        raise UsageError(f"input_size must be a number of pixels or (height, width), not {size!r}")
    return sides


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        is_own = isinstance(m, StridedConv2d | WindowScore)
        return is_own or super().is_leaf_module(m, module_qualified_name)


class _ShapeRecorder(fx.Interpreter):
    """A pass that notes the shapes of all tensors."""

    def __init__(self, network: nn.Module, graph: fx.Graph):
        super().__init__(network, garbage_collect_values=True, graph=graph)
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, Tensor):
            self.shapes[n] = tuple(result.shape)
        return result


def _shapes(
    network: nn.Module, graph: fx.Graph, shape: tuple[int, int, int]
) -> dict[fx.Node, tuple[int, ...]]:
    """The shapes of all tensors for two images. Raises UserError where the classifier fails."""
    recorder = _ShapeRecorder(network, graph)
    recorder.extra_traceback = False
    try:
        with torch.no_grad():
            recorder.run(probe_inputs(network, shape))
    except Exception as error:  # a classifier's code can raise anything
        raise input_error(shape, error) from error
    return recorder.shapes


def _image_channels(network: nn.Module, pixels: int) -> int:
    """The channels that the first layer with weights reads, as far as it tells."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            return module.in_channels
        if isinstance(module, StridedConv2d):
            return module.weight.shape[1]
        if isinstance(module, nn.Linear):
            return module.in_features // pixels or _RGB
    return _RGB


def _as_chain(classifier: nn.Module, height: int, width: int) -> nn.Module:
    """The toolkit's networks, which choose what to compute by the image, for one size of image."""
    if isinstance(classifier, Classifier):
        times = height // classifier.size
        if not height == width == times * classifier.size or not times:
            raise UsageError(
                f"the classifier takes squares whose side is a multiple of {classifier.size} "
                f"pixels, not {width}x{height}"
            )
        shrink = [nn.AvgPool2d(times)] if times > 1 else []
        return nn.Sequential(*shrink, *classifier.body, nn.Flatten(), classifier.head)
    if isinstance(classifier, Discriminator):
        size = BASE_SIZE << len(classifier.blocks)
        if not height == width == size:
            raise UsageError(f"D takes images of {size}x{size} pixels, not {width}x{height}")
        if classifier.minibatch_std is not None or classifier.embed is not None:
            option = "minibatch_std" if classifier.minibatch_std is not None else "labels"
            raise UserError(f"D with {option} cannot become a fully convolutional network")
        blocks = [layer for block in classifier.blocks for layer in block]  # type: ignore[attr-defined]
        return nn.Sequential(*blocks, classifier.score)
    return classifier
