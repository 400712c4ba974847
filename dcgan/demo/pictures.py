"""Pictures as parts of the page: HTML that holds them, so that a change takes one request."""

import base64
import html
import time
from collections.abc import Iterable, Sequence

import numpy as np

from dcgan import images
from dcgan.demo.visitor import ROLES, Source

_THUMBNAIL = 64  # pixels, at least, of a side


def data_uri(content: bytes, kind: str) -> str:
    """The content of a file as an address."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def image(picture: np.ndarray, text: str) -> str:
    """uint8 [H, W, C] with a text for those who do not see it."""
    address = data_uri(images.encode_png(picture), "image/png")
    return f'<img src="{address}" alt="{html.escape(text)}">'


def thumbnail(picture: np.ndarray) -> np.ndarray:
    """uint8 [S, S, C] of a multiple of _THUMBNAIL -> a smaller one of means of its pixels."""
    size = picture.shape[0]
    factor = max(size // _THUMBNAIL, 1)
    if size % factor:
        return picture
    side = size // factor
    blocks = picture.reshape(side, factor, side, factor, -1)
    return np.rint(blocks.mean((1, 3))).astype(np.uint8)


def shown(picture: np.ndarray, source: Source, moved: bool) -> str:
    """The large picture, with a link that saves it as PNG. `moved`: by a slider."""
    text = f"Seed {source}" if isinstance(source, int) else "A latent"
    return _with_link(
        image(picture, text), f"{text}, moved" if moved else text, file_name(source, "png")
    )


def _with_link(image: str, text: str, file: str) -> str:
    """An image above a link that saves it. The link has the image's own address, so that it is not
    sent twice.
    """
    save = "this.href = this.closest('figure').querySelector('img').src"
    kind = file.rsplit(".", 1)[1].upper()
    return (
        f'<figure class="shown">{image}<figcaption>{text} · '
        f'<a href="#" download="{file}" onclick="{save}">Save {kind}</a></figcaption></figure>'
    )


def file_name(source: Source, ending: str) -> str:
    """The name of a saved file."""
    return f"seed-{source:08d}.{ending}" if isinstance(source, int) else f"picture.{ending}"


def grid(pictures: Sequence[np.ndarray], seeds: Sequence[int]) -> str:
    """Small pictures to click on. Their buttons hold the seed as text: JavaScript's numbers have 53
    bits.
    """
    buttons = (
        f'<button type="button" data-seed="{seed}" title="Seed {seed}">'
        f"{image(thumbnail(picture), f'Seed {seed}')}</button>"
        for picture, seed in zip(pictures, seeds, strict=True)
    )
    return f'<div class="seeds">{"".join(buttons)}</div>'


def picked(rows: Iterable[tuple[str, Sequence[np.ndarray]]]) -> str:
    """The picked pictures of each role."""
    boxes = (
        f"<div><b>{role}</b>{''.join(image(thumbnail(p), role) for p in pictures)}</div>"
        for role, pictures in rows
    )
    return f'<div class="picks">{"".join(boxes)}</div>'


def no_picks() -> str:
    """The same without pictures."""
    return picked((role, ()) for role in ROLES)


def animated(gif: bytes) -> str:
    """An animation, with a link that saves it."""
    image = f'<img src="{data_uri(gif, "image/gif")}" alt="Animation">'
    return _with_link(image, "From the first to the last, and back", "walk.gif")


def inverted(photo: np.ndarray, made: np.ndarray, psnr: float) -> str:
    """A photo beside what the generator makes of it."""
    pair = image(photo, "Your photo") + image(made, "What the generator makes of it")
    return (
        f'<figure class="pair">{pair}<figcaption>Your photo, and what the generator makes of it: '
        f"PSNR {psnr:.1f} dB</figcaption></figure>"
    )


def file_link(content: bytes, name: str) -> str:
    """A link that saves a file. No two are equal, so that the page notices that one was made."""
    address = data_uri(content, "application/octet-stream")
    made = time.time_ns()
    return f'<a href="{address}" download="{name}" data-made="{made}">{name}</a>'
