"""The built-in data set: cartoon faces with attributes and part masks, from a seed and an index."""

from dcgan.data.faces.rendering import PARTS, Faces, render
from dcgan.data.faces.traits import ATTRIBUTES, sample_attributes

__all__ = ["ATTRIBUTES", "PARTS", "Faces", "render", "sample_attributes"]
