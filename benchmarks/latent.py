"""`python -m benchmarks.latent`: what directions of latent space do, measured on the drawn faces.

A classifier of the drawn faces says what moving a latent changes. For every attribute: the share of
the images that get it among those that lacked it, and the shares in which other attributes change,
by several methods and over several sets of samples. A second classifier, trained from another seed,
judges the same images: what only the first one sees, it does not confirm. Pairs of drawn faces that
differ in one attribute show what cannot be avoided. Prints tables in Markdown.
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import torch
import tyro
from torch import Tensor

from benchmarks.__main__ import describe_machine
from dcgan import latent, sampling
from dcgan.data import faces, open_packed
from dcgan.errors import UserError
from dcgan.explore import directions
from dcgan.explore.classifier import LabelClassifier, load_classifier, save_classifier
from dcgan.explore.classifier_training import train_classifier
from dcgan.explore.effects import SURE, Effect, measure_effect, move_until_set
from dcgan.explore.scoring import Scorer
from dcgan.networks import Generator

JUDGE_SEED = 2  # the settings of `edit` were chosen with the classifiers of seeds 0 and 1
FIRST_SEED = 7_000_000  # of the samples: none of those that settings were chosen on
FIRST_PAIR = 3 * 2**30  # faces of no split
EXAMPLES = 10  # with and without, of the direction from examples
LARGEST_STEP = 6.0


@dataclass(frozen=True)
class FacesOptions:
    """Options of benchmarks that know the attributes of faces."""

    checkpoint: tyro.conf.Positional[Path] = Path("faces")
    """Checkpoint file, run folder, or faces."""
    classifier: Path = Path("runs/faces.classifier.safetensors")
    """The classifier that is used; trained on --data if the file is not there."""
    judge: Path = Path("runs/faces.judge.safetensors")
    """The second classifier, which only judges; trained on --data if the file is not there."""
    data: Path | None = None
    """Packed folder of drawn faces."""
    samples: int = 4000
    """Samples that directions or exemplars are found in."""


@dataclass(frozen=True)
class Options(FacesOptions):
    count: int = 64
    """Images without an attribute in which each effect is measured."""
    sets: int = 2
    """Sets of samples over which everything is repeated."""
    methods: tuple[str, ...] = ("examples", "regression", "orthogonal", "edit")
    """Methods to measure."""


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    try:
        measure(options)
    except UserError as error:
        sys.exit(str(error))


def measure(options: Options) -> None:
    G = sampling.load(options.checkpoint)
    classifier = classifier_of(options.classifier, options.data, 0)
    judge = classifier_of(options.judge, options.data, JUDGE_SEED)
    print(f"{options.checkpoint}; {describe_machine()}.\n")
    print(accuracy_table(classifier, judge), end="\n\n")
    print(tied_table(classifier), end="\n\n")
    scorers = Scorer(G, classifier), Scorer(G, judge)
    rows = list(attribute_rows(G, *scorers, options))
    print(effect_table(rows, classifier), end="\n\n")
    print(label_free_table(G, scorers[0]), end="\n\n")
    z = directions.sample_latents(G, options.samples)
    for name in classifier.value_names:
        found = directions.by_turn(scorers[0], G, name, z, z[:1], 4)
        print(*found.lines, sep="\n")


def classifier_of(path: Path, data: Path | None, seed: int) -> LabelClassifier:
    """Read a classifier, or train it and write it."""
    if not path.exists():
        if data is None:
            raise UserError(f"{path} is not there: give --data to train it")
        begun = time.process_time()
        save_classifier(path, train_classifier(open_packed(data), seed=seed))
        print(f"{path}: trained in {time.process_time() - begun:.0f} s of processor time\n")
    return load_classifier(path)


def accuracy_table(classifier: LabelClassifier, judge: LabelClassifier) -> str:
    """Accuracies on held out images; correlations for values."""
    lines = ["| held out | classifier | judge |", "|---|---|---|"]
    for name, share in classifier.accuracy.items():
        lines.append(f"| {name} | {share:.3f} | {judge.accuracy[name]:.3f} |")
    return "\n".join(lines)


def tied_table(classifier: LabelClassifier, count: int = 400) -> str:
    """What changes by the classifier, and in truth, where one attribute of a drawn face does."""
    lines = ["| drawn pairs | set | others changed in over 1 % (in truth) |", "|---|---|---|"]
    indices = torch.arange(FIRST_PAIR, FIRST_PAIR + count)
    for index, name in enumerate(classifier.names):
        pair = [faces.render(indices, classifier.network.size, **{name: has}) for has in (0, 1)]
        before, after = (classifier.logits(classifier.outputs([p.images.numpy()])) for p in pair)
        effect = measure_effect(before, after, index)
        truth = (pair[0].attributes != pair[1].attributes).float().mean(0).tolist()
        others = [
            f"{other} {effect.flips[i]:.0%} ({truth[i]:.0%})"
            for i, other in enumerate(classifier.names)
            if i != index and effect.flips[i] > 0.01
        ]
        lines.append(f"| {name} | {effect.set:.1%} | {', '.join(others)} |")
    return "\n".join(lines)


@dataclass(frozen=True)
class Row:
    method: str
    index: int
    effect: Effect  # by the classifier
    judged: Effect  # by the judge, among the images that lack the label by it too
    sure: Effect  # by the judge, flips only among the images whose label it was sure about


def attribute_rows(G: Generator, own: Scorer, judge: Scorer, options: Options) -> Iterator[Row]:
    """Effects of each method on each attribute and set of samples."""
    for part in range(options.sets):
        first = FIRST_SEED + part * 100_000
        z = sampling.latents_from_seeds(G, range(first, first + options.samples))
        test = sampling.latents_from_seeds(G, range(first + 50_000, first + 51_000))
        logits, test_logits = own.logits(z), own.logits(test)
        judged = judge.logits(test)
        for index in range(len(own.classifier.names)):
            lacks = (test_logits[:, index] <= 0) & (judged[:, index] <= 0)
            chosen = lacks.nonzero()[: options.count, 0]
            for method in options.methods:
                moved = MOVES[method](G, own, z, logits, test[chosen], index, part)
                before, after = judged[chosen], judge.logits(moved)
                yield Row(
                    method,
                    index,
                    measure_effect(test_logits[chosen], own.logits(moved), index),
                    measure_effect(before, after, index),
                    measure_effect(before, after, index, SURE),
                )


def by_regression(orthogonal: bool) -> Callable[..., Tensor]:
    def moved(
        G: Generator, own: Scorer, z: Tensor, logits: Tensor, start: Tensor, index: int, part: int
    ) -> Tensor:
        weights, _ = latent.linear_scores(z, logits)
        tied = {index, *own.classifier.tied_to(index)}
        others = [i for i in range(len(weights)) if i not in tied] if orthogonal else []
        vector = latent.orthogonalized(weights[index], weights[others])
        return until_set(G, own, start, vector, index)

    return moved


def by_examples(
    G: Generator, own: Scorer, z: Tensor, logits: Tensor, start: Tensor, index: int, part: int
) -> Tensor:
    has = logits[:, index] > 0
    with_it, without = (z[chosen][:EXAMPLES] for chosen in (has, ~has))
    vector = latent.direction_from_examples(with_it, without)
    return until_set(G, own, start, vector, index)


def by_edit(
    G: Generator, own: Scorer, z: Tensor, logits: Tensor, start: Tensor, index: int, part: int
) -> Tensor:
    weights, _ = latent.linear_scores(z, logits)
    return directions.edited(own, G, start, index, True, latent.unit(weights[index]))


def until_set(G: Generator, own: Scorer, start: Tensor, vector: Tensor, index: int) -> Tensor:
    """Latents moved by the smallest step that sets the label by the classifier."""
    _, steps = move_until_set(own.logits, start, vector, LARGEST_STEP, index, G.latent)
    return latent.move(start, steps[:, None] * vector, G.latent)


MOVES = {
    "examples": by_examples,
    "regression": by_regression(False),
    "orthogonal": by_regression(True),
    "edit": by_edit,
}


def effect_table(rows: list[Row], classifier: LabelClassifier) -> str:
    """Means over the sets of samples; at the end of each method its mean and spread over all."""
    lines = [
        "| method | attribute | set | other changed most | others, mean | set, judge "
        "| other changed most, judge | where it was sure |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for method in dict.fromkeys(row.method for row in rows):
        own = [row for row in rows if row.method == method]
        for index, name in enumerate(classifier.names):
            some = [row for row in own if row.index == index]
            lines.append(f"| {method} | {name} | {cells(some, classifier)} |")
        sets = [row.effect.set for row in own]
        worst = [row.effect.worst(classifier.tied_to(row.index))[0] for row in own]
        lines.append(
            f"| {method} | **all** | {mean(sets):.1%} ± {stdev(sets):.1%}, at least "
            f"{min(sets):.0%} | {mean(worst):.1%} ± {stdev(worst):.1%}, at most {max(worst):.0%} "
            f"| {mean(other_flips(row.effect, classifier) for row in own):.1%} "
            f"| {mean(row.judged.set for row in own):.1%} "
            f"| {mean(row.judged.worst(classifier.tied_to(row.index))[0] for row in own):.1%} "
            f"| {mean(row.sure.worst(classifier.tied_to(row.index))[0] for row in own):.1%} |"
        )
    return "\n".join(lines)


def cells(rows: list[Row], classifier: LabelClassifier) -> str:
    tied = classifier.tied_to(rows[0].index)
    worst, judged, sure = (
        worst_of([getattr(row, kind) for row in rows], tied, classifier)
        for kind in ("effect", "judged", "sure")
    )
    others = mean(other_flips(row.effect, classifier) for row in rows)
    return (
        f"{mean(row.effect.set for row in rows):.0%} | {worst} | {others:.1%} "
        f"| {mean(row.judged.set for row in rows):.0%} | {judged} | {sure}"
    )


def worst_of(effects: list[Effect], tied: list[int], classifier: LabelClassifier) -> str:
    """The other label that changes most in the mean of several effects."""
    flips = np.mean([effect.flips for effect in effects], 0)
    flips[[effects[0].index, *tied]] = 0
    return f"{flips.max():.0%} {classifier.names[int(flips.argmax())]}"


def other_flips(effect: Effect, classifier: LabelClassifier) -> float:
    """The mean share of flips over the other labels."""
    tied = {effect.index, *classifier.tied_to(effect.index)}
    return mean(share for i, share in enumerate(effect.flips) if i not in tied)


def label_free_table(G: Generator, scorer: Scorer, components: int = 10) -> str:
    z = directions.sample_latents(G, 1)
    lines = ["| without labels | names and shares |", "|---|---|"]
    for method in ("sefa", "pca"):
        found = directions.without_labels(scorer, G, method, components, z[:1], 1)
        lines += [f"| {method} | {line} |" for line in found.lines]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
