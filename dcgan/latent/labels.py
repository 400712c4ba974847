"""Labels that a conditional generator can be asked for."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dcgan.errors import UsageError

MAX_LABEL_EXAMPLES = 1024  # label rows of real images that a checkpoint holds


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels that a network was trained with, and which combinations of them occur."""

    kind: str  # "class": each image has one label; "attributes": any number of labels
    names: tuple[str, ...]
    examples: Tensor  # uint8 [M, len(names)] in {0, 1}, rows as frequent as in the data

    @classmethod
    def from_checkpoint(cls, header: object, examples: Tensor | None) -> "Labels":
        """Labels from {"kind": ..., "names": [...]} and `examples`. Raises ValueError where these
        contradict each other.
        """
        if (
            isinstance(header, dict)
            and header.get("kind") in ("class", "attributes")
            and isinstance(header.get("names"), list)
            and all(isinstance(name, str) for name in header["names"])
            and examples is not None
            and examples.dtype == torch.uint8
            and examples.dim() == 2
            and len(examples) > 0
            and examples.shape[1] == len(header["names"]) > 0
            and examples.max() <= 1
        ):
            return cls(header["kind"], tuple(header["names"]), examples)
        raise ValueError("its labels contradict each other")

    def from_seeds(self, seeds: Sequence[int], fixed: Mapping[int, float] | None = None) -> Tensor:
        """Labels of N seeds, float32 [N, len(names)] in {0, 1}: random rows of `examples`.

        `fixed` replaces some of the labels, {index: 0 or 1} as `parse` returns it. Row i depends on
        seeds[i] and `fixed` alone.
        """
        rows = [np.random.default_rng([seed, 1]).integers(len(self.examples)) for seed in seeds]
        labels = self.examples[torch.tensor(rows)].float()
        for index, value in (fixed or {}).items():
            if self.kind == "class":
                labels.zero_()
            labels[:, index] = value
        return labels

    def parse(self, wanted: str) -> dict[int, float]:
        """ "smiling=1,hat=0" -> {index of smiling: 1, index of hat: 0}; "dog" -> {index of dog: 1}.

        Upper and lower case are the same where that is unambiguous. Raises UsageError for unknown
        labels and contradictions.
        """
        indices = {_normalize(name): i for i, name in enumerate(self.names)}
        indices |= {name: i for i, name in enumerate(self.names)}

        def index_of(name: str) -> int | None:
            return indices.get(name, indices.get(_normalize(name)))

        for name in (wanted, wanted.removesuffix("=1")):
            if (index := index_of(name)) is not None:  # the name of a folder may contain a comma
                return {index: 1.0}
        values: dict[int, float] = {}
        for part in map(str.strip, wanted.split(",")):
            name, value = part, "1"
            if index_of(part) is None and "=" in part:  # a name may contain "=", too
                name, value = map(str.strip, part.rsplit("=", 1))
            if (index := index_of(name)) is None:
                some = ", ".join(self.names[:20]) + (", ..." if len(self.names) > 20 else "")
                raise UsageError(f"--label {wanted}: no label {name!r}; one of {some}")
            if value not in ("0", "1"):
                raise UsageError(f"--label {wanted}: write {name}=1 or {name}=0")
            if values.setdefault(index, float(value)) != float(value):
                raise UsageError(f"--label {wanted}: {name} cannot be both 1 and 0")
        if self.kind == "class" and list(values.values()) != [1.0]:
            raise UsageError(f"--label {wanted}: name the one class that is wanted")
        return values


def _normalize(name: str) -> str:
    """Equal for names that differ only in case or in the encoding of accents."""
    return unicodedata.normalize("NFC", name).casefold()
