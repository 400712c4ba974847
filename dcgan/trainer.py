"""The training loop: D step, G step, and what is written down along the way."""

import copy
import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn

from dcgan import checkpoint, device, distributed, ema, losses, vitals
from dcgan.config import NETWORK, TrainConfig, check, flag, to_json
from dcgan.cuda_graph import CudaGraph
from dcgan.data.batches import Batch, Batches
from dcgan.data.pack import cached
from dcgan.data.packed import Packed, open_packed
from dcgan.errors import UserError
from dcgan.models import networks
from dcgan.recorder import CONFIG, Recorder
from dcgan.signals import Stopped, requests_to_stop


class Trainer:
    """Networks, optimizers and the step they are at."""

    def __init__(self, config: TrainConfig, on: torch.device):
        self.config, self.device = config, on
        self.bf16 = device.computes_in_bf16(on, config.precision)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            G, D = networks(config)
        self.G = G.to(on, memory_format=torch.channels_last)
        self.D = D.to(on, memory_format=torch.channels_last)
        self.G_ema = copy.deepcopy(self.G).requires_grad_(False)
        self.average = ema.Average(self.G_ema, self.G)
        self.statistics = statistics(self.G) + statistics(self.D)
        self.vote = distributed.Vote(on)  # to stop
        self.opt_G = adam(self.G, config.lr_G, config)
        self.opt_D = adam(self.D, config.lr_D, config)
        self.step = 0
        if config.compile:
            self.G.compile()
            self.D.compile()
        if config.cuda_graphs:
            self.d_and_g_step = CudaGraph(self.d_and_g_step)

    def update(self, batch: Batch, stop: Sequence[int] = ()) -> dict[str, Tensor]:
        """One step of training. Returns 0-dim tensors on the device.

        `stop`: signals that have asked this process to stop, by the end of the step.
        """
        scalars = self.d_and_g_step(batch)
        self.vote.cast(bool(stop))
        distributed.average([*self.statistics, self.vote.tensor])
        self.step += 1
        seen, batch_size = self.step * self.config.batch_size, self.config.batch_size
        self.average.update(ema.decay(seen, batch_size, self.config.ema_images))
        return scalars

    def d_and_g_step(self, batch: Batch) -> dict[str, Tensor]:
        """Both networks descend. Does the same operations, with the same numbers, at every step."""
        with self.autocast():
            fake = self.G(batch.z)
        signs = vitals.of_images(batch.real, fake.detach())
        return self.d_step(batch.real, fake.detach()) | self.g_step(fake) | signs

    def d_step(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        self.D.requires_grad_(True)
        with self.autocast():
            real_logits, fake_logits = self.D(real).float(), self.D(fake).float()
        loss = losses.non_saturating_D(real_logits, fake_logits)
        norm = descend(loss, self.D, self.opt_D)
        return {
            "loss_D": loss.detach(),
            "D_real": real_logits.detach().sigmoid().mean(),
            "D_fake": fake_logits.detach().sigmoid().mean(),
            "accuracy_real": (real_logits > 0).float().mean(),
            "accuracy_fake": (fake_logits < 0).float().mean(),
            "grad_norm_D": norm,
        }

    def g_step(self, fake: Tensor) -> dict[str, Tensor]:
        self.D.requires_grad_(False)
        with self.autocast():
            fake_logits = self.D(fake).float()
        loss = losses.non_saturating_G(fake_logits)
        norm = descend(loss, self.G, self.opt_G)
        return {"loss_G": loss.detach(), "grad_norm_G": norm}

    def vitals(self) -> dict[str, Tensor]:
        """What the state after a step shows, see `vitals.of_state`."""
        return vitals.of_state(self.G, self.G_ema, {"G": self.opt_G, "D": self.opt_D})

    def autocast(self) -> AbstractContextManager:
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext()

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint holds, under its names."""
        modules = {"G": self.G, "D": self.D, "ema": self.G_ema}
        optimizers = {"opt_G": (self.opt_G, self.G), "opt_D": (self.opt_D, self.D)}
        return checkpoint.named(modules, optimizers)

    def restore(self, found: checkpoint.Checkpoint, fingerprint: str) -> None:
        """Go on from a checkpoint. UserError where it is of other networks or other data."""
        if found.header["data"] != fingerprint:
            raise UserError(f"{found.path} was trained on other images: use another --out")
        for prefix, module in (("G.", self.G), ("D.", self.D), ("ema.", self.G_ema)):
            found.restore(module, prefix)
        found.restore_optimizer(self.opt_G, self.G, "opt_G.")
        found.restore_optimizer(self.opt_D, self.D, "opt_D.")
        self.step = found.step


def adam(network: nn.Module, lr: float, config: TrainConfig) -> torch.optim.Adam:
    return torch.optim.Adam(
        network.parameters(),
        lr,
        betas=(config.beta1, config.beta2),
        fused=True,
        capturable=config.cuda_graphs,
    )


def descend(loss: Tensor, network: nn.Module, optimizer: torch.optim.Optimizer) -> Tensor:
    """Backward, mean over processes, one step of the optimizer. Returns the gradient's norm."""
    optimizer.zero_grad()
    loss.backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    distributed.average(gradients)
    optimizer.step()
    return torch.nn.utils.get_total_norm(gradients)


def statistics(network: nn.Module) -> list[Tensor]:
    """The running means and variances of batch norm, which every process sees part of."""
    return [buffer for buffer in network.buffers() if buffer.is_floating_point()]


def to_continue(config: TrainConfig, run: Path) -> checkpoint.Checkpoint | None:
    """The checkpoint that a run folder goes on from; None for a new run.

    Raises UserError where the folder is of another run, or of something else: nothing that a user
    made is written over.
    """
    found = checkpoint.newest(run)
    if found is None:
        if run.exists() and not (run.is_dir() and is_empty_or_run(run)):
            raise UserError(f"{run} holds other files: use another --out, new or empty")
        return None
    checkpoint.check_resumable(found)
    for name in (*NETWORK, "seed", "batch_size"):
        ours, theirs = getattr(config, name), found.config[name]
        if ours != theirs:
            raise UserError(
                f"{found.path} was trained with {flag(name)} {theirs}, not {ours}: "
                f"use that, or another --out"
            )
    return found


def is_empty_or_run(folder: Path) -> bool:
    """Whether a folder is empty, or was begun by a run that stopped before its first checkpoint."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        return set(to_json(TrainConfig())) <= set(config)
    except FileNotFoundError:
        return not any(folder.iterdir())
    except (OSError, ValueError, TypeError, RecursionError):
        return False


def fit(
    config: TrainConfig,
    packed: Packed,
    run: Path,
    on: torch.device,
    found: checkpoint.Checkpoint | None,
) -> Path:
    """Train in a run folder, on from a checkpoint if there is one; return the last checkpoint."""
    trainer = Trainer(config, on)
    if found:
        trainer.restore(found, packed.fingerprint)
        if trainer.step >= config.steps:
            return found.path
    batches = Batches(packed.images, config, on, distributed.rank(), distributed.world_size())
    steps_left = range(trainer.step, config.steps)
    with requests_to_stop() as stop, Recorder(trainer, packed, run, found) as recorder:
        drawn = saving_first(batches.starting_at(trainer.step), recorder)
        for _, batch in zip(steps_left, drawn):  # noqa: B905 (endless)
            recorder.record(trainer.update(batch, stop))
            # All processes leave at the same step, or some would wait for the others for ever.
            if trainer.vote.passed() and trainer.step < config.steps:
                signum = distributed.largest(max(stop, default=0), on)
                recorder.save()
                recorder.flush()
                step = f"stopped after step {trainer.step} of {config.steps}"
                raise Stopped(signum, f"{step}; the same command goes on from there")
    return checkpoint.path_of(run, trainer.step)


def saving_first(batches: Iterator[Batch], recorder: Recorder) -> Iterator[Batch]:
    """The batches; where no more can be read, the steps done are saved before that is raised."""
    try:
        yield from batches
    except UserError:
        recorder.save()
        recorder.flush()
        raise


def train(config: TrainConfig) -> Path:
    """Pack the images that `config` names, unless they are packed, and train on them.

    Returns the last checkpoint, in config.out/checkpoints. Under torchrun every process calls
    this, and rank 0 writes. Raises UserError for missing or unreadable data, a run folder of
    other networks or data, a full disk, and a loss that is not finite; Stopped, with all saved,
    after Ctrl-C or SIGTERM.
    """
    device.tune(config.threads)
    with distributed.started(device.pick(config.device)) as on:
        processes = distributed.world_size()
        graphs_run = on.type == "cuda" and processes == 1
        check(
            graphs_run or not config.cuda_graphs,
            "cuda_graphs",
            config.cuda_graphs,
            "left out but for one process on an NVIDIA GPU",
        )
        check(
            config.batch_size % processes == 0,
            "batch_size",
            config.batch_size,
            f"a multiple of the {processes} processes",
        )
        found = to_continue(config, config.out)
        if config.data:
            packed = open_packed(config.data)
        else:
            with distributed.main_first():
                packed = cached(config, config.size, config.channels, config.data_cache)
        return fit(config, packed, config.out, on, found)
