"""Rendering of cartoon faces: (seed, index) to image, binary attributes and part mask."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from dcgan.data.faces.painting import paint_faces
from dcgan.data.faces.traits import features, sample_attributes

_CHUNK_PIXELS = 2**17  # few enough for the planes being painted to stay in a processor's cache


class Faces(NamedTuple):
    """N faces of S x S pixels."""

    images: Tensor  # [N, S, S, 3] uint8 in 0..255
    attributes: Tensor  # [N, len(ATTRIBUTES)] bool
    parts: Tensor  # [N, S, S] uint8, index into PARTS


def render(
    indices: Tensor | Sequence[int],
    size: int,
    seed: int = 0,
    device: str | torch.device = "cpu",
    **forced: bool,
) -> Faces:
    """Render the faces `indices` of `seed` at `size` x `size` pixels on `device`.

    A face is a pure function of (seed, index): it does not depend on the faces rendered with it,
    and `size` changes only its resolution. Forced attributes (see `sample_attributes`) change only
    the parts that show them, so that two calls give pairs that differ in one attribute. Uses as
    many threads as torch may; other work of torch in this process runs on one thread meanwhile.
    """
    indices = torch.as_tensor(indices, dtype=torch.int64).cpu()
    has = sample_attributes(indices, seed, **forced)
    images = torch.empty(len(indices), size, size, 3, dtype=torch.uint8, device=device)
    parts = torch.empty(len(indices), size, size, dtype=torch.uint8, device=device)
    chunk = max(1, _CHUNK_PIXELS // size**2)

    def fill(start: int) -> None:
        rows = slice(start, start + chunk)
        canvas = paint_faces(features(indices[rows], seed, has[rows], device), size)
        images[rows] = canvas.rgb.permute(0, 2, 3, 1)
        parts[rows] = canvas.parts

    with _one_thread_per_operation() as threads, ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(fill, range(0, len(indices), chunk)):
            pass
    return Faces(images, has.to(device), parts)


@contextmanager
def _one_thread_per_operation() -> Iterator[int]:
    """Yield the number of torch's threads, for the caller to use; torch itself uses one meanwhile.

    Rendering is hundreds of short operations. Threads that share each operation wait for each other
    at its end, most of the time on a busy machine; threads with a chunk each never wait.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)
