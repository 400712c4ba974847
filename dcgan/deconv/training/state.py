"""The contents of a checkpoint of a single network."""

from dataclasses import dataclass
from typing import Any, ClassVar

from dcgan.config.network_training import NetworkTrainConfig
from dcgan.errors import UsageError
from dcgan.runs.checkpoint import Checkpoint, damaged
from dcgan.runs.saved_state import SavedState


@dataclass(frozen=True)
class NetworkState(SavedState):
    """The state of a run after a step. A subclass says of which kind of run."""

    kind: ClassVar[str]
    """One of the kinds in `runs.checkpoint`."""
    config_class: ClassVar[type[NetworkTrainConfig]]
    """The options of the run."""
    fixed: ClassVar[tuple[str, ...]]
    """The options that cannot change when a run is resumed."""

    def header(self) -> dict[str, Any]:
        return {**super().header(), "kind": self.kind}

    @classmethod
    def config_in(cls, found: Checkpoint) -> Any:
        """The options of the run that a checkpoint is of, a `config_class`.

        Raises UserError for a damaged checkpoint.
        """
        try:
            return cls.config_class.from_dict(found.config)
        except (UsageError, TypeError) as error:
            raise damaged(found.path, error) from error
