"""Generators that no longer draw an object.

Radford, Metz and Chintala 2015 (arXiv:1511.06434), section 6.3.1, "Forgetting to draw certain
objects".
"""

from dcgan.deconv.forget.command import Forgotten, forget
from dcgan.deconv.forget.direction import find_direction
from dcgan.deconv.forget.editing import (
    default_layer,
    drop_maps,
    erase_direction,
    hidden_layers,
)
from dcgan.deconv.forget.effects import Change, compare
from dcgan.deconv.forget.regression import map_weights
from dcgan.deconv.forget.samples import Observer, Seen

__all__ = [
    "Change",
    "Forgotten",
    "Observer",
    "Seen",
    "compare",
    "default_layer",
    "drop_maps",
    "erase_direction",
    "find_direction",
    "forget",
    "hidden_layers",
    "map_weights",
]
