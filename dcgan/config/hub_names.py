"""Names on the Hugging Face Hub: user/name, and hf://user/name wherever a checkpoint is named."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from dcgan.config.validation import to_path
from dcgan.errors import UsageError

MAIN = "main"  # the revision without an @revision
_FORM = "hf://user/name[/file.safetensors][@revision]"
# What the Hub allows in the names of users and repositories, and Git in those of branches and tags.
_PART = r"(?!.*(?:--|\.\.))[A-Za-z0-9](?:[\w.-]{0,94}[A-Za-z0-9_])?"
_REVISION = r"[\w](?:[\w./-]{0,198}\w)?"
_FILE_PART = r"(?!\.)[\w .,()+=-]{1,100}"


@dataclass(frozen=True)
class HubName:
    """A repository on the Hub, or one of its files, at a revision: a branch, a tag or a commit."""

    repository: str
    file: str | None = None
    revision: str = MAIN

    def __str__(self) -> str:
        file = f"/{self.file}" if self.file else ""
        return f"hf://{self.repository}{file}" + (
            f"@{self.revision}" if self.revision != MAIN else ""
        )


def parse_hub_name(path: str | os.PathLike[str]) -> HubName | None:
    """The name on the Hub that a path stands for; None for other paths.

    Options hold it as a Path, which has only one slash where hf:// has two. Raises UsageError for
    a name that begins with hf:// and has another form, or names a file that is no .safetensors.
    """
    text = to_path(path).as_posix()
    if not _is_on_hub(text):
        return None
    place, at, revision = text.removeprefix("hf:").lstrip("/").partition("@")
    user, _, rest = place.partition("/")
    name, _, file = rest.partition("/")
    valid = is_repository(f"{user}/{name}") and (not at or _is_revision(revision))
    if not valid or not all(re.fullmatch(_FILE_PART, part) for part in file.split("/") if file):
        raise UsageError(f"{_with_slashes(text)}: write {_FORM}")
    if file and not file.endswith(".safetensors"):
        raise UsageError(
            f"{_with_slashes(text)}: only .safetensors files are read, since others can run code"
        )
    return HubName(f"{user}/{name}", file or None, revision or MAIN)


def is_repository(name: str) -> bool:
    """Whether this is user/name, as the Hub allows it."""
    parts = name.split("/")
    return (
        len(parts) == 2
        and all(re.fullmatch(_PART, part, re.ASCII) for part in parts)
        and len(name) <= 96
        and not parts[1].endswith((".git", ".ipynb"))
    )


def format_checkpoint(path: Path) -> str:
    """The name of a checkpoint as the user has written it, with the two slashes of hf://."""
    return _with_slashes(path.as_posix()) if _is_on_hub(path.as_posix()) else str(path)


def _is_on_hub(text: str) -> bool:
    return text == "hf:" or text.startswith("hf:/")


def _is_revision(text: str) -> bool:
    is_name = re.fullmatch(_REVISION, text, re.ASCII) and ".." not in text and "//" not in text
    return bool(is_name) and not text.endswith(".safetensors")


def _with_slashes(text: str) -> str:
    return "hf://" + text.removeprefix("hf:").lstrip("/")
