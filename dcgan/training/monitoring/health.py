"""What the logged numbers say about a run, in plain sentences with what to try."""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import NamedTuple

# A rule must hold at so many lines of the log in a row, over so many steps: a bad moment is none.
LINES, STEPS = 5, 200
WARM_UP = 500  # steps in which G may have little to show


class Rule(NamedTuple):
    """A disease: whether the means of one line of the log show it, and what to say of it.

    The sentence is formatted with those means. A mean that is missing is nan, and shows nothing.
    """

    seen: Callable[[Mapping[str, float]], bool]
    sentence: str
    grown: bool = False
    """Whether it is heeded only after WARM_UP steps."""


RULES = {
    "D wins": Rule(
        lambda v: (
            min(v["accuracy_real"], v["accuracy_fake"]) > 0.99
            and (v["D_fake"] < 0.02 or v["loss_D"] < 0.03 * v["guess"])
        ),
        "D wins everything: it tells {accuracy_real:.1%} of the reals and {accuracy_fake:.1%} of "
        "the fakes, and G learns little from a D that is never wrong. Try a higher --r1 and --r2, "
        "a lower --lr-D or a higher --lr-G; on few images --augment-p adaptive.",
    ),
    "D is blind": Rule(
        lambda v: abs(v["D_real"] - v["D_fake"]) < 1e-4,
        "D gives reals and fakes the same, {D_real:.3f}, and so leads G nowhere. Begin anew with "
        "another --lr-D.",
    ),
    "D has diverged": Rule(
        lambda v: v["loss_D"] > 3 * v["guess"],
        "D has diverged: its loss is {loss_D:.3g}, and {guess:.3g} is that of a D which guesses. "
        "Begin anew with a lower --lr-D.",
    ),
    "one picture": Rule(
        lambda v: v["diversity"] < 0.1,
        "G has collapsed to one picture: its images differ by {diversity:.1%} of what real ones "
        "do. Such runs seldom recover: begin anew with a lower --lr-G, a larger --batch-size or "
        "--loss relativistic with its --r1 and --r2.",
        grown=True,
    ),
    "few pictures": Rule(
        lambda v: v["nearest"] < 0.25 and v["diversity"] >= 0.1,
        "G has collapsed to few images: the nearest other one is {nearest:.1%} as far as among "
        "real ones. Begin anew with a lower --lr-G, a larger --batch-size or --loss relativistic "
        "with its --r1 and --r2.",
        grown=True,
    ),
    "G stands still": Rule(
        lambda v: v["update_G"] < 1e-6 * v["decayed"],
        "Nothing has changed in G since step {since}: a step moves it by {update_G:.1g} of its "
        "size. Try a higher --lr-G; if that changes nothing, begin anew.",
    ),
    "D stands still": Rule(
        lambda v: v["update_D"] < 1e-6 * v["decayed"],
        "Nothing has changed in D since step {since}: a step moves it by {update_D:.1g} of its "
        "size. Try a higher --lr-D.",
    ),
    "tanh saturates": Rule(
        lambda v: v["saturated_fake"] - v["saturated_real"] > 0.3,
        "tanh saturates: {saturated_fake:.0%} of G's values lie at the ends of the range, where "
        "gradients vanish, and {saturated_real:.0%} of the reals'. Begin anew with a lower --lr-G.",
    ),
    "average lags": Rule(
        lambda v: v["ema_distance"] > 0.5,
        "The average of G that is sampled is far from G: {ema_distance:.0%} of its size. Try a "
        "shorter --ema-images or a lower --lr-G; `sample --raw` shows G itself.",
    ),
    "gradients of G explode": Rule(
        lambda v: v["grad_norm_G"] > 100 * v["calm_grad_norm_G"],
        "The gradients of G explode: {grad_norm_G:.3g}, and {calm_grad_norm_G:.3g} at first. Try "
        "lower --lr-D and --lr-G.",
    ),
    "gradients of D explode": Rule(
        lambda v: v["grad_norm_D"] > 100 * v["calm_grad_norm_D"],
        "The gradients of D explode: {grad_norm_D:.3g}, and {calm_grad_norm_D:.3g} at first. Try "
        "lower --lr-D and --lr-G, or other --r1 and --r2.",
    ),
}


class Monitor:
    """Reads the lines of the log one by one and says what is wrong, each thing once in a run.

    Beside what is logged a line has `guess`, the loss of a D that cannot tell, and `decayed`, the
    factor by which --lr-decay has made the learning rates smaller.
    """

    def __init__(
        self,
        said: list[str] | None = None,
        seen: dict[str, list[int]] | None = None,
        calm: dict[str, float] | None = None,
    ):
        """From nothing, or from the `state` of another."""
        self.said = list(said or [])
        """Rules that have spoken."""
        self.seen = {name: list(since) for name, since in (seen or {}).items()}
        """Rules that hold: at how many lines in a row, from which step on."""
        self.calm = dict(calm or {})
        """The largest norms of gradients in the first STEPS steps."""

    def state(self) -> dict:
        """Plain values that JSON can hold."""
        return {"said": [*self.said], "seen": {**self.seen}, "calm": {**self.calm}}

    def watch(self, step: int, means: Mapping[str, float]) -> list[str]:
        """Take in the means of one line of the log; return what is to be said now."""
        for name in ("grad_norm_G", "grad_norm_D"):
            if step <= STEPS or name not in self.calm:
                self.calm[name] = max(self.calm.get(name, 0.0), means.get(name, math.nan))
        values = defaultdict(lambda: math.nan, {"decayed": 1.0, **means})
        values |= {f"calm_{name}": norm for name, norm in self.calm.items()}
        sentences = []
        for name, rule in RULES.items():
            if (rule.grown and step <= WARM_UP) or not rule.seen(values):
                self.seen.pop(name, None)
                continue
            lines, since = self.seen.get(name, (0, step))
            self.seen[name] = [lines + 1, since]
            if name not in self.said and lines + 1 >= LINES and step - since >= STEPS:
                self.said.append(name)
                sentences.append(rule.sentence.format_map({**values, "since": since}))
        return sentences


def check(state: dict) -> None:
    """Raise TypeError or ValueError unless this is the state of a monitor."""
    said, seen, calm = state["said"], state["seen"], state["calm"]
    if not isinstance(said, list):
        raise TypeError(f"what was said cannot be {said!r}")
    for lines, since in dict(seen).values():
        if type(lines) is not int or type(since) is not int:
            raise TypeError(f"the monitor cannot have seen {lines!r} lines since step {since!r}")
    for norm in dict(calm).values():
        if type(norm) not in (int, float):
            raise TypeError(f"a norm cannot be {norm!r}")
