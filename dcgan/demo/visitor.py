"""What the server remembers of a visitor: seeds and latents, as plain numbers."""

import dataclasses
from dataclasses import dataclass, field

from dcgan.errors import UsageError

# What a picture is made of: a seed, or an input of G.
Source = int | tuple[float, ...]

SHOW = "show"
# The pictures of the last picks that each role keeps. One letter is an operand of A - B + C.
ROLES = {"A": 8, "B": 8, "C": 8, "with": 8, "without": 8, "first": 1, "last": 1}


@dataclass(frozen=True)
class Visitor:
    """The picture that is shown, and those that were picked for something."""

    shown: Source = 0
    photo: Source | None = None  # the latent of the last upload
    picks: dict[str, tuple[Source, ...]] = field(default_factory=dict)
    own: tuple[float, ...] | None = None  # a step along the direction from "without" to "with"

    def pick(self, source: Source, role: object) -> "Visitor":
        """The visitor after a click on a picture. Raises UsageError for other roles."""
        if role == SHOW:
            return dataclasses.replace(self, shown=source)
        if not isinstance(role, str) or role not in ROLES:
            raise UsageError(f"a click has one of the meanings {', '.join((SHOW, *ROLES))}")
        picked = (*self.picks.get(role, ()), source)[-ROLES[role] :]
        return dataclasses.replace(self, picks={**self.picks, role: picked})

    def with_photo(self, source: Source) -> "Visitor":
        """The visitor who is shown the latent of a photo."""
        return dataclasses.replace(self, shown=source, photo=source)

    def picked(self, *roles: str) -> list[tuple[Source, ...]]:
        """The pictures of each role. Raises UsageError where one has none."""
        for role in roles:
            if not self.picks.get(role):
                raise UsageError(f"pick a picture for {role!r} first: choose it, click a picture")
        return [self.picks[role] for role in roles]
