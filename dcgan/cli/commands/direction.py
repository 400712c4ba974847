"""`dcgan direction`."""

from collections.abc import Sequence

from dcgan.cli.commands.checkpoints import load_generator
from dcgan.cli.parsing import parse_flags
from dcgan.config import DirectionConfig
from dcgan.runtime.terminal import print_lines


def direction(args: Sequence[str], prog: str) -> None:
    """Find a direction of latent space, show images along it, and measure what it changes."""
    config = parse_flags(DirectionConfig, args, prog, direction.__doc__)

    from dcgan import images
    from dcgan.explore.direction_command import find
    from dcgan.explore.directions_file import DIRECTIONS, save_directions
    from dcgan.explore.found_directions import draw
    from dcgan.explore.outputs import check_outputs
    from dcgan.runs.tensor_file import check_not_replacing

    outputs = (config.out, config.directions_file())
    check_outputs(outputs, [config.checkpoint, config.classifier])
    check_not_replacing(config.directions_file(), DIRECTIONS)
    G = load_generator(config.checkpoint, config)
    found = find(G, config)
    picture = draw(G, found, config.precision)
    images.save_png(config.out, picture)
    save_directions(config.directions_file(), found.directions)
    print_lines(*found.lines, config.out, config.directions_file())
