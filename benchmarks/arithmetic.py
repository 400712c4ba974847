"""`python -m benchmarks.arithmetic`: how often vector arithmetic gives the combination it should.

For pairs of attributes a, b of the drawn faces: (a without b) - (neither) + (b without a). A
classifier finds the exemplars, and a second one, trained from another seed, says whether the result
has both, and how many other attributes differ from the operand that a is added to. Beside it, the
same arithmetic on images. Prints a table in Markdown.
"""

import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np
import torch
import tyro
from torch import Tensor

from benchmarks.__main__ import describe_machine
from benchmarks.latent import JUDGE_SEED, FacesOptions, classifier_of
from dcgan import sampling
from dcgan.errors import UserError
from dcgan.explore import Operand, Scorer, Sum, arithmetic
from dcgan.networks import Generator

FIRST_SEED = 9_000_000
SURE = 2.0  # the logit of an exemplar


@dataclass(frozen=True)
class Options(FacesOptions):
    trials: int = 300
    """Trials for each number of exemplars."""
    exemplars: tuple[int, ...] = (3, 10, 30, 100)
    """Exemplars of an operand."""


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    try:
        print(measure(options))
    except UserError as error:
        sys.exit(str(error))


def measure(options: Options) -> str:
    G = sampling.load(options.checkpoint)
    own = Scorer(G, classifier_of(options.classifier, options.data, 0))
    judge = Scorer(G, classifier_of(options.judge, options.data, JUDGE_SEED))
    z = sampling.latents_from_seeds(G, range(FIRST_SEED, FIRST_SEED + options.samples))
    signs = sure_signs(own.logits(z))
    tied = {i: own.classifier.tied_to(i) for i in range(len(own.classifier.names))}
    pairs = [(a, b) for a, b in itertools.permutations(tied, 2) if b not in tied[a]]
    lines = [
        f"{options.checkpoint}; {options.trials} trials a row; {describe_machine()}.\n",
        "| exemplars | both attributes, by latents | by images | one of them lost, by latents |",
        "|---|---|---|---|",
    ]
    for count in options.exemplars:
        rng = np.random.default_rng(count)
        trials = itertools.islice(draw_trials(z, signs, pairs, count, rng), options.trials)
        results = [result_of(G, judge, *trial) for trial in trials]
        shares = [mean(column) for column in zip(*results, strict=True)]
        lines.append("| {} | {:.0%} | {:.0%} | {:.0%} |".format(count, *shares))
    return "\n".join(lines)


def sure_signs(logits: Tensor) -> Tensor:
    """1 where a logit says yes for sure, -1 where it says no for sure, else 0."""
    return (logits >= SURE).int() - (logits <= -SURE).int()


Trial = tuple[int, int, Sequence[Operand]]


def draw_trials(
    z: Tensor, signs: Tensor, pairs: Sequence[tuple[int, int]], count: int, rng: np.random.Generator
) -> Iterator[Trial]:
    """Random pairs of attributes, and random exemplars of the three operands."""
    while True:
        a, b = pairs[rng.integers(len(pairs))]
        operands = []
        for added, has_a, has_b in ((True, 1, -1), (False, -1, -1), (True, -1, 1)):
            fits = ((signs[:, a] == has_a) & (signs[:, b] == has_b)).nonzero()[:, 0]
            if len(fits) < count:
                break
            chosen = torch.from_numpy(rng.choice(fits.numpy(), count, replace=False))
            operands.append(Operand(added, "", z[chosen]))
        if len(operands) == 3:
            yield a, b, operands


def result_of(G: Generator, judge: Scorer, a: int, b: int, operands: Sequence[Operand]) -> tuple:
    """Whether the result by latents has both, by images has both, and by latents lacks one."""
    done: Sum = arithmetic(G, operands)
    by_latents, by_images = (
        judge.classifier.logits(judge.classifier.outputs([image[None]]))[0, [a, b]] > 0
        for image in (done.results[0], done.pixel_result)
    )
    return tuple(
        float(value)
        for value in (by_latents.all(), by_images.all(), by_latents.any() and not by_latents.all())
    )


if __name__ == "__main__":
    main()
