"""Resident memory of a training process, by the number of images in the packed folder."""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from dcgan.data.packed_files import FORMAT, IMAGES, META
from dcgan.data.rows import create_array

COUNTS = (10_000, 100_000, 1_000_000)
SIZE = 32
STEPS = 300
BATCH_SIZE = 64
# Memory of its own, and pages of images.npy. (What else is mapped is torch's libraries.)
KINDS = ("RssAnon", IMAGES)


def run(rounds: int) -> list[dict]:
    """Train a small network on packed folders of 10,000 to 1,000,000 images (Linux).

    Every row has the peak and the last reading of one kind of memory, in MB, the median over the
    rounds; `ratio` is to the smallest folder.
    """
    found, results = {}, []
    with tempfile.TemporaryDirectory() as temporary:
        for count in COUNTS:
            packed = sparse(Path(temporary) / f"{count}", count)
            readings = [train(packed, Path(temporary) / f"run-{count}-{i}") for i in range(rounds)]
            for kind in KINDS:
                peaks, lasts = (
                    sorted(pick(r[kind] for r in reading) for reading in readings)
                    for pick in (max, last)
                )
                peak = found[kind, count] = peaks[rounds // 2]
                results.append(
                    {
                        "benchmark": f"memory of training, {count:,} images of {SIZE}x{SIZE}x3",
                        "variant": kind,
                        "peak_mb": peak,
                        "last_mb": lasts[rounds // 2],
                        "spread": (peaks[-1] - peaks[0]) / 2 / peak if peak else 0.0,
                        "ratio": peak / found[kind, COUNTS[0]] if peak else 1.0,
                    }
                )
    return results


def last(values):
    return list(values)[-1]


def sparse(folder: Path, count: int) -> Path:
    """A packed folder of black images, which takes no space on the disk."""
    folder.mkdir()
    create_array(folder / IMAGES, (count, SIZE, SIZE, 3))
    meta = {"format": FORMAT, "size": SIZE, "channels": 3, "found": count, "packed": count}
    meta |= {"ignored": 0, "skipped": [], "notes": [], "label_kind": None, "label_names": []}
    (folder / META).write_text(json.dumps(meta | {"sha256": str(count)}))
    return folder


def train(packed: Path, out: Path) -> list[dict[str, float]]:
    """Run the real training script; its memory in MB while it trains, twenty times a second."""
    flags = {"data": packed, "out": out, "steps": STEPS, "batch-size": BATCH_SIZE}
    flags |= {"size": SIZE, "width": 8, "sample-every": STEPS, "save-every": STEPS}
    command = [sys.executable, str(Path(__file__).parent.parent / "train.py"), "--device", "cpu"]
    command += [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    # One arena of malloc: how many threads happen to have one of their own is not the question.
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}
    readings = []
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        done = threading.Event()
        threading.Thread(target=lambda: (process.wait(), done.set()), daemon=True).start()
        while not done.wait(0.05):
            readings.append(memory(process.pid))
        output.seek(0)
        if process.returncode:
            raise RuntimeError(output.read().decode(errors="replace"))
    return [reading for reading in readings if reading]


def memory(pid: int) -> dict[str, float] | None:
    """The KINDS of memory of a process, in MB; None unless it has images.npy mapped."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        mappings = Path(f"/proc/{pid}/smaps").read_text().split("VmFlags:")
    except OSError:
        return None
    mapped = re.findall(r"\nRss: +(\d+) kB", "".join(m for m in mappings if f"/{IMAGES}\n" in m))
    if not mapped:
        return None
    values = dict(line.split(":", 1) for line in lines)
    values[IMAGES] = str(sum(map(int, mapped)))
    return {kind: int(values[kind].split()[0]) / 1024 for kind in KINDS}
