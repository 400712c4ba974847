"""The controls of the page as its visitors send them, which may be anything that JSON can hold."""

from collections.abc import Sequence
from dataclasses import dataclass

from dcgan.config import parse_seeds
from dcgan.demo.model import Model
from dcgan.errors import UsageError

LEAST_TRUNCATION = 0.1
NO_TRUNCATION = {"normal": 3.0, "uniform": 1.0}  # the right end of the slider
FARTHEST = 2.0  # steps along a direction
OPEN = "as the seed"  # a label that is not chosen
CHOICES = (OPEN, "yes", "no")  # of an attribute
MAX_SEEDS = 64  # pictures of the grid


@dataclass(frozen=True)
class Controls:
    """What the controls beside the picture say."""

    truncation: float | None
    labels: dict[int, float]  # the chosen ones: {index: 0 or 1}
    own: float  # steps along the visitor's own direction
    amounts: tuple[float, ...]  # steps along each direction of the model


def number_of_boxes(model: Model) -> int:
    """One box of labels for classes, one for each attribute."""
    labels = model.G.labels
    if labels is None:
        return 0
    return 1 if labels.kind == "class" else len(labels.names)


def read_controls(model: Model, values: Sequence[object]) -> Controls:
    """[truncation, box of labels, ..., own slider, slider, ...] -> Controls.

    Raises UsageError for values that the page has no way to choose.
    """
    boxes, sliders = number_of_boxes(model), len(model.directions.names)
    if len(values) != 2 + boxes + sliders:
        raise UsageError("the page is of another model: load it again")
    most = NO_TRUNCATION[model.G.latent]
    truncation = read_number(values[0], "truncation", LEAST_TRUNCATION, most)
    own, *amounts = values[1 + boxes :]
    names = model.directions.names
    return Controls(
        truncation if truncation < most else None,
        _read_labels(model, values[1 : 1 + boxes]),
        read_number(own, "your direction", -FARTHEST, FARTHEST),
        tuple(
            read_number(amount, name, -FARTHEST, FARTHEST)
            for amount, name in zip(amounts, names, strict=True)
        ),
    )


def read_number(value: object, name: str, low: float, high: float) -> float:
    """A number in a range. Raises UsageError for everything else."""
    if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
        return float(value)
    raise UsageError(f"{name} must be a number from {low:g} to {high:g}, not {shorten(value)}")


def read_seeds(text: object, most: int = MAX_SEEDS) -> list[int]:
    """Seeds in the notation of `dcgan sample`. Raises UsageError for other values, or too many."""
    if not isinstance(text, str) or len(text) > 20 * MAX_SEEDS:
        raise UsageError("write seeds as numbers and ranges such as 0-23 or 3,14,15")
    seeds = parse_seeds(text.strip(), "seeds")
    if len(seeds) > most:
        raise UsageError(f"{len(seeds):,} seeds: at most {most} at once")
    return seeds


def shorten(value: object) -> str:
    """A value of a visitor for an error message."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _read_labels(model: Model, boxes: Sequence[object]) -> dict[int, float]:
    labels = model.G.labels
    if labels is None:
        return {}
    if labels.kind == "class":
        (box,) = boxes
        if box == OPEN or box is None:
            return {}
        if type(box) is not int or not 0 <= box < len(labels.names):
            raise UsageError(f"there is no class {shorten(box)}")
        return {box: 1.0}
    chosen = {}
    for index, box in enumerate(boxes):
        if box not in CHOICES:
            raise UsageError(f"{labels.names[index]}: choose one of {', '.join(CHOICES)}")
        if box != OPEN:
            chosen[index] = float(box == "yes")
    return chosen
