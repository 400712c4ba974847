"""Training in one process and in several under torchrun: on GPUs where there are several, with one
process for each, else on the CPU with Gloo and one thread per process.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import torch

from benchmarks.harness import time_in_turns
from dcgan.config import PRESETS
from dcgan.data import open_or_pack

ROOT = Path(__file__).parents[1]
CASES = {"width 24, batch 64": (24, 64), "width 64, batch 64": (64, 64)}
STEPS = 40
GPU_WIDTH, GPU_BATCH_SIZE, GPU_STEPS = 64, 128, 800  # the batch is that of one GPU
LOG_LINES = 4  # the first includes the warm-up


def run(rounds: int) -> list[dict]:
    with tempfile.TemporaryDirectory() as folder:
        faces = PRESETS["faces"]
        packed = open_or_pack(faces, faces.size, faces.channels, Path(folder)).folder
        gpus = torch.cuda.device_count()
        return _run_on_gpus(gpus, packed, rounds) if gpus > 1 else _run_on_cpu(packed, rounds)


def _run_on_cpu(packed: Path, rounds: int) -> list[dict]:
    """The same global batch in one process and in two."""
    rows = []
    for case, (width, batch) in CASES.items():
        flags = ("--width", width, "--batch-size", batch, "--device", "cpu", "--threads", 1)
        works = {
            f"{count} {'process' if count == 1 else 'processes'} of one thread": partial(
                _seconds_per_image, count, packed, STEPS, *flags
            )
            for count in (1, 2)
        }
        rows += [t.row(f"torchrun on one machine, {case}") for t in time_in_turns(works, rounds)]
    return rows


def _run_on_gpus(gpus: int, packed: Path, rounds: int) -> list[dict]:
    """The same batch for each GPU, on one and on all."""
    works = {
        f"{count} {'GPU' if count == 1 else 'GPUs'}, {name}": partial(
            _seconds_per_image,
            *(count, packed, GPU_STEPS, "--width", GPU_WIDTH),
            *("--batch-size", GPU_BATCH_SIZE * count, "--device", "cuda", flag),
        )
        for count in (1, gpus)
        for name, flag in (("from Python", "--no-cuda-graphs"), ("recorded", "--cuda-graphs"))
    }
    case = f"torchrun on one machine, width {GPU_WIDTH}, batch {GPU_BATCH_SIZE} a GPU"
    return [timing.row(case) for timing in time_in_turns(works, rounds)]


def _seconds_per_image(processes: int, packed: Path, steps: int, *flags: str | int) -> float:
    """Median seconds per image between two lines of the log."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += [f"--nproc-per-node={processes}", "train.py", "--data", packed, "--out", out]
        command += ["--steps", steps, "--log-every", steps // LOG_LINES, *flags]
        command += ["--sample-every", steps, "--save-every", steps]
        subprocess.run(list(map(str, command)), cwd=ROOT, check=True, capture_output=True)
        lines = (Path(out) / "metrics.jsonl").read_text().splitlines()
        rates = [json.loads(line)["images_per_second"] for line in lines]
        return 1 / statistics.median(rates[1:])
