"""The training loop."""

import dataclasses
import gc
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import torch

from dcgan.config import TrainConfig
from dcgan.config.validation import require_options
from dcgan.data import PackedImages
from dcgan.errors import UsageError
from dcgan.runs.checkpoint import Checkpoint
from dcgan.runs.checkpoint_folder import find_checkpoint, latest_checkpoint
from dcgan.runs.layout import checkpoint_path
from dcgan.runtime import device, distributed
from dcgan.runtime.cpu_sharing import sharing_cpus
from dcgan.runtime.memory import out_of_memory_errors
from dcgan.runtime.signals import Stopped, collect_stop_signals
from dcgan.runtime.terminal import print_lines
from dcgan.training.image_loader import save_before_errors
from dcgan.training.monitoring import Diverged
from dcgan.training.periodic_tasks import PeriodicTasks
from dcgan.training.preparation import (
    check_batch_shares,
    check_shape,
    choose_threads,
    load_state,
    make_batches,
    make_trainer,
)
from dcgan.training.resume import (
    announce_resume,
    best_to_resume,
    check_resumable,
    check_same_images,
    checkpoint_to_resume,
    handle_divergence,
    new_run_folder,
)
from dcgan.training.training_images import open_images
from dcgan.training.transfer import check_same_networks, load_networks


def fit(
    config: TrainConfig,
    packed: PackedImages,
    run: Path,
    on: torch.device,
    found: Checkpoint | None,
) -> Path:
    """Train in a run folder, from the checkpoint `found` if there is one; return the last one.

    After a divergence `config.on_nan` decides whether training goes back to the last checkpoint.
    Raises UserError as `train` does, Stopped after a signal.
    """
    with distributed.main_first("reading the packed images"):
        if found:
            check_same_images(packed, found)
    rollbacks, best = 0, None
    with collect_stop_signals() as stop:
        while True:
            trainer = make_trainer(packed, config, on)
            if config.from_ and not found:
                load_networks(trainer, find_checkpoint(config.from_))
            state = load_state(trainer, run, found)
            trainer.rollbacks = max(trainer.rollbacks, rollbacks)
            best = best or best_to_resume(config, run, state)
            tasks = PeriodicTasks(trainer, packed, run, state, best)
            try:
                if found and _is_finished(tasks):
                    return found.path
                if found and not rollbacks:
                    announce_resume(config, run, found)
                return _run_steps(tasks, stop)
            except Diverged as error:
                # It may still be writing the newest one.
                with distributed.main_first("saving the diverged networks"):
                    found = latest_checkpoint(run, check_resumable)
                rollbacks = trainer.rollbacks + 1
                handle_divergence(error, config, run, found, rollbacks)
            del trainer, tasks
            gc.collect()  # torch keeps frames in cycles; two trainers may not fit in memory


def _run_steps(tasks: PeriodicTasks, stop: Sequence[int]) -> Path:
    """Train to the last step, until a signal arrives in `stop`, or until patience runs out."""
    trainer, config, run = tasks.trainer, tasks.config, tasks.run
    with tasks:
        batches = make_batches(trainer, tasks.packed)
        for _ in range(trainer.step, config.steps):
            with save_before_errors(lambda: _save_at_once(tasks)):
                of_step = [next(batches) for _ in range(config.d_steps)]
                held_out = trainer.held_out_batch()
            # Not saved after its errors: they leave the networks in the middle of a step.
            tasks.after_step(trainer.update(*of_step, held_out=held_out, stop=stop))
            # All processes leave after the same step, or some would wait for the others for ever.
            if trainer.stop_flag.is_set() and trainer.step < config.steps:
                _save_and_stop(tasks, stop)
            if tasks.out_of_patience():
                tasks.save()
                break
    tasks.best.announce(config.patience, run)
    return checkpoint_path(run, trainer.step)


def _save_and_stop(tasks: PeriodicTasks, stop: Sequence[int]) -> None:
    """Save the run, and raise Stopped with the signal that any of the processes has received."""
    trainer, config = tasks.trainer, tasks.config
    signum = distributed.max_over_processes(max(stop, default=0), trainer.device)
    tasks.save()
    with distributed.main_first("saving the run"):
        tasks.flush()
    command = "the same command"
    if config.fresh:
        command = f"the same without --fresh and with --out {tasks.run}"
    message = f"stopped after step {trainer.step} of {config.steps}; {command} resumes it"
    raise Stopped(signum, message)


def _is_finished(tasks: PeriodicTasks) -> bool:
    """Whether a resumed run has nothing left to do; says so on stderr."""
    config, best, step = tasks.config, tasks.best, tasks.trainer.step
    out_of_patience = best.out_of_patience(config.patience)
    if step < config.steps and not out_of_patience:
        return False
    if distributed.is_main():
        reason, option = f"done its {step} steps", "--steps"
        if out_of_patience:
            reason, option = f"run out of --patience {config.patience}", "--patience"
        print_lines(f"{tasks.run} has {reason}: raise {option} to train longer", file=sys.stderr)
    best.announce(config.patience, tasks.run)
    return True


def _save_at_once(tasks: PeriodicTasks) -> None:
    """Save the steps done, and wait until they are written."""
    tasks.save()
    tasks.flush()


@device.restored_settings()
def train(config: TrainConfig) -> Path:
    """Pack the images that `config` names, unless they are packed, and train on them.

    Returns the last checkpoint, in config.out/checkpoints. Under torchrun every process calls
    this, and rank 0 writes. Raises UserError for missing or unreadable data, a run folder of
    other networks or data, a full disk, too little memory, and non-finite numbers that --on-nan
    does not cure; UsageError for options that do not fit the data or the number of processes;
    Stopped, with everything saved, after Ctrl-C or SIGTERM.
    """
    require_options(config, TrainConfig, "train")
    if config.dry_run:
        raise UsageError("--dry-run is of the command line alone: print the TrainConfig instead")
    with distributed.process_group(device.select_device(config.device)) as on:
        check_batch_shares(config)
        if config.fresh:
            config = dataclasses.replace(config, out=new_run_folder(config.out, on))
        found = checkpoint_to_resume(config, config.out)
        config = dataclasses.replace(config, threads=choose_threads(config, found))
        device.configure_torch(config.threads)
        if config.from_ and not found:
            check_same_networks(config, find_checkpoint(config.from_))
        packed = open_images(config, found)
        check_shape(config, packed)
        graphs = ", or --no-cuda-graphs" if on.type == "cuda" else ""
        cure = f"a smaller --batch-size, --width or --size, or a larger --accumulate{graphs}"
        sharing = sharing_cpus() if on.type == "cpu" else nullcontext()
        with out_of_memory_errors(on.type, cure), sharing:
            return fit(config, packed, config.out, on, found)
