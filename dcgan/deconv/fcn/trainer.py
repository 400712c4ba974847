"""The training step of a segmentation network, and what it is made of."""

import threading

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dcgan.config.segmentation import SegmentTrainConfig
from dcgan.data import IGNORED
from dcgan.deconv.fcn.batches import SegmentationBatch
from dcgan.deconv.fcn.building import new_fcn
from dcgan.deconv.fcn.loading import fcn_in
from dcgan.deconv.fcn.network import FCN
from dcgan.deconv.training import NetworkTrainer
from dcgan.errors import UsageError
from dcgan.runs.checkpoint import Checkpoint
from dcgan.training.eager_optimizers import SGD, Adam

_BIAS_LR_FACTOR = 2.0  # Long et al. 2015, section 4.3
_building = threading.Lock()  # torch's random numbers are of all threads


class SegmentationTrainer(NetworkTrainer[SegmentationBatch]):
    """A fully convolutional network, its optimizer, and the training step."""

    config: SegmentTrainConfig
    network: FCN

    def __init__(
        self,
        config: SegmentTrainConfig,
        size: int,
        channels: int,
        classes: int,
        class_weights: Tensor | None,
        device: torch.device,
        found: Checkpoint | None = None,
    ):
        """`size` and `channels` of the images; `class_weights` [classes] in the loss, None for
        equal ones. `found`: the checkpoint that is resumed, whose network is taken instead of a new
        one, so that config.weights may be gone.

        Raises as `new_fcn`, and UsageError where batch norm would get a single value.
        """
        if found is None:
            with _building, torch.random.fork_rng(devices=[]):
                torch.manual_seed(config.seed)
                network, self.architecture = new_fcn(config, size, channels, classes)
        else:
            network, self.architecture = fcn_in(found), found.header["architecture"]
            if config.freeze:
                network.backbone.freeze()
        side = config.crop or size
        _check_batch_norm(network, config.batch_size, side)
        network = network.to(device).to(memory_format=torch.channels_last)
        super().__init__(config, network, network, make_optimizer(network, config, side))
        self.class_weights = None if class_weights is None else class_weights.to(device)

    def loss(self, batch: SegmentationBatch) -> Tensor:
        """The cross-entropy of the pixels that are not ignored, its mean or its sum."""
        return segmentation_loss(
            self.network(batch.real), batch.mask, self.class_weights, self.config.loss_sum
        )

    def modules(self) -> dict[str, nn.Module]:
        return {"fcn": self.network}


def _check_batch_norm(network: FCN, batch_size: int, side: int) -> None:
    """Raise UsageError where batch norm would get one value of each map, which has no variance."""
    trained = any(isinstance(m, _BatchNorm) and m.training for m in network.modules())
    if trained and batch_size == 1 and network.backbone.map_sides(side)[-1] == 1:
        raise UsageError(
            f"--batch-size 1: the deepest map of {side}x{side} pixels is 1x1, too small for batch "
            f"norm: take 2 or more, or larger images"
        )


def segmentation_loss(
    logits: Tensor, masks: Tensor, class_weights: Tensor | None = None, add_up: bool = False
) -> Tensor:
    """The softmax cross-entropy of logits [N, classes, H, W] for the classes [N, H, W], over the
    pixels that are not IGNORED: their mean, weighted by the classes, or their sum.
    """
    total = F.cross_entropy(logits, masks, class_weights, ignore_index=IGNORED, reduction="sum")
    if add_up:
        return total
    known = masks != IGNORED
    if class_weights is None:
        weight = known.sum()
    else:
        weight = class_weights[masks.where(known, 0)].mul(known).sum()
    return total / weight.clamp_min(1e-12)  # all may be ignored


def balancing_weights(frequencies: Tensor) -> Tensor:
    """The median of the frequencies of all classes divided by each (Eigen and Fergus 2015, section
    4.3.3); 0 for classes that do not occur.
    """
    found = frequencies > 0
    weights = frequencies[found].median() / frequencies.clamp_min(1e-12)
    return weights.where(found, 0).float()


def make_optimizer(
    network: nn.Module, config: SegmentTrainConfig, side: int
) -> torch.optim.Optimizer:
    """The optimizer of all parameters that are trained, for images of `side` pixels.

    The gradient of a summed loss grows with the pixels of a batch, so that sgd's learning rate is
    divided by their number. Adam's steps do not depend on the scale of the gradient.
    """
    trained = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    if config.optimizer == "adam":
        return Adam([p for _, p in trained], fused=True)
    factor = 1 / (config.batch_size * side**2) if config.loss_sum else 1.0
    biases = [p for name, p in trained if name.endswith("bias")]
    weights = [p for name, p in trained if not name.endswith("bias")]
    groups = [
        {"params": weights, "weight_decay": config.weight_decay, "lr_factor": factor},
        {"params": biases, "weight_decay": 0.0, "lr_factor": _BIAS_LR_FACTOR * factor},
    ]
    used = [group for group in groups if group["params"]]
    return SGD(used, momentum=config.momentum, fused=True)
