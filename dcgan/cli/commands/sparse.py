"""`dcgan sparse`."""

from collections.abc import Sequence

from dcgan.cli.parsing import parse_flags
from dcgan.config import SparseConfig
from dcgan.runtime.terminal import print_lines


def sparse(args: Sequence[str], prog: str) -> None:
    """Learn filters that reconstruct images from few values: convolutional sparse coding."""
    config = parse_flags(SparseConfig, args, prog, sparse.__doc__)

    from dcgan.deconv.sparse_coding.command import report_sparse

    print_lines(*report_sparse(config))
