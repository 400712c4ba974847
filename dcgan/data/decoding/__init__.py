"""One encoded image file to one training image."""

from dcgan.data.decoding.image import DECODING_VERSION, BadImage, crop_and_resize, open_image

__all__ = ["DECODING_VERSION", "BadImage", "crop_and_resize", "open_image"]
