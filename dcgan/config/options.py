"""Every option of training and packing, its default and its help.

The classes are the groups of `--help`, which answers at once: nothing here imports torch.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

SourceName = Literal[
    "faces", "celeba", "lsun", "folder", "cifar10", "mnist", "fashion-mnist", "svhn", "stl10"
]
LossName = Literal["non-saturating", "hinge", "least-squares", "wasserstein", "relativistic"]
AugmentName = Literal["colour", "translation", "cutout"]
Score = Literal["frechet", "kernel", "swd", "precision", "recall", "coverage"]
# Metadata of a field that the command line takes as a word without a flag.
POSITIONAL = {"positional": True}


@dataclass(frozen=True)
class ImageOptions:
    """What the images are like."""

    size: int = 64
    """Side of the square images in pixels: a power of two from 8 to 1024; 32 to 256 are tried and
    tested. Sets the depth of both networks."""
    channels: Literal[1, 3] = 3
    """1 for grey, 3 for colour."""


@dataclass(frozen=True)
class NetworkOptions:
    """What G and D are built from (Radford et al. 2015)."""

    width: int = 64
    """Channels at half the image's side; each further halving doubles them, up to 8 x width."""
    latent_dim: int = 100
    """Numbers in a latent vector."""
    latent: Literal["normal", "uniform"] = "normal"
    """Law of the latents: N(0, 1), or U(-1, 1) as in the 2015 paper."""
    kernel_size: Literal[4, 5] = 4
    """Side of the stride-2 kernels: 4 as in PyTorch's example, 5 as in the authors' code."""
    batch_norm_D: bool = False
    """Batch norm in D, as in the 2015 paper. Without it the penalties of --r1 and --r2 mean what
    they say, for every image by itself."""
    bias_D: bool = True
    """Biases in D's layers without batch norm. With neither, twice the contrast is twice the logit,
    and D knows no brightness or strength of an edge from another."""
    spectral_norm: bool = False
    """Divide every kernel of D by its largest singular value (Miyato et al. 2018)."""
    minibatch_std: bool = False
    """Show D how much the images of a group differ (Karras et al. 2018)."""


@dataclass(frozen=True)
class DataOptions:
    """Which images, and how raw files become packed ones."""

    source: SourceName = "faces"
    """Kind of raw data."""
    root: Path | None = None
    """Folder (or zip) of the raw data; the torchvision sets are downloaded there."""
    split: Literal["train", "valid", "test", "all"] = "train"
    """Part of the source to take, where it has parts."""
    classes: tuple[str, ...] = ()
    """Categories to take, e.g. `bedroom church_outdoor` of LSUN. All of them by default."""
    class_folders: bool = False
    """Label the images of `folder` by their first-level folder."""
    count: int = 10_000
    """How many images of `faces` to draw."""
    crop: int | None = None
    """Side of the centre crop in source pixels. Default: 178 for celeba, else all that fits."""
    max_bad: float = 0.01
    """Stop packing when more than this share of the images cannot be read."""
    workers: int | None = None
    """Processes that pack. Default: one per processor."""


@dataclass(frozen=True)
class LossOptions:
    """What D and G are to achieve."""

    loss: LossName = "relativistic"
    """Adversarial loss; relativistic compares real and fake in pairs and converges with --r1 and
    --r2 only (Huang et al. 2024), wasserstein needs a smooth D, as by --gradient-penalty 10
    (Gulrajani et al. 2017)."""
    r1: float = 1.0
    """Weight gamma of the penalty gamma/2 |gradient of D|^2 on real images (Mescheder et al.
    2018)."""
    r2: float = 1.0
    """The same on fake images."""
    gradient_penalty: float = 0.0
    """Weight of (|gradient of D| - 1)^2 between real and fake images."""
    penalty_every: int = 8
    """Steps between penalties, which then weigh as much more (lazy regularisation)."""
    label_smoothing: float = 0.0
    """The non-saturating D aims at 1 minus this for real images (Salimans et al. 2016)."""
    augment: tuple[AugmentName, ...] = ("translation", "cutout")
    """What D sees of real and fake images is changed at random in these ways, differentiably
    (Zhao et al. 2020), with the probability of --augment-p. Also: colour, which can fade images.
    Nothing after the flag: none."""
    augment_p: float | Literal["adaptive", "auto"] = "auto"
    """Probability from 0 (off) to 1 of each augmentation. adaptive: from 0 up while D overfits
    (Karras et al. 2020). auto: adaptive for fewer than 5,000 images, else off."""
    conditional: bool = False
    """Learn the labels of the packed images too, so that sample --label can ask for them."""


@dataclass(frozen=True)
class OptimizationOptions:
    """How the networks learn."""

    steps: int = 50_000
    """Steps to train: one update of D and one of G each."""
    batch_size: int = 64
    """Images in a step, over all processes together."""
    lr_G: float = 1e-3
    """Adam's learning rate for G."""
    lr_D: float = 5e-4
    """Adam's learning rate for D."""
    beta1: float = 0.0
    """Adam's decay of the gradient average."""
    beta2: float = 0.999
    """Adam's decay of the squared gradient average."""
    clip: float = 3.0
    """Scale a network's gradient down where it is longer than this many times what it has been
    lately, so that D does not run away. Rare penalties may always make it as long as they do. 0
    leaves all as they are."""
    smooth: bool = True
    """Let G's kernels start as bilinear interpolation and learn what sets neighbouring pixels apart
    slowly, so that no checkerboard is learnt."""
    lr_decay: Literal["none", "linear", "cosine"] = "none"
    """How both learning rates fall to 0 over --steps."""
    d_steps: int = 1
    """Updates of D in a step, each on a batch of its own; G has one."""
    accumulate: int = 1
    """Parts that a batch goes through G and D in, for memory; their gradients add up. Batch norm
    and --minibatch-std see a part at a time."""
    flip: bool = True
    """Mirror half of the images at random."""
    ema_images: int = 10_000
    """Half-life, in images, of the average of G that is sampled; shorter early in the run."""
    seed: int = 0
    """Decides the initial weights, the latents, the order of the images and the flips."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the convolutions. auto: bf16 where the processor has it, else fp32."""
    device: Literal["auto", "cuda", "mps", "cpu"] = "auto"
    """auto: the fastest there is."""
    threads: int | None = None
    """Threads that compute on the CPU. Default: one per core. They wait for each other asleep, so
    that other work slows them no more than it must (GOMP_SPINCOUNT=1000; yours wins)."""
    compile: bool = False
    """torch.compile both networks: a minute at the start, and no gain on CPUs."""
    cuda_graphs: bool = True
    """Record the step and replay it, where Python would launch its kernels more slowly than they
    run: one process on an NVIDIA GPU. Elsewhere it means nothing."""


@dataclass(frozen=True)
class RunOptions:
    """Where things are, and how often they are written."""

    data: Path | None = None
    """Packed folder made by `dcgan prepare`; replaces the raw data options. Its source is the
    preset where none is named."""
    data_cache: Path = Path("data")
    """Where raw data are packed when `--data` does not name a packed folder."""
    out: Path = Path("runs/faces")
    """Run folder; an existing run there is continued."""
    log_every: int = 50
    """Steps between two lines of metrics.jsonl and points of TensorBoard."""
    sample_every: int = 500
    """Steps between two sample grids."""
    save_every: int = 1000
    """Steps between two checkpoints."""
    keep: int = 3
    """Checkpoints to keep; 0 keeps all."""
    fresh: bool = False
    """Start anew where --out holds a run: in OUT-2, OUT-3 and so on. Nothing is deleted."""
    on_nan: Literal["stop", "rollback"] = "stop"
    """What a loss or gradient that is not finite ends in. rollback: the last checkpoint, half the
    learning rates, and a new try, three times at most."""
    dry_run: bool = False
    """Print the whole configuration as JSON and stop."""


@dataclass(frozen=True)
class EvaluationOptions:
    """How the run is judged along the way: see `dcgan evaluate`."""

    eval_every: int = 0
    """Steps between two evaluations of the averaged G against real images; 0 makes none."""
    eval_images: int = 2000
    """Images of an evaluation, real and generated: always the same ones."""
    best_by: Score = "frechet"
    """The score whose best evaluation is kept as checkpoints/best.safetensors."""
    patience: int = 0
    """Stop after so many evaluations that were no better than the best; 0 never does."""


@dataclass(frozen=True)
class PackedOptions:
    """Where the packed images go."""

    out: Path = dataclasses.field(kw_only=True)
    """Packed folder to write."""
