"""From a folder of JPEGs to checkpoints: `train.py` beside scripts that decode in every epoch.

All run in turns as a user runs them, and are timed from the second epoch on.
"""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import packing
from benchmarks.harness import time_in_turns
from benchmarks.step import EXAMPLE
from dcgan.config import PRESETS

ROOT = Path(__file__).parent.parent
EPOCHS = 3
EXAMPLE_BATCH_SIZE, FOLDER_BATCH_SIZE = 64, PRESETS["folder"].batch_size  # by default


def _time_example_script(
    command: list[str], root: Path, batch_size: int, images: int, out: Path
) -> float:
    """Seconds per image of a script with the flags and the output of PyTorch's example."""
    words = ["--dataset", "folder", "--dataroot", root, "--batchSize", batch_size]
    words += ["--niter", EPOCHS, "--outf", out]
    command = [*command, *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        ends = [0.0] * EPOCHS
        for line in process.stdout:
            if match := re.match(r"\[(\d+)/\d+\]\[\d+/\d+\]", line):
                ends[int(match[1])] = time.perf_counter()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return (ends[-1] - ends[0]) / (images * (EPOCHS - 1))


def _time_train_script(
    root: Path, batch_size: int, images: int, out: Path, recipe: Mapping
) -> float:
    """Seconds per image of `train.py` with the options of `recipe`."""
    epoch = -(-images // batch_size)
    command = [sys.executable, ROOT / "train.py", "folder", "--root", root, "--out", out]
    command += ["--data-cache", out / "data", "--batch-size", batch_size]
    command += ["--steps", EPOCHS * epoch, "--log-every", epoch, *format_flags(recipe)]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    first, last = lines[0], lines[-1]
    return (last["seconds"] - first["seconds"]) / (last["images"] - first["images"])


def format_flags(options: Mapping) -> list:
    """Options as words of the command line: {"flip": False} -> ["--no-flip"]."""
    words = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            words.append(flag if value else f"--no-{flag[2:]}")
        else:
            words += [flag, value]
    return words


def run(
    rounds: int, peer: Path | None = None, images: int = 512, batch_size: int = 128
) -> list[dict]:
    """Rows of the results. `peer` is `dcgan/main.py` in a checkout of pytorch/examples."""
    with TemporaryDirectory() as folder:
        root, scratch = Path(folder) / "raw", Path(folder) / "out"
        packing.write(root, 178, 218, images, quality=75)
        plain = [sys.executable, "-u", "-m", "benchmarks.pytorch_example"]
        scripts = {"a script in the order of PyTorch's example": plain}
        if peer:
            scripts = {"PyTorch's example": [sys.executable, "-u", str(peer)], **scripts}
        numbers = iter(range(10**6))

        def theirs(command: list[str], batch_size: int) -> Callable[[], float]:
            return lambda: _time_example_script(command, root, batch_size, images, scratch)

        def with_recipe(recipe: Mapping, batch_size: int) -> Callable[[], float]:
            return lambda: _time_train_script(
                root, batch_size, images, scratch / str(next(numbers)), recipe
            )

        equal = {name: theirs(command, batch_size) for name, command in scripts.items()} | {
            "train.py": with_recipe(EXAMPLE, batch_size),
            "train.py, the default recipe": with_recipe({}, batch_size),
        }
        own = {
            f"{name}, {EXAMPLE_BATCH_SIZE}": theirs(command, EXAMPLE_BATCH_SIZE)
            for name, command in scripts.items()
        } | {f"train.py folder, {FOLDER_BATCH_SIZE}": with_recipe({}, FOLDER_BATCH_SIZE)}
        benchmark = "end to end, width 64, batch"
        return [t.row(f"{benchmark} {batch_size}") for t in time_in_turns(equal, rounds)] + [
            t.row(f"{benchmark} as by default") for t in time_in_turns(own, rounds)
        ]
