"""`dcgan forget`: a generator that no longer draws an object, and what that changes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from dcgan import sampling
from dcgan.config.forget import ForgetConfig
from dcgan.deconv.fcn.loading import segmenter_in
from dcgan.deconv.forget import effects
from dcgan.deconv.forget.editing import (
    default_layer,
    drop_maps,
    map_count,
    random_order,
    shuffle_change,
)
from dcgan.deconv.forget.figure import draw_rows
from dcgan.deconv.forget.regression import check_scikit_learn, map_weights
from dcgan.deconv.forget.samples import Observer, Seen, have_object
from dcgan.deconv.forget.tuning import tune_kernels
from dcgan.errors import UsageError, UserError
from dcgan.explore.classifier import LabelClassifier
from dcgan.explore.directions import sample_latents
from dcgan.explore.finding_classifier import classifier_at_hand
from dcgan.networks import Generator
from dcgan.runs.checkpoint import SEGMENTER
from dcgan.runs.checkpoint_folder import find_checkpoint

_MEASURED = 500  # images with the object
_MEASURED_OTHERS = 200
_SHOWN = 8
_RANDOM_DRAWS = 3
_MIN_IMAGES = 5  # with the object

Variant = Callable[[int | None], Generator]  # a number: at random maps, for a baseline


@dataclass(frozen=True, eq=False)
class Forgotten:
    """The generator without the object, the picture, uint8 [H, W, 3], and the lines to print."""

    generator: Generator
    picture: np.ndarray
    lines: tuple[str, ...]


def forget(G: Generator, config: ForgetConfig) -> Forgotten:
    """Make a copy of G forget the object of `config`, and measure it on other samples.

    Raises UsageError for an object, label, layer or number of maps that there is not, and UserError
    for files that cannot be used, for networks of other images, and where too few samples have the
    object.
    """
    check_scikit_learn()
    layer = default_layer(G) if config.layer is None else config.layer
    count = map_count(G, layer)
    if config.maps is not None and config.maps > count:
        raise UsageError(f"--maps {config.maps}: layer {layer} has {count} maps")
    observer = _observer(G, config)
    z = sample_latents(G, config.samples, config.truncation, config.label)
    masks = observer.masks(G, z)
    _require_some(have_object(masks), config)
    weights = map_weights(G, layer, z, masks)
    ranked = weights.argsort(descending=True, stable=True)
    positive = int((weights > 0).sum())
    dropped = ranked[: positive if config.maps is None else config.maps]

    def dropping(draw: int | None) -> Generator:
        chosen = dropped if draw is None else random_order(count, draw)[: len(dropped)]
        return drop_maps(G, layer, chosen.tolist())

    variants: dict[str, Variant] = {f"{len(dropped)} maps dropped": dropping}
    if config.method == "kernels":
        tuned = tune_kernels(G, observer.segmenter, observer.index, z, masks, config.keep)

        def tuning(draw: int | None) -> Generator:
            return tuned if draw is None else shuffle_change(G, tuned, draw)

        variants = {"kernels tuned": tuning, **variants}
    about, table, picture = _measure(G, observer, variants, config)
    maps = f"layer {layer} has {count} maps, {positive} of them with positive weights"
    result = next(iter(variants.values()))(None)
    return Forgotten(result, picture, (about, maps, *table))


def _observer(G: Generator, config: ForgetConfig) -> Observer:
    """The segmentation network, and the classifier if there is one with a label for the object."""
    device = next(G.parameters()).device
    found = find_checkpoint(config.segmenter, SEGMENTER)
    segmenter = segmenter_in(found, device)
    size, channels = (found.header[name] for name in ("size", "channels"))
    if (size, channels) != (G.size, G.channels):
        raise UserError(
            f"{config.segmenter} is for {channels} x {size} x {size} images, and "
            f"the generator draws {G.channels} x {G.size} x {G.size}"
        )
    if config.object not in segmenter.class_names:
        known = ", ".join(segmenter.class_names)
        raise UsageError(f"--object {config.object}: the segmentation network has {known}")
    index = segmenter.class_names.index(config.object)
    classifier = classifier_at_hand(config.checkpoint, config.classifier, device)
    label = _label(classifier, config)
    if classifier is None or label is None:
        return Observer(segmenter, index, precision=config.precision)
    classifier.check_generator(G)
    return Observer(segmenter, index, classifier, label, config.precision)


def _label(classifier: LabelClassifier | None, config: ForgetConfig) -> int | None:
    """The classifier's label for images with the object; None where it has none of that name."""
    if classifier is None:
        if config.attribute is not None:
            raise UsageError(f"--attribute {config.attribute} needs --classifier")
        return None
    if config.attribute is not None:
        return classifier.labels.index(config.attribute, "--attribute")
    wanted, names = config.object.lower(), [name.lower() for name in classifier.names]
    if wanted in names:
        return names.index(wanted)
    containing = [i for i, name in enumerate(names) if wanted in name]
    return containing[0] if len(containing) == 1 else None


def _require_some(has: Tensor, config: ForgetConfig) -> None:
    """Raise UserError where fewer than `_MIN_IMAGES` samples have the object."""
    count = int(has.sum())
    if count < _MIN_IMAGES:
        raise UserError(
            f"{count or 'none'} of {len(has):,} samples {'has' if count == 1 else 'have'} "
            f"{config.object}, too few to learn from: take more --samples or another --object"
        )


def _measure(
    G: Generator, observer: Observer, variants: dict[str, Variant], config: ForgetConfig
) -> tuple[str, list[str], np.ndarray]:
    """A line on the samples, the table, and the picture.

    Each variant has a row below for the same change of maps that are chosen at random, the mean of
    several draws.
    """
    seeds = range(config.samples)
    z = sampling.latents_from_seeds(G, seeds, config.truncation, config.label)
    has = observer.has_object(G, z)
    _require_some(has, config)
    chosen = has.nonzero()[:_MEASURED, 0], (~has).nonzero()[:_MEASURED_OTHERS, 0]
    latents = [z[which] for which in chosen]

    def look(changed: Generator) -> tuple[Seen, Seen | None]:
        first, second = (observer.look(changed, each) if len(each) else None for each in latents)
        assert first is not None
        return first, second

    before = look(G)
    heads = effects.HEADS[:3] if observer.classifier is None else effects.HEADS
    rows = [("", *heads)]
    shown = {"as drawn": before[0].pixels[:_SHOWN].numpy()}
    for name, variant in variants.items():
        for title, tried in ((name, [None]), (f"{name}, at random", range(_RANDOM_DRAWS))):
            after = [look(variant(draw)) for draw in tried]
            change = effects.average([effects.compare(observer, before, each) for each in after])
            rows.append((title, *effects.cells(change, observer.classifier)))
            shown[title] = after[0][0].pixels[:_SHOWN].numpy()
    by = "the segmentation network"
    if observer.classifier is not None:
        by = f"the classifier ({observer.classifier.names[observer.label]})"
    about = (
        f"{config.object} in {int(has.sum()):,} of {len(has):,} samples by {by}; measured on "
        f"{len(chosen[0])} of them and {len(chosen[1])} others"
    )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    table = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return about, table, draw_rows(shown, chosen[0][:_SHOWN].tolist())
