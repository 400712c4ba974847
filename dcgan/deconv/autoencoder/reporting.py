"""`dcgan denoise evaluate`: the table of PSNR and the picture of examples."""

import numpy as np

from dcgan import images
from dcgan.config.denoising import DenoiseEvaluateConfig
from dcgan.config.validation import require_options
from dcgan.data import PackedImages, is_packed, open_packed
from dcgan.deconv.autoencoder.evaluation import Comparison, compare_methods, report_levels
from dcgan.deconv.autoencoder.figure import draw_comparison
from dcgan.deconv.autoencoder.loading import autoencoder_in
from dcgan.deconv.autoencoder.state import DenoisingState
from dcgan.deconv.training.held_out import hold_out
from dcgan.errors import UserError
from dcgan.explore.outputs import check_outputs
from dcgan.runs.checkpoint import DENOISER, Checkpoint
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.runtime import device as devices
from dcgan.runtime.cpu_sharing import sharing_cpus


def evaluate(config: DenoiseEvaluateConfig) -> Comparison:
    """Compare the autoencoder of a run with the baselines, and write the picture of examples.

    Raises UserError for files that are missing or do not fit each other.
    """
    require_options(config, DenoiseEvaluateConfig, "evaluate")
    check_outputs((config.out,), (config.run,))
    devices.reuse_freed_memory()
    found = find_checkpoint(config.run, DENOISER)
    network = autoencoder_in(found, config.device)
    packed, rows, training = _choose_images(config, found)
    if (packed.size, packed.channels) != (network.size, network.channels):
        raise UserError(
            f"the images in {packed.folder} have {packed.size} pixels and {packed.channels} "
            f"channels, and those of {config.run} {network.size} and {network.channels}"
        )
    trained = DenoisingState.config_in(found)
    with sharing_cpus():
        comparison = compare_methods(
            network,
            packed,
            rows,
            config.corruption or trained.corruption,
            config.noise_levels or report_levels(trained),
            training,
        )
    images.save_png(config.out, draw_comparison(comparison))
    return comparison


def _choose_images(
    config: DenoiseEvaluateConfig, found: Checkpoint
) -> tuple[PackedImages, np.ndarray, tuple[PackedImages, np.ndarray]]:
    """The images to measure on, and those that the baselines are fitted to: not the same ones."""
    trained = DenoisingState.config_in(found)
    own = None
    if trained.data is not None and is_packed(trained.data):
        opened = open_packed(trained.data)
        own = opened if opened.fingerprint == found.header["data"] else None
    packed = own if config.data is None else open_packed(config.data)
    if packed is None:
        raise UserError(
            f"{trained.data} does not hold the images that {found.path} was trained on: give --data"
        )
    if packed.fingerprint == found.header["data"]:
        fitted, held_out = hold_out(len(packed), trained.held_out, trained.seed)
        return packed, held_out[: config.images], (packed, fitted)
    if own is not None:
        fitted, _ = hold_out(len(own), trained.held_out, trained.seed)
        rows = np.linspace(0, len(packed) - 1, min(len(packed), config.images)).astype(int)
        return packed, rows, (own, fitted)
    if len(packed) < 10:
        raise UserError(f"{packed.folder}: {len(packed)} images are too few to fit PCA to")
    fitted, rows = hold_out(len(packed), config.images, seed=0)
    return packed, rows, (packed, fitted)
