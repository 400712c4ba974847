"""`dcgan compare` and `dcgan timelapse`."""

from collections.abc import Sequence

from dcgan.cli.parsing import parse_flags
from dcgan.config import CompareConfig, TimelapseConfig, parse_seeds
from dcgan.errors import UsageError
from dcgan.runtime.disk import check_writable
from dcgan.runtime.terminal import print_lines


def compare(args: Sequence[str], prog: str) -> None:
    """Compare runs: a table, and a picture of their samples and loss curves."""
    config = parse_flags(CompareConfig, args, prog, compare.__doc__)
    if len(config.runs) < 2:
        raise UsageError(f"name two runs or more: {prog} RUN RUN ...")
    seeds = parse_seeds(config.seeds)

    from dcgan.reports.compare import format_table, open_runs, save_comparison
    from dcgan.runtime import device

    runs = open_runs(config.runs)
    save_comparison(config.out, runs, seeds, device.select_device(config.device))
    print_lines(*format_table(runs).split("\n"), config.out)


def timelapse(args: Sequence[str], prog: str) -> None:
    """Animate the sample grids of a run, from first to last."""
    config = parse_flags(TimelapseConfig, args, prog, timelapse.__doc__)

    from dcgan import animation
    from dcgan.reports.timelapse import load_frames

    animation.animation_format(config.out)
    check_writable(config.out)
    frames = load_frames(config.run, config.seconds)
    animation.save_animation(config.out, frames, config.seconds / len(frames))
    print_lines(config.out)
