"""The state of training and its step: D learns, then G."""

import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn

from dcgan.config import TrainConfig, has_penalties
from dcgan.errors import UserError
from dcgan.latent import Labels
from dcgan.networks import INITIAL_STD, StridedConvTranspose2d, build_networks
from dcgan.runs import checkpoint
from dcgan.runtime import device, distributed
from dcgan.training.augmentation import augment, overfitting_heuristic, updated_probability
from dcgan.training.batches import Batch
from dcgan.training.cuda_graphs import WARM_UP, CudaGraphs, can_record
from dcgan.training.ema import EMA, ema_decay
from dcgan.training.kernel_smoothing import init_bilinear, learn_smoothly
from dcgan.training.losses import (
    LOSSES,
    discriminator_metrics,
    gradient_penalty,
    zero_centered_gradient_penalty,
)
from dcgan.training.monitoring import NonFiniteGuard, image_diagnostics, weight_diagnostics
from dcgan.training.optimizer import adam, clip, decayed, descend, set_lr
from dcgan.training.resume import last_strength


class Trainer:
    """Networks, optimizers and the step they are at."""

    def __init__(self, config: TrainConfig, on: torch.device, labels: Labels | None = None):
        self.config, self.device, self.labels = config, on, labels
        self.bf16 = device.use_bf16(on, config.precision)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            G, D = build_networks(config, len(labels.names) if labels else 0)
            if config.smooth:
                init_bilinear(upsampling_kernels(G), INITIAL_STD)
        G.labels = labels
        self.G = G.to(on, memory_format=torch.channels_last)
        self.D = D.to(on, memory_format=torch.channels_last)
        self.G_ema = copy.deepcopy(self.G).requires_grad_(False)
        self.average = EMA(self.G_ema, self.G)
        self.statistics = statistics(self.G) + statistics(self.D)
        self.stop_flag = distributed.StopFlag(on)
        self.guard = NonFiniteGuard(on)
        self.loss = LOSSES[config.loss]
        self.loss_D = self.loss.D
        if config.label_smoothing:
            self.loss_D = partial(self.loss_D, smoothing=config.label_smoothing)
        self.adaptive = config.augment_p == "adaptive"
        p = 0.0 if isinstance(config.augment_p, str) else float(config.augment_p)
        self.kinds = config.augment if self.adaptive or p else ()
        self.augment_p = torch.full((), p, device=on)
        recorded = config.cuda_graphs and can_record(on)
        self.opt_G = adam(self.G, config.lr_G, config, recorded)
        self.opt_D = adam(self.D, config.lr_D, config, recorded)
        self.smoothed = upsampling_kernels(self.G) if config.smooth else []
        learn_smoothly(self.opt_G, self.smoothed)
        for optimizer in (self.opt_G, self.opt_D):
            self.guard.protect(optimizer)
        if config.clip:
            # One long gradient in n is as long as sqrt(n) times the root mean square of all.
            rare = 1.1 * config.penalty_every**0.5 if has_penalties(config) else 0.0
            clip(self.opt_G, config.clip)
            clip(self.opt_D, max(config.clip, rare))
        self.step = 0
        self.rollbacks = 0  # each has halved the learning rates
        if config.compile:
            self.G.compile()
            # A second pass changes the vectors of a spectral norm, which the backward pass of a
            # compiled first one still reads.
            if not config.spectral_norm:
                self.D.compile()
        self.take_step, self.warm_up = self.d_and_g_step, 2
        if recorded:
            kinds = {self.penalises(step) for step in (0, 1)}
            self.take_step = CudaGraphs(self.d_and_g_step, kinds)
            self.warm_up = (WARM_UP + 1) * config.penalty_every

    def update(self, *batches: Batch, stop: Sequence[int] = ()) -> dict[str, Tensor]:
        """One step: D learns from each batch, G from the last. Returns 0-dim tensors on the device,
        which the next step may overwrite. The first `warm_up` steps take longer than later ones.

        `stop`: signals that have asked this process to stop, by the end of the step.
        """
        config = self.config
        for optimizer, lr in ((self.opt_G, config.lr_G), (self.opt_D, config.lr_D)):
            lr *= decayed(self.step / config.steps, config.lr_decay)
            set_lr(optimizer, lr / 2**self.rollbacks)
        scalars = self.take_step(*batches, penalised=self.penalises(self.step))
        self.stop_flag.set(bool(stop))
        together = [
            *self.statistics,
            self.augment_p,
            self.stop_flag.tensor,
            self.guard.found_non_finite,
        ]
        distributed.average_tensors(together)
        self.guard.found_non_finite.ceil_()  # found anywhere is found everywhere
        self.step += 1
        seen = self.step * config.batch_size
        self.average.update(ema_decay(seen, config.batch_size, config.ema_images))
        return scalars

    def penalises(self, step: int) -> bool:
        """Whether D's gradients are penalised in a step."""
        return has_penalties(self.config) and step % self.config.penalty_every == 0

    def d_and_g_step(self, *batches: Batch, penalised: bool = False) -> dict[str, Tensor]:
        """Both networks descend. Does the same operations, with the same numbers, at every step."""
        twice = penalised and self.config.compile  # what is compiled cannot be differentiated twice
        for batch in batches:
            parts = self.with_fakes(batch)
            with torch.compiler.set_stance("force_eager") if twice else nullcontext():
                scalars, real_logits = self.d_step(parts, penalised)
        signs = image_diagnostics(batch.real, torch.cat([fake for _, fake in parts]))
        return scalars | self.g_step(parts, real_logits) | signs

    def with_fakes(self, batch: Batch) -> list[tuple[Batch, Tensor]]:
        """The parts that go through D one after the other, each with what G makes for it."""
        chunks = zip(*(tensor.chunk(self.config.accumulate) for tensor in batch), strict=True)
        with self.autocast():
            return [(part, self.G(part.z)) for part in map(Batch._make, chunks)]

    def d_step(
        self, parts: list[tuple[Batch, Tensor]], penalised: bool
    ) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Returns D's logits of the real images of each part too."""
        self.D.requires_grad_(True)
        self.opt_D.zero_grad()
        scalars, all_real_logits = [], []
        for part, fake in parts:
            real = self.augmented(part.real, part.draws[:, 0]).requires_grad_(penalised)
            fake = self.augmented(fake.detach(), part.draws[:, 1]).requires_grad_(penalised)
            real_logits, fake_logits = self.D_of(real, part), self.D_of(fake, part)
            loss = self.loss_D(real_logits, fake_logits)
            penalty = self.penalty(part, real, fake, real_logits, fake_logits) if penalised else 0
            ((loss + penalty) / len(parts)).backward()
            logits = real_logits.detach(), fake_logits.detach()
            metrics = discriminator_metrics(self.loss, *logits)
            metrics["overfitting"] = overfitting_heuristic(*logits)
            scalars.append({"loss_D": loss.detach(), **metrics})
            all_real_logits.append(real_logits.detach())
        scalars = means(scalars)
        look = partial(self.guard.check_D, scalars["loss_D"])
        norm = descend(self.D, self.opt_D, look)
        if self.adaptive:
            batch = self.config.batch_size
            p = updated_probability(self.augment_p, scalars["overfitting"], batch)
            self.augment_p.copy_(p)
        scalars |= {"grad_norm_D": norm, "augment_p": self.augment_p}
        return scalars, all_real_logits

    def g_step(
        self, parts: list[tuple[Batch, Tensor]], all_real_logits: list[Tensor]
    ) -> dict[str, Tensor]:
        """The real logits are those of D before its step: a pass through D less."""
        self.D.requires_grad_(False)
        self.opt_G.zero_grad()
        scalars = []
        for (part, fake), real_logits in zip(parts, all_real_logits, strict=True):
            fake_logits = self.D_of(self.augmented(fake, part.draws[:, 2]), part)
            loss = self.loss.G(real_logits, fake_logits)
            (loss / len(parts)).backward()
            scalars.append({"loss_G": loss.detach()})
        scalars = means(scalars)
        look = partial(self.guard.check_G, scalars["loss_G"])
        return {**scalars, "grad_norm_G": descend(self.G, self.opt_G, look)}

    def D_of(self, images: Tensor, batch: Batch) -> Tensor:
        """D's logits, in fp32 whatever it computes in."""
        with self.autocast():
            return self.D(images, batch.labels).float()

    def augmented(self, images: Tensor, draws: Tensor) -> Tensor:
        return augment(images, draws, self.augment_p, self.kinds)

    def penalty(
        self, part: Batch, real: Tensor, fake: Tensor, real_logits: Tensor, fake_logits: Tensor
    ) -> Tensor:
        """What is added to D's loss in one step for all `penalty_every` of them."""
        config, total = self.config, 0.0
        if config.r1:
            total += config.r1 / 2 * zero_centered_gradient_penalty(real_logits, real)
        if config.r2:
            total += config.r2 / 2 * zero_centered_gradient_penalty(fake_logits, fake)
        if config.gradient_penalty:
            D = partial(self.D_of, batch=part)
            alpha = part.mix[:, None, None, None]
            total += config.gradient_penalty * gradient_penalty(D, real, fake, alpha)
        return config.penalty_every * total

    def check_finite(self) -> None:
        """Raise Diverged unless all numbers have been finite so far. Waits for the device."""
        self.guard.raise_if_found(self.step, self.tensors())

    def weight_diagnostics(self) -> dict[str, Tensor]:
        """Sizes of the last updates, and of the EMA's distance from G."""
        optimizers = {"G": self.opt_G, "D": self.opt_D}
        return weight_diagnostics(self.G, self.G_ema, optimizers, self.smoothed)

    def autocast(self) -> AbstractContextManager:
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext()

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint holds, under its names."""
        modules = {"G": self.G, "D": self.D, "ema": self.G_ema}
        optimizers = {"opt_G": (self.opt_G, self.G), "opt_D": (self.opt_D, self.D)}
        others = {"augment.p": self.augment_p}
        if self.labels:
            others["labels.examples"] = self.labels.examples
        return checkpoint.named(modules, optimizers) | others

    def restore(self, found: checkpoint.Checkpoint, fingerprint: str) -> None:
        """Go on from a checkpoint. UserError where it is of other networks or other data."""
        if found.header["data"] != fingerprint:
            raise UserError(f"{found.path} was trained on other images: use another --out")
        for prefix, module in (("G.", self.G), ("D.", self.D), ("ema.", self.G_ema)):
            found.restore(module, prefix)
        found.restore_optimizer(self.opt_G, self.G, "opt_G.")
        found.restore_optimizer(self.opt_D, self.D, "opt_D.")
        if self.adaptive:  # else it is what the flag says
            self.augment_p.copy_(last_strength(found))
        self.step = found.step
        self.rollbacks = found.header.get("rollbacks", 0)


def means(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of every scalar over the parts of a batch."""
    if len(parts) == 1:
        return parts[0]
    return {name: torch.stack([part[name] for part in parts]).mean() for name in parts[0]}


def upsampling_kernels(G: nn.Module) -> list[nn.Parameter]:
    return [module.weight for module in G.modules() if isinstance(module, StridedConvTranspose2d)]


def statistics(network: nn.Module) -> list[Tensor]:
    """The running means and variances of batch norm, which every process sees part of."""
    return [buffer for buffer in network.buffers() if buffer.is_floating_point()]
