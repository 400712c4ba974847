"""`dcgan push`."""

from collections.abc import Sequence

from dcgan.cli.parsing import parse_flags
from dcgan.config import PushConfig
from dcgan.runtime.terminal import print_lines


def push(args: Sequence[str], prog: str) -> None:
    """Upload a generator with a model card to the Hugging Face Hub."""
    config = parse_flags(PushConfig, args, prog, push.__doc__)

    from dcgan.export import push_model

    print_lines(push_model(config))
