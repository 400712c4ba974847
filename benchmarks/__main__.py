"""Benchmark each part of dcgan against the plain way to do the same: `python -m benchmarks`.

Prints a table; with --out, also writes results.json and chart.png.
"""

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import tyro

from benchmarks import (
    canvas,
    convolutions,
    end_to_end,
    gpu,
    inversion,
    memory,
    neighbour,
    overhead,
    packing,
    processes,
    reading,
    sampling,
    step,
)
from benchmarks.harness import ForeignLoad, processor
from benchmarks.report import chart, table

BENCHMARKS = {
    "convolutions": convolutions.run,
    "step": step.run,
    "gpu": gpu.run,
    "end-to-end": end_to_end.run,
    "overhead": overhead.run,
    "neighbour": neighbour.run,
    "packing": packing.run,
    "reading": reading.run,
    "sampling": sampling.run,
    "canvas": canvas.run,
    "inversion": inversion.run,
    "memory": memory.run,
    "processes": processes.run,
}


@dataclass(frozen=True)
class Options:
    names: tyro.conf.Positional[tuple[Literal[tuple(BENCHMARKS)], ...]] = tuple(BENCHMARKS)
    """Benchmarks to run. Default: all."""
    rounds: int = 5
    """Number of times each variant is timed."""
    peer: Path | None = None
    """dcgan/main.py in a checkout of pytorch/examples, to time it in end-to-end too."""
    out: Path | None = None
    """Folder where results.json and chart.png are written after each benchmark. Earlier results of
    other benchmarks on the same machine are kept. Default: nothing is written."""


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    if options.rounds < 1:
        sys.exit(f"--rounds must be at least 1, not {options.rounds}")
    if options.peer and not options.peer.is_file():
        sys.exit(f"--peer {options.peer}: no such file")
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
    rows = _load_earlier_rows(options.out) if options.out else {}
    for name in options.names:
        print(f"{name} ...", flush=True)
        more = {"peer": options.peer} if name == "end-to-end" else {}
        with ForeignLoad() as foreign:
            measured = BENCHMARKS[name](options.rounds, **more)
        about = {"part": name, "date": time.strftime("%Y-%m-%d"), "foreign": foreign.share}
        rows[name] = [{**about, **row} for row in measured]
        known = [row for part in BENCHMARKS for row in rows.get(part, [])]
        shares = [row["foreign"] for row in known if row["foreign"] is not None]
        results = {
            "machine": describe_machine(),
            "rounds": options.rounds,
            "foreign": max(shares, default=None),
            "rows": known,
        }
        if options.out:
            (options.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
            chart(results, options.out / "chart.png")
    print(table(results))


def _load_earlier_rows(out: Path) -> dict[str, list[dict]]:
    """Rows of an earlier results.json by benchmark, if they were measured on this machine."""
    path, rows = out / "results.json", {}
    if path.is_file():
        results = json.loads(path.read_text())
        if results["machine"] == describe_machine():
            for row in results["rows"]:
                rows.setdefault(row.get("part"), []).append(row)
    return rows


def describe_machine() -> str:
    """CPU, its instruction set and the version of PyTorch."""
    instructions = torch.backends.cpu.get_cpu_capability()
    return f"{os.cpu_count()} cores of {processor()} ({instructions}), torch {torch.__version__}"


if __name__ == "__main__":
    main()
