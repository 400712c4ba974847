"""Images in chunks that are small enough for any metric, whatever their size."""

from torch import Tensor

from dcgan import sampling


def split_images(images: Tensor) -> tuple[Tensor, ...]:
    """Split images [N, C, S, S] into chunks of as many as are sampled at a time, as views."""
    return images.split(sampling.batch_size(images.shape[-1]))
