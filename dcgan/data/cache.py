"""Packed folders in --data-cache: found by what decides their content, or packed there."""

import hashlib
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from dcgan.config import DataOptions
from dcgan.data.decoding.image import DECODING_VERSION
from dcgan.data.packed import PackedImages, is_packed, open_packed
from dcgan.data.packed_files import FORMAT, META
from dcgan.data.packing import pack_with
from dcgan.data.sources.base import Source
from dcgan.data.sources.opening import open_source, origin
from dcgan.errors import UserError
from dcgan.runtime.terminal import print_lines


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
        return pack_with(options, source, folder, size, channels)
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
