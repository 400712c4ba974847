"""`dcgan demo`."""

from collections.abc import Sequence

from dcgan.cli.parsing import parse_flags
from dcgan.config import DemoConfig


def demo(args: Sequence[str], prog: str) -> None:
    """Serve a page on this machine to play with a generator in the browser."""
    config = parse_flags(DemoConfig, args, prog, demo.__doc__)

    from dcgan.demo import run_demo

    run_demo(config)
