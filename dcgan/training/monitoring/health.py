"""Signs of failed training in the logged numbers, and messages that say what to try."""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from dcgan.runs.checkpoint import require_count, require_number

# A rule must hold at so many consecutive lines of the log and over so many steps, so that a few
# bad batches are not reported.
MIN_LINES, MIN_STEPS = 5, 200
_WARM_UP_STEPS = 500  # during which G may not have learnt any diversity yet


class HealthRule(NamedTuple):
    """A sign of failure: a condition on the means of one line of the log, and what to report.

    A mean that is missing is nan, so that no comparison with it holds. The message is formatted
    with the means and `since`, the step from which the condition has held.
    """

    condition: Callable[[Mapping[str, float]], bool]
    message: str
    after_warm_up: bool = False
    """Whether the rule is ignored in the first _WARM_UP_STEPS steps."""


HEALTH_RULES = {
    "D wins": HealthRule(
        lambda v: (
            min(v["accuracy_real"], v["accuracy_fake"]) > 0.99
            and (v["D_fake"] < 0.02 or v["loss_D"] < 0.03 * v["loss_at_chance"])
        ),
        "D is almost never wrong: it recognises {accuracy_real:.1%} of the real images and "
        "{accuracy_fake:.1%} of the fakes, so that G learns little from it. Try a higher --r1 and "
        "--r2, a lower --lr-D or a higher --lr-G; with few images --augment-p adaptive.",
    ),
    "D is blind": HealthRule(
        lambda v: abs(v["D_real"] - v["D_fake"]) < 1e-4,
        "D gives real and fake images the same output, {D_real:.3f}, so that G has nothing to "
        "learn from. Start again with another --lr-D.",
    ),
    "D has diverged": HealthRule(
        lambda v: v["loss_D"] > 3 * v["loss_at_chance"],
        "D has diverged: its loss is {loss_D:.3g}, and guessing would give {loss_at_chance:.3g}. "
        "Start again with a lower --lr-D.",
    ),
    "D memorises": HealthRule(
        lambda v: v["memorization"] > 0.7,
        "D memorises the training images: it scores held-out ones {memorization:.0%} of the way "
        "from training images to fakes. More images help, and --augment-p adaptive; --eval-every "
        "and --patience end the run in time.",
    ),
    "G makes one image": HealthRule(
        lambda v: v["diversity"] < 0.1,
        "G has collapsed to one image: its images differ by {diversity:.1%} of what real ones do. "
        "Such runs seldom recover: start again with a lower --lr-G, a larger --batch-size or "
        "--loss relativistic with its --r1 and --r2.",
        after_warm_up=True,
    ),
    "G makes few images": HealthRule(
        lambda v: v["nearest"] < 0.25 and v["diversity"] >= 0.1,
        "G has collapsed to a few images: the nearest other fake is {nearest:.1%} as far away as "
        "among real images. Start again with a lower --lr-G, a larger --batch-size or --loss "
        "relativistic with its --r1 and --r2.",
        after_warm_up=True,
    ),
    "G does not change": HealthRule(
        lambda v: v["update_G"] < 1e-6 * v["lr_factor"],
        "G has not changed since step {since}: a step changes its weights by {update_G:.1g} of "
        "their norm. Try a higher --lr-G; if that does not help, start again.",
    ),
    "D does not change": HealthRule(
        lambda v: v["update_D"] < 1e-6 * v["lr_factor"],
        "D has not changed since step {since}: a step changes its weights by {update_D:.1g} of "
        "their norm. Try a higher --lr-D.",
    ),
    "tanh saturates": HealthRule(
        lambda v: v["saturated_fake"] - v["saturated_real"] > 0.3,
        "tanh saturates: {saturated_fake:.0%} of the values of G's images lie at the ends of the "
        "range, where gradients vanish, and {saturated_real:.0%} of the values of real images. "
        "Start again with a lower --lr-G.",
    ),
    "the average lags": HealthRule(
        lambda v: v["ema_distance"] > 0.5,
        "The averaged G, which is sampled, is far from G: {ema_distance:.0%} of the norm of its "
        "weights. Try a shorter --ema-images or a lower --lr-G; `sample --raw` shows G itself.",
    ),
    "gradients of G explode": HealthRule(
        lambda v: v["grad_norm_G"] > 100 * v["initial_grad_norm_G"],
        "The gradients of G explode: their norm is {grad_norm_G:.3g}, and was at most "
        "{initial_grad_norm_G:.3g} at first. Try a lower --lr-D and --lr-G.",
    ),
    "gradients of D explode": HealthRule(
        lambda v: v["grad_norm_D"] > 100 * v["initial_grad_norm_D"],
        "The gradients of D explode: their norm is {grad_norm_D:.3g}, and was at most "
        "{initial_grad_norm_D:.3g} at first. Try a lower --lr-D and --lr-G, or another --r1 and "
        "--r2.",
    ),
}


class HealthMonitor:
    """Reads the lines of the log one by one and reports each sign of failure once in a run.

    Beside the logged means a line has `loss_at_chance`, the loss of a D that guesses, and
    `lr_factor`, by which --lr-decay has multiplied the learning rates.
    """

    def __init__(self) -> None:
        self.reported: list[str] = []
        """Names of the rules that have been reported."""
        self.holding: dict[str, list[int]] = {}
        """Rules that hold now: at how many consecutive lines, and from which step on."""
        self.initial_norms: dict[str, float] = {}
        """The largest gradient norms in the first MIN_STEPS steps."""

    def state(self) -> dict[str, Any]:
        """Everything that an equal monitor needs, as JSON can hold it."""
        return {
            "reported": [*self.reported],
            "holding": {name: [*since] for name, since in self.holding.items()},
            "initial_norms": {**self.initial_norms},
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "HealthMonitor":
        """The inverse of `state`. Raises TypeError or ValueError for other values."""
        monitor = cls()
        kinds = {name: type(value) for name, value in monitor.state().items()}
        if {name: type(value) for name, value in dict(state).items()} != kinds:
            raise TypeError(f"health is no object of {', '.join(kinds)}")
        for name in state["reported"]:
            if not isinstance(name, str):
                raise TypeError(f"a health rule cannot be {name!r}")
            monitor.reported.append(name)
        for name, (lines, since) in state["holding"].items():
            require_count(f"the lines at which {name} holds", lines)
            require_count(f"the step since which {name} holds", since)
            monitor.holding[name] = [lines, since]
        for name, norm in state["initial_norms"].items():
            require_number(f"the initial {name}", norm)
            monitor.initial_norms[name] = norm
        return monitor

    def check(self, step: int, means: Mapping[str, float]) -> list[str]:
        """Take in the means of one line of the log; return the messages to report now."""
        for name in ("grad_norm_G", "grad_norm_D"):
            if step <= MIN_STEPS or name not in self.initial_norms:
                norms = self.initial_norms.get(name, 0.0), means.get(name, math.nan)
                self.initial_norms[name] = max(norms)
        values = defaultdict(lambda: math.nan, {"lr_factor": 1.0, **means})
        values |= {f"initial_{name}": norm for name, norm in self.initial_norms.items()}
        messages = []
        for name, rule in HEALTH_RULES.items():
            if (rule.after_warm_up and step <= _WARM_UP_STEPS) or not rule.condition(values):
                self.holding.pop(name, None)
                continue
            lines, since = self.holding.get(name, (0, step))
            self.holding[name] = [lines + 1, since]
            enough = lines + 1 >= MIN_LINES and step - since >= MIN_STEPS
            if enough and name not in self.reported:
                self.reported.append(name)
                messages.append(rule.message.format_map({**values, "since": since}))
        return messages
