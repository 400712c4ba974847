"""`dcgan evaluate` and `dcgan neighbours`."""

from collections.abc import Sequence

from dcgan.cli.parsing import parse_flags
from dcgan.config import EvaluateConfig, NeighboursConfig
from dcgan.runtime.terminal import print_lines


def evaluate(args: Sequence[str], prog: str) -> None:
    """Measure a checkpoint against real images: Fréchet distance, precision, recall, ..."""
    config = parse_flags(EvaluateConfig, args, prog, evaluate.__doc__)

    from dcgan import evaluation

    print_lines(evaluation.evaluate(**vars(config)))


def neighbours(args: Sequence[str], prog: str) -> None:
    """Find the training images nearest to generated ones, to see whether G memorised them."""
    config = parse_flags(NeighboursConfig, args, prog, neighbours.__doc__)

    from dcgan.evaluation import report_memorization

    print_lines(report_memorization(**vars(config)))
