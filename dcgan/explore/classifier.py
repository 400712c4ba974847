"""A trained classifier of labels with the names of what it tells, and its file."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dcgan import images
from dcgan.errors import UsageError, UserError
from dcgan.latent import LabelNames
from dcgan.networks import Classifier, Generator
from dcgan.runs.tensor_file import read_tensors, save_tensors
from dcgan.runtime.device import full_float32_precision

_KIND = "a classifier"
_MAX_OUTPUTS = 10_000


@dataclass(frozen=True, eq=False)
class LabelClassifier:
    """A classifier in evaluation mode, and what its outputs mean.

    The first outputs are the logits of the labels, and the others estimates of values, such as the
    tilt of a drawn face, in [-1, 1].
    """

    network: Classifier
    kind: str  # of the labels: "class" or "attributes"
    names: tuple[str, ...]  # of the labels
    value_names: tuple[str, ...]
    fingerprint: str  # of the packed images that it was trained on
    # On images held out from training: the share of right answers for each label, and the
    # correlation of estimate and truth for each value.
    accuracy: Mapping[str, float]
    # Pairs of labels, by index, that no training image has both of, though many would by chance.
    exclusive: tuple[tuple[int, int], ...] = ()

    def outputs(self, batches: Iterable[np.ndarray | Tensor]) -> Tensor:
        """uint8 [n, S, S, C] in batches -> logits and values, float32 [N, outputs] on the CPU."""
        device = next(self.network.parameters()).device
        rows = []
        for batch in batches:
            pixels = batch if isinstance(batch, Tensor) else torch.from_numpy(np.array(batch))
            x = images.to_float(pixels.to(device))
            with torch.inference_mode(), full_float32_precision():
                rows.append(self.network(x).cpu())
        return torch.cat(rows)

    def logits(self, outputs: Tensor) -> Tensor:
        """The logits of the labels, [N, len(names)], each above 0 where an image has the label.

        Those of classes are the log odds of each class against all others.
        """
        logits = outputs[:, : len(self.names)]
        if self.kind == "attributes" or len(self.names) == 1:
            return logits
        all_classes = logits.logsumexp(1, keepdim=True)
        others = [logits[:, torch.arange(len(self.names)) != i] for i in range(len(self.names))]
        rest = torch.stack([other.logsumexp(1) for other in others], 1)
        return (logits - all_classes) - (rest - all_classes)

    @cached_property
    def labels(self) -> LabelNames:
        """The labels, by their names."""
        return LabelNames(self.kind, self.names)

    def tied_to(self, index: int) -> list[int]:
        """The labels that may change with a label, by index: those that it excludes."""
        if self.kind == "class":
            return [i for i in range(len(self.names)) if i != index]
        pairs = [pair for pair in self.exclusive if index in pair]
        return sorted(a if b == index else b for a, b in pairs)

    def check_generator(self, G: Generator) -> None:
        """Raise UserError unless it can classify G's images."""
        own = self.network
        if G.channels != own.channels or G.size % own.size:
            raise UserError(
                f"the classifier is for {own.channels} x {own.size} x {own.size} images, and the "
                f"generator draws {G.channels} x {G.size} x {G.size}"
            )


def save_classifier(path: Path, classifier: LabelClassifier) -> None:
    """Write a classifier in half precision. Raises UserError if writing fails."""
    network = classifier.network
    header = {
        "labels": classifier.kind,
        "names": list(classifier.names),
        "value_names": list(classifier.value_names),
        "size": network.size,
        "channels": network.channels,
        "width": network.width,
        "data": classifier.fingerprint,
        "accuracy": dict(classifier.accuracy),
        "exclusive": [list(pair) for pair in classifier.exclusive],
    }
    state = network.state_dict()
    halves = {name: t.half() if t.is_floating_point() else t for name, t in state.items()}
    save_tensors(path, _KIND, header, halves)


def load_classifier(path: Path, device: torch.device | str = "cpu") -> LabelClassifier:
    """Read a classifier. Raises UserError unless the file is a complete one."""
    found = read_tensors(path, _KIND)
    try:
        header = _checked_header(found.header)
        outputs = len(header["names"]) + len(header["value_names"])
        with torch.device("meta"):
            network = Classifier(header["size"], header["channels"], outputs, header["width"])
        expected = network.state_dict()
        if {k: (v.shape, v.dtype) for k, v in found.tensors.items()} != {
            k: (v.shape, v.dtype) for k, v in expected.items()
        }:
            raise ValueError("its tensors do not match its header")
    except (KeyError, TypeError, ValueError, UsageError) as error:
        raise found.unusable(error) from error
    network.load_state_dict(found.tensors, assign=True)
    network = network.to(device).requires_grad_(False).eval()
    names, value_names = tuple(header["names"]), tuple(header["value_names"])
    return LabelClassifier(
        network,
        header["labels"],
        names,
        value_names,
        header["data"],
        header["accuracy"],
        tuple(map(tuple, header["exclusive"])),
    )


def _checked_header(header: dict[str, Any]) -> dict[str, Any]:
    """The header. Raises KeyError, TypeError or ValueError for values that none is saved with."""
    for name in ("size", "channels", "width"):
        if type(header[name]) is not int:
            raise TypeError(f"{name} cannot be {header[name]!r}")
    lists = [header[name] for name in ("names", "value_names", "exclusive")]
    if not all(isinstance(each, list) for each in lists) or type(header["accuracy"]) is not dict:
        raise TypeError("its header has another form")
    names = [*header["names"], *header["value_names"]]
    if not header["names"] or len(names) > _MAX_OUTPUTS or len(set(names)) < len(names):
        raise ValueError("its names are none, too many, or not unique")
    texts = [*names, header["data"], header["labels"]]
    if not all(isinstance(text, str) and text.isprintable() for text in texts):
        raise TypeError("a name is no printable text")
    if header["labels"] not in ("class", "attributes"):
        raise ValueError("its labels are neither classes nor attributes")
    accuracy = header["accuracy"]
    if set(accuracy) - set(names) or not all(type(v) is float for v in accuracy.values()):
        raise ValueError("its accuracies are not those of its names")
    known = range(len(header["names"]))
    for pair in header["exclusive"]:
        if len(pair) != 2 or not all(type(i) is int and i in known for i in pair):
            raise ValueError("its pairs of labels are not those of its names")
    return header
