"""`dcgan invert`."""

from collections.abc import Sequence

from dcgan.cli.parsing import parse_flags
from dcgan.config import InvertConfig
from dcgan.runtime.terminal import print_lines


def invert(args: Sequence[str], prog: str) -> None:
    """Find latents from which the generator makes your photos, or pictures near to them."""
    config = parse_flags(InvertConfig, args, prog, invert.__doc__)

    from dcgan.explore import report_inversion

    report_inversion(config)
    print_lines(config.out, config.latents_file())
