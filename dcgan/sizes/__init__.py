"""The arithmetic of convolutions, transposed convolutions and poolings. It needs no PyTorch."""

from dcgan.sizes.layers import Conv, ConvTranspose, Layer, Pool
from dcgan.sizes.parsing import Layer2d, parse_layers, parse_size
from dcgan.sizes.solving import convolutions, transposed_convolutions
from dcgan.sizes.stacks import (
    ReceptiveField,
    inputs_of,
    output_sizes,
    path_counts,
    receptive_field,
)
from dcgan.sizes.tables import layers_table, solutions_table

__all__ = [
    "Conv",
    "ConvTranspose",
    "Layer",
    "Layer2d",
    "Pool",
    "ReceptiveField",
    "convolutions",
    "inputs_of",
    "layers_table",
    "output_sizes",
    "parse_layers",
    "parse_size",
    "path_counts",
    "receptive_field",
    "solutions_table",
    "transposed_convolutions",
]
