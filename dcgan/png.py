"""PNG files of small pictures, made several times faster than Pillow makes them, of the same size.

Pillow tries five filters on every row and searches for repetitions, of which pictures without
flat areas have none. Here every pixel is stored as its difference from the one before it, and
zlib shortens runs and frequent values only, outside Python's lock.
"""

import struct
import zlib

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPE = {1: 0, 3: 2}  # grey, RGB
SUB = 1  # the filter of differences from the pixel to the left


def encode(image: np.ndarray) -> bytes:
    """uint8 [H, W, 1 or 3] -> a PNG file that holds exactly these pixels."""
    height, width, channels = image.shape
    rows = np.empty((height, 1 + width * channels), np.uint8)
    rows[:, 0] = SUB
    differences = rows[:, 1:].reshape(image.shape)
    differences[:, 0] = image[:, 0]
    np.subtract(image[:, 1:], image[:, :-1], out=differences[:, 1:])
    deflate = zlib.compressobj(strategy=zlib.Z_RLE)
    header = struct.pack(">IIBBBBB", width, height, 8, COLOUR_TYPE[channels], 0, 0, 0)
    return (
        SIGNATURE
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", deflate.compress(rows) + deflate.flush())
        + chunk(b"IEND", b"")
    )


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
