"""`python -m benchmarks`: everything that has to be fast beside the plain way to do it.

Prints a table, and writes its numbers as JSON and a chart to the folder `--out`, if any.
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
    end_to_end,
    gpu,
    memory,
    neighbour,
    overhead,
    packing,
    processes,
    sampling,
    step,
)
from benchmarks.harness import ForeignLoad, processor
from benchmarks.report import chart, table

BENCHMARKS = {
    "step": step.run,
    "gpu": gpu.run,
    "end-to-end": end_to_end.run,
    "overhead": overhead.run,
    "neighbour": neighbour.run,
    "packing": packing.run,
    "sampling": sampling.run,
    "memory": memory.run,
    "processes": processes.run,
}


@dataclass(frozen=True)
class Options:
    names: tyro.conf.Positional[tuple[Literal[tuple(BENCHMARKS)], ...]] = tuple(BENCHMARKS)
    """Which; all by default."""
    rounds: int = 5
    """How often every variant has its turn."""
    peer: Path | None = None
    """dcgan/main.py of a checkout of pytorch/examples, to be timed from end to end too."""
    out: Path | None = None
    """Folder of results.json and chart.png, written after each benchmark; of other benchmarks those
    of an earlier call are kept. None are written by default."""


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    if options.rounds < 1:
        sys.exit(f"--rounds {options.rounds}: at least 1")
    if options.peer and not options.peer.is_file():
        sys.exit(f"--peer {options.peer}: no such file")
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
    rows = earlier(options.out) if options.out else {}
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
            "machine": machine(),
            "rounds": options.rounds,
            "foreign": max(shares, default=None),
            "rows": known,
        }
        if options.out:
            (options.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
            chart(results, options.out / "chart.png")
    print(table(results))


def earlier(out: Path) -> dict[str, list[dict]]:
    """The rows of every benchmark in the results that are there, if they are of this machine."""
    path, rows = out / "results.json", {}
    if path.is_file():
        results = json.loads(path.read_text())
        if results["machine"] == machine():
            for row in results["rows"]:
                rows.setdefault(row.get("part"), []).append(row)
    return rows


def machine() -> str:
    """What the figures are of."""
    instructions = torch.backends.cpu.get_cpu_capability()
    return f"{os.cpu_count()} cores of {processor()} ({instructions}), torch {torch.__version__}"


if __name__ == "__main__":
    main()
