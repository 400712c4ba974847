"""What every run saves in a checkpoint to continue bit for bit as if it had never stopped."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from torch import Tensor

from dcgan.runs.checkpoint import Checkpoint, damaged, require_count, require_number


@dataclass(frozen=True)
class SavedState:
    """The state of a run after a step.

    The header of the checkpoint is a JSON object with every field but `tensors`. A subclass adds
    fields of its own, and extends `_validate` by their checks.
    """

    step: int  # training steps done
    config: dict[str, Any]  # the options of the run, as JSON can hold them
    data: str  # fingerprint of the training images
    seconds: float  # spent on training, over all restarts
    metrics: dict[str, float]  # the last line of the log
    summed_steps: int  # steps since that line, whose scalars are added up in "sums."
    tensors: Mapping[str, Tensor] = field(repr=False)  # "sums.NAME": the sum of a scalar, 0-dim

    def header(self) -> dict[str, Any]:
        """The fields that the header of the checkpoint holds, as JSON can hold them."""
        return {name: getattr(self, name) for name in _names_in_header(type(self))}

    @classmethod
    def from_checkpoint(cls, found: Checkpoint) -> Self:
        """Read all of a checkpoint. Raises UserError unless training can continue from it."""
        try:
            header = {name: found.header[name] for name in _names_in_header(cls)}
            state = cls(**header, tensors=found.tensors(""))
            state._validate()
        except KeyError as error:
            raise damaged(found.path, f"its header lacks {error}") from error
        except (ValueError, TypeError) as error:
            raise damaged(found.path, error) from error
        return state

    def section(self, prefix: str) -> dict[str, Tensor]:
        """The tensors under a prefix, without it in their names."""
        return {
            name.removeprefix(prefix): value
            for name, value in self.tensors.items()
            if name.startswith(prefix)
        }

    def _validate(self) -> None:
        """Raise TypeError, ValueError or KeyError for values that no run has saved."""
        for name in ("step", "summed_steps"):
            require_count(name, getattr(self, name))
        for name in ("seed", "batch_size"):
            require_count(name, self.config[name])
        require_number("seconds", self.seconds)
        if not 0 <= self.seconds < math.inf:
            raise ValueError(f"seconds cannot be {self.seconds!r}")
        if not isinstance(self.data, str):
            raise TypeError(f"data cannot be {self.data!r}")
        if not isinstance(self.metrics, dict):
            raise TypeError(f"metrics cannot be {self.metrics!r}")
        for name, value in self.metrics.items():
            require_number(name, value)
        for name, total in self.section("sums.").items():
            if total.shape != () or not total.is_floating_point():
                raise ValueError(f"its sum of {name} is not a number")


def _names_in_header(kind: type[SavedState]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind) if field.name != "tensors")
