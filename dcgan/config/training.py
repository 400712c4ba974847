"""Options of training: losses, optimization, computation, the run folder and evaluation."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


class Implied(float):
    """A default that depends on other options, and follows them in `dataclasses.replace` too.

    A plain number in its place, even the same one, was asked for and is kept.
    """


LossName = Literal["non-saturating", "hinge", "least-squares", "wasserstein", "relativistic"]
AugmentName = Literal["colour", "translation", "cutout"]
Score = Literal["frechet", "kernel", "swd", "precision", "recall", "coverage"]


@dataclass(frozen=True)
class LossOptions:
    """Adversarial loss, gradient penalties on D, and augmentation of D's inputs."""

    loss: LossName = "relativistic"
    """Adversarial loss. relativistic (Huang et al. 2024, R3GAN) compares all real images of a
    batch with all fake ones. It and wasserstein need a penalty or --spectral-norm."""
    r1: float = Implied(1)
    """Weight gamma of the R1 penalty, gamma/2 |grad D(x)|^2 on real images (Mescheder et al.
    2018). 0: off, the default with --gradient-penalty."""
    r2: float = Implied(1)
    """Weight gamma of the R2 penalty, gamma/2 |grad D(x)|^2 on fake images (Mescheder et al.
    2018). 0: off, the default with --gradient-penalty."""
    gradient_penalty: float = 0.0
    """Weight of the WGAN-GP penalty (|grad D(x)| - 1)^2 between real and fake images, usually 10
    (Gulrajani et al. 2017). Replaces R1 and R2, unless they are given. 0: off."""
    penalty_every: int = 8
    """Lazy regularisation interval: apply the penalties every this many steps, with weights
    multiplied by it (Karras et al. 2020, StyleGAN2)."""
    label_smoothing: float = 0.0
    """One-sided label smoothing: D's target for real images is 1 minus this (Salimans et al.
    2016). Needs --loss non-saturating."""
    augment: tuple[AugmentName, ...] = ("translation", "cutout")
    """Differentiable augmentations of the real and fake images that D sees (Zhao et al. 2020,
    DiffAugment). The flag without a value turns them off. colour can leak into the samples."""
    augment_p: float | Literal["adaptive", "auto"] = "auto"
    """Probability of each augmentation, from 0 to 1. adaptive: raised while D overfits (Karras et
    al. 2020, ADA). auto: adaptive where images are held out (--held-out-share) or there are fewer
    than 5,000, else 0."""
    conditional: bool = False
    """Train a conditional GAN on the labels of the packed images, for `dcgan sample --label`."""


@dataclass(frozen=True)
class OptimizationOptions:
    """Optimizer, training length and batches."""

    steps: int = 50_000
    """Training steps. Each updates D --d-steps times and G once."""
    batch_size: int = 64
    """Images per step, summed over all processes."""
    lr_G: float = 1e-3
    """Adam learning rate of G."""
    lr_D: float = 5e-4
    """Adam learning rate of D."""
    beta1: float = 0.0
    """Adam beta1, the decay rate of the first moment."""
    beta2: float = 0.999
    """Adam beta2, the decay rate of the second moment."""
    clip: float = 3.0
    """Gradient clipping: limit a network's gradient norm to this many times its running RMS, taken
    from Adam's second moment. Steps with a lazy penalty may exceed it. 0: off."""
    smooth: bool = True
    """Initialise G's transposed convolutions as bilinear interpolation and smooth their updates, to
    avoid checkerboard artefacts."""
    lr_decay: Literal["none", "linear", "cosine"] = "none"
    """Learning rate schedule. none: constant; linear and cosine: decay from --lr-G and --lr-D to 0
    at the last step, along a line or half a cosine."""
    d_steps: int = 1
    """Updates of D per step, each on a new batch."""
    accumulate: int = 1
    """Gradient accumulation: split each batch into this many micro-batches, to save memory. Fake
    images are then computed twice, batch norm and --minibatch-std use the statistics of a
    micro-batch, and --loss relativistic compares images within it."""
    flip: bool = True
    """Mirror real images horizontally with probability 0.5."""
    held_out_share: float = 0.02
    """Share of the images that is held out from training: at most 1,000, and none where they would
    be fewer than 100. Every 8 steps D scores some of them, to measure how much it memorises the
    others."""
    ema_images: int = 10_000
    """Half-life, in images, of the moving average (EMA) of G's weights used for sampling. At most
    5% of the images seen so far."""
    seed: int = 0
    """Random seed of the initial weights, the latents, the shuffle and the augmentations."""


@dataclass(frozen=True)
class DeviceOptions:
    """Device and threads."""

    device: str = "auto"
    """Device to compute on: auto, cuda, cuda:N, mps or cpu. auto: cuda if available, else mps, else
    cpu."""
    threads: int | None = None
    """CPU threads of PyTorch, on which the last bits of results depend. Default: those that the run
    was begun with, or one per core."""


@dataclass(frozen=True)
class ComputeOptions(DeviceOptions):
    """Device and arithmetic."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Floating-point format of the convolutions. auto: bf16 where the hardware computes in it, else
    fp32. Weights and D's last layer are always kept in fp32."""
    compile: bool = False
    """Compile both networks with torch.compile. Takes a minute at the start; no gain on CPUs."""
    cuda_graphs: bool = True
    """Replay training steps as CUDA graphs where launching kernels limits the speed. Used on NVIDIA
    GPUs, ignored elsewhere."""


@dataclass(frozen=True)
class RunOptions:
    """Input and output folders, and how often the run is logged and saved."""

    data: Path | None = None
    """Packed folder made by `dcgan prepare`, instead of raw images (--root). Default: pack the raw
    images first."""
    data_cache: Path = Path("data")
    """Folder where raw images are packed, for this run and later ones."""
    out: Path = Path("runs/faces")
    """Run folder. If it contains a run, that is resumed, with the options of the run for all flags
    that are left out."""
    from_: Path | None = None
    """Checkpoint file or run folder whose networks a new run starts from, to train them on other
    images. The optimizers are new. Default: random networks."""
    log_every: int = 50
    """Steps between two lines of metrics.jsonl and points in TensorBoard."""
    sample_every: int = 500
    """Steps between two sample grids."""
    save_every: int = 1000
    """Steps between two checkpoints."""
    keep: int = 3
    """Number of latest checkpoints to keep, besides best.safetensors. 0: all."""
    fresh: bool = False
    """Start a new run in OUT-2, OUT-3, ... instead of resuming the one in --out. Deletes
    nothing."""
    on_nan: Literal["stop", "rollback"] = "stop"
    """Reaction to a NaN or infinite loss or gradient. rollback: return to the last checkpoint and
    continue with half the learning rates, at most three times."""
    dry_run: bool = False
    """Print the whole configuration as JSON and exit."""


@dataclass(frozen=True)
class EvaluationOptions:
    """Evaluation during training (see `dcgan evaluate`)."""

    eval_every: int = 0
    """Steps between two evaluations of the EMA generator against real images. 0: none."""
    eval_images: int = 2000
    """Real and generated images per evaluation, the same in each."""
    best_by: Score = "frechet"
    """Metric that decides which evaluation is kept as checkpoints/best.safetensors."""
    patience: int = 0
    """Early stopping: end the run after this many evaluations without a new best. 0: off."""
