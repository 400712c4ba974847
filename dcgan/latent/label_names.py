"""Labels by their names, as users write them."""

import unicodedata
from collections.abc import Sequence

from dcgan.errors import UsageError


class LabelNames:
    """The names of labels, of which an image has one (kind "class") or any number ("attributes").

    Upper and lower case are the same where that is unambiguous.
    """

    def __init__(self, kind: str, names: Sequence[str]):
        self.kind, self.names = kind, tuple(names)
        self._indices = {_normalize(name): i for i, name in enumerate(names)}
        self._indices |= {name: i for i, name in enumerate(names)}

    def index(self, name: str, flag: str) -> int:
        """The index of a name. Raises UsageError, which names the flag, for an unknown one."""
        if (index := self._find(name)) is None:
            some = ", ".join(self.names[:20]) + (", ..." if len(self.names) > 20 else "")
            raise UsageError(f"{flag}: no label {name!r}; one of {some}")
        return index

    def parse(self, wanted: str, flag: str) -> dict[int, float]:
        """ "smiling=1,hat=0" -> {index of smiling: 1, index of hat: 0}; "dog" -> {index of dog: 1}.

        Raises UsageError, which names the flag, for unknown labels and contradictions.
        """
        for name in (wanted, wanted.removesuffix("=1")):
            if (index := self._find(name)) is not None:  # the name of a folder may contain a comma
                return {index: 1.0}
        given = f"{flag} {wanted}"
        values: dict[int, float] = {}
        for part in map(str.strip, wanted.split(",")):
            name, value = part, "1"
            if self._find(part) is None and "=" in part:  # a name may contain "=", too
                name, value = map(str.strip, part.rsplit("=", 1))
            index = self.index(name, given)
            if value not in ("0", "1"):
                raise UsageError(f"{given}: write {name}=1 or {name}=0")
            if values.setdefault(index, float(value)) != float(value):
                raise UsageError(f"{given}: {name} cannot be both 1 and 0")
        if self.kind == "class" and list(values.values()) != [1.0]:
            raise UsageError(f"{given}: name the one class that is wanted")
        return values

    def _find(self, name: str) -> int | None:
        return self._indices.get(name, self._indices.get(_normalize(name)))


def _normalize(name: str) -> str:
    """Equal for names that differ only in case or in the encoding of accents."""
    return unicodedata.normalize("NFC", name).casefold()
