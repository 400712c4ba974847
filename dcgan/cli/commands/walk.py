"""`dcgan walk`."""

from collections.abc import Sequence

from dcgan.cli.commands.checkpoints import load_generator
from dcgan.cli.parsing import parse_flags
from dcgan.config import WalkConfig
from dcgan.runtime.terminal import print_lines


def walk(args: Sequence[str], prog: str) -> None:
    """Animate a path through latent space between the images of some seeds, or your photos."""
    config = parse_flags(WalkConfig, args, prog, walk.__doc__)
    stops = config.stops()

    from dcgan import animation, explore
    from dcgan.explore.outputs import check_outputs

    animation.animation_format(config.out)
    check_outputs([config.out], [config.checkpoint, *stops])
    G = load_generator(config.checkpoint, config)
    explore.save_walk(G, explore.latents_of_walk(G, stops, config), config)
    print_lines(config.out)
