"""The contents of a training checkpoint as one object, and its conversion to tensors and back."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor, nn

from dcgan.runs.checkpoint import Checkpoint, damaged, require_count, require_number
from dcgan.training.best_evaluation import BestEvaluation
from dcgan.training.monitoring import HealthMonitor

MAX_ROLLBACKS = 3
_ADAM_STATE = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class RunState:
    """Everything that a run needs to continue bit for bit as if it had never stopped.

    The header of the checkpoint is a JSON object with every field but `tensors`.
    """

    step: int  # training steps done
    config: dict[str, Any]  # the options of the run, see `config_to_dict`
    data: str  # fingerprint of the training images
    labels: dict[str, Any] | None  # of a conditional GAN: see `Labels.header`
    rollbacks: int  # each has halved the learning rates
    seconds: float  # spent on training, over all restarts
    metrics: dict[str, float]  # the last line of the log
    summed_steps: int  # steps since that line, whose scalars are added up in "sums."
    health: dict[str, Any]  # see `HealthMonitor.state`
    best: dict[str, Any]  # the best evaluation so far, see `BestEvaluation.state`
    tensors: Mapping[str, Tensor] = field(repr=False)
    """By name:

    G.NAME, D.NAME, ema.NAME         NAME in the state dict of G, of D and of the averaged G
    opt_G.KEY.NAME, opt_D.KEY.NAME   KEY of Adam's state (step, exp_avg, exp_avg_sq), parameter NAME
    augment.p                        augmentation probability, 0-dim
    sums.NAME                        sum of the scalar NAME over `summed_steps`, 0-dim
    labels.NAME                      conditional GANs: see `Labels.tensors`
    """

    def header(self) -> dict[str, Any]:
        """The fields that the header of the checkpoint holds, as JSON can hold them."""
        return {name: getattr(self, name) for name in _HEADER}

    @classmethod
    def from_checkpoint(cls, found: Checkpoint) -> "RunState":
        """Read all of a checkpoint. Raises UserError unless training can continue from it."""
        try:
            header = {name: found.header[name] for name in _HEADER}
            state = cls(**header, tensors=found.tensors(""))
            state._validate()
        except KeyError as error:
            raise damaged(found.path, f"its header lacks {error}") from error
        except (ValueError, TypeError) as error:
            raise damaged(found.path, error) from error
        return state

    def section(self, prefix: str) -> dict[str, Tensor]:
        """The tensors under a prefix, without it in their names."""
        return {
            name.removeprefix(prefix): value
            for name, value in self.tensors.items()
            if name.startswith(prefix)
        }

    def _validate(self) -> None:
        """Raise TypeError, ValueError or KeyError for values that no run has saved."""
        for name in ("step", "rollbacks", "summed_steps"):
            require_count(name, getattr(self, name))
        for name in ("seed", "batch_size", "d_steps"):
            require_count(name, self.config[name])
        if type(self.config["conditional"]) is not bool:
            raise TypeError(f"conditional cannot be {self.config['conditional']!r}")
        if self.rollbacks > MAX_ROLLBACKS:
            raise ValueError(f"rollbacks cannot be {self.rollbacks}")
        require_number("seconds", self.seconds)
        if not 0 <= self.seconds < math.inf:
            raise ValueError(f"seconds cannot be {self.seconds!r}")
        if not isinstance(self.data, str):
            raise TypeError(f"data cannot be {self.data!r}")
        if not isinstance(self.metrics, dict):
            raise TypeError(f"metrics cannot be {self.metrics!r}")
        for name, value in self.metrics.items():
            require_number(name, value)
        for name, total in self.section("sums.").items():
            if total.shape != () or not total.is_floating_point():
                raise ValueError(f"its sum of {name} is not a number")
        p = self.tensors.get("augment.p")
        if p is None or p.shape != () or not p.is_floating_point() or not 0 <= p <= 1:
            raise ValueError("its augment.p is not a probability")
        HealthMonitor.from_state(self.health)
        BestEvaluation.from_state(self.best)


_HEADER = tuple(field.name for field in fields(RunState) if field.name != "tensors")


def named_tensors(
    modules: Mapping[str, nn.Module], optimizers: Mapping[str, tuple[torch.optim.Adam, nn.Module]]
) -> dict[str, Tensor]:
    """The tensors of modules and of the Adams of modules, under their names in a checkpoint."""
    return {
        f"{prefix}.{name}": value
        for prefix, module in modules.items()
        for name, value in module.state_dict().items()
    } | {
        f"{prefix}.{key}.{name}": optimizer.state[parameter][key]
        for prefix, (optimizer, module) in optimizers.items()
        for name, parameter in module.named_parameters()
        for key in _ADAM_STATE
    }


def load_tensors(
    state: RunState,
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, tuple[torch.optim.Adam, nn.Module]],
) -> None:
    """Copy the tensors of a state into modules and Adams: the inverse of `named_tensors`.

    Raises ValueError for tensors of other names or shapes.
    """
    for prefix, module in modules.items():
        try:
            module.load_state_dict(state.section(f"{prefix}."))
        except RuntimeError as error:
            raise ValueError(str(error).splitlines()[-1].strip()) from error
    for prefix, (optimizer, module) in optimizers.items():
        saved = state.section(f"{prefix}.")
        for name, parameter in module.named_parameters():
            # Adam's kernels trust these sizes: a wrong one would read beyond the tensor.
            for key in _ADAM_STATE:
                value = saved.get(f"{key}.{name}")
                shape = torch.Size() if key == "step" else parameter.shape
                if value is None or (value.shape, value.dtype) != (shape, torch.float32):
                    raise ValueError(f"its state of Adam does not fit {name}")
                optimizer.state[parameter][key] = _like(value, parameter)


def _like(value: Tensor, parameter: Tensor) -> Tensor:
    """On the device of the parameter, and channels last where that is."""
    value = value.to(parameter.device)
    return value if value.dim() < 4 else value.contiguous(memory_format=torch.channels_last)
