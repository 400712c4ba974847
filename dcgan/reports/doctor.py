"""Before the first step: looks over the data, tries the run, and says what it will take."""

import dataclasses
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dcgan.config import TrainConfig
from dcgan.data import PackedImages, cache_folder, is_packed, open_packed, pack, row_reader
from dcgan.data.duplicates import exact_duplicates, near_duplicates
from dcgan.data.sources import EncodedSource, Subset, open_source
from dcgan.data.statistics import label_shares, single_colour, sizes_and_modes
from dcgan.reports.preflight import PackingCost, Say, quiet, run_preflight
from dcgan.runtime import device
from dcgan.training import loop
from dcgan.training.augmentation import resolve_probability

MAX_IMAGES = 4096  # images, drawn at random
MAX_PIXEL_BYTES = 2**28  # bytes, if that is fewer images


def diagnose(config: TrainConfig, say: Say) -> list[str]:
    """Say what the data and the run are like, one (topic, line) at a time; return what is wrong.

    Raises UserError where that ends the examination. Nothing it writes is left behind.
    """
    device.configure_torch(config.threads)
    on = device.select_device(config.device)
    found = None if config.fresh else loop.checkpoint_to_resume(config, config.out)
    with tempfile.TemporaryDirectory(prefix="dcgan-doctor-") as scratch:
        packed, count, packing, wrong = data(config, Path(scratch), say)
        if count < config.batch_size:
            wrong.append(f"fewer images, {count}, than in a batch, {config.batch_size}")
        wrong += look(config, packed, say)
        # "auto" is of all images, not of those that are looked at.
        config = dataclasses.replace(config, augment_p=resolve_probability(config.augment_p, count))
        done = found.step if found else 0
        return wrong + run_preflight(config, packed, done, packing, Path(scratch), on, say)


def data(
    config: TrainConfig, scratch: Path, say: Say
) -> tuple[PackedImages, int, PackingCost, list[str]]:
    """Images to look at, how many there are in all, what is to be packed, and what is wrong."""
    if config.data:
        packed = open_packed(config.data)
        shape = "x".join(map(str, packed.images.shape[1:]))
        say("data", f"{len(packed):,} images of {shape}, packed in {config.data}")
        return packed, len(packed), PackingCost(), []
    source = open_source(config)
    chosen = drawn(len(source), config)
    say("data", f"{len(source):,} images of {config.source}{seen(len(chosen), len(source))}")
    for note in source.notes:
        say("note", note)
    if isinstance(source, EncodedSource):
        sizes, modes = sizes_and_modes(source, chosen)
        for line in describe(sizes, config):
            say("sizes", line)
        say("modes", ", ".join(f"{mode} {n:,}" for mode, n in modes.most_common()) or "none")
    started = time.perf_counter()
    with quiet():
        subset = Subset(source, chosen)
        packed = pack(
            subset, scratch / "data", config.size, config.channels, config.crop, 1, config.workers
        )
    took = (time.perf_counter() - started) / len(chosen)
    skipped, wrong = packed.meta["skipped"], []
    say("broken", f"{len(skipped):,} of {len(chosen):,}" if skipped else "none")
    for image in skipped[:3]:
        say("", f"{image['name']}: {image['reason']}")
    if len(skipped) > config.max_bad * len(chosen):
        share = len(skipped) / len(chosen)
        wrong = [f"{share:.1%} of the images cannot be read (--max-bad {config.max_bad:g})"]
    cache = cache_folder(source, config, config.size, config.channels, config.data_cache)
    if is_packed(cache):
        return packed, len(source), PackingCost(), wrong
    packing = PackingCost(took * len(source), len(source) * packed.images[0].nbytes)
    return packed, len(source), packing, wrong


def drawn(count: int, config: TrainConfig) -> np.ndarray:
    """Some of `count` images at random, in order; all where they are few."""
    most = min(count, MAX_IMAGES, max(MAX_PIXEL_BYTES // (config.size**2 * config.channels), 2))
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False))


def seen(some: int, count: int) -> str:
    return "" if some == count else f"; looked at {some:,} of them, drawn at random"


def describe(sizes: np.ndarray, config: TrainConfig) -> Iterator[str]:
    """Lines on widths and heights [n, 2]."""
    if not len(sizes):
        return
    low, middle, high = np.quantile(sizes, [0, 0.5, 1], axis=0, method="nearest").astype(int)
    if (low == high).all():
        yield f"all {low[0]} x {low[1]} pixels"
    else:
        yield (
            f"from {low[0]} x {low[1]} to {high[0]} x {high[1]} pixels, "
            f"median {middle[0]} x {middle[1]}"
        )
    small = int((sizes.min(1) < config.size).sum())
    if small:
        yield f"{small:,} smaller than --size {config.size}, which blurs them"
    oblong = int((sizes.max(1) > 1.5 * sizes.min(1)).sum())
    if oblong and config.crop is None:
        yield f"{oblong:,} lose more than a third to the square crop"


def look(config: TrainConfig, packed: PackedImages, say: Say) -> list[str]:
    """Look for what does a GAN no good among the packed images."""
    chosen = drawn(len(packed), config)
    images = row_reader(packed.images)(chosen)
    among = f"of {len(images):,}"
    if len(chosen) < len(packed):
        among += f", drawn at random; in all {len(packed):,} there are more pairs to find"
    flat, again = single_colour(images), exact_duplicates(images)
    near = np.zeros_like(flat)
    if (rest := ~flat & ~again).any():
        near[rest] = near_duplicates(images[rest])
    findings = (("constant", flat), ("copies", again), ("look-alike", near))
    for topic, which in findings:
        say(topic, f"{which.sum():,} {among}" if which.any() else "none")
    if packed.labels is not None:
        shares = label_shares(packed.labels[chosen], packed.label_names)
        (least, few), (most, many) = shares[0], shares[-1]
        say("labels", f"{len(shares)}, from {few:.1%} ({least}) to {many:.1%} ({most})")
    shown = (("a single colour", flat), ("copies of others", again | near))
    return [f"{w.mean():.0%} of the images are {what}" for what, w in shown if w.mean() > 0.5]
