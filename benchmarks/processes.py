"""Training in one process and in two, under torchrun with Gloo and one thread per process."""

import json
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.harness import time_in_turns
from dcgan.config import PRESETS
from dcgan.data import open_or_pack

ROOT = Path(__file__).parents[1]
CASES = {"width 24, batch 64": (24, 64), "width 64, batch 64": (64, 64)}
STEPS = 40
LOG_LINES = 4  # the first includes the warm-up


def run(rounds: int) -> list[dict]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        faces = PRESETS["faces"]
        packed = open_or_pack(faces, faces.size, faces.channels, Path(folder)).folder
        for case, (width, batch) in CASES.items():
            works = {
                f"{count} {'process' if count == 1 else 'processes'} of one thread": partial(
                    _seconds_per_image, count, packed, width, batch
                )
                for count in (1, 2)
            }
            rows += [
                t.row(f"torchrun on one machine, {case}") for t in time_in_turns(works, rounds)
            ]
    return rows


def _seconds_per_image(processes: int, packed: Path, width: int, batch: int) -> float:
    """Median seconds per image between two lines of the log."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += [f"--nproc-per-node={processes}", "train.py", "--data", packed, "--out", out]
        command += ["--width", str(width), "--batch-size", str(batch), "--threads", "1"]
        command += [
            "--device",
            "cpu",
            "--steps",
            str(STEPS),
            "--log-every",
            str(STEPS // LOG_LINES),
        ]
        command += ["--sample-every", str(STEPS), "--save-every", str(STEPS)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        lines = (Path(out) / "metrics.jsonl").read_text().splitlines()
        rates = [json.loads(line)["images_per_second"] for line in lines]
        return 1 / statistics.median(rates[1:])
