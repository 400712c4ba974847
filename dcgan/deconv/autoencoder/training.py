"""Training of a denoising autoencoder."""

import dataclasses
from pathlib import Path

import torch

from dcgan import sampling
from dcgan.config.denoising import DenoiseTrainConfig
from dcgan.config.validation import format_option, require_options
from dcgan.data import PackedImages
from dcgan.deconv.autoencoder.batches import DenoisingLoader
from dcgan.deconv.autoencoder.loading import autoencoder_in
from dcgan.deconv.autoencoder.network import options_of_generator
from dcgan.deconv.autoencoder.state import DenoisingState
from dcgan.deconv.autoencoder.tasks import DenoisingTasks
from dcgan.deconv.autoencoder.trainer import DenoisingTrainer
from dcgan.deconv.training import Training, train_network
from dcgan.errors import UsageError, UserError
from dcgan.explore.encoder import save_encoder
from dcgan.networks import Generator
from dcgan.networks.weights_hash import weights_hash
from dcgan.runs import checkpoint
from dcgan.runs.checkpoint import DENOISER, Checkpoint
from dcgan.runs.checkpoint_folder import latest_checkpoint

ENCODER_FILE = "encoder.safetensors"  # in the run folder, for `dcgan invert --encoder`


def train(config: DenoiseTrainConfig) -> Path:
    """Train a denoising autoencoder on the packed images that `config` names, or resume the run in
    config.out.

    Around the generator of a GAN (config.decoder), the encoder is written to ENCODER_FILE in
    config.out as well. Returns the last checkpoint, and raises as `train_network`.
    """
    require_options(config, DenoiseTrainConfig, "train")
    decoder = _open_decoder(config)
    if decoder is not None:
        config = _with_options_of(decoder, config)

    def make_training(
        config: DenoiseTrainConfig, packed: PackedImages, on: torch.device, found: Checkpoint | None
    ) -> Training:
        if decoder is not None:
            _check_shape(decoder, config, packed)
        trainer = DenoisingTrainer(config, packed.size, packed.channels, on, decoder)
        return Training(trainer, DenoisingLoader(packed, config, on))

    cure = "a smaller --batch-size, --width or --code-dim"
    last = train_network(config, DenoisingTasks, make_training, cure)
    if decoder is not None:
        encoder = autoencoder_in(checkpoint.read(last, DENOISER)).encoder
        save_encoder(config.out / ENCODER_FILE, encoder, decoder)
    return last


def _open_decoder(config: DenoiseTrainConfig) -> Generator | None:
    """The generator of a GAN that is the decoder; None for a new one.

    That of a run which is resumed is in its checkpoint: the GAN may have trained on, or be gone.
    Raises UsageError for a conditional generator, and UserError for another than that of the run.
    """
    found = latest_checkpoint(config.out, kind=DENOISER)
    if found:
        begun = DenoisingState.config_in(found).decoder
        if (config.decoder is None) != (begun is None):
            state = "without" if begun is None else "with"
            advice = "do so, or use another --out"
            raise UserError(f"{found.path} was trained {state} --decoder: {advice}")
        if begun is None:
            return None
        decoder = autoencoder_in(found).decoder
        if config.decoder in (begun, None):
            return decoder
    if config.decoder is None:
        return None
    G = sampling.load(config.decoder)
    if found and weights_hash(G) != weights_hash(decoder):
        raise UserError(
            f"{found.path} was trained with --decoder {begun}, and {config.decoder} holds another "
            f"generator: use another --out"
        )
    if G.labels is not None:
        raise UsageError(f"--decoder {config.decoder}: a conditional generator needs labels too")
    return G


def _check_shape(G: Generator, config: DenoiseTrainConfig, packed: PackedImages) -> None:
    """Raise UsageError unless the images are of the size and channels of those of G."""
    if (G.size, G.channels) != (packed.size, packed.channels):
        raise UsageError(
            f"--decoder {config.decoder}: it makes images of {G.size} pixels and {G.channels} "
            f"channels, and those in {packed.folder} have {packed.size} and {packed.channels}"
        )


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
