"""`dcgan visualize`."""

from collections.abc import Sequence

from dcgan.cli.parsing import parse_flags
from dcgan.config import VisualizeConfig
from dcgan.runtime.terminal import print_lines


def visualize(args: Sequence[str], prog: str) -> None:
    """Show which patterns the units of D, of G or of another network respond to."""
    config = parse_flags(VisualizeConfig, args, prog, visualize.__doc__)

    from dcgan import images
    from dcgan.deconv.visualize import draw
    from dcgan.deconv.visualize.tensorboard_images import log_folder, log_picture
    from dcgan.explore.outputs import check_outputs

    folder = log_folder(config)
    check_outputs(
        [config.out, *([] if folder is None else [folder / "events"])],
        [config.occlusion, config.checkpoint, config.weights],
    )
    picture, step = draw(config)
    images.save_png(config.out, picture)
    print_lines(config.out)
    if config.log is not None:
        print_lines(log_picture(config, picture, step))
