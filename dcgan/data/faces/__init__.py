"""The built-in data set: rendered cartoon faces with attributes and part masks."""

from dcgan.data.faces.painting import PARTS
from dcgan.data.faces.rendering import Faces, render
from dcgan.data.faces.traits import ATTRIBUTES, sample_attributes, sample_traits

__all__ = ["ATTRIBUTES", "PARTS", "Faces", "render", "sample_attributes", "sample_traits"]
