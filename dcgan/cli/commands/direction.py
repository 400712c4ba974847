"""`dcgan direction`."""

from collections.abc import Sequence

from dcgan.cli.commands.checkpoints import load_generator
from dcgan.cli.parsing import parse_flags
from dcgan.config import DirectionConfig
from dcgan.runtime.disk import check_writable
from dcgan.runtime.terminal import print_lines


def direction(args: Sequence[str], prog: str) -> None:
    """Find a direction of latent space, show images along it, and measure what it changes."""
    config = parse_flags(DirectionConfig, args, prog, direction.__doc__)
    check_writable(config.out)

    from dcgan import images
    from dcgan.explore.direction_command import find
    from dcgan.explore.directions_file import save_directions
    from dcgan.explore.found_directions import draw

    G = load_generator(config.checkpoint, config)
    found = find(G, config)
    picture = draw(G, found, config.precision)
    images.save_png(config.out, picture)
    save_directions(config.directions_file(), found.directions)
    print_lines(*found.lines, config.out, config.directions_file())
