"""Rules that values of options must keep, whoever gave them."""

import inspect
from pathlib import Path

from dcgan.errors import UsageError

MIN_IMAGES = 10  # the fewest that metrics can be computed for


def require(valid: bool, name: str, value, rule: str) -> None:
    if not valid:
        raise UsageError(f"{format_flag(name)} must be {rule}, not {value}")


def validate_network(
    size: int,
    channels: int,
    width: int,
    latent_dim: int,
    latent: str,
    kernel_size: int,
    batch_norm_D: bool,
    bias_D: bool,
    spectral_norm: bool,
    minibatch_std: bool,
) -> None:
    """Raise UsageError unless such networks can be built."""
    validate_size(size)
    require(channels in (1, 3), "channels", channels, "1 or 3")
    require(1 <= width <= 1024, "width", width, "from 1 to 1024")
    require(1 <= latent_dim <= 4096, "latent_dim", latent_dim, "from 1 to 4096")
    require(latent in ("normal", "uniform"), "latent", latent, "normal or uniform")
    require(kernel_size in (4, 5), "kernel_size", kernel_size, "4 or 5")
    both = batch_norm_D and spectral_norm
    require(not both, "batch_norm_D", batch_norm_D, "left out with --spectral-norm")


def validate_size(size: int) -> None:
    power_of_two = 8 <= size <= 1024 and size & (size - 1) == 0
    require(power_of_two, "size", size, "a power of two from 8 to 1024")


def validate_png(out: Path) -> None:
    if out.suffix.lower() != ".png":
        raise UsageError(f"--out {out}: it is a PNG, so its name ends in .png")


def format_flag(name: str) -> str:
    """The command-line flag of an option."""
    return "--" + name.replace("_", "-")


def format_option(name: str, value) -> str:
    """The flag that gives an option this value: "--width 8", "--no-flip"."""
    if isinstance(value, bool):
        return format_flag(name if value else f"no_{name}")
    return f"{format_flag(name)} {value}"


# What the networks are built from.
NETWORK_OPTIONS = tuple(inspect.signature(validate_network).parameters)
