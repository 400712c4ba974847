"""How the pictures of a set become training images, and what they lose by it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from dcgan.config import DataOptions, FitName, Levels
from dcgan.data.decoding.levels import Depth, choose_range
from dcgan.data.decoding.modes import extremes

_MUCH = 0.2  # of the pixels; a picture of 4:3 loses a fourth
_DARK = 2**14  # of 16 bits; a quarter of the range
_MANY = 0.1  # of the 16-bit pictures; some are of the night


@dataclass
class Depths:
    """Counts of pictures of 16 bits."""

    images: int = 0
    dark: int = 0
    """Those whose values all lie in the lowest quarter of the range."""
    brightest: int = 0
    """The greatest value of the dark ones."""

    def count(self, brightest: int) -> None:
        """Count a picture with this greatest value."""
        self.images += 1
        if brightest < _DARK:
            self.dark += 1
            self.brightest = max(self.brightest, brightest)

    def __iadd__(self, other: "Depths") -> "Depths":
        self.images += other.images
        self.dark += other.dark
        self.brightest = max(self.brightest, other.brightest)
        return self


@dataclass
class Losses:
    """What some images have lost."""

    cropped: int = 0
    """Images that were cropped to their largest square."""
    left_out: float = 0
    """The sum of the shares of their pixels that this has left out."""
    grey: Depths = field(default_factory=Depths)
    """Of more than 8 bits, which --levels applies to."""
    colour: Depths = field(default_factory=Depths)
    """Of 16 bits, of which only the high bytes are read."""

    def __iadd__(self, other: "Losses") -> "Losses":
        self.cropped += other.cropped
        self.left_out += other.left_out
        self.grey += other.grey
        self.colour += other.colour
        return self

    def remarks(self, levels: Levels) -> Iterator[str]:
        """Lines for the user about large losses, and about levels without an effect."""
        if self.cropped and (share := self.left_out / self.cropped) > _MUCH:
            yield (
                f"the centre crop leaves out {share:.0%} of the pixels on average: "
                "--fit pad or squeeze keeps them"
            )
        if levels != "full":
            if not self.grey.images:
                yield "--levels has no effect: no image is grey with more than 8 bits"
            return
        top = 2 ** max(1, self.grey.brightest.bit_length()) - 1
        cures = {
            "grey": f"--levels 0 {top} makes that white, --levels file the brightest of each",
            "colour": "scale them to the whole range before",
        }
        for kind, depths in (("grey", self.grey), ("colour", self.colour)):
            if depths.dark and depths.dark >= _MANY * depths.images:
                yield (
                    f"{depths.dark:,} of {depths.images:,} 16-bit {kind} images have no value "
                    f"above {depths.brightest:,} of 65,535 and are packed nearly black: "
                    f"{cures[kind]}"
                )


@dataclass
class Conversion:
    """The options of a set of pictures, and what the pictures converted so far have lost."""

    fit: FitName = DataOptions.fit
    levels: Levels = DataOptions.levels
    losses: Losses = field(default_factory=Losses)

    def choose_range(self, image: Image.Image, depth: Depth) -> tuple[float, float] | None:
        """The values of a loaded image that become black and white; None if it has 8 bits.

        Raises ValueError where they cannot be had.
        """
        if depth.colour and self.levels != "full":
            raise ValueError("--levels is for grey: only high bytes of 16-bit colour are read")
        if depth.colour:
            values = dict(zip(image.getbands(), np.atleast_2d(image.getextrema()), strict=True))
            values.pop("A", None)
            self.losses.colour.count(int(max(high for _, high in values.values())) << 8 | 255)
        if not depth.grey:
            return None
        low, high = extremes(image)
        chosen = choose_range(self.levels, image.mode, depth.declared, (low, high))
        # A PGM that declares less than 16 bits has been stretched to them.
        stretched = depth.declared and depth.declared < 65535
        self.losses.grey.count(_DARK if stretched else int(high))
        return chosen

    def count_placement(self, width: int, height: int, crop: int | None) -> None:
        """Count a picture that has become a square; a `crop` that was chosen is no loss."""
        if self.fit == "crop" and crop is None:
            self.losses.cropped += 1
            self.losses.left_out += 1 - min(width, height) / max(width, height)
