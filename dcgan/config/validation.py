"""Rules that values of options must keep, whoever gave them."""

import inspect
from pathlib import Path

from dcgan.errors import UsageError


def check(valid: bool, name: str, value, rule: str) -> None:
    if not valid:
        raise UsageError(f"{flag(name)} must be {rule}, not {value}")


def check_network(
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
    check_size(size)
    check(channels in (1, 3), "channels", channels, "1 or 3")
    check(1 <= width <= 1024, "width", width, "from 1 to 1024")
    check(1 <= latent_dim <= 4096, "latent_dim", latent_dim, "from 1 to 4096")
    check(latent in ("normal", "uniform"), "latent", latent, "normal or uniform")
    check(kernel_size in (4, 5), "kernel_size", kernel_size, "4 or 5")
    both = batch_norm_D and spectral_norm
    check(not both, "batch_norm_D", batch_norm_D, "left out with --spectral-norm")


def check_size(size: int) -> None:
    power_of_two = 8 <= size <= 1024 and size & (size - 1) == 0
    check(power_of_two, "size", size, "a power of two from 8 to 1024")


def check_png(out: Path) -> None:
    if out.suffix.lower() != ".png":
        raise UsageError(f"--out {out}: it is a PNG, so its name ends in .png")


def flag(name: str) -> str:
    """The command-line flag of an option."""
    return "--" + name.replace("_", "-")


def given(name: str, value) -> str:
    """The flag that gives an option this value: "--width 8", "--no-flip"."""
    if isinstance(value, bool):
        return flag(name if value else f"no_{name}")
    return f"{flag(name)} {value}"


NETWORK = tuple(inspect.signature(check_network).parameters)  # what the networks are built from
