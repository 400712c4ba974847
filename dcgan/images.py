"""Images: conversion between uint8 and [-1, 1], grids, PNG files."""

import io
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from dcgan.errors import UsageError
from dcgan.runtime.atomic_files import replace_atomically
from dcgan.runtime.picture_mark import OUTPUT_MARK


def to_float(images: Tensor) -> Tensor:
    """uint8 [N, H, W, C] to float32 [N, C, H, W] in [-1, 1], channels last in memory."""
    return images.permute(0, 3, 1, 2).to(torch.float32).div_(127.5).sub_(1.0)


def to_uint8(images: Tensor) -> Tensor:
    """[N, C, H, W] in [-1, 1] to uint8 [N, H, W, C], rounded; the inverse of `to_float`."""
    images = images.float().permute(0, 2, 3, 1)
    return images.add(1.0).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)


def make_grid(images: np.ndarray, columns: int | None = None, gap: int = 2) -> np.ndarray:
    """Arrange uint8 [N, H, W, C] in rows on white, as one uint8 image [H', W', C].

    `columns` defaults to the square root of N, rounded up. `gap` is in pixels. The last row may be
    incomplete. Raises UsageError unless `columns` is a whole number of at least 1.
    """
    if columns is not None and not (isinstance(columns, int | np.integer) and columns >= 1):
        raise UsageError(f"columns must be a whole number of at least 1, not {columns!r}")
    count, height, width, channels = images.shape
    columns = min(columns or math.ceil(math.sqrt(count)), count)
    rows = math.ceil(count / columns)
    cells = np.full((rows * columns, height + gap, width + gap, channels), 255, np.uint8)
    cells[:count, gap:, gap:] = images
    sheet = cells.reshape(rows, columns, *cells.shape[1:]).swapaxes(1, 2)
    sheet = sheet.reshape(rows * (height + gap), columns * (width + gap), channels)
    return np.pad(sheet, ((0, gap), (0, gap), (0, 0)), constant_values=255)


def to_pil(image: np.ndarray) -> Image.Image:
    """Convert uint8 [H, W, 1 or 3] to a grey or colour Pillow image."""
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def encode_png(image: np.ndarray) -> bytes:
    """Encode uint8 [H, W, 1 or 3] as the content of a PNG file."""
    content, mark = io.BytesIO(), PngInfo()
    mark.add_text("Comment", OUTPUT_MARK)
    # zlib's fastest level: up to five times as fast as Pillow's default, files at most 1/6 larger.
    to_pil(image).save(content, format="PNG", compress_level=1, pnginfo=mark)
    return content.getvalue()


def save_png(path: Path, image: np.ndarray) -> None:
    """Write uint8 [H, W, 1 or 3] as PNG. Raises UserError if writing fails."""
    with replace_atomically(path, durable=False) as partial:
        partial.write_bytes(encode_png(image))
