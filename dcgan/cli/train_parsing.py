"""Parsing of `[PRESET] [flags]`, for `dcgan train` and `dcgan doctor`, into a TrainConfig."""

from collections.abc import Sequence
from typing import Any

from dcgan.cli.parsing import parse_flags, split_choice
from dcgan.config import PRESETS, TrainConfig
from dcgan.errors import UsageError


def parse_train_config(args: Sequence[str], prog: str, description: str) -> TrainConfig:
    """Parse a preset and the flags that override it.

    The default preset is that of the source of the packed images (--data), else faces. The packed
    images also set size and channels. Raises UsageError for flags that contradict them.
    """
    named, args = split_choice(args, tuple(PRESETS), "preset")
    preset = named or "faces"
    description = (
        f"{prog} [PRESET] [flags]: {description} PRESET is one of {', '.join(PRESETS)}; "
        f"the defaults below are those of {preset}."
    )

    def parse(defaults: dict[str, Any]) -> TrainConfig:
        return parse_flags(TrainConfig, args, prog, description, defaults, tuple(PRESETS))

    config = parse(vars(PRESETS[preset]))
    if config.data is None:
        return config

    from dcgan.data import open_packed

    packed = open_packed(config.data)
    if named is None:
        source = str(packed.meta.get("source"))
        preset = source if source in PRESETS else "folder"
    shape = {"size": packed.size, "channels": packed.channels}
    config = parse(vars(PRESETS[preset]) | shape)
    for name, value in shape.items():
        if getattr(config, name) != value:
            raise UsageError(
                f"--{name} {getattr(config, name)}: the images of {config.data} were packed with "
                f"--{name} {value}; leave the flag out"
            )
    return config
