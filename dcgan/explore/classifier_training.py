"""Training of a classifier on packed images with labels."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dcgan import images
from dcgan.data import PackedImages
from dcgan.data.faces import sample_traits
from dcgan.data.sources.faces import packed_indices
from dcgan.errors import UserError
from dcgan.explore.classifier import LabelClassifier
from dcgan.networks import Classifier
from dcgan.networks.classifier import MAX_CLASSIFIED_SIZE
from dcgan.runtime.cpu_sharing import sharing_cpus
from dcgan.runtime.device import full_float32_precision

_FACE_VALUES = ("tilt", "gaze_x")  # traits of the drawn faces: where they look
_STEPS = 1200
_BATCH_SIZE = 64
_PEAK_LEARNING_RATE = 4e-3
_WEIGHT_DECAY = 1e-2
_HELD_OUT_SHARE, _MAX_HELD_OUT = 0.1, 2000
_MIN_IMAGES = 20
_MANY, _MAX_COUNTED = 20, 100_000  # images, in which pairs of labels are looked for
_MAX_SHIFT = 1 / 32  # of the side
_MAX_NOISE = 0.15  # standard deviation, of values in [-1, 1]
_VALUE_WEIGHT = 0.5  # of the loss of the values beside that of the labels


@sharing_cpus()
def train_classifier(
    packed: PackedImages,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    on_step: Callable[[int, int], None] = lambda step, steps: None,
) -> LabelClassifier:
    """Train a classifier of the labels of packed images; for the drawn faces also of their pose.

    Small shifts and noise make it robust on generated images, which differ a little from those it
    learns from. Images are not mirrored: not all labels stay the same in a mirror. A tenth of the
    images is held out and gives the accuracies. `on_step(step, steps)` is called after every step.
    The same images and seed give the same classifier on one machine. Raises UserError for images
    without labels, or too few of them.
    """
    if packed.labels is None:
        raise UserError(f"the images in {packed.folder} have no labels: a classifier needs some")
    if len(packed) < _MIN_IMAGES:
        raise UserError(f"{packed.folder}: {len(packed)} images are too few for a classifier")
    rng = np.random.default_rng([seed, len(packed)])
    order = rng.permutation(len(packed))
    held_out = min(math.ceil(len(packed) * _HELD_OUT_SHARE), _MAX_HELD_OUT)
    values = _pose(packed)
    value_names = _FACE_VALUES if values.shape[1] else ()
    size = min(packed.size, MAX_CLASSIFIED_SIZE)
    outputs = len(packed.label_names) + len(value_names)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Classifier(size, packed.channels, outputs).to(device)
    _fit(network, packed, values, order[held_out:], rng, on_step)
    kind = packed.meta["label_kind"]
    network.requires_grad_(False).eval()
    trained = LabelClassifier(network, kind, packed.label_names, value_names, "", {})
    accuracy = _accuracy(trained, packed, values, np.sort(order[:held_out]))
    return dataclasses.replace(
        trained,
        fingerprint=packed.fingerprint,
        accuracy=accuracy,
        exclusive=_exclusive_pairs(packed),
    )


def _exclusive_pairs(packed: PackedImages) -> tuple[tuple[int, int], ...]:
    """The pairs of attributes that no image has both of, where chance would give _MANY or more."""
    assert packed.labels is not None
    if packed.labels.ndim == 1:
        return ()
    labels = np.asarray(packed.labels[:_MAX_COUNTED], np.float32)
    together, counts = labels.T @ labels, labels.sum(0)
    expected = counts[:, None] * counts / len(labels)
    first, second = np.nonzero(np.triu((together == 0) & (expected >= _MANY), 1))
    return tuple(zip(first.tolist(), second.tolist(), strict=True))


def _pose(packed: PackedImages) -> Tensor:
    """Values of every image, float32 [N, V] in [-1, 1]; V is 0 but for the drawn faces."""
    indices = packed_indices(packed.meta)
    if indices is None:
        return torch.empty(len(packed), 0)
    return sample_traits(indices, names=_FACE_VALUES)


def _fit(
    network: Classifier,
    packed: PackedImages,
    values: Tensor,
    chosen: np.ndarray,
    rng: np.random.Generator,
    on_step: Callable[[int, int], None],
) -> None:
    """Train on the images `chosen`, in new orders again and again, by Adam with weight decay; the
    learning rate rises and falls linearly (Smith 2018, arXiv:1803.09820).
    """
    device = next(network.parameters()).device
    optimizer = torch.optim.AdamW(
        network.parameters(), _PEAK_LEARNING_RATE, weight_decay=_WEIGHT_DECAY
    )
    count, waiting = min(_BATCH_SIZE, len(chosen)), np.empty(0, np.int64)
    for step in range(_STEPS):
        progress = (step + 0.5) / _STEPS
        for group in optimizer.param_groups:
            group["lr"] = _PEAK_LEARNING_RATE * min(progress / 0.15, (1 - progress) / 0.85)
        if len(waiting) < count:
            waiting = rng.permutation(chosen)
        rows, waiting = np.sort(waiting[:count]), waiting[count:]
        x = images.to_float(torch.from_numpy(packed.images[rows])).to(device)
        labels = torch.from_numpy(packed.multi_hot(rows)).to(device)
        with full_float32_precision():
            found = network(_disturb(x, rng))
            loss = _loss(found, labels, values[rows].to(device), packed.meta["label_kind"])
            optimizer.zero_grad()
            loss.backward()
        optimizer.step()
        on_step(step + 1, _STEPS)


def _loss(found: Tensor, labels: Tensor, values: Tensor, kind: str) -> Tensor:
    """Cross-entropy of the labels, and the mean square error of the values."""
    logits, estimates = found.split([labels.shape[1], values.shape[1]], 1)
    if kind == "class":
        loss = F.cross_entropy(logits, labels)
    else:
        loss = F.binary_cross_entropy_with_logits(logits, labels)
    return loss + _VALUE_WEIGHT * F.mse_loss(estimates, values) if values.shape[1] else loss


def _disturb(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Shift images by whole pixels, with the edge repeated, and add noise of varying strength.

    x: [N, C, S, S] in [-1, 1] -> the same shape.
    """
    side = x.shape[-1]
    reach = max(1, round(side * _MAX_SHIFT))
    padded = F.pad(x, (reach,) * 4, mode="replicate")
    corners = rng.integers(0, 2 * reach + 1, (len(x), 2)).tolist()
    shifted = torch.stack(
        [
            image[:, top : top + side, left : left + side]
            for image, (top, left) in zip(padded, corners, strict=True)
        ]
    )
    noise = torch.from_numpy(rng.standard_normal(tuple(x.shape), dtype=np.float32))
    strength = torch.from_numpy(rng.random((len(x), 1, 1, 1), dtype=np.float32) * _MAX_NOISE)
    return shifted + (noise * strength).to(x.device)


def _accuracy(
    trained: LabelClassifier, packed: PackedImages, values: Tensor, rows: np.ndarray
) -> dict[str, float]:
    """The share of right answers for each label, and the correlation for each value."""
    parts = np.array_split(rows, math.ceil(len(rows) / 256))
    outputs = trained.outputs(packed.images[part] for part in parts)
    logits, truth = trained.logits(outputs), torch.from_numpy(packed.multi_hot(rows))
    right = ((logits > 0) == (truth > 0.5)).float().mean(0).tolist()
    shares = dict(zip(packed.label_names, right, strict=True))
    for i, name in enumerate(trained.value_names):
        pair = torch.stack([outputs[:, len(trained.names) + i], values[rows, i]])
        shares[name] = torch.corrcoef(pair)[0, 1].item()
    return shares
