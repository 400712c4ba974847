"""The training loop of a denoising autoencoder."""

import dataclasses
import os
import sys
from contextlib import nullcontext
from pathlib import Path

import torch

from dcgan import sampling
from dcgan.config.denoising import DenoiseTrainConfig
from dcgan.config.validation import MIN_IMAGES, format_option, require_options
from dcgan.data import PackedImages, open_packed
from dcgan.deconv.autoencoder.batches import DenoisingLoader
from dcgan.deconv.autoencoder.loading import autoencoder_in
from dcgan.deconv.autoencoder.network import options_of_generator
from dcgan.deconv.autoencoder.resuming import (
    announce_resume,
    check_same_images,
    checkpoint_to_resume,
)
from dcgan.deconv.autoencoder.state import DenoisingState
from dcgan.deconv.autoencoder.tasks import DenoisingTasks
from dcgan.deconv.autoencoder.trainer import DenoisingTrainer
from dcgan.errors import UsageError, UserError
from dcgan.explore.encoder import save_encoder
from dcgan.networks import Generator
from dcgan.runs import checkpoint
from dcgan.runs.checkpoint import Checkpoint, damaged
from dcgan.runs.layout import checkpoint_path
from dcgan.runtime import device
from dcgan.runtime.cpu_sharing import sharing_cpus
from dcgan.runtime.memory import out_of_memory_errors
from dcgan.runtime.signals import Stopped, collect_stop_signals
from dcgan.runtime.terminal import print_lines
from dcgan.training.image_loader import save_before_errors
from dcgan.training.preparation import choose_threads

ENCODER_FILE = "encoder.safetensors"  # in the run folder, for `dcgan invert --encoder`


@device.restored_settings()
def train(config: DenoiseTrainConfig) -> Path:
    """Train a denoising autoencoder on the packed images that `config` names.

    Returns the last checkpoint, in config.out/checkpoints. Around the generator of a GAN
    (config.decoder), the encoder is written to ENCODER_FILE in config.out as well. Raises UserError
    for missing or unreadable data, a run folder of other networks or data, a full disk, too little
    memory, and a loss that is not finite; UsageError for options that do not fit the data; Stopped,
    with everything saved, after Ctrl-C or SIGTERM.
    """
    require_options(config, DenoiseTrainConfig, "train")
    if config.data is None:
        raise UsageError("--data: name a packed folder; `dcgan prepare` makes one from raw images")
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise UsageError("denoise train runs in one process: start it without torchrun")
    on = device.select_device(config.device)
    found = checkpoint_to_resume(config)
    packed = open_packed(config.data)
    if len(packed) < MIN_IMAGES:
        raise UserError(f"{packed.folder}: {len(packed)} images are too few, {MIN_IMAGES} are not")
    if found:
        check_same_images(packed, found)
    decoder = None
    if config.decoder is not None:
        decoder = autoencoder_in(found, on).decoder if found else _open_decoder(config, packed, on)
        config = _with_options_of(decoder, config)
    config = dataclasses.replace(config, threads=choose_threads(config, found))
    device.configure_torch(config.threads)
    cure = "a smaller --batch-size, --width or --code-dim"
    sharing = sharing_cpus() if on.type == "cpu" else nullcontext()
    with out_of_memory_errors(on.type, cure), sharing:
        last = fit(config, packed, on, found, decoder)
    if decoder is not None:
        encoder = autoencoder_in(checkpoint.read(last, checkpoint.DENOISER)).encoder
        save_encoder(config.out / ENCODER_FILE, encoder, decoder)
    return last


def fit(
    config: DenoiseTrainConfig,
    packed: PackedImages,
    on: torch.device,
    found: Checkpoint | None,
    decoder: Generator | None = None,
) -> Path:
    """Train in config.out, from the checkpoint `found` if there is one; return the last one.

    `decoder`: the generator of a GAN that is the decoder. Raises as `train`.
    """
    with collect_stop_signals() as stop:
        trainer = DenoisingTrainer(config, packed.size, packed.channels, on, decoder)
        state = _load_state(trainer, found) if found else None
        if found and trainer.step >= config.steps:
            line = f"{config.out} has done its {trainer.step} steps: raise --steps to train longer"
            print_lines(line, file=sys.stderr)
            return found.path
        if found:
            announce_resume(config, found)
        with DenoisingTasks(trainer, packed, state) as tasks:
            batches = DenoisingLoader(packed, config, on).starting_at(trainer.step)
            batches = save_before_errors(batches, tasks.save_at_once)
            for _, batch in zip(range(trainer.step, config.steps), batches):  # noqa: B905 (endless)
                tasks.after_step(trainer.update(batch))
                if stop and trainer.step < config.steps:
                    tasks.save_at_once()
                    done = f"stopped after step {trainer.step} of {config.steps}"
                    raise Stopped(stop[0], f"{done}; the same command resumes it")
    return checkpoint_path(config.out, trainer.step)


def _load_state(trainer: DenoisingTrainer, found: Checkpoint) -> DenoisingState:
    """Load a checkpoint into a new trainer; return its state."""
    state = DenoisingState.from_checkpoint(found)
    try:
        trainer.load(state)
    except ValueError as error:
        raise damaged(found.path, error) from error
    return state


def _open_decoder(config: DenoiseTrainConfig, packed: PackedImages, on: torch.device) -> Generator:
    """The generator that becomes the decoder. Raises UsageError unless it fits."""
    assert config.decoder is not None
    G = sampling.load(config.decoder, device=on)
    if G.labels is not None:
        raise UsageError(f"--decoder {config.decoder}: a conditional generator needs labels too")
    if (G.size, G.channels) != (packed.size, packed.channels):
        raise UsageError(
            f"--decoder {config.decoder}: it makes images of {G.size} pixels and {G.channels} "
            f"channels, and those in {packed.folder} have {packed.size} and {packed.channels}"
        )
    return G


def _with_options_of(G: Generator, config: DenoiseTrainConfig) -> DenoiseTrainConfig:
    """The options of the networks around G. Raises UsageError where others were asked for."""
    options = options_of_generator(G)
    del options["size"], options["channels"]
    for name, value in options.items():
        asked = getattr(config, name)
        if asked not in (value, getattr(DenoiseTrainConfig, name)):
            raise UsageError(
                f"{format_option(name, asked)}: the generator of --decoder has {value}; leave it "
                f"out"
            )
    return dataclasses.replace(config, **options)
