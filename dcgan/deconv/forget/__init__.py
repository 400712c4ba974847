"""Generators that no longer draw an object.

Radford, Metz and Chintala 2015 (arXiv:1511.06434), section 6.3.1, "Forgetting to draw certain
objects".
"""

from dcgan.deconv.forget.command import Forgotten, forget
from dcgan.deconv.forget.editing import (
    default_layer,
    drop_maps,
    hidden_layers,
    shuffle_change,
)
from dcgan.deconv.forget.effects import Change, compare
from dcgan.deconv.forget.regression import map_weights
from dcgan.deconv.forget.samples import Observer, Seen
from dcgan.deconv.forget.tuning import tune_kernels

__all__ = [
    "Change",
    "Forgotten",
    "Observer",
    "Seen",
    "compare",
    "default_layer",
    "drop_maps",
    "forget",
    "hidden_layers",
    "map_weights",
    "shuffle_change",
    "tune_kernels",
]
