"""Seeds and photos, as commands take them: 3,14,me.png."""

import re
from pathlib import Path

from dcgan.config.sampling import parse_seeds
from dcgan.errors import UserError

Stop = int | Path  # a seed, or the file of a photo

LABEL_MARK = "label:"  # before a label that reads as a seed or photo, such as the class 7
_SEEDS = re.compile(r"\s*[0-9]+(-[0-9]+)?\s*")
_PHOTO_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm")


def is_stops(text: str) -> bool:
    """Whether `parse_stops` reads a text, or says what is wrong with a seed or photo in it.

    What begins with LABEL_MARK is a label.
    """
    if text.startswith(LABEL_MARK):
        return False
    return _is_photo(text) or all(
        _SEEDS.fullmatch(word) or _is_photo(word) for word in text.split(",")
    )


def parse_stops(text: str, flag: str) -> list[Stop]:
    """Seeds, ranges of them, and files of photos: "3,7-8,me.png" -> [3, 7, 8, Path("me.png")].

    Raises UserError for a photo that is not there, UsageError for other words.
    """
    if _is_file(text):  # its name may contain a comma
        return [_path(text)]
    stops: list[Stop] = []
    for word in text.split(","):
        if not _is_photo(word):
            stops += parse_seeds(word if _SEEDS.fullmatch(word) else text, flag)
        elif _is_file(word):
            stops.append(_path(word))
        else:
            raise UserError(f"{flag} {text}: there is no photo {word.strip()}")
    return stops


def _is_photo(word: str) -> bool:
    if _SEEDS.fullmatch(word):  # a file of that name is given as ./3
        return False
    return _is_file(word) or word.strip().lower().endswith(_PHOTO_ENDINGS)


def _is_file(word: str) -> bool:
    try:
        return _path(word).is_file()
    except (OSError, RuntimeError, ValueError):  # too long, an unknown home folder, or a zero byte
        return False


def _path(word: str) -> Path:
    return Path(word.strip()).expanduser()
