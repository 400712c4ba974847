"""Labels that a conditional generator can be asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dcgan.errors import printable
from dcgan.latent.label_counts import count_attributes, count_classes
from dcgan.latent.label_names import LabelNames


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels that a network was trained with, and how many of its images have them.

    "class": each image has one label, and `counts` has an entry for each name. "attributes": an
    image has any number of labels; `rows` are the combinations that occur, in bits as
    `np.packbits` packs them, and `counts` has an entry for each of them.
    """

    kind: str  # "class" or "attributes"
    names: tuple[str, ...]
    counts: np.ndarray  # int64 [M]
    rows: np.ndarray | None = None  # uint8 [M, len(names) / 8 rounded up]

    @classmethod
    def from_images(cls, kind: str, names: Sequence[str], labels: np.ndarray) -> "Labels":
        """Count the labels of images: int64 [N] class indices, or uint8 [N, len(names)] attributes
        in {0, 1}. Very many combinations are those of random images, see `count_attributes`.
        """
        if kind == "class":
            return cls(kind, tuple(names), count_classes(labels, len(names)))
        rows, counts = count_attributes(labels)
        return cls(kind, tuple(names), counts, rows)

    @classmethod
    def from_checkpoint(cls, header: Any, tensors: Mapping[str, Tensor]) -> "Labels":
        """The inverse of `header` and `tensors`. Raises ValueError where these contradict."""
        try:
            kind, names = header["kind"], header["names"]
            _require(kind in ("class", "attributes") and isinstance(names, list) and names)
            _require(all(isinstance(name, str) for name in names))
            names = tuple(map(printable, names))
            arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
            if "examples" in arrays:  # rows of random images, in files before there were counts
                examples = arrays["examples"]
                _require(examples.dtype == np.uint8 and examples.ndim == 2)
                _require(examples.shape[1] == len(names) and examples.max() <= 1)
                found = examples if kind == "attributes" else examples.argmax(1)
                return cls.from_images(kind, names, found)
            labels = cls(kind, names, arrays["counts"], arrays.get("rows"))
            _require(labels._is_consistent())
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError("its labels contradict each other") from error
        return labels

    def header(self) -> dict[str, Any]:
        """What the header of a checkpoint holds, as JSON can hold it."""
        return {"kind": self.kind, "names": list(self.names)}

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint holds besides the header; no copies."""
        rows = {} if self.rows is None else {"rows": torch.from_numpy(self.rows)}
        return {"counts": torch.from_numpy(self.counts), **rows}

    def _is_consistent(self) -> bool:
        counts, rows = self.counts, self.rows
        if counts.dtype != np.int64 or counts.ndim != 1 or len(counts) == 0:
            return False
        if counts.min() < 0 or not 0 < sum(counts.tolist()) < 2**63:
            return False
        if self.kind == "class":
            return rows is None and len(counts) == len(self.names)
        shape = (len(counts), -(-len(self.names) // 8))
        if rows is None or (rows.dtype, rows.shape) != (np.uint8, shape):
            return False
        padding = 0xFF >> (len(self.names) % 8 or 8)
        return bool(counts.all() and not (rows[:, -1] & padding).any())

    def from_seeds(self, seeds: Sequence[int], fixed: Mapping[int, float] | None = None) -> Tensor:
        """Labels of N seeds, float32 [N, len(names)] in {0, 1}, as frequent as in the images.

        `fixed`, {index: 0 or 1} as `parse` returns it, are labels that all seeds get. A seed whose
        labels contradict them gets the others from a random image that has them, or from one of
        those that have most of them where none has all. Row i depends on seeds[i] and `fixed`
        alone.
        """
        fixed = fixed or {}
        if self.rows is None:
            classes = list(fixed) * len(seeds) if fixed else _draw(_generators(seeds), self.counts)
            one_hot = np.zeros((len(seeds), len(self.names)), np.float32)
            one_hot[np.arange(len(seeds)), classes] = 1
            return torch.from_numpy(one_hot)
        generators = _generators(seeds)
        chosen = _draw(generators, self.counts)
        if fixed:
            fit = self._fitting_rows(fixed)
            chosen = np.where(fit[chosen], chosen, _draw(generators, self.counts * fit))
        bits = np.unpackbits(self.rows[chosen], axis=1, count=len(self.names))
        labels = torch.from_numpy(bits).float()
        for index, value in fixed.items():
            labels[:, index] = value
        return labels

    def variance(self) -> float:
        """The sum of the variances over the images of the labels, as numbers in {0, 1}."""
        shares = self.counts / self.counts.sum()
        if self.rows is not None:
            shares = np.array([shares[self._have(i)].sum() for i in range(len(self.names))])
        return float((shares * (1 - shares)).sum())

    def _have(self, index: int) -> np.ndarray:
        """Which rows have the label `names[index]`, bool [M]."""
        assert self.rows is not None
        return (self.rows[:, index // 8] >> (7 - index % 8) & 1).astype(bool)

    def _fitting_rows(self, fixed: Mapping[int, float]) -> np.ndarray:
        """Whether a row differs from `fixed` in no more labels than any other row, bool [M]."""
        differences = np.zeros(len(self.counts), np.int64)
        for index, value in fixed.items():
            differences += self._have(index) != value
        return differences == differences.min()

    @cached_property
    def _names(self) -> LabelNames:
        return LabelNames(self.kind, self.names)

    def parse(self, wanted: str, flag: str = "--label") -> dict[int, float]:
        """ "smiling=1,hat=0" -> {index of smiling: 1, index of hat: 0}; "dog" -> {index of dog: 1}.

        Raises UsageError, which names the flag, for unknown labels and contradictions.
        """
        return self._names.parse(wanted, flag)


def _generators(seeds: Sequence[int]) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, 1]) for seed in seeds]


def _draw(generators: Sequence[np.random.Generator], counts: np.ndarray) -> np.ndarray:
    """An index for each generator, int64 [N]: i with the probability counts[i] / counts.sum()."""
    upper = counts.cumsum()
    numbers = np.array([generator.integers(upper[-1]) for generator in generators], np.int64)
    return np.searchsorted(upper, numbers, side="right")


def _require(condition: object) -> None:
    if not condition:
        raise ValueError
