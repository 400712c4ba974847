"""The training step of a single network, and what it is made of."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from dcgan.config.network_training import NetworkTrainConfig
from dcgan.runs.saved_state import SavedState
from dcgan.training.optimizer import gradients, lr_factor, optimizer_step, set_lr
from dcgan.training.run_state import load_tensors, named_tensors

Batch = TypeVar("Batch")

_STREAM = 8  # number of a random stream, see `training.image_loader`


def training_step(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss_of: Callable[[], Tensor],
    found_non_finite: Tensor,
) -> dict[str, Tensor]:
    """Update a network by the gradient of a loss.

    `found_non_finite`, 0-dim, becomes 1 in the first step whose loss or gradient is not finite;
    from then on the network stays as it was. Returns scalars on the device.
    """
    optimizer.zero_grad()
    loss = loss_of()
    loss.backward()
    norm = torch.nn.utils.get_total_norm(gradients(network))
    found_non_finite.masked_fill_(~(loss.detach() + norm).isfinite(), 1.0)
    optimizer_step(optimizer, skip=found_non_finite)
    return {"loss": loss.detach(), "grad_norm": norm}


class NetworkTrainer(ABC, Generic[Batch]):
    """A network, its optimizer, and the training step.

    Attributes: `network`; `trained`, the part of it that the optimizer updates; `optimizer`;
    `step`, the number of steps done.
    """

    def __init__(
        self,
        config: NetworkTrainConfig,
        network: nn.Module,
        trained: nn.Module,
        optimizer: torch.optim.Optimizer,
    ):
        self.config, self.step = config, 0
        self.network, self.trained, self.optimizer = network, trained, optimizer
        self.device = next(network.parameters()).device
        self.found_non_finite = torch.zeros((), device=self.device)

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """The loss of a batch, 0-dim."""

    @abstractmethod
    def modules(self) -> dict[str, nn.Module]:
        """The parts of the network by their names in a checkpoint."""

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """One step. Returns scalars on the device.

        It sets the seed of torch's random numbers, so that dropout is a function of the step.
        """
        config = self.config
        set_lr(self.optimizer, config.lr * lr_factor(self.step / config.steps, config.lr_decay))
        self.network.train()
        torch.manual_seed(_step_seed(config.seed, self.step))  # of dropout
        scalars = training_step(
            self.trained, self.optimizer, lambda: self.loss(batch), self.found_non_finite
        )
        self.step += 1
        return scalars

    def tensors(self) -> dict[str, Tensor]:
        """All that a resumed trainer needs, under the names of its state; no copies."""
        return named_tensors(self.modules(), self._optimizers())

    def load(self, state: SavedState) -> None:
        """Continue from the state of a run. Raises ValueError for tensors of other networks."""
        load_tensors(state, self.modules(), self._optimizers())
        self.step = state.step

    def _optimizers(self) -> dict[str, tuple[torch.optim.Optimizer, nn.Module]]:
        return {"optimizer": (self.optimizer, self.trained)}


def _step_seed(seed: int, step: int) -> int:
    return int(np.random.SeedSequence([seed, _STREAM, step]).generate_state(1, np.uint64)[0])
