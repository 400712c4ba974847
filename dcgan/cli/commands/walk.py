"""`dcgan walk`."""

from collections.abc import Sequence

from dcgan.cli.commands.checkpoints import load_generator
from dcgan.cli.parsing import parse_flags
from dcgan.config import WalkConfig, parse_seeds
from dcgan.runtime.disk import check_writable
from dcgan.runtime.terminal import print_lines


def walk(args: Sequence[str], prog: str) -> None:
    """Animate a path through latent space between the images of some seeds."""
    config = parse_flags(WalkConfig, args, prog, walk.__doc__)
    seeds = parse_seeds(config.seeds)

    from dcgan import animation, explore

    animation.animation_format(config.out)
    check_writable(config.out)
    G = load_generator(config.checkpoint, config)
    explore.save_walk(G, explore.stops_from_seeds(G, seeds, config), config)
    print_lines(config.out)
