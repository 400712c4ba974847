"""The classifier for a generator: one that comes with it, one in a file, or a new one."""

from pathlib import Path

import torch

from dcgan.config import config_from_dict
from dcgan.config.hub_names import format_checkpoint, parse_hub_name
from dcgan.config.validation import to_path
from dcgan.data import PackedImages, find_packed, is_packed, open_packed
from dcgan.errors import UserError
from dcgan.explore.classifier import LabelClassifier, load_classifier, save_classifier
from dcgan.explore.classifier_training import train_classifier
from dcgan.pretrained import pretrained_part
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.runtime.disk import check_writable
from dcgan.runtime.progress import progress_bar


def find_classifier(
    checkpoint: Path,
    file: Path | None = None,
    data: Path | None = None,
    device: torch.device | str = "cpu",
) -> LabelClassifier:
    """The classifier in `file`; or that of the pretrained `checkpoint`; or one that is trained on
    the packed images `data`, by default those of the run, and is written to `file`.

    Raises UserError where there is none and no labels to train one on.
    """
    checkpoint = to_path(checkpoint)
    file, data = (None if path is None else to_path(path) for path in (file, data))
    if file is not None and (parse_hub_name(file) or file.exists()):
        return load_classifier(file, device)
    shipped = pretrained_part(checkpoint, "classifier")
    if file is None and data is None and shipped:
        return load_classifier(shipped, device)
    packed = open_packed(data) if data else run_images(checkpoint)
    if packed is None or packed.labels is None:
        why = "has no labels" if packed else "is not known here"
        raise UserError(
            f"the images that {format_checkpoint(checkpoint)} was trained on: the packed folder "
            f"{why}; name one with labels by --data, or a trained classifier by --classifier"
        )
    if file is not None:
        check_writable(file)
    with progress_bar(1, "training a classifier", "step", delay=2) as bar:

        def show(step: int, steps: int) -> None:
            bar.total = steps
            bar.update(1)

        trained = train_classifier(packed, device=device, on_step=show)
    if file is not None:
        save_classifier(file, trained)
    return trained


def classifier_at_hand(
    checkpoint: Path, file: Path | None = None, device: torch.device | str = "cpu"
) -> LabelClassifier | None:
    """The classifier in `file`, or that of the pretrained `checkpoint`; None where there is none.

    Raises UserError for a file that is missing or no classifier.
    """
    path = pretrained_part(to_path(checkpoint), "classifier") if file is None else to_path(file)
    return None if path is None else load_classifier(path, device)


def run_images(checkpoint: Path) -> PackedImages | None:
    """The packed images of a run, where they are still at their place; None otherwise."""
    found = find_checkpoint(checkpoint)
    wanted = found.header.get("data")
    folder = found.config.get("data")
    if isinstance(folder, str) and is_packed(Path(folder)):
        packed = open_packed(Path(folder))
        return packed if packed.fingerprint == wanted else None
    try:
        config = config_from_dict(found.config)
        return find_packed(config, config.data_cache, str(wanted), any_root=True)
    except UserError:  # options of another version
        return None
