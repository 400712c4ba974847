"""`python -m benchmarks.quality`: the recipe of 2015 beside the toolkit's own, at equal images.

Both train networks of the same size on the same images. The scores are those of `dcgan evaluate`
on random features; scores of two halves of the real images are the floor. Prints a table over
seeds, and writes its numbers as JSON and samples of both recipes to `--out`.
"""

import dataclasses
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np
import torch
import tyro

from benchmarks.__main__ import describe_machine
from benchmarks.step import EXAMPLE
from dcgan import images, sampling
from dcgan.config import MIN_IMAGES, PRESETS
from dcgan.data import PackedImages, open_packed
from dcgan.errors import UserError
from dcgan.evaluation import (
    Comparison,
    RandomFeatures,
    choose_images,
    read_images,
)
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.runs.loading import load_generator
from dcgan.runs.metrics_file import read_metrics
from dcgan.training import loop

SHOWN = ("frechet", "kernel", "swd", "precision", "recall", "density", "coverage")
RECIPES = {
    # The example samples the weights of the last step.
    "2015": dict(**EXAMPLE, ema=False),
    "dcgan": dict(ema=True),
}


@dataclass(frozen=True)
class Options:
    data: Path
    """Packed folder made by `dcgan prepare`."""
    images: int = 60_000
    """Real images that D sees in a run."""
    width: int = 32
    """Channels at half the image's side, of both."""
    batch_size: int = PRESETS["folder"].batch_size
    """Of both."""
    seeds: tuple[int, ...] = (0, 1)
    """Runs of each recipe."""
    count: int = 2000
    """Images to evaluate; at most half of the real ones."""
    longer: int = 0
    """Also train the toolkit's recipe this many times as long, and compare its last evaluation with
    its best; 0 does not."""
    runs: Path = Path("runs/quality")
    """Folder of the runs; finished ones are not trained again."""
    out: Path | None = None
    """Folder of quality.json and quality.png; none are written by default."""


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    try:
        measure(options)
    except UserError as error:
        sys.exit(str(error))


def measure(options: Options) -> None:
    if not options.seeds:
        raise UserError("--seeds: give at least one")
    packed = open_packed(options.data)
    order = choose_images(packed, None)
    most = len(packed) // 2  # the others are what real images are compared with
    if most < MIN_IMAGES:
        raise UserError(f"{options.data}: {len(packed)} images are too few to compare with")
    options = dataclasses.replace(options, count=min(options.count, most))
    against_all = comparison(packed, order, options.count)
    rows = [{"recipe": "real", "minutes": 0.0, **floor(packed, order, options.count)}]
    pictures = []
    for name, recipe in RECIPES.items():
        for seed in options.seeds:
            run = options.runs / f"{name}-{seed}"
            minutes = train(options, run, seed, recipe)
            G = load_generator(run, ema=recipe["ema"])
            scores = against_all.scores(sampling.sample(G, range(options.count)))
            rows.append({"recipe": name, "seed": seed, "minutes": minutes, **scores})
            print(json.dumps(rows[-1]), flush=True)
        pictures.append(sampling.sample_grid(G, range(48), columns=8))
    print(table(rows, options))
    if options.longer:
        rows += late(options)
        print(decline(rows))
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        results = {"machine": describe_machine(), "date": time.strftime("%Y-%m-%d"), "rows": rows}
        (options.out / "quality.json").write_text(json.dumps(results, indent=1) + "\n")
        gap = np.full((len(pictures[0]), 16, pictures[0].shape[2]), 255, np.uint8)
        beside = np.concatenate([pictures[0], gap, pictures[1]], 1)
        images.save_png(options.out / "quality.png", beside)


def late(options: Options) -> list[dict]:
    """The evaluations along a run that is `longer` times as long."""
    run, images = options.runs / f"dcgan-{options.longer}x", options.longer * options.images
    longer = dataclasses.replace(options, images=images)
    every = max(options.images // options.batch_size // 4, 1)
    along = dict(eval_every=every, eval_images=options.count)
    train(longer, run, options.seeds[0], RECIPES["dcgan"] | along)
    evaluated = [line for line in read_metrics(run) if "eval/frechet" in line]
    return [
        {"recipe": "late", "images": line["images"], "frechet": line["eval/frechet"]}
        for line in evaluated
    ]


def decline(rows: list[dict]) -> str:
    """How the end of a long run compares with its best moment."""
    along = [row for row in rows if row["recipe"] == "late"]
    best, last = min(along, key=lambda row: row["frechet"]), along[-1]
    return (
        f"After {last['images']:,} images: frechet {last['frechet']:.3g}, "
        f"{last['frechet'] / best['frechet']:.2f} times the best, of {best['images']:,} images."
    )


def train(options: Options, run: Path, seed: int, recipe: dict) -> float:
    """Train one run, or go on with it; minutes that it took.

    Raises UserError for a run of other images: its scores would stand under these.
    """
    config = dataclasses.replace(
        PRESETS["folder"],
        **{name: value for name, value in recipe.items() if name != "ema"},
        data=options.data,
        out=run,
        size=open_packed(options.data).size,
        width=options.width,
        batch_size=options.batch_size,
        steps=options.images // options.batch_size,
        seed=seed,
    )
    loop.train(config)
    found = find_checkpoint(run)
    if found.step != config.steps:
        raise UserError(f"{run} has {found.step} steps, not {config.steps}: use another --runs")
    return found.header["seconds"] / 60


def comparison(packed: PackedImages, order: np.ndarray, count: int) -> Comparison:
    chunks = read_images(packed, order)
    return Comparison(chunks, RandomFeatures(), torch.device("cpu"), min(count, len(order)))


def floor(packed: PackedImages, order: np.ndarray, count: int) -> dict[str, float]:
    """What real images score against others: no generator can be expected to do better."""
    held_out, rest = order[:count], order[count:]
    return comparison(packed, rest, count).scores(read_images(packed, held_out))


def table(rows: list[dict], options: Options) -> str:
    """Means over the seeds, and half the range between them."""
    lines = [
        f"{options.images:,} images, batch {options.batch_size}, width {options.width}, "
        f"{len(options.seeds)} seeds; {describe_machine()}.",
        "",
        f"| recipe | {' | '.join(SHOWN)} |",
        f"|---|{'---|' * len(SHOWN)}",
    ]
    for recipe in dict.fromkeys(row["recipe"] for row in rows):
        own = [row for row in rows if row["recipe"] == recipe]
        cells = [spread([row[name] for row in own]) for name in SHOWN]
        lines.append(f"| {recipe} | {' | '.join(cells)} |")
    return "\n".join(lines)


def spread(values: list[float]) -> str:
    half = (max(values) - min(values)) / 2
    return f"{mean(values):.3g}" + (f" ± {half:.2g}" if half else "")


if __name__ == "__main__":
    main()
