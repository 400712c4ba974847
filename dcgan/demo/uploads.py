"""Photos that visitors send, which are hostile until they are decoded, and their latents."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from dcgan import images, latent
from dcgan.data.decoding import BadImage, open_image
from dcgan.data.decoding.image import decode
from dcgan.data.decoding.opening import describe_error
from dcgan.demo.actions import latents, to_source
from dcgan.demo.controls import Controls
from dcgan.demo.model import Model
from dcgan.demo.visitor import Source, Visitor
from dcgan.errors import UserError

MAX_BYTES = 20 * 2**20
_ITERATIONS = 30  # of the search, for 64x64; each takes longer for larger pictures
_MAX_PIXELS = 2**26  # 0.3 GB as RGBA


@dataclass(frozen=True)
class Inverted:
    """A photo, and what the generator makes of it. Pictures are uint8 [S, S, C]."""

    source: Source  # of the latter
    photo: np.ndarray
    made: np.ndarray
    psnr: float  # in dB


def read_upload(model: Model, upload: object, folder: Path) -> np.ndarray:
    """The photo of an upload in the shape of G's images, uint8 [S, S, C], see `read_photos`. Its
    file is removed.

    `upload`: {"path": ..., "orig_name": ...}; `folder`: where the server keeps uploads. Raises
    UserError for a file that is no image, too large or outside of the folder.
    """
    path = _path(upload, folder)
    try:
        return _decode(path, model.G.size, model.G.channels)
    except BadImage as error:
        raise UserError(f"this is no photo that can be read: {error.reason}") from error
    except OSError as error:
        raise UserError("the photo is no longer there: send it again") from error
    finally:
        path.unlink(missing_ok=True)


def is_within(path: str | Path, folder: Path) -> bool:
    """Whether a path of a visitor leads into a folder. Addresses and links out of it do not."""
    try:
        return Path(path).resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # too long, a loop of links, or a zero byte
        return False


def _path(upload: object, folder: Path) -> Path:
    """The file of an upload. Raises UserError unless it is one in the folder."""
    path = upload.get("path") if isinstance(upload, dict) else None
    if isinstance(path, str) and is_within(path, folder) and Path(path).is_file():
        return Path(path)
    raise UserError("send a photo first")


def _decode(path: Path, size: int, channels: int) -> np.ndarray:
    with open(path, "rb") as file:
        if (length := path.stat().st_size) > MAX_BYTES:
            raise BadImage(f"{length:,} bytes, more than {MAX_BYTES:,}")
        try:
            with open_image(file) as image:
                width, height = image.size
        except BadImage:
            raise
        except Exception as error:  # of Pillow's parsers, for damaged files
            raise BadImage(describe_error(error)) from error
        if width * height > _MAX_PIXELS:
            raise BadImage(f"{width} x {height} pixels, more than {_MAX_PIXELS:,}")
        return decode(file, size, channels, crop=None)


def invert_photo(model: Model, visitor: Visitor, controls: Controls, photo: np.ndarray) -> Inverted:
    """The latent of a photo uint8 [S, S, C], see `latent.invert`, and its picture.

    One search, which starts at the encoder's guess or, without one, at the mean of all latents.
    The photo has the labels of the picture that was shown.
    """
    labels = latents(model, [visitor.shown], controls)[0, model.G.latent_dim :]
    found = latent.invert(
        model.G,
        images.to_float(torch.from_numpy(photo[None])),
        encoder=model.encoder,
        labels=dict(enumerate(labels.tolist())),
        restarts=0,
        iterations=max(_ITERATIONS * 64 // max(model.G.size, 64), 1),
    )
    made = images.to_uint8(found.reconstructions)[0].numpy()
    return Inverted(to_source(found.latents), photo, made, found.psnr.item())
