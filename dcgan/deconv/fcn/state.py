"""The contents of a checkpoint of a segmentation network."""

from dataclasses import dataclass
from typing import Any, ClassVar

from dcgan.config.segmentation import SegmentTrainConfig
from dcgan.deconv.training import NetworkState
from dcgan.runs.checkpoint import SEGMENTER


@dataclass(frozen=True)
class SegmentationState(NetworkState):
    """The state of a run after a step.

    `tensors` holds, by name:

    fcn.NAME             NAME in the state dict of the network
    optimizer.KEY.NAME   KEY of the optimizer's state (Adam: step, exp_avg, exp_avg_sq; SGD:
                         momentum_buffer), trained parameter NAME of the network
    sums.NAME            sum of the scalar NAME over `summed_steps`, 0-dim
    """

    kind: ClassVar[str] = SEGMENTER
    config_class: ClassVar[type[SegmentTrainConfig]] = SegmentTrainConfig
    fixed: ClassVar[tuple[str, ...]] = (
        *("backbone", "weights", "width", "stride", "freeze", "optimizer", "train_images"),
        *("seed", "batch_size", "held_out"),
    )

    architecture: dict[str, Any]  # of the network, see `building.new_fcn`
    mask_names: list[str]  # of the classes
    size: int  # of the images
    channels: int  # of the images

    def _validate(self) -> None:
        super()._validate()
        for name, kind in (("size", int), ("channels", int), ("architecture", dict)):
            if type(getattr(self, name)) is not kind:
                raise TypeError(f"{name} cannot be {getattr(self, name)!r}")
        names = self.mask_names
        if not (isinstance(names, list) and names and all(isinstance(n, str) for n in names)):
            raise TypeError("its mask_names are no names")
