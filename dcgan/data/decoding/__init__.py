"""Decoding: an encoded image file to a square training image."""

from dcgan.data.decoding.image import DECODING_VERSION, crop_and_resize
from dcgan.data.decoding.opening import BadImage, open_image

__all__ = ["DECODING_VERSION", "BadImage", "crop_and_resize", "open_image"]
