"""How the pictures of a set become training images, and what they lose by it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from dcgan.config import DataOptions, FitName

_MUCH = 0.2  # of the pixels; a picture of 4:3 loses a fourth


@dataclass
class Losses:
    """What some images have lost."""

    cropped: int = 0
    """Images that were cropped to their largest square."""
    left_out: float = 0
    """The sum of the shares of their pixels that this has left out."""

    def __iadd__(self, other: "Losses") -> "Losses":
        self.cropped += other.cropped
        self.left_out += other.left_out
        return self

    def remarks(self) -> Iterator[str]:
        """Lines for the user about large losses."""
        if self.cropped and (share := self.left_out / self.cropped) > _MUCH:
            yield (
                f"the centre crop leaves out {share:.0%} of the pixels on average: "
                "--fit pad or squeeze keeps them"
            )


@dataclass
class Conversion:
    """The options of a set of pictures, and what the pictures converted so far have lost."""

    fit: FitName = DataOptions.fit
    losses: Losses = field(default_factory=Losses)

    def count_placement(self, width: int, height: int, crop: int | None) -> None:
        """Count a picture that has become a square; a `crop` that was chosen is no loss."""
        if self.fit == "crop" and crop is None:
            self.losses.cropped += 1
            self.losses.left_out += 1 - min(width, height) / max(width, height)
