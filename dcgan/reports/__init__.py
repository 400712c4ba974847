"""Reports about runs: a check before the first step, comparison, timelapse."""

from dcgan.reports.compare import format_table, open_runs, save_comparison
from dcgan.reports.doctor import diagnose
from dcgan.reports.preflight import PackingCost, run_preflight
from dcgan.reports.timelapse import load_frames

__all__ = [
    "PackingCost",
    "diagnose",
    "format_table",
    "load_frames",
    "open_runs",
    "run_preflight",
    "save_comparison",
]
