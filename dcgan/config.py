"""Every option of the toolkit, its default and its help; presets are rows over them.

The classes are the groups of `--help`; `TrainConfig` is all of them, flat. Nothing here imports
torch, so that `--help` answers at once.
"""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dcgan.checks import NETWORK, check, check_network, check_size
from dcgan.errors import UsageError

SourceName = Literal[
    "faces", "celeba", "lsun", "folder", "cifar10", "mnist", "fashion-mnist", "svhn", "stl10"
]
LossName = Literal["non-saturating", "hinge", "least-squares", "wasserstein", "relativistic"]
AugmentName = Literal["colour", "translation", "cutout"]
Score = Literal["frechet", "kernel", "swd", "precision", "recall", "coverage"]


@dataclass(frozen=True)
class ImageOptions:
    """What the images are like."""

    size: int = 64
    """Side of the square images in pixels: 32, 64, 128 or 256. Sets the depth of both networks."""
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
class ObjectiveOptions:
    """What D and G are to achieve."""

    loss: LossName = "relativistic"
    """Adversarial loss; relativistic compares real and fake in pairs and needs --r1 and --r2
    (Huang et al. 2024), wasserstein needs a smooth D, as by --gradient-penalty 10 (Gulrajani et
    al. 2017)."""
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
    (Zhao et al. 2020), with the probability of --augment-p. Also: colour, which can fade images."""
    augment_p: float | Literal["adaptive", "auto"] = "auto"
    """Probability from 0 (off) to 1 of each augmentation. adaptive: from 0 up while D overfits
    (Karras et al. 2020). auto: adaptive for fewer than 5,000 images, else off."""
    conditional: bool = False
    """Learn the labels of the packed images too, so that sample --label can ask for them."""


@dataclass(frozen=True)
class OptimisationOptions:
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
    smooth: bool = True
    """Let G's kernels start as bilinear interpolation and learn what sets neighbouring pixels apart
    slowly, so that no checkerboard is learnt."""
    lr_decay: Literal["none", "linear", "cosine"] = "none"
    """How both learning rates fall to 0 over --steps."""
    d_steps: int = 1
    """Updates of D in a step, each on a batch of its own; G has one."""
    accumulate: int = 1
    """Parts that a batch goes through D in, for memory; their gradients add up."""
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
    """torch.compile both networks: minutes at the start, faster steps on GPUs, none on CPUs."""
    cuda_graphs: bool = False
    """Record the step once and replay it: for steps that wait for Python (one NVIDIA GPU)."""


@dataclass(frozen=True)
class RunOptions:
    """Where things are, and how often they are written."""

    data: Path | None = None
    """Packed folder made by `dcgan prepare`; replaces the raw data options."""
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
class TrainConfig(
    EvaluationOptions,
    RunOptions,
    OptimisationOptions,
    ObjectiveOptions,
    DataOptions,
    NetworkOptions,
    ImageOptions,
):
    """All that decides a training run. Raises UsageError for values that cannot work."""

    def __post_init__(self):
        check_data(self)
        check_network(**{name: getattr(self, name) for name in NETWORK})
        every = ("log_every", "sample_every", "save_every", "penalty_every")
        for name in ("steps", *every, "d_steps", "accumulate"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        printable = str(self.out).isprintable()  # TensorBoard cannot log to other names
        check(printable, "out", ascii(str(self.out)), "a printable name")
        check(self.batch_size >= 2, "batch_size", self.batch_size, "at least 2 (for batch norm)")
        for name in ("lr_G", "lr_D"):
            check(0 < getattr(self, name) < 1, name, getattr(self, name), "between 0 and 1")
        for name in ("beta1", "beta2"):
            check(0 <= getattr(self, name) < 1, name, getattr(self, name), "at least 0, below 1")
        check(self.threads is None or self.threads >= 1, "threads", self.threads, "at least 1")
        for name in ("keep", "ema_images", "eval_every", "patience"):
            check(getattr(self, name) >= 0, name, getattr(self, name), "at least 0")
        check(0 <= self.seed < 2**63, "seed", self.seed, "at least 0, below 2^63")
        for name in ("r1", "r2", "gradient_penalty"):
            valid = 0 <= getattr(self, name) < math.inf
            check(valid, name, getattr(self, name), "at least 0, and finite")
        smoothing, p = self.label_smoothing, self.augment_p
        check(0 <= smoothing < 1, "label_smoothing", smoothing, "at least 0, below 1")
        valid = p in ("adaptive", "auto") or 0 <= p <= 1
        check(valid, "augment_p", p, "from 0 to 1, adaptive or auto")
        twice = len(set(self.augment)) < len(self.augment)
        check(not twice, "augment", " ".join(self.augment), "each kind once")
        parts = self.batch_size // self.accumulate
        divides = self.batch_size % self.accumulate == 0 and parts >= 2
        check(divides, "accumulate", self.accumulate, "a divisor of --batch-size, below it")
        non_saturating = self.loss == "non-saturating"
        rule = "left out but for --loss non-saturating"
        check(not smoothing or non_saturating, "label_smoothing", smoothing, rule)
        recordable = not has_penalties(self) or self.penalty_every > 1
        rule = "left out where every step has penalties (--r1, --r2, --gradient-penalty)"
        check(recordable or not self.cuda_graphs, "cuda_graphs", self.cuda_graphs, rule)
        smooth_D = self.loss != "wasserstein" or has_penalties(self) or self.spectral_norm
        rule = "given with --gradient-penalty, --r1, --r2 or --spectral-norm"
        check(smooth_D, "loss", self.loss, rule)
        check(self.eval_images >= 10, "eval_images", self.eval_images, "at least 10")
        if self.patience and not self.eval_every:
            raise UsageError("--patience counts evaluations: give --eval-every too")


def has_penalties(config: TrainConfig) -> bool:
    """Whether D's gradients are penalised in some steps."""
    return bool(config.r1 or config.r2 or config.gradient_penalty)


@dataclass(frozen=True)
class PackedOptions:
    """Where the packed images go."""

    out: Path = dataclasses.field(kw_only=True)
    """Packed folder to write."""


@dataclass(frozen=True)
class PrepareConfig(PackedOptions, DataOptions, ImageOptions):
    """All that decides a packed folder. Raises UsageError for values that cannot work."""

    def __post_init__(self):
        check_data(self)


def check_data(options: TrainConfig | PrepareConfig) -> None:
    check_size(options.size)
    check(options.count >= 1, "count", options.count, "at least 1")
    check(options.crop is None or options.crop >= 1, "crop", options.crop, "at least 1")
    check(0 <= options.max_bad <= 1, "max_bad", options.max_bad, "from 0 to 1")
    check(options.workers is None or options.workers >= 1, "workers", options.workers, "at least 1")


def to_json(config: TrainConfig) -> dict:
    """Plain values that JSON can hold."""
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in dataclasses.asdict(config).items()
    }


PRESETS: dict[str, TrainConfig] = {
    name: TrainConfig(**options, out=Path("runs") / name)
    for name, options in {
        # Narrow networks take higher rates.
        "faces": dict(width=24, batch_size=16, steps=3500, lr_G=2e-3, lr_D=1e-3, ema_images=3000),
        "celeba": dict(source="celeba", batch_size=128, steps=40_000),
        "lsun": dict(source="lsun", batch_size=128, steps=100_000),
        "folder": dict(source="folder", batch_size=32, steps=40_000),
        "cifar10": dict(source="cifar10", size=32, steps=40_000),
        "stl10": dict(source="stl10", split="all", steps=40_000),
        "svhn": dict(source="svhn", size=32, steps=20_000, flip=False),
        "mnist": dict(source="mnist", size=32, channels=1, steps=10_000, flip=False),
        "fashion-mnist": dict(source="fashion-mnist", size=32, channels=1, steps=10_000),
        # Radford et al. 2015, with what became known as the non-saturating loss, and nothing newer.
        "paper": dict(
            source="lsun",
            width=128,
            kernel_size=5,
            latent="uniform",
            batch_size=128,
            steps=100_000,
            loss="non-saturating",
            r1=0.0,
            r2=0.0,
            batch_norm_D=True,
            augment_p=0.0,
            smooth=False,
            lr_G=2e-4,
            lr_D=2e-4,
            beta1=0.5,
        ),
    }.items()
}
