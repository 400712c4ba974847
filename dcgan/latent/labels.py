"""Labels that a conditional generator can be asked for."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dcgan.data import PackedImages
from dcgan.errors import UsageError

EXAMPLES = 1024  # label rows of real images that a checkpoint remembers


@dataclass(frozen=True, eq=False)
class Conditions:
    """Names of the labels, and what combinations of them occur."""

    kind: str | None  # "class": each image has one label; "attributes": any of them; None: none
    names: tuple[str, ...]
    examples: Tensor  # uint8 [M, len(names)] of 0 and 1, rows as frequent as in the data

    @classmethod
    def of(cls, packed: PackedImages) -> "Conditions":
        """What a network that learns the labels of these images can be asked for."""
        count = min(len(packed), EXAMPLES)
        rows = np.random.default_rng(0).choice(len(packed), count, replace=False)
        examples = torch.from_numpy(packed.multi_hot(np.sort(rows)).astype(np.uint8))
        return cls(packed.meta["label_kind"], packed.label_names, examples)

    @classmethod
    def saved(cls, labels, examples: Tensor | None) -> "Conditions":
        """As a checkpoint has them: {"kind": ..., "names": [...]} and `examples`. ValueError where
        these contradict each other.
        """
        fits = (
            isinstance(labels, dict)
            and labels.get("kind") in ("class", "attributes")
            and isinstance(labels.get("names"), list)
            and all(isinstance(name, str) for name in labels["names"])
            and examples is not None
            and examples.dtype == torch.uint8
            and examples.dim() == 2
            and len(examples) > 0
            and examples.shape[1] == len(labels["names"]) > 0
            and examples.max() <= 1
        )
        if not fits:
            raise ValueError("its labels do not fit together")
        return cls(labels["kind"], tuple(labels["names"]), examples)

    def of_seeds(self, seeds: Sequence[int], wanted: str | None = None) -> Tensor:
        """Labels of the images of some seeds -> float32 [N, len(names)] of 0 and 1.

        Every seed has a combination that real images have; `wanted`, such as "smiling=1,hat=0" or
        "dog", replaces what it names. Raises UsageError for labels that there are not.
        """
        rows = [np.random.default_rng([seed, 1]).integers(len(self.examples)) for seed in seeds]
        labels = self.examples[torch.tensor(rows)].float()
        for index, value in self.parsed(wanted).items():
            if self.kind == "class":
                labels.zero_()
            labels[:, index] = value
        return labels

    def fulfilled(self, packed: PackedImages, wanted: str | None) -> np.ndarray:
        """Whether each image has the labels that are wanted, bool [N]. Those without labels do.

        Raises UsageError for labels that there are not, and for images labelled by other names.
        """
        fulfilled, values = np.ones(len(packed), bool), self.parsed(wanted)
        for index, value in values.items() if packed.label_names else ():
            name = self.names[index]
            if name not in packed.label_names:
                raise UsageError(f"--label {wanted}: no image in {packed.folder} has label {name}")
            fulfilled &= packed.has_label(packed.label_names.index(name)) == value
        return fulfilled

    def parsed(self, wanted: str | None) -> dict[int, float]:
        """ "smiling=1,hat=0" -> {index of smiling: 1, index of hat: 0}."""
        if wanted is None:
            return {}
        if not self.names:
            raise UsageError(f"--label {wanted}: this network was not trained with --conditional")
        index = {folded(name): i for i, name in enumerate(self.names)}
        index |= {name: i for i, name in enumerate(self.names)}

        def position(name: str) -> int | None:
            return index.get(name, index.get(folded(name)))

        for whole in (wanted, wanted.removesuffix("=1")):
            if (place := position(whole)) is not None:  # a folder's name may hold a comma
                return {place: 1.0}
        values: dict[int, float] = {}
        for part in map(str.strip, wanted.split(",")):
            name, value = part, "1"
            if position(part) is None and "=" in part:  # which may be in a name, too
                name, value = map(str.strip, part.rsplit("=", 1))
            if position(name) is None:
                some = ", ".join(self.names[:20]) + (", ..." if len(self.names) > 20 else "")
                raise UsageError(f"--label {wanted}: no label {name!r}; one of {some}")
            if value not in ("0", "1"):
                raise UsageError(f"--label {wanted}: write {name}=1 or {name}=0")
            if values.setdefault(position(name), float(value)) != float(value):
                raise UsageError(f"--label {wanted}: {name} cannot be both 1 and 0")
        if self.kind == "class" and list(values.values()) != [1.0]:
            raise UsageError(f"--label {wanted}: name the one class that is wanted")
        return values


def folded(name: str) -> str:
    """The same for names that differ in case, or in how their accents are encoded, alone."""
    return unicodedata.normalize("NFC", name).casefold()


UNCONDITIONAL = Conditions(None, (), torch.zeros(1, 0, dtype=torch.uint8))
