"""The adversarial training step: update D, then G."""

import copy
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn

from dcgan.config import TrainConfig, has_penalties
from dcgan.latent import Labels
from dcgan.networks import (
    INITIAL_STD,
    build_networks,
    running_statistics,
    running_statistics_paused,
)
from dcgan.runs.scalar_means import mean_scalars
from dcgan.runtime import distributed
from dcgan.runtime.device import use_bf16
from dcgan.training.adaptive_augmentation import AdaptiveAugmentation
from dcgan.training.batches import Batch
from dcgan.training.cuda_graphs import WARM_UP, CudaGraphs, can_capture
from dcgan.training.ema import EMA, ema_decay
from dcgan.training.kernel_smoothing import (
    init_bilinear,
    smooth_gradients,
    smooth_updates,
    upsampling_kernels,
)
from dcgan.training.losses import (
    LOSSES,
    discriminator_metrics,
    gradient_penalty,
    squared_gradient_norms,
)
from dcgan.training.monitoring import NonFiniteGuard, image_diagnostics, weight_diagnostics
from dcgan.training.optimizer import (
    GradientClipping,
    gradients,
    lr_factor,
    make_adam,
    optimizer_step,
    set_lr,
)
from dcgan.training.run_state import RunState, load_tensors, named_tensors

_building = threading.Lock()  # torch's random numbers are of all threads


class Trainer:
    """Both networks, their optimizers, the EMA of G, and the training step."""

    def __init__(self, config: TrainConfig, device: torch.device, labels: Labels | None = None):
        self.config, self.device, self.labels = config, device, labels
        self.bf16 = use_bf16(device, config.precision)
        with _building, torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            known = (len(labels.names), labels.variance()) if labels else ()
            G, D = build_networks(config, *known)
            if config.smooth:
                init_bilinear(upsampling_kernels(G), INITIAL_STD)
        G.labels = labels
        self.G = G.to(device).to(memory_format=torch.channels_last)
        self.D = D.to(device).to(memory_format=torch.channels_last)
        self.G_ema = copy.deepcopy(self.G).requires_grad_(False)
        self.ema = EMA(self.G_ema, self.G)
        # Each process sees its share of the images alone.
        self.statistics = [*running_statistics(self.G), *running_statistics(self.D)]
        self.smoothed = upsampling_kernels(self.G) if config.smooth else []
        self.stop_flag = distributed.StopFlag(device)
        self.guard = NonFiniteGuard(device)
        self.loss = LOSSES[config.loss]
        self.loss_D = self.loss.D
        if config.label_smoothing:
            self.loss_D = partial(self.loss_D, smoothing=config.label_smoothing)
        self.augment = AdaptiveAugmentation(config, device)
        # Gradients that are long in one of n steps alone are sqrt(n) times as long as their running
        # RMS: those of the penalties must not be clipped for that.
        lazy_ratio = 1.1 * config.penalty_every**0.5 if has_penalties(config) else 0.0
        clip_D = config.clip and max(config.clip, lazy_ratio)
        captured = config.cuda_graphs and can_capture(device)
        self.opt_G = make_adam(self.G, config.lr_G, config, captured)
        self.opt_D = make_adam(self.D, config.lr_D, config, captured)
        self.clipping_G = GradientClipping(self.opt_G, config.clip)
        self.clipping_D = GradientClipping(self.opt_D, clip_D)
        self.step = 0
        self.rollbacks = 0  # each has halved the learning rates
        if config.compile:
            self.G.compile()
            # A second pass changes the vectors of a spectral norm, which the backward pass of a
            # compiled first one still reads.
            if not config.spectral_norm:
                self.D.compile()
        self.graphs: CudaGraphs | None = None
        self.warm_up = 2  # steps
        if captured:
            kinds = {self.is_penalized(step) for step in (0, 1)}
            self.graphs = CudaGraphs(kinds)
            self.warm_up = (WARM_UP + 1) * config.penalty_every

    def held_out_batch(self) -> Batch | None:
        """The held-out images that D scores in the next step; None where it scores none."""
        return self.augment.memorization.batch(self.step)

    def update(
        self, *batches: Batch, held_out: Batch | None = None, stop: Sequence[int] = ()
    ) -> dict[str, Tensor]:
        """One step: D learns from each batch, then G from the last one.

        Returns scalars on the device, which the next step may overwrite. The first `warm_up` steps
        take longer than later ones. `held_out`: see `held_out_batch`. `stop`: signals received by
        this process.
        """
        config = self.config
        factor = lr_factor(self.step / config.steps, config.lr_decay) / 2**self.rollbacks
        set_lr(self.opt_G, config.lr_G * factor)
        set_lr(self.opt_D, config.lr_D * factor)
        penalized = self.is_penalized(self.step)
        held_out_logits = [self.score_held_out_images(held_out)] if held_out else []
        if self.graphs:
            scalars = self.graphs.run(self.d_and_g_step, batches, penalized)
        else:
            scalars = self.d_and_g_step(*batches, penalized=penalized)
        self.stop_flag.set(bool(stop))
        flags = [self.stop_flag.tensor, self.guard.found_non_finite]
        distributed.average_tensors([*self.statistics, *flags, *held_out_logits])
        self.guard.found_non_finite.ceil_()  # found anywhere is found everywhere
        memorization = self.augment.follow_memorization(scalars, held_out_logits)
        self.step += 1
        seen = self.step * config.batch_size
        self.ema.update(ema_decay(seen, config.batch_size, config.ema_images))
        return scalars | memorization

    def score_held_out_images(self, batch: Batch) -> Tensor:
        """The mean of D's logits of held-out images, 0-dim."""
        means = []
        with torch.no_grad(), running_statistics_paused(self.D), self._uncompiled():
            for micro in batch.parts(self.config.accumulate):
                images = self.augment(micro.real, micro.augmentation_noise[:, 0])
                means.append(self.discriminate(images, micro).mean())
        return torch.stack(means).mean()

    def is_penalized(self, step: int) -> bool:
        """Whether the loss of D has gradient penalties in a step (lazy regularisation)."""
        return has_penalties(self.config) and step % self.config.penalty_every == 0

    def d_and_g_step(self, *batches: Batch, penalized: bool = False) -> dict[str, Tensor]:
        """Update both networks. Runs the same operations on the same numbers at every step."""
        of_first: dict[str, Tensor] = {}  # of D as it was before the step
        for number, batch in enumerate(batches, start=1):
            # G learns from the last batch alone. The graphs of micro-batches together would be as
            # large as that of the batch: the step of G makes one after another.
            keep_graphs = number == len(batches) and self.config.accumulate == 1
            micro_batches = self.generate_fakes(batch, keep_graphs)
            # Compiled code has no second derivative.
            with self._uncompiled() if penalized else nullcontext():
                scalars, real_logits = self.d_step(micro_batches, penalized)
            logits = {name: value for name, value in scalars.items() if name.startswith("logit_")}
            of_first = of_first or logits
        # Before the step of G, which needs the memory of this copy of the fakes.
        diagnostics = image_diagnostics(batch.real, torch.cat([fake for _, fake in micro_batches]))
        scalars |= of_first
        return scalars | self.g_step(micro_batches, real_logits) | diagnostics

    def generate_fakes(self, batch: Batch, keep_graphs: bool = True) -> list[tuple[Batch, Tensor]]:
        """Split a batch into `accumulate` micro-batches, and generate the fake images of each.

        `keep_graphs`: for the step of G, which computes them again otherwise.
        """
        with self._autocast(), torch.set_grad_enabled(keep_graphs):
            return [(micro, self.G(micro.z)) for micro in batch.parts(self.config.accumulate)]

    def with_graph(self, fake: Tensor, batch: Batch) -> Tensor:
        """The fake images of a micro-batch with the graph of G, computed again if it has none.

        The running statistics of batch norm have seen them already.
        """
        if fake.requires_grad:
            return fake
        with self._autocast(), running_statistics_paused(self.G):
            return self.G(batch.z)

    def d_step(
        self, micro_batches: list[tuple[Batch, Tensor]], penalized: bool
    ) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Update D. Returns scalars, and D's logits [n] of the real images for the step of G."""
        self.D.requires_grad_(True)
        self.opt_D.zero_grad()
        scalars, all_logits = [], []
        for batch, fake in micro_batches:
            noise = torch.cat(batch.augmentation_noise[:, :2].unbind(1))
            images = self.augment(torch.cat([batch.real, fake.detach()]), noise)
            logits = self.discriminate(images.requires_grad_(penalized), batch)
            loss = self.loss_D(*logits.chunk(2))
            penalty = self.penalty(batch, images, logits) if penalized else 0
            ((loss + penalty) / len(micro_batches)).backward()
            logits = logits.detach().unflatten(0, (2, -1))  # of real and of fake images
            scalars.append({"loss_D": loss.detach(), **discriminator_metrics(self.loss, *logits)})
            all_logits.append(logits)
        means = mean_scalars(scalars)
        grads = gradients(self.D)
        logits_of_all = distributed.in_own_row(torch.cat(all_logits, 1))
        distributed.average_tensors([*grads, logits_of_all])
        # Of the whole batch, since the mean of a sign depends on how the batch is divided.
        real_logits, fake_logits = logits_of_all.transpose(0, 1).flatten(1)
        overfitting = self.augment.follow_overfitting(real_logits, fake_logits)
        norm = torch.nn.utils.get_total_norm(grads)
        self.guard.check_D(means["loss_D"], norm)
        self.clipping_D.clip(norm, skip=self.guard.found_non_finite)
        optimizer_step(self.opt_D, skip=self.guard.found_non_finite)
        others = {
            "logit_real": real_logits.mean(),
            "logit_fake": fake_logits.mean(),
            "logit_std": real_logits.std(),
            "overfitting": overfitting,
            "augment_p": self.augment.probability,
            "grad_norm_D": norm,
        }
        return means | others, [real_logits for real_logits, _ in all_logits]

    def g_step(
        self, micro_batches: list[tuple[Batch, Tensor]], all_real_logits: list[Tensor]
    ) -> dict[str, Tensor]:
        """Update G. The real logits are those of D before its update, which saves a forward pass.

        Returns scalars.
        """
        self.D.requires_grad_(False)
        self.opt_G.zero_grad()
        scalars = []
        for (batch, fake), real_logits in zip(micro_batches, all_real_logits, strict=True):
            fake = self.augment(self.with_graph(fake, batch), batch.augmentation_noise[:, 2])
            fake_logits = self.discriminate(fake, batch)
            loss = self.loss.G(real_logits, fake_logits)
            (loss / len(micro_batches)).backward()
            scalars.append({"loss_G": loss.detach()})
        means = mean_scalars(scalars)
        distributed.average_tensors(gradients(self.G))
        smooth_gradients(self.smoothed)
        norm = torch.nn.utils.get_total_norm(gradients(self.G))
        self.guard.check_G(means["loss_G"], norm)
        self.clipping_G.clip(norm, skip=self.guard.found_non_finite)
        with smooth_updates(self.smoothed):
            optimizer_step(self.opt_G, skip=self.guard.found_non_finite)
        return means | {"grad_norm_G": norm}

    def discriminate(self, images: Tensor, batch: Batch) -> Tensor:
        """D's logits [n] of images [n, C, S, S], of one batch or more, in float32.

        All have the labels of `batch`, in its order.
        """
        batches = len(images) // len(batch.z)
        with self._autocast():
            return self.D(images, batch.labels.repeat(batches, 1), batches).float()

    def penalty(self, batch: Batch, images: Tensor, logits: Tensor) -> Tensor | float:
        """The weighted gradient penalties, times `penalty_every`, since only one of so many steps
        has them (Karras et al. 2020, StyleGAN2, section 3.1).

        images: [2n, C, S, S], the real ones of a batch before the fake ones; logits: [2n].
        """
        config = self.config
        total: Tensor | float = 0.0
        if config.r1 or config.r2:
            real_norms, fake_norms = squared_gradient_norms(logits, images).chunk(2)
            total += config.r1 / 2 * real_norms.mean() + config.r2 / 2 * fake_norms.mean()
        if config.gradient_penalty:
            D = partial(self.discriminate, batch=batch)
            alpha = batch.alpha[:, None, None, None]
            real, fake = images.chunk(2)
            total += config.gradient_penalty * gradient_penalty(D, real, fake, alpha)
        return config.penalty_every * total

    def check_finite(self) -> None:
        """Raise Diverged unless all numbers have been finite so far. Waits for the device."""
        self.guard.raise_if_found(self.step, self.tensors())

    def weight_diagnostics(self) -> dict[str, Tensor]:
        """Sizes of the last updates, and of the EMA's distance from G."""
        optimizers = {"G": self.opt_G, "D": self.opt_D}
        return weight_diagnostics(self.G, self.G_ema, optimizers, self.smoothed)

    def _autocast(self) -> AbstractContextManager:
        """Compute in bfloat16 in the block, if the configuration and the device allow it."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext()

    def _uncompiled(self) -> AbstractContextManager:
        """Run compiled networks as they are written in the block."""
        compiled = self.config.compile
        return torch.compiler.set_stance("force_eager") if compiled else nullcontext()

    def tensors(self) -> dict[str, Tensor]:
        """All that a resumed trainer needs, under the names of `RunState.tensors`; no copies."""
        others = self.augment.tensors()
        others |= {f"{name}.moment": clip.moment for name, clip in self._clippings().items()}
        if self.labels:
            others |= {f"labels.{name}": value for name, value in self.labels.tensors().items()}
        return named_tensors(self._modules(), self._optimizers()) | others

    def load(self, state: RunState) -> None:
        """Continue from the state of a run. Raises ValueError for tensors of other networks."""
        load_tensors(state, self._modules(), self._optimizers())
        self.augment.load(state.tensors)
        for name, clipping in self._clippings().items():
            clipping.load(state.tensors.get(f"{name}.moment"))
        self.step, self.rollbacks = state.step, state.rollbacks

    def _modules(self) -> dict[str, nn.Module]:
        return {"G": self.G, "D": self.D, "ema": self.G_ema}

    def _clippings(self) -> dict[str, GradientClipping]:
        return {"clipping_G": self.clipping_G, "clipping_D": self.clipping_D}

    def _optimizers(self) -> dict[str, tuple[torch.optim.Adam, nn.Module]]:
        return {"opt_G": (self.opt_G, self.G), "opt_D": (self.opt_D, self.D)}
