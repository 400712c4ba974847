"""Parsing of `[PRESET] [flags]`, for `dcgan train` and `dcgan doctor`, into a TrainConfig."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dcgan.cli.parsing import parse_flags, split_choice
from dcgan.config import PRESETS, TrainConfig, format_flag
from dcgan.errors import UsageError, UserError


def parse_train_config(args: Sequence[str], prog: str, description: str) -> TrainConfig:
    """Parse a preset and the flags that override it.

    Where --out holds a run that is resumed, the options of that run take the place of the preset;
    so do those of a run that is begun again or --fresh, where the arguments name no images.
    Otherwise the default preset is that of the source of the packed images (--data), else faces;
    the packed images also set size and channels, and the networks of --from all options of
    networks. Raises UsageError for flags that contradict these, UserError for files that cannot be
    read.
    """
    named, args = split_choice(_without_local_rank(args), tuple(PRESETS), "preset")
    preset = named or "faces"
    description = (
        f"{prog} [PRESET] [flags]: {description} PRESET is one of {', '.join(PRESETS)}; "
        f"the defaults below are those of {preset}."
    )

    def parse(defaults: dict[str, Any]) -> TrainConfig:
        return parse_flags(TrainConfig, args, prog, description, defaults, tuple(PRESETS))

    config = parse(vars(PRESETS[preset]))
    names_images = named or config.data or config.root or config.out == PRESETS[preset].out
    run = None if config.fresh and names_images else _options_of_run(config.out, not names_images)
    if run is None and config.data is None and config.from_ is None:
        return config

    preset_of_data, shape = _preset_and_shape(config.data)
    if run:
        packed_once = config.data or run["data"]  # then `source` says nothing
        if named and PRESETS[named].source != run["source"] and not packed_once:
            raise UserError(
                f"{config.out} holds a run on {run['source']}, not {named}: use another --out"
            )
        images = {"data": None} if config.root else {}  # given anew, in place of those of the run
        images |= {"root": None} if config.data else {}
        return parse(run | shape | images)
    defaults = vars(PRESETS[named or preset_of_data or preset]) | shape
    if config.from_:
        networks = _networks_of_checkpoint(config.from_)
        for name, value in shape.items():
            if networks[name] != value:
                raise UsageError(
                    f"--from {config.from_}: its networks have {format_flag(name)} "
                    f"{networks[name]}, and the images of {config.data} {value}"
                )
        defaults |= networks
    config = parse(defaults)
    for name, value in shape.items():
        if getattr(config, name) != value:
            raise UsageError(
                f"--{name} {getattr(config, name)}: the images of {config.data} were packed with "
                f"--{name} {value}; leave the flag out"
            )
    return config


def _without_local_rank(args: Sequence[str]) -> list[str]:
    """The arguments without the --local-rank that `python -m torch.distributed.launch` adds.

    Its value is in the environment, too.
    """
    return [arg for arg in args if not arg.startswith(("--local-rank=", "--local_rank="))]


def _options_of_run(run: Path, even_begun: bool) -> dict[str, Any] | None:
    """The options of the run in a folder, whose `out` is that folder; None for a new run.

    even_begun: also where it has no checkpoint yet.
    """
    from dcgan.runs.layout import CHECKPOINTS, CONFIG_FILE

    if not any((run / name).exists() for name in (CHECKPOINTS, CONFIG_FILE)):
        return None

    from dcgan.training.resume import config_of_begun_run, config_of_run

    config = config_of_run(run) or (config_of_begun_run(run) if even_begun else None)
    return None if config is None else vars(config)


def _preset_and_shape(folder: Path | None) -> tuple[str | None, dict[str, Any]]:
    """The preset of the source of packed images, folder for sources without one; and their size and
    channels. Nothing of both without packed images.
    """
    if folder is None:
        return None, {}

    from dcgan.data import open_packed

    packed = open_packed(folder)
    source = str(packed.meta.get("source"))
    preset = source if source in PRESETS else "folder"
    return preset, {"size": packed.size, "channels": packed.channels}


def _networks_of_checkpoint(path: Path) -> dict[str, Any]:
    """The NETWORK_OPTIONS of a checkpoint file or run folder."""
    from dcgan.runs.checkpoint import network_options
    from dcgan.runs.checkpoint_folder import find_checkpoint

    return network_options(find_checkpoint(path).config)
