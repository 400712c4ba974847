"""`dcgan arithmetic`."""

from collections.abc import Sequence

from dcgan.cli.commands.checkpoints import load_generator
from dcgan.cli.parsing import parse_flags
from dcgan.config import ArithmeticConfig
from dcgan.runtime.terminal import print_lines


def arithmetic(args: Sequence[str], prog: str) -> None:
    """Add and subtract latents: the mean of exemplars with an attribute less those without it."""
    config = parse_flags(ArithmeticConfig, args, prog, arithmetic.__doc__)

    from dcgan import explore, images
    from dcgan.explore.outputs import check_outputs

    check_outputs([config.out], [config.checkpoint, *config.photos()])
    G = load_generator(config.checkpoint, config)
    done = explore.arithmetic(G, explore.read_operands(G, config), config.precision)
    images.save_png(config.out, explore.draw_arithmetic(done))
    print_lines(config.out)
