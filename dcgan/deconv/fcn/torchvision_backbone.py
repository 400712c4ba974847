"""Networks of torchvision as backbones."""

import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx import Node

from dcgan.deconv.fcn.backbones import Backbone
from dcgan.deconv.fcn.graph_fields import Fields, fields_of
from dcgan.deconv.fcn.graph_operations import (
    function_name,
    is_boundary,
    is_concatenation,
    module_of,
)
from dcgan.deconv.fcn.normalization import IMAGE_CHANNELS, ImageNetNormalization
from dcgan.deconv.fcn.weights import assign_weights, read_weights
from dcgan.errors import UsageError, UserError
from dcgan.sizes import output_sizes

_MIN_MAPS = 2
_MAX_LISTED = 12  # names in a message


class TorchvisionBackbone(Backbone):
    """The deepest map of each stride of a classification network of torchvision, by its name.

    Maps inside of branches, such as beside a shortcut, do not count.

    x: [N, 3 or 1, H, W] in [-1, 1]. What follows the last map, such as pooling over all positions
    and dense layers, is left out. Nothing is downloaded: `weights` is a safetensors file of the
    network's state dict; without it the weights are random.

    Raises UsageError for names that torchvision does not have, and UserError for networks that are
    no hierarchy of convolutions and poolings, such as transformers and those with
    squeeze-and-excitation, whose units see the whole image, and for weights that do not fit.
    """

    def __init__(self, name: str, weights: Path | None = None):
        network = _build(name, weights)
        try:
            graph = fx.Tracer().trace(network)
        except Exception as error:  # a network's forward can do anything
            raise UserError(f"torchvision's {name} cannot be traced: {error}") from error
        modules = dict(network.named_modules())
        maps = _deepest_maps(name, graph, modules)
        channels = _channels(graph, modules)
        axes = [fields[0] for fields in maps.values()]
        super().__init__(
            IMAGE_CHANNELS, [channels[node] for node in maps], [axis.field for axis in axes]
        )
        self._layers = [axis.layers for axis in axes]
        for node in graph.nodes:
            if node.op == "output":
                graph.erase_node(node)
        graph.output(list(maps))
        graph.eliminate_dead_code(is_boundary)
        self.normalize = ImageNetNormalization()
        self.network = fx.GraphModule(network, graph)
        self.network.delete_all_unused_submodules()
        self.train()

    def map_sides(self, side: int) -> list[int]:
        return [output_sizes(layers, side)[-1] if layers else side for layers in self._layers]

    def forward(self, x: Tensor) -> list[Tensor]:
        return list(self.network(self.normalize(x)))


def _build(name: str, weights: Path | None) -> nn.Module:
    """The network in evaluation mode, so that tracing finds no branches of training."""
    import torchvision

    names = torchvision.models.list_models(module=torchvision.models)
    if name not in names:
        raise UsageError(
            f"torchvision has no network {name!r} for classification: choose one of "
            f"{', '.join(names[:_MAX_LISTED])} and {len(names) - _MAX_LISTED} more"
        )
    tensors = None if weights is None else read_weights(weights)
    with warnings.catch_warnings(), nullcontext() if tensors is None else torch.device("meta"):
        warnings.simplefilter("ignore")  # of slow initialisations
        network = torchvision.models.get_model(name, weights=None)
    if tensors is not None and weights is not None:
        assign_weights(network, tensors, weights, name)
    return network.requires_grad_(True).eval()


def _deepest_maps(name: str, graph: fx.Graph, modules: Mapping[str, Any]) -> dict[Node, Fields]:
    """The last node of each stride. Raises UserError unless they form one hierarchy."""
    fields = fields_of(graph, modules)
    for node in graph.nodes:
        if isinstance(module_of(node, modules), nn.Conv2d) and node not in fields:
            reason = _first_unknown(graph, fields)
            raise UserError(
                f"torchvision's {name} is no hierarchy of convolutions and poolings: after "
                f"{reason} its units have no place on the image"
            )
    last = {
        int(fields[node][0].field.stride): node
        for node in _narrow_nodes(graph, next(reversed(fields)))
    }
    found = {node: fields[node] for stride, node in last.items() if stride > 1}
    strides = [int(axes[0].field.stride) for axes in found.values()]
    same = all(axes[0].field == axes[1].field for axes in found.values())
    nested = all(b % a == 0 for a, b in pairwise(strides))
    if len(found) < _MIN_MAPS or not same or not nested:
        listed = ", ".join(map(str, strides)) or "none"
        raise UserError(
            f"torchvision's {name} is no hierarchy of convolutions and poolings: its maps have "
            f"the strides {listed}"
        )
    return found


def _narrow_nodes(graph: fx.Graph, end: Node) -> list[Node]:
    """The nodes that all paths from the image to `end` pass through, in order."""
    leading = {end}
    for node in reversed(graph.nodes):
        if leading.intersection(node.users):
            leading.add(node)
    waiting: set[Node] = set()  # nodes before, and what is still computed from them
    narrow = []
    done: set[Node] = set()
    for node in graph.nodes:
        if node in leading:
            done.add(node)
            waiting = {each for each in waiting if leading.intersection(each.users) - done}
            if not waiting:
                narrow.append(node)
            waiting.add(node)
    return narrow


def _channels(graph: fx.Graph, modules: Mapping[str, Any]) -> dict[Node, int]:
    """The channels of all maps."""
    found: dict[Node, int] = {}
    for node in graph.nodes:
        module = module_of(node, modules)
        if isinstance(module, nn.Conv2d):
            found[node] = module.out_channels
        else:
            inputs = [found.get(each, 3) for each in node.all_input_nodes]
            found[node] = sum(inputs) if is_concatenation(node) else max(inputs, default=3)
    return found


def _first_unknown(graph: fx.Graph, fields: dict[Node, Fields]) -> str:
    """The name of the first operation on a map whose result is none."""
    for node in graph.nodes:
        reads_sides = function_name(node) in ("size", "getattr")
        if (
            node not in fields
            and not reads_sides
            and any(each in fields for each in node.all_input_nodes)
        ):
            return str(node.target) if node.op == "call_module" else node.name
    return "an input"
