"""Graphs of classifiers rewritten so that every layer takes maps of any size."""

from collections.abc import Mapping
from math import prod

from torch import nn
from torch.fx import Graph, Node

from dcgan.deconv.fcn.converted_layers import (
    batch_norm_of_maps,
    channel_softmax,
    dense_as_convolution,
    fixed_pooling,
    unconvertible,
)
from dcgan.deconv.fcn.graph_operations import (
    function_name,
    is_concatenation,
    is_pointwise,
    layers_of,
    module_of,
)
from dcgan.errors import UserError

Shape = tuple[int, ...]
_FLATTENING = {"flatten", "view", "reshape", "squeeze"}
_SHAPE_CALLS = {"size", "getattr", "getitem", "dim"}


class Conversion:
    """Copies a graph, with convolutions for its dense layers.

    `shapes` of the tensors of all nodes, for two images. Nodes whose tensors are vectors [2, F] get
    maps of 1x1, or those that have been flattened; `_layouts` has their shapes [C, h, w].
    `modules`: those of the network by name, then those of the new graph too.
    """

    def __init__(self, modules: Mapping[str, nn.Module], shapes: Mapping[Node, Shape]):
        self._original = modules
        self.modules = {name: _with_own_mode(module) for name, module in modules.items() if name}
        self._new: set[str] = set()
        self._shapes = shapes
        self._layouts: dict[Node, Shape] = {}
        self._copies: dict[Node, Node] = {}
        self._graph = Graph()

    def convert(self, graph: Graph) -> Graph:
        """The new graph. Raises UserError that names the first layer it knows no way for."""
        for node in graph.nodes:
            self._copies[node] = self._convert(node)
        return self._graph

    def _convert(self, node: Node) -> Node:
        shape = self._shapes.get(node)
        if node.op in ("placeholder", "output", "get_attr"):
            if node.op == "output":
                self._check_output(node.args[0])
            return self._copy(node)
        if shape is None or function_name(node) in _SHAPE_CALLS:
            return self._copy(node)
        module = module_of(node, self._original)
        source = node.all_input_nodes[0] if node.all_input_nodes else None
        if source is None or source not in self._shapes:
            raise unconvertible(node, module)
        layout = self._layout(source)
        if self._flattens(node, module):
            self._layouts[node] = layout
            return self._copies[source]
        if source in self._layouts:
            return self._convert_vectors(node, module, source)

        if len(layout) == 3 and (pooling := fixed_pooling(node, module, layout, shape)):
            if len(shape) == 2:
                self._layouts[node] = (*shape[1:], 1, 1)
            return self._call(self._name(node), pooling, source)
        if len(shape) == 4 and (
            layers_of(node, self._original)
            or is_pointwise(node, self._original)
            or is_concatenation(node)
        ):
            return self._copy(node)
        raise unconvertible(node, module)

    def _convert_vectors(self, node: Node, module: nn.Module | None, source: Node) -> Node:
        """An operation on vectors."""
        channels, height, width = self._layouts[source]
        whole = height == width == 1
        if isinstance(module, nn.Linear):
            self._layouts[node] = (module.out_features, 1, 1)
            return self._call(str(node.target), dense_as_convolution(module, height, width), source)
        if isinstance(module, nn.BatchNorm1d) and whole:
            self._layouts[node] = (channels, 1, 1)
            return self._call(str(node.target), batch_norm_of_maps(module), source)
        layouts = [self._layouts.get(each) for each in node.all_input_nodes]
        if is_concatenation(node) and all(layout and layout[1:] == (1, 1) for layout in layouts):
            self._layouts[node] = (sum(layout[0] for layout in layouts if layout), 1, 1)
            return self._copy(node)
        if whole and (softmax := channel_softmax(node, module)):
            self._layouts[node] = (channels, 1, 1)
            return self._call(self._name(node), softmax, source)
        if len(set(layouts)) == 1 and is_pointwise(node, self._original) and layouts[0]:
            of_channels = isinstance(module, nn.PReLU) and module.num_parameters > 1
            if isinstance(module, nn.BatchNorm2d) or (of_channels and not whole):
                raise unconvertible(node, module)
            self._layouts[node] = layouts[0]
            return self._copy(node)
        raise unconvertible(node, module)

    def _check_output(self, output: object) -> None:
        if not isinstance(output, Node) or output not in self._shapes:
            raise UserError("the classifier returns several tensors: it must return one")
        if self._layouts.get(output, (0, 1, 1))[1:] != (1, 1):
            raise UserError("the classifier returns flattened maps: it has no dense layer")

    def _flattens(self, node: Node, module: nn.Module | None) -> bool:
        """Whether a node lines up the values of each image in their order."""
        if not (isinstance(module, nn.Flatten) or function_name(node) in _FLATTENING):
            return False
        before, after = self._shapes[node.all_input_nodes[0]], self._shapes[node]
        values = prod(before[1:])
        return after == (before[0], values) or (values == 1 and after == before[:1])

    def _layout(self, node: Node) -> Shape:
        return self._layouts.get(node, self._shapes[node][1:])

    def _copy(self, node: Node) -> Node:
        return self._graph.node_copy(node, lambda old: self._copies[old])

    def _name(self, node: Node) -> str:
        """A name for the module that replaces a call of a module or a function."""
        if node.op == "call_module":
            return str(node.target)
        return node.name if node.name not in self.modules else f"{node.name}_"

    def _call(self, name: str, module: nn.Module, source: Node) -> Node:
        """A call of a new module, which replaces that of the name."""
        while name in self._new:  # of a module that is called more than once
            name += "_"
        self._new.add(name)
        self.modules[name] = module.eval()
        return self._graph.call_module(name, (self._copies[source],))


def _with_own_mode(module: nn.Module) -> nn.Module:
    """A copy that shares its tensors, but not whether it is in training.

    Not `copy.copy`, which refuses modules with parametrizations, such as spectral norm.
    """
    twin: nn.Module = object.__new__(type(module))
    twin.__dict__.update(module.__dict__)
    children = module._modules.items()
    twin._modules = {name: child and _with_own_mode(child) for name, child in children}
    return twin
