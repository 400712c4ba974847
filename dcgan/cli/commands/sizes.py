"""`dcgan sizes`."""

from collections.abc import Sequence

from dcgan.cli.parsing import parse_flags
from dcgan.config import SizesConfig
from dcgan.errors import UsageError
from dcgan.runtime.disk import check_writable
from dcgan.runtime.terminal import print_lines

_SECONDS_PER_FRAME = 0.4


def sizes(args: Sequence[str], prog: str) -> None:
    """Compute sizes, receptive fields and coverage of convolutions and transposed convolutions."""
    config = parse_flags(SizesConfig, args, prog, sizes.__doc__)

    from dcgan.sizes import (
        convolutions,
        layers_table,
        parse_layers,
        parse_size,
        solutions_table,
        transposed_convolutions,
    )

    size = parse_size(config.input)
    if config.to is not None:
        if size[0] != size[1]:
            raise UsageError(f"--to needs one side of the input, not {config.input}")
        print_lines(
            *solutions_table(
                size[0],
                config.to,
                list(convolutions(size[0], config.to)),
                list(transposed_convolutions(size[0], config.to)),
            )
        )
        return
    layers = parse_layers(config.layers)
    lines = layers_table(layers, size, config.channels)
    if config.out is not None:
        check_writable(config.out)
        if config.out.suffix.lower() == ".png":
            from dcgan import images
            from dcgan.deconv.coverage_figure import draw_coverage

            images.save_png(config.out, draw_coverage(layers, size))
        else:
            from dcgan import animation
            from dcgan.deconv.layer_animation import animation_frames

            animation.animation_format(config.out)
            if len(layers) > 1:
                raise UsageError(f"{config.out}: an animation shows one layer, not {len(layers)}")
            count, frames = animation_frames(layers[0], size)
            animation.save_animation(config.out, frames, _SECONDS_PER_FRAME, count)
        lines.append(str(config.out))
    print_lines(*lines)
