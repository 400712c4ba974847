"""Decoding: an encoded image file to a square training image."""

from dcgan.data.decoding.image import DECODING_VERSION, BadImage, crop_and_resize, open_image

__all__ = ["DECODING_VERSION", "BadImage", "crop_and_resize", "open_image"]
