"""Signs of failed training: non-finite numbers, diagnostics of each step, rules on the log."""

from dcgan.training.monitoring.diagnostics import image_diagnostics, weight_diagnostics
from dcgan.training.monitoring.health import HealthMonitor
from dcgan.training.monitoring.non_finite import Diverged, NonFiniteGuard, names_of_non_finite

__all__ = [
    "Diverged",
    "HealthMonitor",
    "NonFiniteGuard",
    "image_diagnostics",
    "names_of_non_finite",
    "weight_diagnostics",
]
