"""Seeds and photos, as commands take them: 3,14,me.png."""

import re
from pathlib import Path

from dcgan.config.sampling import parse_seeds
from dcgan.errors import UserError

Stop = int | Path  # a seed, or the file of a photo

_PHOTO_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm")


def parse_stops(text: str, flag: str) -> list[Stop]:
    """Seeds, ranges of them, and files of photos: "3,7-8,me.png" -> [3, 7, 8, Path("me.png")].

    Raises UserError for a photo that is not there, UsageError for other words.
    """
    if Path(text).is_file():  # its name may contain a comma
        return [Path(text)]
    stops: list[Stop] = []
    for word in map(str.strip, text.split(",")):
        is_seed = re.fullmatch(r"[0-9]+(-[0-9]+)?", word)
        if not is_seed and Path(word).expanduser().is_file():
            stops.append(Path(word).expanduser())
        elif word.lower().endswith(_PHOTO_ENDINGS):
            raise UserError(f"{flag} {text}: there is no photo {word}")
        else:
            stops += parse_seeds(word if is_seed else text, flag)
    return stops
