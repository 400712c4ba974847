"""`dcgan import`."""

import shlex
from collections.abc import Sequence

from dcgan.cli.parsing import parse_flags
from dcgan.config import ImportConfig
from dcgan.runtime.terminal import print_lines


def import_(args: Sequence[str], prog: str) -> None:
    """Import the weights of PyTorch's DCGAN example as a run that samples and trains on."""
    config = parse_flags(ImportConfig, args, prog, import_.__doc__)

    from dcgan.importing import import_networks

    found = import_networks(config)
    options = found.config
    print_lines(
        f"generator      {found.generator}: {options.size}x{options.size} pixels, "
        f"{options.channels} channels, --width {options.width}, --latent-dim {options.latent_dim}",
        f"discriminator  {found.discriminator or 'none, so it cannot be trained on'}",
        f"sample grid    {found.sample_grid}",
        f"checkpoint     {found.checkpoint}",
    )
    if found.discriminator:
        run = shlex.quote(str(found.run))
        print_lines(
            f"to train on    python train.py pytorch-example --from {run} --root PICTURES --out RUN"
        )
