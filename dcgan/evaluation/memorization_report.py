"""`dcgan neighbours`: the copying test of a checkpoint, and a picture of the closest samples."""

from pathlib import Path

import numpy as np
import torch

from dcgan import images, sampling
from dcgan.config import (
    DEFAULT_MEMORIZATION_IMAGES,
    MIN_IMAGES,
    NeighboursConfig,
    TrainConfig,
    config_from_dict,
)
from dcgan.data import PackedImages, open_packed, split_images
from dcgan.errors import UsageError, UserError
from dcgan.evaluation.memorization import NEIGHBOURS, CopyingTest, find_copies, pixel_features
from dcgan.evaluation.random_features import FeatureExtractor, RandomFeatures
from dcgan.evaluation.real_images import (
    check_same_shape,
    choose_images,
    match_label,
    read_images,
)
from dcgan.networks import Generator
from dcgan.runs.checkpoint import damaged
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.runtime import device as devices
from dcgan.runtime.disk import check_writable
from dcgan.runtime.terminal import print_lines

_HELD_OUT_SHARE = 10  # one image in so many is held out where no held-out images are given
_ROWS = 12  # samples in the picture
_SIGNIFICANT_Z = 3.0


@devices.full_float32_precision()
def report_memorization(
    checkpoint: Path,
    data: Path,
    out: Path,
    *,
    held_out: Path | None = None,
    count: int = DEFAULT_MEMORIZATION_IMAGES,
    truncation: float | None = None,
    label: str | None = None,
    recalibrate: bool = False,
    raw: bool = False,
    precision: str = TrainConfig.precision,
    device: str = TrainConfig.device,
) -> Path:
    """Test whether a checkpoint copies its training images, in the packed folder `data`.

    Prints the copying test on pixels and on random features, and writes the picture `out`: the
    samples closest to a training image, each beside its nearest training images. Returns `out`.

    `held_out`: packed folder of similar images that were not trained on; None: those of `data` that
    the run has held out (--held-out-share), or a tenth of it, which is a weaker reference.
    `count`: images to generate, of seeds 0, 1, 2, ... `truncation`, `label`, `precision`: see
    `sampling.sample`. `recalibrate`, `raw`: see `sampling.load`.

    Raises UserError for files that are missing or do not fit each other, UsageError for values that
    cannot work.
    """
    options = NeighboursConfig(**locals())  # the checks of the command line
    count, out = options.count, options.out
    check_writable(out)
    devices.reuse_freed_memory()
    on = devices.select_device(device)
    computed_in = devices.describe_computation(on, precision)
    G = sampling.load(checkpoint, raw=raw, recalibrate=recalibrate, device=on)
    packed = open_packed(data)
    training, held_out_images = _split_images(
        packed, G, count, held_out, label, _held_out_of_run(checkpoint, packed)
    )
    samples = np.concatenate(list(sampling.sample(G, range(count), truncation, precision, label)))
    extractors: dict[str, FeatureExtractor] = {
        "pixels": pixel_features,
        "features": RandomFeatures().to(on),
    }
    ranks, neighbours = [], []
    for name, extractor in extractors.items():
        test, distances, indices = find_copies(
            samples, held_out_images, lambda: read_images(packed, training), extractor, on
        )
        print_lines(f"{name}: {_describe(test)}")
        ranks.append(distances[:, 0].argsort().argsort())
        neighbours.append(training[indices.cpu().numpy()])
    counts = f"{len(samples)} samples, {len(held_out_images)} held-out"
    print_lines(
        f"{counts} and {len(training)} training images; "
        f"{computed_in['precision']} on {computed_in['device']}"
    )
    closest = torch.stack(ranks).amin(0).argsort()[:_ROWS].cpu().numpy()
    images.save_png(out, _picture(samples, packed, closest, neighbours))
    return out


def _held_out_of_run(path: Path, packed: PackedImages) -> np.ndarray:
    """Whether each image was held out from the training of a checkpoint, bool [N].

    None was where the checkpoint is not of a run on these images, or of one before the option.
    """
    found, held_out = find_checkpoint(path), np.zeros(len(packed), bool)
    if found.header.get("data") != packed.fingerprint:
        return held_out
    try:
        config = config_from_dict(found.config)
    except (UsageError, TypeError) as error:
        raise damaged(found.path, error) from error
    held_out[split_images(len(packed), config.held_out_share, config.seed)[1]] = True
    return held_out


def _split_images(
    packed: PackedImages,
    G: Generator,
    count: int,
    held_out: Path | None,
    label: str | None,
    held_out_of_run: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training images, and at most `count` held-out images uint8 [M, S, S, C].

    `held_out_of_run`: whether each image was held out from the training, bool [N]. With a label,
    only images that have it. Raises UserError for too few images, UsageError for images that G
    cannot make, or without labels.
    """

    def choose(images: PackedImages, count: int | None) -> np.ndarray:
        check_same_shape(G, images)
        matches = match_label(images, G, label)
        if label and not images.label_names:
            raise UsageError(f"--label {label}: the images of {images.folder} have no labels")
        return choose_images(images, count, matches)

    order = choose(packed, None)
    training, of_run = order[~held_out_of_run[order]], order[held_out_of_run[order]]
    if held_out is not None:
        source = open_packed(held_out)
        if source.fingerprint == packed.fingerprint:
            raise UsageError(f"--held-out {source.folder} holds the images of --data")
        indices = choose(source, count)
    elif len(of_run) >= MIN_IMAGES:
        indices, source = of_run[:count], packed
    else:
        split = min(len(training) // _HELD_OUT_SHARE, count)
        training, indices, source = training[split:], training[:split], packed
    if len(indices) < MIN_IMAGES:
        raise UserError(f"{packed.folder} is too small to hold images out: give --held-out")
    return training, np.concatenate(list(read_images(source, indices)))


def _describe(test: CopyingTest) -> str:
    copied = test.z > _SIGNIFICANT_Z
    verdict = "closer to training images than new images are" if copied else "no sign of copying"
    return (
        f"{verdict} (copying score {test.score:.3f}, 0.5 is expected without copying; "
        f"z {test.z:.1f}; {test.copies:.1%} closer than 99% of the held-out images)"
    )


def _picture(
    samples: np.ndarray, packed: PackedImages, shown: np.ndarray, neighbours: list[np.ndarray]
) -> np.ndarray:
    """A row for each sample that is shown: the sample, its nearest by pixels, then by features."""
    rows = []
    for i in shown:
        indices = np.concatenate([nearest[i] for nearest in neighbours])
        rows += [samples[i : i + 1], *read_images(packed, indices)]
    return images.make_grid(np.concatenate(rows), columns=1 + NEIGHBOURS * len(neighbours))
