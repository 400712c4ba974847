"""Options of `dcgan arithmetic`."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from dcgan.config.fields import POSITIONAL, REPEATED
from dcgan.config.sampling import DEFAULT_CHECKPOINT, SamplingOptions
from dcgan.config.stops import is_stops, parse_stops
from dcgan.config.validation import require, require_ending, validate_types
from dcgan.errors import UsageError

_MAX_EXEMPLARS = 1000


@dataclass(frozen=True)
class ArithmeticConfig(SamplingOptions):
    """Operands of vector arithmetic, and the figure to write."""

    checkpoint: Path = dataclasses.field(default=DEFAULT_CHECKPOINT, metadata=POSITIONAL)
    """Checkpoint file, run folder, or faces, the generator that comes with dcgan."""
    plus: tuple[str, ...] = dataclasses.field(default=(), metadata=REPEATED)
    """Operand to add, the mean of some exemplars: seeds and photos (3,14,me.png), or a label
    (smiling=1,hat=0, or label:7 for one that reads as a seed). Can be given several times."""
    minus: tuple[str, ...] = dataclasses.field(default=(), metadata=REPEATED)
    """Operand to subtract. Can be given several times."""
    exemplars: int = 100
    """Exemplars of a label, at most. The more, the surer is the result, and the less it depends on
    what else these images show."""
    classifier: Path | None = None
    """File (.safetensors) of the classifier that finds exemplars of labels for an unconditional
    network: used if it is there, else trained and written there. Default: the one that comes with
    the generator, or a new one that is not kept."""
    data: Path | None = None
    """Packed folder with labels that the classifier is trained on. Default: that of the run."""
    out: Path = Path("arithmetic.png")
    """Figure to write (.png)."""

    def __post_init__(self) -> None:
        validate_types(self)
        valid = 1 <= self.exemplars <= _MAX_EXEMPLARS
        require(valid, "exemplars", self.exemplars, f"from 1 to {_MAX_EXEMPLARS:,}")
        require_ending(self.out, ".png", "out")
        require_ending(self.classifier, ".safetensors", "classifier")
        if not self.plus:
            raise UsageError("name what to add: --plus 3,14,15 --minus 9,26,5 --plus 35,8,97")
        if "" in (*self.plus, *self.minus):
            raise UsageError("an operand is empty: name seeds, photos or a label")

    def photos(self) -> list[Path]:
        """The photos among the operands. Raises UserError where one is missing."""
        operands = [(text, "--plus") for text in self.plus]
        operands += [(text, "--minus") for text in self.minus]
        stops = [parse_stops(text, flag) for text, flag in operands if is_stops(text)]
        return [stop for each in stops for stop in each if isinstance(stop, Path)]
