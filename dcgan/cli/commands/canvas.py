"""`dcgan canvas`."""

from collections.abc import Sequence

from dcgan.cli.commands.checkpoints import load_generator
from dcgan.cli.parsing import parse_flags
from dcgan.config import CanvasConfig
from dcgan.runtime.disk import check_writable
from dcgan.runtime.terminal import print_lines


def canvas(args: Sequence[str], prog: str) -> None:
    """Generate one seamless image of any width and height from a grid of latents."""
    config = parse_flags(CanvasConfig, args, prog, canvas.__doc__)

    from dcgan import images
    from dcgan.explore.canvas import draw_canvas

    check_writable(config.out)
    G = load_generator(config.checkpoint, config)
    images.save_png(config.out, draw_canvas(G, config))
    print_lines(config.out)
