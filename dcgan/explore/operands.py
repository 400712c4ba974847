"""The operands of vector arithmetic: seeds, photos and labels."""

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from dcgan import sampling
from dcgan.config import ArithmeticConfig, is_stops, parse_stops
from dcgan.config.stops import LABEL_MARK
from dcgan.config.validation import require_options
from dcgan.errors import UsageError, UserError
from dcgan.explore.arithmetic import Operand
from dcgan.explore.finding_classifier import find_classifier
from dcgan.explore.scoring import Scorer
from dcgan.explore.stops import latents_of_stops
from dcgan.networks import Generator

_SEARCHED = 8192  # seeds among which exemplars of a label are found
_MIN_EXEMPLARS = 3  # as in the paper
_MAX_IMAGES = 1000  # of an operand
_SURE = 2.0  # the logit from which on a classifier is sure of a label: 88 %


def read_operands(G: Generator, config: ArithmeticConfig) -> list[Operand]:
    """The operands of --plus and --minus in turns: A - B + C.

    The exemplars of a label are those of the first seeds that no label before has taken: seeds that
    a conditional G is asked to draw with it, or those of whose images a classifier is sure. Raises
    UsageError for labels that are not known, UserError for photos that cannot be read, and where
    too few images have a label.
    """
    require_options(config, ArithmeticConfig, "read_operands")
    exemplars = _Exemplars(G, config)

    def latents(text: str, flag: str) -> Tensor:
        if is_stops(text):
            stops = parse_stops(text, flag)
            if len(stops) > _MAX_IMAGES:
                raise UsageError(
                    f"{flag} {text}: {len(stops):,} images, and an operand has at most "
                    f"{_MAX_IMAGES:,}"
                )
            return latents_of_stops(G, stops, config)
        return exemplars.of(text.removeprefix(LABEL_MARK), flag)

    operands = []
    for plus, minus in itertools.zip_longest(config.plus, config.minus):
        if plus:
            operands.append(Operand(True, plus, latents(plus, "--plus")))
        if minus:
            operands.append(Operand(False, minus, latents(minus, "--minus")))
    return operands


class _Exemplars:
    """Latents of images that have a label, of other seeds for each label."""

    def __init__(self, G: Generator, config: ArithmeticConfig):
        self._G, self._config = G, config
        self._taken: set[int] = set()
        self._scorer: Scorer | None = None

    def of(self, label: str, flag: str) -> Tensor:
        """Latents of a label, [n, D]."""
        found = list(itertools.islice(self._seeds(label, flag), self._config.exemplars))
        wanted = min(_MIN_EXEMPLARS, self._config.exemplars)
        if len(found) < wanted:
            raise UserError(
                f"{flag} {label}: {len(found)} of {_SEARCHED:,} images surely have it, and at "
                f"least {wanted} are wanted: name fewer labels"
            )
        self._taken |= set(found)
        asked = None if self._G.labels is None else label
        return sampling.latents_from_seeds(self._G, found, self._config.truncation, asked)

    def _seeds(self, label: str, flag: str) -> Iterator[int]:
        """Seeds that no label has taken yet and whose images have this one, in order."""
        free = (seed for seed in range(_SEARCHED) if seed not in self._taken)
        if self._G.labels is not None:
            self._G.labels.parse(label, flag)
            yield from free
            return
        scorer = self._make_scorer()
        values = scorer.classifier.labels.parse(label, flag)
        columns = list(values)
        signs = torch.tensor([1.0 if value else -1.0 for value in values.values()])
        while seeds := list(itertools.islice(free, scorer.batch_size)):
            z = sampling.latents_from_seeds(self._G, seeds, self._config.truncation)
            fits = (scorer.logits(z)[:, columns] * signs >= _SURE).all(1)
            yield from (seed for seed, fit in zip(seeds, fits, strict=True) if fit)

    def _make_scorer(self) -> Scorer:
        if self._scorer is None:
            config, device = self._config, next(self._G.parameters()).device
            found = find_classifier(config.checkpoint, config.classifier, config.data, device)
            self._scorer = Scorer(self._G, found, config.precision)
        return self._scorer
