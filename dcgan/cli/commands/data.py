"""`dcgan prepare`."""

from collections.abc import Sequence
from typing import get_args

from dcgan.cli.parsing import parse_flags, split_choice
from dcgan.config import PrepareConfig, SourceName
from dcgan.errors import UsageError
from dcgan.runtime.terminal import print_lines


def prepare(args: Sequence[str], prog: str) -> None:
    """Decode, crop and resize raw images once, into a packed folder for training."""
    sources = get_args(SourceName)
    source, args = split_choice(args, sources, "source")
    if source is None and not {"-h", "--help"} & set(args):
        raise UsageError(f"name a source: {prog} {'|'.join(sources)} --root RAW --out DIR")
    description = (
        f"{prog} SOURCE [flags]: decode, crop and resize raw images once, into a packed folder for "
        f"training. SOURCE is one of {', '.join(sources)}."
    )
    defaults = {"source": source} if source else {}
    config = parse_flags(PrepareConfig, args, prog, description, defaults)

    from dcgan.data import packing

    print_lines(packing.prepare(config).folder)
