"""Pictures as parts of the page: HTML that holds them, so that a change takes one request."""

import base64
import html
from collections.abc import Iterable, Sequence

import numpy as np

from dcgan import images
from dcgan.demo.uploads import Inverted
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


def shown(picture: np.ndarray, source: Source) -> str:
    """The large picture, with a link that saves it as PNG."""
    text, file = describe(source), file_name(source, "png")
    save = "this.href = this.closest('figure').querySelector('img').src"
    return (
        f'<figure class="shown">{image(picture, text)}<figcaption>{text} · '
        f'<a href="#" download="{file}" onclick="{save}">Save PNG</a></figcaption></figure>'
    )


def describe(source: Source) -> str:
    """What a picture is called."""
    return f"Seed {source}" if isinstance(source, int) else "A latent"


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
    lines = (
        f"<tr><th>{role}</th><td>{''.join(image(thumbnail(p), role) for p in pictures)}</td></tr>"
        for role, pictures in rows
    )
    return f'<table class="picks">{"".join(lines)}</table>'


def no_picks() -> str:
    """The same without pictures."""
    return picked((role, ()) for role in ROLES)


def animated(gif: bytes) -> str:
    """An animation, with a link that saves it."""
    save = "this.href = this.closest('figure').querySelector('img').src"
    return (
        f'<figure class="shown"><img src="{data_uri(gif, "image/gif")}" alt="Animation">'
        f'<figcaption><a href="#" download="walk.gif" onclick="{save}">Save GIF</a></figcaption>'
        "</figure>"
    )


def inverted(found: Inverted) -> str:
    """A photo beside its reconstruction."""
    pair = image(found.photo, "Your photo") + image(found.made, "What the generator makes of it")
    return (
        f'<figure class="pair">{pair}<figcaption>Your photo, and what the generator makes of it: '
        f"PSNR {found.psnr:.1f} dB</figcaption></figure>"
    )


def file_link(content: bytes, name: str) -> str:
    """A link that saves a file."""
    address = data_uri(content, "application/octet-stream")
    return f'<a href="{address}" download="{name}">{name}</a>'
