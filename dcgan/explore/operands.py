"""What stands for latents in a command: seeds, files of photos, and labels."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from dcgan import sampling
from dcgan.config import parse_seeds
from dcgan.errors import UserError
from dcgan.networks import Generator

LABEL_MARK = "label:"  # before a label that reads as a seed, such as the class 7
_PHOTO_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm")


def parse_stops(text: str, flag: str) -> list[int | Path] | None:
    """Seeds and files of photos: "3,14,me.png" -> [3, 14, Path("me.png")]; None for other words.

    Raises UserError for a photo that is not there, UsageError for seeds that are none.
    """
    if Path(text).is_file():  # its name may contain a comma
        return [Path(text)]
    stops: list[int | Path] = []
    for word in map(str.strip, text.split(",")):
        if word.replace("-", "").isdecimal():
            stops += parse_seeds(word, flag)
        elif Path(word).is_file():
            stops.append(Path(word))
        elif word.lower().endswith(_PHOTO_ENDINGS):
            raise UserError(f"{flag} {text}: there is no photo {word}")
        else:
            return None
    return stops


def latents_of_stops(
    G: Generator,
    stops: Sequence[int | Path],
    invert: Callable[[Sequence[Path]], Tensor],
    truncation: float | None = None,
    label: str | None = None,
) -> Tensor:
    """The inputs of G for seeds and photos, in order: [N, latent_dim (+ num_labels)] on the CPU.

    `invert` finds those of photos; `truncation` and `label` are of the seeds, see
    `sampling.latents_from_seeds`.
    """
    seeds = [stop for stop in stops if isinstance(stop, int)]
    photos = [stop for stop in stops if isinstance(stop, Path)]
    of_seeds = iter(sampling.latents_from_seeds(G, seeds, truncation, label))
    of_photos = iter(invert(photos).cpu() if photos else ())
    return torch.stack([next(of_seeds if isinstance(stop, int) else of_photos) for stop in stops])
