"""Packing: raw images are decoded once, cropped and resized, into a packed folder.

DIR/images.npy   uint8 [N, S, S, C]
DIR/labels.npy   int64 [N] class indices, or uint8 [N, A] attributes; missing without labels
DIR/masks.npy    uint8 [N, S, S] the class of each pixel, 255 if it has none; missing without masks
DIR/meta.json    the source and its options, the crop and filter, the skipped images with reasons

The folder appears under its name when it is complete.
"""

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dcgan.config import DataOptions, FitName, Levels, PrepareConfig
from dcgan.config.validation import require_options, to_path
from dcgan.data.decoding.conversion import Losses
from dcgan.data.decoding.image import DECODING_VERSION
from dcgan.data.mask_classes import name_classes
from dcgan.data.packed import PackedImages, content_hash, is_packed, open_packed
from dcgan.data.packed_files import IMAGES, LABELS, MASKS, META
from dcgan.data.packing_summary import describe, first_reasons, print_summary
from dcgan.data.parallel import PackingJob, Skipped, run_job
from dcgan.data.rows import create_array, keep_rows
from dcgan.data.sources.array_source import check_arrays
from dcgan.data.sources.base import Source
from dcgan.data.sources.opening import open_source
from dcgan.errors import UserError
from dcgan.runtime.atomic_files import replace_atomically
from dcgan.runtime.cpu_sharing import free_cpus
from dcgan.runtime.disk import check_free_space, disk_errors
from dcgan.runtime.locks import locked_folder, remove_abandoned
from dcgan.runtime.progress import progress_bar


def prepare(config: PrepareConfig) -> PackedImages:
    """Pack the raw images of `config` into the new folder `config.out`. Raises as `pack`."""
    require_options(config, PrepareConfig, "prepare")
    return pack_with(config, open_source(config, config), config.out, config.size, config.channels)


def pack_arrays(
    images: Any,
    labels: Any = None,
    label_names: Sequence[str] | None = None,
    *,
    out: Path | str,
    size: int = PrepareConfig.size,
    channels: Literal[1, 3] = PrepareConfig.channels,
    crop: int | None = None,
    fit: FitName = DataOptions.fit,
    progress: bool = True,
) -> PackedImages:
    """Pack images uint8 [N, H, W] or [N, H, W, C] of 1, 3 or 4 channels into the new folder `out`.

    They are a NumPy array or a CPU tensor. labels: class numbers [N], or attributes [N, A] in {0,
    1}. Train on them with `TrainConfig(data=out, ...)`. Raises UserError for other types and
    shapes and as `pack`, UsageError for options out of range.
    """
    config = PrepareConfig(out=to_path(out), size=size, channels=channels, crop=crop, fit=fit)
    source = check_arrays(images, labels, label_names, "pack_arrays")
    source.origin = {"source": "arrays"}
    # Those of `config` are Python's numbers where NumPy's were given.
    return pack_with(config, source, config.out, config.size, config.channels, progress)


def pack_with(
    options: DataOptions, source: Source, out: Path, size: int, channels: int, progress: bool = True
) -> PackedImages:
    """Pack a source with the options of data that do not choose the source."""
    return pack(
        source,
        out,
        size,
        channels,
        options.crop,
        options.max_bad,
        options.workers,
        progress,
        options.fit,
        options.levels,
    )


def pack(
    source: Source,
    out: Path,
    size: int,
    channels: int,
    crop: int | None = None,
    max_bad: float = DataOptions.max_bad,
    workers: int | None = None,
    progress: bool = True,
    fit: FitName = DataOptions.fit,
    levels: Levels = DataOptions.levels,
) -> PackedImages:
    """Write all images of `source` to the new folder `out`, as uint8 [N, size, size, channels], and
    its masks, if it has them, as uint8 [N, size, size].

    The content does not depend on the number of workers. Images that cannot be read are left out
    and listed in meta.json. Raises UserError if their share exceeds `max_bad`, if `out` is not
    empty, or if the disk or a worker process fails; `out` is then as before.
    """
    _check_unused(out)
    remove_abandoned(out)
    masked = source.mask_names is not None
    check_free_space(out, len(source) * size * size * (channels + masked))
    source.build_index()
    if fit == "crop":
        crop = crop or source.default_crop
    with replace_atomically(out) as partial, locked_folder(partial):
        images, masks = partial / IMAGES, partial / MASKS if masked else None
        create_array(images, (len(source), size, size, channels))
        if masks:
            create_array(masks, (len(source), size, size))
        job = PackingJob(source, images, size, channels, crop, fit, levels, masks)
        skipped, losses = _write_all(job, max_bad, workers or free_cpus(), progress)
        if len(skipped) == len(source):
            raise UserError(
                f"none of the {len(source)} images can be read: {first_reasons(skipped)}"
            )
        bad = np.fromiter(skipped, np.int64, len(skipped))
        good = np.setdiff1d(np.arange(len(source)), bad)
        keep_rows(images, good, (size, size, channels))
        if source.labels is not None:
            np.save(partial / LABELS, source.labels[good], allow_pickle=False)
        notes = [*source.notes, *losses.remarks(levels)]
        about_masks: dict[str, object] = {}
        if masks:
            keep_rows(masks, good, (size, size))
            mask_names, remarks = name_classes(masks, source.mask_names or ())
            notes += remarks
            about_masks = {"mask_names": list(mask_names), "mask_filter": "area majority"}
        meta = describe(source, len(good), skipped, notes) | {
            "size": size,
            "channels": channels,
            "crop": crop,
            "fit": fit,
            "levels": levels,
            "filter": "lanczos",
            "recipe": DECODING_VERSION,
            **about_masks,
            "sha256": content_hash(partial),
        }
        (partial / META).write_text(json.dumps(meta, indent=1) + "\n", encoding="ascii")
    print_summary(source, out, size, crop, skipped, notes)
    return open_packed(out)


def _check_unused(out: Path) -> None:
    """Raise UserError unless `out` is new, or an empty folder."""
    with disk_errors(out):
        if out.resolve() == Path.cwd():
            raise UserError(f"{out} is the current folder, which cannot be replaced: name another")
        if is_packed(out):
            raise UserError(f"{out} is a packed folder already, and is not overwritten")
        if out.exists() and not (out.is_dir() and not any(out.iterdir())):
            raise UserError(f"{out} exists already, and is not overwritten")


def _write_all(
    job: PackingJob, max_bad: float, workers: int, progress: bool
) -> tuple[dict[int, Skipped], Losses]:
    """Write all rows; return the bad images by index, and what the others have lost.

    Raises UserError if too many are bad.
    """
    total, done, losses = len(job.source), 0, Losses()
    skipped: dict[int, Skipped] = {}
    with (
        progress_bar(total, "packing", "img", disable=not progress) as bar,
        closing(run_job(job, workers)) as chunks,
    ):
        for chunk in chunks:
            skipped |= chunk.skipped
            losses += chunk.losses
            done += chunk.done
            bar.update(chunk.done)
            if len(skipped) > max_bad * total:
                raise UserError(
                    f"{len(skipped)} of {done} images cannot be read, more than --max-bad "
                    f"{max_bad:g} of {total} allows: {first_reasons(skipped)}"
                )
    return dict(sorted(skipped.items())), losses
