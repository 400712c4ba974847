"""Where the units of a traced network lie on its image, from the arithmetic of `dcgan.sizes`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn
from torch.fx import Graph, Node

from dcgan.deconv.fcn.graph_operations import is_concatenation, is_pointwise, layers_of
from dcgan.sizes import Layer, ReceptiveField, receptive_field


@dataclass(frozen=True)
class AxisFields:
    """What the units of a map see along one axis, and the layers of one path to them.

    All paths lead to maps of the same stride, with the same middles.
    """

    field: ReceptiveField
    layers: tuple[Layer, ...]


Fields = tuple[AxisFields, AxisFields]  # along height and width

_IMAGE = AxisFields(receptive_field([]), ())


def fields_of(graph: Graph, modules: Mapping[str, nn.Module]) -> dict[Node, Fields]:
    """The fields of all nodes of a graph that are maps of its first input.

    Nodes that are missing are not made of convolutions, poolings, operations at single positions,
    and sums and concatenations of maps whose units lie at the same places.
    """
    found: dict[Node, Fields] = {}
    for node in graph.nodes:
        if node.op == "placeholder":
            if not found:
                found[node] = (_IMAGE, _IMAGE)
            continue
        inputs = [found.get(each) for each in node.all_input_nodes]
        known = [fields for fields in inputs if fields is not None]
        if not known or len(known) < len(inputs):
            continue
        layers = layers_of(node, modules)
        if layers is not None:
            height, width = (
                _after(axis, layer) for axis, layer in zip(known[0], layers, strict=True)
            )
            found[node] = (height, width)
        elif is_pointwise(node, modules) or is_concatenation(node):
            joined = [_joined(axis) for axis in zip(*known, strict=True)]
            if joined[0] is not None and joined[1] is not None:
                found[node] = (joined[0], joined[1])
    return found


def _after(before: AxisFields, layer: Layer) -> AxisFields:
    """The fields after one more layer: it need not be the last of a single chain."""
    field, own = before.field, receptive_field([layer])
    stride = int(field.stride)
    grown = ReceptiveField(
        field.size + (own.size - 1) * stride,
        field.stride * own.stride,
        field.centre + own.centre * stride,
        field.padding + own.padding * stride,
    )
    return AxisFields(grown, (*before.layers, layer))


def _joined(axes: Sequence[AxisFields]) -> AxisFields | None:
    """The fields of a sum of maps; None where their units lie at other places."""
    fields = [axis.field for axis in axes]
    if len({(field.stride, field.centre) for field in fields}) > 1:
        return None
    padding = max(field.padding for field in fields)
    stop = max(field.size - field.padding for field in fields)
    joined = ReceptiveField(stop + padding, fields[0].stride, fields[0].centre, padding)
    return AxisFields(joined, axes[0].layers)
