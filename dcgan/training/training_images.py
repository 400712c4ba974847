"""The images of a run: packed once, and the same in all of its processes."""

import json
import sys
from pathlib import Path

from dcgan.config import TrainConfig
from dcgan.data import PackedImages, find_packed, is_packed, open_or_pack, open_packed
from dcgan.data.sources.base import Source
from dcgan.errors import UserError
from dcgan.runs.checkpoint import Checkpoint
from dcgan.runs.layout import CONFIG_FILE
from dcgan.runtime import distributed
from dcgan.runtime.disk import check_writable
from dcgan.runtime.terminal import print_lines


def open_images(config: TrainConfig, found: Checkpoint | None) -> PackedImages:
    """Open the images that `config` names, and pack them first unless they are packed.

    Rank 0 alone looks at the raw images, and no process does in a run that goes on from `found`
    with its packed images. Where another machine does not have rank 0's folder, its first process
    does the same. Raises UserError as `open_packed` and `open_or_pack`, and where the images are
    not the same for all processes.
    """
    if distributed.world_size() == 1:
        return _open(config, found)

    def describe(packed: PackedImages) -> str:
        return json.dumps([str(packed.folder), packed.fingerprint])

    doing = "packing the images"
    first = distributed.from_main(doing, lambda: describe(_open(config, found)))
    folder, fingerprint = json.loads(first)

    def open_here() -> str:
        if is_packed(Path(folder)) and open_packed(Path(folder)).fingerprint == fingerprint:
            return first
        return describe(_open(config, found))

    packed = open_packed(Path(json.loads(distributed.from_machine(doing, open_here))[0]))
    if packed.fingerprint != fingerprint:
        raise UserError(
            f"the images in {packed.folder} are not those that rank 0 has in {folder}: give all "
            f"machines the same"
        )
    return packed


def _open(config: TrainConfig, found: Checkpoint | None) -> PackedImages:
    """Open the images in this process alone."""
    if config.data:
        return open_packed(config.data)
    if found is None and distributed.is_main():
        check_writable(config.out / CONFIG_FILE)  # or the images would be packed in vain
    # The other options of raw images are those of the run: `checkpoint_to_resume` has seen to it.
    if found and not found.config.get("data"):
        packed = find_packed(config, config.data_cache, found.header["data"])
        if packed:
            later = f", without looking for new ones in {config.root}; --fresh does"
            print_lines(
                f"using the packed images in {packed.folder}{later if config.root else ''}",
                file=sys.stderr,
            )
            return packed

    def check(source: Source) -> None:
        if found:
            _check_count(source, config, found)

    return open_or_pack(config, config.size, config.channels, config.data_cache, check)


def _check_count(source: Source, config: TrainConfig, found: Checkpoint) -> None:
    """Raise UserError, before raw images are packed, if there are more or fewer than a checkpoint
    was trained on. They may have moved.
    """
    before = find_packed(config, config.data_cache, found.header["data"], any_root=True)
    if before and before.meta["found"] != len(source):
        raise UserError(
            f"{found.path} was trained on {before.meta['found']:,} images, and {config.root} has "
            f"{len(source):,}: use another --out, and --from {found.path.parent.parent} to start "
            f"from its networks"
        )
