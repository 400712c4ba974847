"""The contents of a training checkpoint as one object, and its conversion to tensors and back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dcgan.runs.checkpoint import require_count
from dcgan.runs.saved_state import SavedState
from dcgan.training.best_evaluation import BestEvaluation
from dcgan.training.monitoring import HealthMonitor

MAX_ROLLBACKS = 3

OptimizerOf = tuple[torch.optim.Optimizer, nn.Module]  # and the module that it updates


@dataclass(frozen=True)
class RunState(SavedState):
    """The state of a GAN's run after a step.

    `tensors` holds, by name:

    G.NAME, D.NAME, ema.NAME         NAME in the state dict of G, of D and of the averaged G
    opt_G.KEY.NAME, opt_D.KEY.NAME   KEY of Adam's state (step, exp_avg, exp_avg_sq), parameter NAME
    clipping_G.moment                0-dim: see `GradientClipping`; clipping_D.moment is that of D
    augment.p                        augmentation probability, 0-dim
    memorization.means               [3]: see `Memorization`; older runs have none
    sums.NAME                        sum of the scalar NAME over `summed_steps`, 0-dim
    labels.NAME                      conditional GANs: see `Labels.tensors`
    """

    labels: dict[str, Any] | None  # of a conditional GAN: see `Labels.header`
    rollbacks: int  # each has halved the learning rates
    health: dict[str, Any]  # see `HealthMonitor.state`
    best: dict[str, Any]  # the best evaluation so far, see `BestEvaluation.state`

    def _validate(self) -> None:
        super()._validate()
        require_count("rollbacks", self.rollbacks)
        require_count("d_steps", self.config["d_steps"])
        if type(self.config["conditional"]) is not bool:
            raise TypeError(f"conditional cannot be {self.config['conditional']!r}")
        if self.rollbacks > MAX_ROLLBACKS:
            raise ValueError(f"rollbacks cannot be {self.rollbacks}")
        p = self.tensors.get("augment.p")
        if p is None or p.shape != () or not p.is_floating_point() or not 0 <= p <= 1:
            raise ValueError("its augment.p is not a probability")
        for name in ("clipping_G.moment", "clipping_D.moment"):  # older runs have none
            moment = self.tensors.get(name)
            if moment is not None and (moment.shape != () or not 0 <= moment < torch.inf):
                raise ValueError(f"its {name} is not a sum of squares")
        means = self.tensors.get("memorization.means")
        if means is not None and (means.shape != (3,) or not means.isfinite().all()):
            raise ValueError("its memorization.means are no three means")
        HealthMonitor.from_state(self.health)
        BestEvaluation.from_state(self.best)


def named_tensors(
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, OptimizerOf],
) -> dict[str, Tensor]:
    """The tensors of modules and of optimizers, under their names in a checkpoint."""
    return {
        f"{prefix}.{name}": value
        for prefix, module in modules.items()
        for name, value in module.state_dict().items()
    } | {
        f"{prefix}.{key}.{name}": optimizer.state[parameter][key]
        for prefix, (optimizer, module) in optimizers.items()
        for name, parameter in _optimized(optimizer, module)
        for key in _state_names(optimizer)
    }


def load_tensors(
    state: SavedState,
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, OptimizerOf],
) -> None:
    """Copy the tensors of a state into modules and optimizers: the inverse of `named_tensors`.

    Raises ValueError for tensors of other names or shapes.
    """
    for prefix, module in modules.items():
        try:
            module.load_state_dict(state.section(f"{prefix}."))
        except RuntimeError as error:
            raise ValueError(str(error).splitlines()[-1].strip()) from error
    for prefix, (optimizer, module) in optimizers.items():
        saved = state.section(f"{prefix}.")
        for name, parameter in _optimized(optimizer, module):
            # The kernels trust these sizes: a wrong one would read beyond the tensor.
            for key in _state_names(optimizer):
                value = saved.get(f"{key}.{name}")
                shape = torch.Size() if key == "step" else parameter.shape
                if value is None or (value.shape, value.dtype) != (shape, torch.float32):
                    raise ValueError(f"its state of the optimizer does not fit {name}")
                optimizer.state[parameter][key] = _like(value, parameter)


def _state_names(optimizer: torch.optim.Optimizer) -> tuple[str, ...]:
    """What Adam or SGD keeps for each parameter."""
    if isinstance(optimizer, torch.optim.SGD):
        return ("momentum_buffer",)
    return ("step", "exp_avg", "exp_avg_sq")


def _optimized(
    optimizer: torch.optim.Optimizer, module: nn.Module
) -> list[tuple[str, nn.Parameter]]:
    """Those parameters of a module that an optimizer updates, by name."""
    updated = {id(tensor) for group in optimizer.param_groups for tensor in group["params"]}
    return [item for item in module.named_parameters() if id(item[1]) in updated]


def _like(value: Tensor, parameter: Tensor) -> Tensor:
    """On the device of the parameter, and channels last where that is."""
    value = value.to(parameter.device)
    return value if value.dim() < 4 else value.contiguous(memory_format=torch.channels_last)
