"""`dcgan forget`."""

from collections.abc import Sequence

from dcgan.cli.commands.checkpoints import load_generator
from dcgan.cli.parsing import parse_flags
from dcgan.config import ForgetConfig
from dcgan.runtime.terminal import print_lines


def forget(args: Sequence[str], prog: str) -> None:
    """Make a generator forget an object, and measure what else changes."""
    config = parse_flags(ForgetConfig, args, prog, forget.__doc__)

    from dcgan import images
    from dcgan.deconv import forget as forgetting
    from dcgan.explore.outputs import check_outputs
    from dcgan.export import export_generator

    outputs = [path for path in (config.out, config.save) if path is not None]
    check_outputs(outputs, [config.checkpoint, config.segmenter, config.classifier])
    found = forgetting.forget(load_generator(config.checkpoint, config), config)
    images.save_png(config.out, found.picture)
    if config.save is not None:
        weights = found.generator.state_dict()
        export_generator(config.checkpoint, config.save, weights=weights)
    print_lines(*found.lines, *outputs)
