"""The `folder` source with masks: two folders with the same relative names."""

from pathlib import Path

import numpy as np

from dcgan.config import DataOptions
from dcgan.data.sources.array_source import ArraySource
from dcgan.data.sources.files import Files, is_image
from dcgan.data.sources.folder import leave_out_folder, open_files, open_folder
from dcgan.data.sources.masked_files import MaskedFiles, Pair
from dcgan.errors import UsageError, UserError


def open_masked_folder(
    options: DataOptions, root: Path, masks: Path, mask_names: tuple[str, ...]
) -> MaskedFiles:
    """The images in `root` with the masks in `masks`, each a folder, a zip or a tar.

    An image and its mask have the same relative name but for the extension. Where one folder is in
    the other, its files belong to it alone. Images without a mask and masks without an image are
    bad. Raises UsageError for one folder for both and for arrays, UserError as `open_folder`.
    """
    if not masks.exists():
        raise UserError(f"{masks} does not exist (--masks)")
    if masks.samefile(root):
        raise UsageError(f"--masks {masks} is the folder of the images: put the masks into another")
    images = open_folder(options, root, without=masks)
    if isinstance(images, ArraySource):
        raise UsageError(f"--masks is for folders and archives of images, not for {root}")
    mask_files = open_files(masks)
    leave_out_folder(mask_files, root)
    pairs = pair_by_name(images, mask_files)
    source = MaskedFiles(images, mask_files, pairs, mask_names)
    source.label_names = images.label_names
    if images.labels is not None:
        # A mask without an image has no row of its own in the labels, and is not packed.
        rows = np.array([max(pair.image, 0) for pair in pairs])
        source.labels = images.labels[rows]
    return source


def pair_by_name(images: Files, masks: Files) -> list[Pair]:
    """The images in their order, each with the mask of its name; then the masks without an image.

    Of several masks of a name the PNG counts, and of several images the first.
    """
    mask_of: dict[str, int] = {}
    for i in sorted(range(len(masks)), key=lambda i: not masks.names[i].lower().endswith(".png")):
        mask_of.setdefault(_stem(masks.names[i]), i)
    left, taken, pairs = set(range(len(masks))), dict[str, str](), []
    for i, name in enumerate(images.names):
        stem = _stem(name)
        mask, refused = mask_of.get(stem, -1), ""
        if not is_image(name):  # a folder that cannot be read: opening it says why
            mask = -1
        elif stem in taken:
            refused = f"its mask would be that of {taken[stem]}: give every image its own name"
        elif mask < 0:
            refused = f"no mask {stem}.png"
        else:
            taken[stem] = name
            left.discard(mask)
        pairs.append(Pair(name, i, mask, refused))
    for i in sorted(left):
        name = masks.names[i]
        refused = "a mask without an image"
        if (partner := taken.get(_stem(name))) is not None:
            refused = f"a second mask of {partner}"
        elif not is_image(name):
            refused = "cannot be read"
        pairs.append(Pair(name, refused=refused))
    return pairs


def _stem(name: str) -> str:
    """A relative name without the extension of an image."""
    return name.rpartition(".")[0] if is_image(name) else name
