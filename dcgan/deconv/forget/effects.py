"""What a change of a generator does to its images, in numbers."""

from dataclasses import dataclass

from dcgan.deconv.forget.samples import Observer, Seen, have_object
from dcgan.explore.classifier import LabelClassifier
from dcgan.explore.effects import SURE, Effect, measure_effect

HEADS = (
    "gone",
    "pixels left",
    "change elsewhere",
    "other labels changed",
    "where it was sure",
    "in samples without it",
)
_SHOWN_FLIPS = 3


@dataclass(frozen=True)
class Change:
    """What happened to images that had an object, and to some that lacked it.

    gone: the share of the images that have it no more. left: how many pixels show it, of those that
    did. elsewhere: the mean absolute change, of 255, of the pixels that did not. with_object,
    without: what happened to the labels of the classifier, if there is one. sure: the same as
    with_object, but flips are those of labels that it was sure about before.
    """

    gone: float
    left: float
    elsewhere: float
    with_object: Effect | None
    sure: Effect | None
    without: Effect | None


def compare(
    observer: Observer, before: tuple[Seen, Seen | None], after: tuple[Seen, Seen | None]
) -> Change:
    """Compare images that had the object, and others that lacked it, before and after a change.

    The others are None where all images have it.
    """
    (had, lacked), (has, lacks) = before, after
    left = (has.masks.sum() / had.masks.sum().clamp(min=1)).item()
    difference = (has.pixels.float() - had.pixels.float()).abs().mean(3)
    elsewhere = difference[~had.masks].mean().item()
    if had.logits is None or has.logits is None:
        gone = 1 - have_object(has.masks).float().mean().item()
        return Change(gone, left, elsewhere, None, None, None)
    effect = measure_effect(had.logits, has.logits, observer.label)
    sure = measure_effect(had.logits, has.logits, observer.label, SURE)
    without = None
    if lacked is not None and lacks is not None:
        assert lacked.logits is not None and lacks.logits is not None
        without = measure_effect(lacked.logits, lacks.logits, observer.label)
    return Change(1 - effect.set, left, elsewhere, effect, sure, without)


def average(changes: list[Change]) -> Change:
    """The means of several changes of the same images."""
    count = len(changes)

    def mean(name: str) -> float:
        return sum(getattr(change, name) for change in changes) / count

    def mean_effect(name: str) -> Effect | None:
        effects = [getattr(change, name) for change in changes]
        if effects[0] is None:
            return None
        flips = zip(*(effect.flips for effect in effects), strict=True)
        return Effect(
            effects[0].index,
            effects[0].count,
            sum(effect.set for effect in effects) / count,
            tuple(sum(shares) / count for shares in flips),
        )

    return Change(
        mean("gone"),
        mean("left"),
        mean("elsewhere"),
        mean_effect("with_object"),
        mean_effect("sure"),
        mean_effect("without"),
    )


def cells(change: Change, classifier: LabelClassifier | None) -> tuple[str, ...]:
    """The row of a change below `HEADS`, without the last three where there is no classifier."""
    row = (f"{change.gone:.0%}", f"{change.left:.0%}", f"{change.elsewhere:.1f}")
    if classifier is None:
        return row
    effects = (change.with_object, change.sure, change.without)
    return (*row, *(_flips(effect, classifier) for effect in effects))


def _flips(effect: Effect | None, classifier: LabelClassifier) -> str:
    """The labels that change most often, beside that of the object and those that it excludes."""
    if effect is None:
        return "-"
    free = {effect.index, *classifier.tied_to(effect.index)}
    others = [i for i in range(len(effect.flips)) if i not in free and effect.flips[i] > 0]
    order = sorted(others, key=lambda i: -effect.flips[i])[:_SHOWN_FLIPS]
    return ", ".join(f"{classifier.names[i]} {effect.flips[i]:.0%}" for i in order) or "none"
