"""dcgan: deep convolutional GANs. Names are imported when first used, so `import dcgan` is fast."""

import importlib as _importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the same names for editors and type checkers
    from dcgan.config import PRESETS, TrainConfig
    from dcgan.errors import UserError
    from dcgan.latent import lerp, slerp
    from dcgan.networks import Discriminator, Generator
    from dcgan.runs import load_discriminator, load_generator, load_pretrained
    from dcgan.sampling import sample, sample_grid
    from dcgan.training import train

__all__ = [
    "PRESETS",
    "Discriminator",
    "Generator",
    "TrainConfig",
    "UserError",
    "lerp",
    "load_discriminator",
    "load_generator",
    "load_pretrained",
    "sample",
    "sample_grid",
    "slerp",
    "train",
]

__version__: str  # of the installed package, or "unknown"

_MODULES = {
    "PRESETS": "config",
    "Discriminator": "networks",
    "Generator": "networks",
    "TrainConfig": "config",
    "UserError": "errors",
    "lerp": "latent",
    "load_discriminator": "runs",
    "load_generator": "runs",
    "load_pretrained": "runs",
    "sample": "sampling",
    "sample_grid": "sampling",
    "slerp": "latent",
    "train": "training",
}


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return getattr(_importlib.import_module(f"dcgan.{_MODULES[name]}"), name)
    if name == "__version__":
        return _installed_version()
    raise AttributeError(f"module 'dcgan' has no attribute {name!r}")


def _installed_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("dcgan")
    except PackageNotFoundError:  # a checkout that is not installed
        return "unknown"


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
