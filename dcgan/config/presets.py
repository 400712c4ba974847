"""Presets: the default configuration of each data set that GANs are often trained on."""

from pathlib import Path
from typing import Any

from dcgan.config.train_config import TrainConfig

# Radford et al. 2015, section 4, with the loss that is now called non-saturating.
_OF_2015: dict[str, Any] = dict(
    loss="non-saturating",
    r1=0.0,
    r2=0.0,
    batch_norm_D=True,
    bias_D=False,
    augment_p=0.0,
    clip=0.0,
    held_out_share=0.0,
    smooth=False,
    lr_G=2e-4,
    lr_D=2e-4,
    beta1=0.5,
)
# The options that differ from the defaults of TrainConfig.
_OPTIONS: dict[str, dict[str, Any]] = {
    # Narrow networks take higher learning rates.
    "faces": dict(width=24, batch_size=16, steps=3500, lr_G=2e-3, lr_D=1e-3, ema_images=3000),
    "celeba": dict(source="celeba", batch_size=128, steps=40_000),
    "lsun": dict(source="lsun", batch_size=128, steps=100_000),
    "folder": dict(source="folder", batch_size=16, steps=80_000),
    "cifar10": dict(source="cifar10", size=32, steps=40_000),
    "stl10": dict(source="stl10", split="all", steps=40_000),
    "svhn": dict(source="svhn", size=32, steps=20_000, flip=False),
    "mnist": dict(source="mnist", size=32, channels=1, steps=10_000, flip=False),
    "fashion-mnist": dict(source="fashion-mnist", size=32, channels=1, steps=10_000),
    # The recipe of Radford et al. 2015.
    "paper": dict(
        **_OF_2015,
        source="lsun",
        width=128,
        kernel_size=5,
        latent="uniform",
        batch_size=128,
        steps=100_000,
    ),
    # The recipe of PyTorch's DCGAN example: its 25 epochs of CelebA are 79,000 steps.
    "pytorch-example": dict(
        **_OF_2015,
        source="folder",
        batch_size=64,
        steps=80_000,
        augment=(),
        flip=False,
        ema_images=0,
        precision="fp32",
    ),
}

PRESETS: dict[str, TrainConfig] = {
    name: TrainConfig(**options, out=Path("runs") / name) for name, options in _OPTIONS.items()
}
