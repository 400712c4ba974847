"""dcgan: deep convolutional GANs. Names are imported when used, so `import dcgan` is instant."""

import importlib

HOME = {
    "Generator": "networks",
    "Discriminator": "networks",
    "load_generator": "runs.loading",
    "load_discriminator": "runs.loading",
    "sample": "sampling",
    "sample_grid": "sampling",
    "slerp": "latent",
    "lerp": "latent",
    "TrainConfig": "config",
    "PRESETS": "config",
    "train": "training.loop",
    "UserError": "errors",
}

__all__ = list(HOME)


def __getattr__(name: str):
    if name in HOME:
        return getattr(importlib.import_module(f"dcgan.{HOME[name]}"), name)
    raise AttributeError(f"module 'dcgan' has no attribute {name!r}")
