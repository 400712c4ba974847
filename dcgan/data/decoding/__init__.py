"""One encoded image file to one training image."""

from dcgan.data.decoding.image import RECIPE, BadImage, opened, to_square

__all__ = ["RECIPE", "BadImage", "opened", "to_square"]
