"""The tasks of a denoising run that recur every N steps: its scores and its picture."""

from typing import Any

import numpy as np

from dcgan.deconv.autoencoder.evaluation import NETWORK, compare_methods, report_levels
from dcgan.deconv.autoencoder.figure import draw_comparison
from dcgan.deconv.autoencoder.state import DenoisingState
from dcgan.deconv.autoencoder.trainer import DenoisingTrainer
from dcgan.deconv.training import NetworkTasks


class DenoisingTasks(NetworkTasks):
    """Logs the PSNR of held-out images at each noise level, and a picture of some."""

    State = DenoisingState
    trainer: DenoisingTrainer

    def evaluate(self) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        config = self.trainer.config
        found = compare_methods(
            self.trainer.network,
            self.packed,
            self.evaluated,
            config.corruption,
            report_levels(config),
            training=None,
        )
        psnr = zip(found.levels, found.psnr[NETWORK], strict=True)
        scores = {f"psnr/{level:g}": value for level, value in psnr}
        return scores, {"denoised": draw_comparison(found)}

    def state_fields(self) -> dict[str, Any]:
        network = self.trainer.network
        return {
            "size": network.size,
            "channels": network.channels,
            "frozen": network.frozen,
            "latent": network.decoder.latent,
        }
