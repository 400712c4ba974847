"""Options of `dcgan push`."""

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path

from dcgan.config.fields import POSITIONAL
from dcgan.config.hub_names import is_repository
from dcgan.config.validation import require, validate_types
from dcgan.errors import UsageError

_LICENSE = r"[a-z0-9][a-z0-9.+-]{0,39}"


@dataclass(frozen=True)
class PushConfig:
    """Model to upload, and its repository on the Hugging Face Hub."""

    checkpoint: Path = dataclasses.field(kw_only=True, metadata=POSITIONAL)
    """Run folder or checkpoint file."""
    repository: str = dataclasses.field(kw_only=True, metadata=POSITIONAL)
    """Repository user/name on the Hub. It is created if it does not exist."""
    private: bool = False
    """Create a repository that only its owner sees."""
    license: str | None = None
    """Licence of the model as the Hub abbreviates it, e.g. mit, apache-2.0 or cc-by-nc-4.0.
    Default: none, and the model card says that its readers have to ask."""
    discriminator: bool = False
    """Upload the discriminator too, for dcgan features, visualize and invert."""
    dry_run: bool = False
    """Write the files to a folder instead of uploading them."""
    out: Path | None = None
    """Folder for --dry-run, new or empty. Default: the name of the repository."""

    def __post_init__(self) -> None:
        validate_types(self)
        if not is_repository(self.repository):
            raise UsageError(
                f"{self.repository}: name the repository as user/name, of letters, digits and . _ -"
            )
        valid = self.license is None or bool(re.fullmatch(_LICENSE, self.license))
        require(valid, "license", self.license, "an identifier such as mit or cc-by-4.0")
        if self.out and not self.dry_run:
            raise UsageError("--out is the folder that --dry-run writes: add --dry-run")

    def folder(self) -> Path:
        """The folder that --dry-run writes."""
        return self.out or Path(self.repository.split("/")[1])
