"""The training loop, and what it needs before it starts."""

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from dcgan.config import TrainConfig, require
from dcgan.data import PackedImages, open_or_pack, open_packed
from dcgan.errors import UsageError, UserError
from dcgan.latent import MAX_LABEL_EXAMPLES, Labels
from dcgan.runs import checkpoint
from dcgan.runs.layout import checkpoint_path
from dcgan.runs.run_folder import latest_checkpoint
from dcgan.runtime import device, distributed
from dcgan.runtime.signals import Stopped, collect_stop_signals
from dcgan.training.augmentation import resolve_probability
from dcgan.training.batches import Batch, BatchLoader, no_labels
from dcgan.training.monitoring import Diverged
from dcgan.training.periodic_evaluation import Best
from dcgan.training.recorder import Recorder
from dcgan.training.resume import check_resumable, consequence, fresh, to_continue
from dcgan.training.trainer import Trainer


def fit(
    config: TrainConfig,
    packed: PackedImages,
    run: Path,
    on: torch.device,
    found: checkpoint.Checkpoint | None,
) -> Path:
    """Train in a run folder, on from a checkpoint if there is one; return the last checkpoint.

    Where numbers are not finite, `config.on_nan` decides.
    """
    if found and distributed.is_main():
        packed.check_unchanged()
    rollbacks, best = 0, Best.of_run(config, run, found)
    with collect_stop_signals() as stop:
        while True:
            step = found.step if found else 0
            if not distributed.all_equal(step, on):
                raise UserError(
                    f"this process would go on from step {step}, and others from other ones: "
                    f"{run} must be the same folder for all"
                )
            trainer = trainer_of(packed, config, on)
            if found:
                trainer.restore(found, packed.fingerprint)
            trainer.rollbacks = max(trainer.rollbacks, rollbacks)
            try:
                return go_on(trainer, packed, run, found, best, stop)
            except Diverged as error:
                with distributed.main_first():  # it may have been writing the newest one
                    found = latest_checkpoint(run, check_resumable)
                rollbacks = trainer.rollbacks + 1
                consequence(error, config, run, found, rollbacks)


def go_on(
    trainer: Trainer,
    packed: PackedImages,
    run: Path,
    found: checkpoint.Checkpoint | None,
    best: Best,
    stop: Sequence[int],
) -> Path:
    """Train to the last step, unless a signal is in `stop` or no score has risen for too long."""
    config = trainer.config
    if found and (trainer.step >= config.steps or best.stalled(config.patience)):
        if distributed.is_main():
            done = f"{run} has its {trainer.step} steps: more --steps prolong it"
            if best.stalled(config.patience):
                done = f"{run} has run out of --patience {config.patience}: more of it goes on"
            print(done, file=sys.stderr)
        best.announce(config.patience, run)
        return found.path
    steps_left = range(trainer.step, config.steps)
    with Recorder(trainer, packed, run, found, best) as recorder:
        drawn = saving_first(batches_for(trainer, packed), recorder)
        for _, *of_step in zip(steps_left, *[drawn] * config.d_steps):  # noqa: B905 (endless)
            recorder.record(trainer.update(*of_step, stop=stop))
            # All processes leave at the same step, or some would wait for the others for ever.
            if trainer.stop_flag.is_set() and trainer.step < config.steps:
                signum = distributed.max_over_processes(max(stop, default=0), trainer.device)
                recorder.save()
                recorder.flush()
                step = f"stopped after step {trainer.step} of {config.steps}"
                command = "the same command"
                if config.fresh:
                    command = f"the same without --fresh and with --out {run}"
                raise Stopped(signum, f"{step}; {command} goes on from there")
            if recorder.stalled():
                recorder.save()
                break
    best.announce(config.patience, run)
    return checkpoint_path(run, trainer.step)


def trainer_of(packed: PackedImages, config: TrainConfig, on: torch.device) -> Trainer:
    """A new trainer for these images. UsageError where it is to learn labels that they lack."""
    augment_p = resolve_probability(config.augment_p, len(packed))
    config = dataclasses.replace(config, augment_p=augment_p)
    if not config.conditional:
        return Trainer(config, on)
    if packed.labels is None:
        raise UsageError(f"--conditional: the images of {packed.folder} have no labels")
    return Trainer(config, on, read_labels(packed))


def read_labels(packed: PackedImages) -> Labels:
    """The labels of packed images, with rows of some of the images as examples."""
    count = min(len(packed), MAX_LABEL_EXAMPLES)
    chosen = np.random.default_rng(0).choice(len(packed), count, replace=False)
    examples = torch.from_numpy(packed.multi_hot(np.sort(chosen)).astype(np.uint8))
    return Labels(packed.meta["label_kind"], packed.label_names, examples)


def batches_for(trainer: Trainer, packed: PackedImages) -> Iterator[Batch]:
    """What this process is to learn from, from the trainer's step on, --d-steps batches each."""
    config, labels = trainer.config, no_labels
    if config.conditional:
        labels = packed.multi_hot
    share = distributed.rank(), distributed.world_size()
    batches = BatchLoader(packed.images, config, trainer.device, *share, labels)
    return batches.starting_at(trainer.step * config.d_steps)


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
    device.configure_torch(config.threads)
    with distributed.process_group(device.select_device(config.device)) as on:
        processes = distributed.world_size()
        require(
            config.batch_size % processes == 0 and config.batch_size >= 2 * processes,
            "batch_size",
            config.batch_size,
            f"a multiple of the {processes} processes, and 2 for each at least",
        )
        share = config.batch_size // processes
        require(
            share % config.accumulate == 0 and share // config.accumulate >= 2,
            "accumulate",
            config.accumulate,
            f"a divisor of the {share} images of each process, below it",
        )
        if config.fresh:
            config = dataclasses.replace(config, out=fresh(config.out, on))
        found = to_continue(config, config.out)
        if config.data:
            packed = open_packed(config.data)
        else:
            with distributed.main_first():
                packed = open_or_pack(config, config.size, config.channels, config.data_cache)
        try:
            return fit(config, packed, config.out, on, found)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            gpu = on.type == "cuda"
            whose, graphs = ("GPU's ", ", or --no-cuda-graphs,") if gpu else ("", "")
            less = (
                f"a smaller --batch-size, --width or --size, more --accumulate{graphs} needs less"
            )
            raise UserError(f"the {whose}memory is full: {less}") from error


def out_of_memory(error: BaseException | None) -> bool:
    """Whether that was wrong, or came before. torch has an exception of its own for GPUs alone."""
    if error is None:
        return False
    of_cpu = "can't allocate memory" in str(error)
    ours = isinstance(error, torch.OutOfMemoryError | MemoryError) or of_cpu
    return ours or out_of_memory(error.__context__)
