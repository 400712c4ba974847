"""Pictures in TensorBoard."""

from pathlib import Path

import numpy as np

from dcgan import images
from dcgan.config import VisualizeConfig
from dcgan.runs.tensorboard import EventFileWriter
from dcgan.runtime.disk import disk_errors, make_folder

# A run of its own: TensorBoard follows only the newest file of a folder, and would not see what a
# training that is going on adds to its own.
_FOLDER = "visualize"
_NEVER = 2**62  # the step from which earlier pictures are dropped


def log_picture(config: VisualizeConfig, picture: np.ndarray, step: int) -> Path:
    """Add a picture, uint8 [H, W, 3], to TensorBoard's images in the folder `config.log`.

    Returns the file that was written. Raises UserError if writing fails.
    """
    folder = log_folder(config)
    assert folder is not None
    with disk_errors(folder):
        make_folder(folder)
        events = EventFileWriter(folder, purge_step=_NEVER)
        events.add_image(step, picture_tag(config), picture.shape, images.encode_png(picture))
    return events.path


def log_folder(config: VisualizeConfig) -> Path | None:
    """The folder that the picture is logged in; None where it is not."""
    return None if config.log is None else config.log / _FOLDER


def picture_tag(config: VisualizeConfig) -> str:
    """The name of the picture: its network, kind and layer, such as "D/deconvnet/4"."""
    network = config.network or config.of
    kind = (
        "filters"
        if config.filters
        else "maps"
        if config.of == "G"
        else "occlusion"
        if config.occlusion
        else config.method
    )
    parts = [network, *(["random"] if config.random else []), kind]
    if not config.filters:
        parts.append(config.layer or "default")
    return "/".join(parts)
