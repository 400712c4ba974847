"""The built-in data set: cartoon faces with attributes and part masks, from a seed and an index."""

from dcgan.data.faces.drawing import PARTS, Faces, draw
from dcgan.data.faces.traits import ATTRIBUTES, attributes

__all__ = ["ATTRIBUTES", "PARTS", "Faces", "attributes", "draw"]
