"""A source of raw images -> a packed folder: decoded once, cropped, resized, whole or not there.

DIR/images.npy   uint8 [N, S, S, C], memory-mapped by whatever reads it
DIR/labels.npy   int64 [N] class indices, or uint8 [N, A] attributes, where there are labels
DIR/meta.json    where they come from, how they were made, what was skipped and why
"""

import hashlib
import json
import sys
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from tqdm import tqdm

from dcgan.config import DataOptions, PrepareConfig
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
from dcgan.data.parallel import PackingJob, run_job
from dcgan.data.rows import create_array, keep_rows
from dcgan.data.sources.base import Source
from dcgan.data.sources.opening import open_source
from dcgan.errors import UserError
from dcgan.runtime.atomic_files import replace_atomically
from dcgan.runtime.disk import check_free_space, disk_errors
from dcgan.runtime.locks import locked_folder, remove_abandoned
from dcgan.runtime.threads import available_cpus


def prepare(config: PrepareConfig) -> PackedImages:
    """Pack the source that `config` names into `config.out`."""
    return pack(
        open_source(config),
        config.out.expanduser(),
        config.size,
        config.channels,
        config.crop,
        config.max_bad,
        config.workers,
    )


def open_or_pack(options: DataOptions, size: int, channels: int, data_cache: Path) -> PackedImages:
    """The packed folder of these options in `data_cache`, packed now unless it is there."""
    source = open_source(options)
    folder = cache_folder(source, options, size, channels, data_cache)
    if is_packed(folder):
        print(f"using the packed images in {folder}", file=sys.stderr)
        return open_packed(folder)
    try:
        return pack(source, folder, size, channels, options.crop, options.max_bad, options.workers)
    except UserError:
        # Another process may have packed the same images meanwhile. They are as good.
        if is_packed(folder):
            return open_packed(folder)
        raise


def cache_folder(
    source: Source, options: DataOptions, size: int, channels: int, data_cache: Path
) -> Path:
    """Where the packed images of a source are, or will be.

    The name ends in a hash of all that decides the content, the state of the raw data included.
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
    key = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:12]
    return data_cache.expanduser() / f"{options.source}-{size}-{key}"


def pack(
    source: Source,
    out: Path,
    size: int,
    channels: int,
    crop: int | None = None,
    max_bad: float = DataOptions.max_bad,
    workers: int | None = None,
    progress: bool = True,
) -> PackedImages:
    """Write all images of `source` to the new folder `out`, as uint8 [N, size, size, channels].

    The content does not depend on the number of workers. Images that cannot be read are left out
    and listed in meta.json. Raises UserError when they are more than the share `max_bad`, when
    `out` holds something already, and where the disk or a worker fails; `out` is then as before.
    """
    check_free(out)
    remove_abandoned(out)
    check_free_space(out, len(source) * size * size * channels)
    crop = crop or source.default_crop
    with replace_atomically(out) as partial, locked_folder(partial):
        images = partial / IMAGES
        create_array(images, (len(source), size, size, channels))
        job = PackingJob(source, images, size, channels, crop)
        bad = write_all(job, max_bad, workers or available_cpus(), progress)
        if len(bad) == len(source):
            raise UserError(f"none of the {len(source)} images can be read: {some(source, bad)}")
        good = np.setdiff1d(np.arange(len(source)), np.fromiter(bad, np.int64, len(bad)))
        keep_rows(images, good, (size, size, channels))
        if source.labels is not None:
            np.save(partial / LABELS, source.labels[good], allow_pickle=False)
        meta = describe(source, good, bad) | {
            "size": size,
            "channels": channels,
            "crop": crop,
            "filter": "lanczos",
            "recipe": DECODING_VERSION,
            "sha256": content_hash(partial),
        }
        (partial / META).write_text(json.dumps(meta, indent=1) + "\n", encoding="ascii")
    report(source, out, size, crop, bad)
    return open_packed(out)


def check_free(out: Path) -> None:
    """Raise UserError where `out` is something already."""
    with disk_errors(out):
        if out.resolve() == Path.cwd():
            raise UserError(f"{out} is the current folder, which cannot be replaced: name another")
        if is_packed(out):
            raise UserError(f"{out} is a packed folder already, and is not overwritten")
        if out.exists() and not (out.is_dir() and not any(out.iterdir())):
            raise UserError(f"{out} exists already, and is not overwritten")


def write_all(job: PackingJob, max_bad: float, workers: int, progress: bool) -> dict[int, str]:
    """Write all rows; return why the bad images are bad, in order."""
    total, bad = len(job.source), {}
    with (
        tqdm(total=total, desc="packing", unit="img", disable=not progress) as bar,
        closing(run_job(job, workers)) as chunks,
    ):
        for done, bad_of_chunk in chunks:
            bad |= bad_of_chunk
            bar.update(done)
            if len(bad) > max_bad * total:
                raise UserError(
                    f"{len(bad)} of {bar.n} images cannot be read, more than --max-bad {max_bad:g} "
                    f"of {total} allows: {some(job.source, bad)}"
                )
    return dict(sorted(bad.items()))


def describe(source: Source, good: np.ndarray, bad: dict[int, str]) -> dict[str, object]:
    try:
        toolkit = version("dcgan")
    except PackageNotFoundError:
        toolkit = "unknown"
    kind = None
    if source.labels is not None:
        kind = "class" if source.labels.ndim == 1 else "attributes"
    return {
        "format": FORMAT,
        "toolkit": toolkit,
        **source.origin,
        "found": len(source),
        "packed": len(good),
        "ignored": source.ignored,
        "skipped": [{"name": source.name(i), "reason": reason} for i, reason in bad.items()],
        "notes": source.notes,
        "label_kind": kind,
        "label_names": list(source.label_names),
    }


def report(source: Source, out: Path, size: int, crop: int | None, bad: dict[int, str]) -> None:
    shape = f"{size} px, of a centre crop of {crop} px" if crop else f"{size} px"
    line = f"packed {len(source) - len(bad)} of {len(source)} images ({shape}) in {out}"
    if bad:
        line += f"; skipped {len(bad)}: {some(source, bad)}"
    print("\n".join([line, *source.notes]), file=sys.stderr)


def some(source: Source, bad: dict[int, str]) -> str:
    """The first few bad images and why they are bad."""
    first = [f"{source.name(i)} ({reason})" for i, reason in sorted(bad.items())[:3]]
    return ", ".join(first) + (", ..." if len(bad) > 3 else "")
