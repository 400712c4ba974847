"""`dcgan doctor`: checks the images and tries a run before training starts."""

import dataclasses
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dcgan.config import TrainConfig
from dcgan.data import (
    PackedImages,
    cache_folder,
    count_held_out,
    is_packed,
    open_packed,
    pack,
    row_reader,
)
from dcgan.data.duplicates import exact_duplicates, near_duplicates
from dcgan.data.sources import EncodedSource, Subset, open_source
from dcgan.data.statistics import label_shares, single_colour, sizes_and_modes
from dcgan.reports.preflight import PackingCost, Say, run_preflight, suppress_output
from dcgan.runs.layout import CONFIG_FILE
from dcgan.runtime import device as devices
from dcgan.runtime.disk import check_free_space
from dcgan.training import loop
from dcgan.training.adaptive_augmentation import resolve_probability
from dcgan.training.preparation import choose_threads

_MAX_IMAGES = 4096  # checked, chosen at random
_MAX_BYTES = 2**28  # of their pixels, if that is fewer images


def diagnose(config: TrainConfig, say: Say) -> list[str]:
    """Check the data and try the run of a configuration; return the problems found.

    Findings are passed to `say`, one (topic, line) at a time. Leaves no files behind. Raises
    UserError where the check cannot continue.
    """
    device = devices.select_device(config.device)
    found = None if config.fresh else loop.checkpoint_to_resume(config, config.out)
    devices.configure_torch(choose_threads(config, found))
    check_free_space(config.out if config.fresh else config.out / CONFIG_FILE, 0)
    with tempfile.TemporaryDirectory(prefix="dcgan-doctor-") as folder:
        scratch = Path(folder)
        packed, count, packing, problems = _open_images(config, scratch, say)
        training = count - count_held_out(count, config.held_out_share)
        if training < config.batch_size:
            problems.append(f"fewer images, {training}, than in a batch, {config.batch_size}")
        problems += _check_images(config, packed, say)
        # "auto" depends on the number of all images, not of those that are checked.
        config = dataclasses.replace(config, augment_p=resolve_probability(config, count))
        done = found.step if found else 0
        return problems + run_preflight(config, packed, done, packing, scratch, device, say)


def _open_images(
    config: TrainConfig, scratch: Path, say: Say
) -> tuple[PackedImages, int, PackingCost, list[str]]:
    """Packed images to check, the number of all images, the cost of packing them, and problems.

    Raw images are packed to the folder `scratch`, a random subset where there are many.
    """
    if config.data:
        packed = open_packed(config.data)
        shape = "x".join(map(str, packed.images.shape[1:]))
        say("data", f"{len(packed):,} images of {shape}, packed in {config.data}")
        for note in packed.meta["notes"]:
            say("note", note)
        return packed, len(packed), PackingCost(), []
    source = open_source(config)
    chosen = _choose_random(len(source), config)
    checked = f"; checked {len(chosen):,} of them, chosen at random"
    about = f"{len(source):,} images of {config.source}"
    say("data", about if len(chosen) == len(source) else about + checked)
    for note in source.notes:
        say("note", note)
    if isinstance(source, EncodedSource):
        sizes, modes = sizes_and_modes(source, chosen)
        for line in _describe_sizes(sizes, config):
            say("sizes", line)
        say("modes", ", ".join(f"{mode} {n:,}" for mode, n in modes.most_common()) or "none")
    started = time.perf_counter()
    with suppress_output():
        subset = Subset(source, chosen)
        packed = pack(
            subset,
            scratch / "data",
            config.size,
            config.channels,
            config.crop,
            1,
            config.workers,
            fit=config.fit,
            levels=config.levels,
        )
    for note in packed.meta["notes"]:
        say("note", note)
    seconds_per_image = (time.perf_counter() - started) / len(chosen)
    packed = _in_memory(packed)  # Windows does not delete `scratch` while its files are mapped
    skipped, problems = packed.meta["skipped"], []
    say("broken", f"{len(skipped):,} of {len(chosen):,}" if skipped else "none")
    for image in skipped[:3]:
        say("", f"{image['name']}: {image['reason']}")
    if len(skipped) > config.max_bad * len(chosen):
        share = len(skipped) / len(chosen)
        problems = [f"{share:.1%} of the images cannot be read (--max-bad {config.max_bad:g})"]
    cache = cache_folder(source, config, config.size, config.channels, config.data_cache)
    if is_packed(cache):
        return packed, len(source), PackingCost(), problems
    image_bytes = packed.images[0].nbytes
    cost = PackingCost(seconds_per_image * len(source), len(source) * image_bytes)
    return packed, len(source), cost, problems


def _in_memory(packed: PackedImages) -> PackedImages:
    """The same images and labels, without their files."""
    labels = None if packed.labels is None else np.array(packed.labels)
    return dataclasses.replace(packed, images=np.array(packed.images), labels=labels)


def _choose_random(count: int, config: TrainConfig) -> np.ndarray:
    """Sorted indices of random images out of `count`; all of them where they are few."""
    image_bytes = config.size**2 * config.channels
    chosen = min(count, _MAX_IMAGES, max(_MAX_BYTES // image_bytes, 2))
    return np.sort(np.random.default_rng(0).choice(count, chosen, replace=False))


def _describe_sizes(sizes: np.ndarray, config: TrainConfig) -> Iterator[str]:
    """Lines about widths and heights [n, 2]."""
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
        yield f"{small:,} smaller than --size {config.size}: enlarging blurs them"
    oblong = int((sizes.max(1) > 1.5 * sizes.min(1)).sum())
    if oblong and config.crop is None and config.fit == "crop":
        yield f"{oblong:,} lose more than a third to the square crop"


def _check_images(config: TrainConfig, packed: PackedImages, say: Say) -> list[str]:
    """Look for images of a single colour, duplicates and rare labels; return problems."""
    chosen = _choose_random(len(packed), config)
    images = row_reader(packed.images)(chosen)
    total = f"of {len(images):,}"
    if len(chosen) < len(packed):
        total += f", chosen at random; all {len(packed):,} hold more pairs to find"
    constant, copies = single_colour(images), exact_duplicates(images)
    similar = np.zeros_like(constant)
    if (rest := ~constant & ~copies).any():
        similar[rest] = near_duplicates(images[rest])
    for topic, found in (("constant", constant), ("copies", copies), ("look-alike", similar)):
        say(topic, f"{found.sum():,} {total}" if found.any() else "none")
    if packed.labels is not None:
        shares = label_shares(packed.labels[chosen], packed.label_names)
        (rarest, low), (commonest, high) = shares[0], shares[-1]
        say("labels", f"{len(shares)}, from {low:.1%} ({rarest}) to {high:.1%} ({commonest})")
    kinds = (("a single colour", constant), ("copies of others", copies | similar))
    return [
        f"{found.mean():.0%} of the images are {kind}"
        for kind, found in kinds
        if found.mean() > 0.5
    ]
