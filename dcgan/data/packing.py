"""Packing: raw images are decoded once, cropped and resized, into a packed folder.

DIR/images.npy   uint8 [N, S, S, C]
DIR/labels.npy   int64 [N] class indices, or uint8 [N, A] attributes; missing without labels
DIR/meta.json    the source and its options, the crop and filter, the skipped images with reasons

The folder appears under its name when it is complete.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np

import dcgan
from dcgan.config import DataOptions, FitName, Levels, PrepareConfig
from dcgan.config.validation import require_options, to_path
from dcgan.data.decoding.conversion import Losses
from dcgan.data.decoding.image import DECODING_VERSION
from dcgan.data.packed import (
    FORMAT,
    IMAGES,
    LABELS,
    META,
    PackedImages,
    content_hash,
    is_packed,
    open_packed,
)
from dcgan.data.parallel import PackingJob, Skipped, run_job
from dcgan.data.rows import create_array, keep_rows
from dcgan.data.sources.array_source import check_arrays
from dcgan.data.sources.base import Source
from dcgan.data.sources.opening import open_source, origin
from dcgan.errors import UserError
from dcgan.runtime.atomic_files import replace_atomically
from dcgan.runtime.cpu_sharing import free_cpus
from dcgan.runtime.disk import check_free_space, disk_errors
from dcgan.runtime.locks import locked_folder, remove_abandoned
from dcgan.runtime.progress import progress_bar
from dcgan.runtime.terminal import print_lines


def prepare(config: PrepareConfig) -> PackedImages:
    """Pack the raw images of `config` into the new folder `config.out`. Raises as `pack`."""
    require_options(config, PrepareConfig, "prepare")
    return _pack_with(config, open_source(config), config.out, config.size, config.channels)


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
    return _pack_with(config, source, config.out, config.size, config.channels, progress)


def open_or_pack(
    options: DataOptions,
    size: int,
    channels: int,
    data_cache: Path,
    check: Callable[[Source], None] = lambda source: None,
) -> PackedImages:
    """Open the packed folder of these options in `data_cache`; pack it first if it is missing.

    `check` may raise UserError for a source before it is packed. Raises UsageError or UserError as
    `open_source`, `pack` and `open_packed`.
    """
    source = open_source(options)
    check(source)
    folder = cache_folder(source, options, size, channels, data_cache)
    if is_packed(folder):
        print_lines(f"using the packed images in {folder}", file=sys.stderr)
        return open_packed(folder)
    try:
        return _pack_with(options, source, folder, size, channels)
    except UserError:
        # Another process may have packed the same images meanwhile.
        if is_packed(folder):
            return open_packed(folder)
        raise


def find_packed(
    options: DataOptions, data_cache: Path, fingerprint: str, any_root: bool = False
) -> PackedImages | None:
    """The folder in `data_cache` with this fingerprint that was packed from the root of `options`.

    None where there is none. The raw images are not looked at: they may be many, or gone.
    """
    wanted = origin(options)
    if any_root:
        del wanted["root"]
    for meta in sorted(data_cache.expanduser().glob(f"{options.source}-*/{META}")):
        with suppress(UserError):  # damaged: then it is not in use
            packed = open_packed(meta.parent)
            if packed.fingerprint == fingerprint and wanted.items() <= packed.meta.items():
                return packed
    return None


def cache_folder(
    source: Source, options: DataOptions, size: int, channels: int, data_cache: Path
) -> Path:
    """The folder in `data_cache` for the packed images of a source, whether it exists or not.

    Its name ends in a hash of everything that decides its content: the options, and the names,
    sizes and times of the raw files.
    """
    settings = [
        FORMAT,
        DECODING_VERSION,
        source.origin,
        len(source),
        size,
        channels,
        options.crop,
        source.fingerprint(),
    ]
    # Absent where they are the defaults: folders that were packed before there was a choice.
    for name in ("fit", "levels"):
        if (value := getattr(options, name)) != getattr(DataOptions, name):
            settings.append([name, value if isinstance(value, str) else [*map(float, value)]])
    key = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:12]
    return data_cache.expanduser() / f"{options.source}-{size}-{key}"


def _pack_with(
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
    """Write all images of `source` to the new folder `out`, as uint8 [N, size, size, channels].

    The content does not depend on the number of workers. Images that cannot be read are left out
    and listed in meta.json. Raises UserError if their share exceeds `max_bad`, if `out` is not
    empty, or if the disk or a worker process fails; `out` is then as before.
    """
    _check_unused(out)
    remove_abandoned(out)
    check_free_space(out, len(source) * size * size * channels)
    source.build_index()
    if fit == "crop":
        crop = crop or source.default_crop
    with replace_atomically(out) as partial, locked_folder(partial):
        images = partial / IMAGES
        create_array(images, (len(source), size, size, channels))
        job = PackingJob(source, images, size, channels, crop, fit, levels)
        skipped, losses = _write_all(job, max_bad, workers or free_cpus(), progress)
        if len(skipped) == len(source):
            raise UserError(
                f"none of the {len(source)} images can be read: {_first_reasons(skipped)}"
            )
        bad = np.fromiter(skipped, np.int64, len(skipped))
        good = np.setdiff1d(np.arange(len(source)), bad)
        keep_rows(images, good, (size, size, channels))
        if source.labels is not None:
            np.save(partial / LABELS, source.labels[good], allow_pickle=False)
        notes = [*source.notes, *losses.remarks(levels)]
        meta = _describe(source, len(good), skipped, notes) | {
            "size": size,
            "channels": channels,
            "crop": crop,
            "fit": fit,
            "levels": levels,
            "filter": "lanczos",
            "recipe": DECODING_VERSION,
            "sha256": content_hash(partial),
        }
        (partial / META).write_text(json.dumps(meta, indent=1) + "\n", encoding="ascii")
    _print_summary(source, out, size, crop, skipped, notes)
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
                    f"{max_bad:g} of {total} allows: {_first_reasons(skipped)}"
                )
    return dict(sorted(skipped.items())), losses


def _describe(
    source: Source, packed: int, skipped: dict[int, Skipped], notes: list[str]
) -> dict[str, object]:
    """The entries of meta.json that describe the source and its images."""
    kind = None
    if source.labels is not None:
        kind = "class" if source.labels.ndim == 1 else "attributes"
    return {
        "format": FORMAT,
        "toolkit": dcgan.__version__,
        **source.origin,
        "found": len(source),
        "packed": packed,
        "ignored": source.ignored,
        "ignored_kinds": dict(source.left_out),
        "skipped": [image._asdict() for image in skipped.values()],
        "notes": notes,
        "label_kind": kind,
        "label_names": list(source.label_names),
    }


def _print_summary(
    source: Source,
    out: Path,
    size: int,
    crop: int | None,
    skipped: dict[int, Skipped],
    notes: list[str],
) -> None:
    """Print on stderr what has been packed and skipped."""
    shape = f"{size} px, of a centre crop of {crop} px" if crop else f"{size} px"
    line = f"packed {len(source) - len(skipped)} of {len(source)} images ({shape}) in {out}"
    if skipped:
        line += f"; skipped {len(skipped)}: {_first_reasons(skipped)}"
    print_lines(line, *notes, file=sys.stderr)


def _first_reasons(skipped: dict[int, Skipped]) -> str:
    """The first three skipped images with their reasons."""
    first = [f"{image.name} ({image.reason})" for _, image in sorted(skipped.items())[:3]]
    return ", ".join(first) + (", ..." if len(skipped) > 3 else "")
