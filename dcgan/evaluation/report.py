"""Scores of a checkpoint against real images, stored with the protocol they were computed by."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from dcgan import sampling
from dcgan.config import DEFAULT_MAX_IMAGES, EFFICIENTNET, EvaluateConfig, TrainConfig
from dcgan.data import open_packed
from dcgan.errors import UserError
from dcgan.evaluation.comparison import MAX_PAIRWISE_IMAGES, Comparison, FeatureComparison
from dcgan.evaluation.custom_extractor import load_extractor
from dcgan.evaluation.efficientnet import describe_efficientnet, load_efficientnet
from dcgan.evaluation.inception import check_torch_fidelity, inception_scores
from dcgan.evaluation.random_features import (
    FeatureExtractor,
    RandomFeatures,
    extract_features,
)
from dcgan.evaluation.real_images import (
    check_same_shape,
    choose_images,
    match_label,
    read_images,
)
from dcgan.runs.checkpoint import Checkpoint
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.runs.layout import CHECKPOINTS, EVALUATIONS
from dcgan.runtime import device as devices
from dcgan.runtime.atomic_files import replace_atomically
from dcgan.runtime.cpu_sharing import sharing_cpus
from dcgan.runtime.disk import check_writable
from dcgan.runtime.hashing import file_sha256
from dcgan.runtime.terminal import print_lines

_PIXEL_IMAGES = 2000  # images for the scores on pixels
_RANDOM = "random network"
_RANDOM_NOTE = (
    "compares models of the same data; its precision, recall, density and coverage say less about "
    f"what is seen than a trained network's: --extractor {EFFICIENTNET}, or --fidelity"
)


@sharing_cpus()
@devices.full_float32_precision()
def evaluate(
    checkpoint: Path,
    data: Path,
    *,
    count: int | None = None,
    reals: int | None = None,
    fidelity: bool = False,
    weights: Path | None = None,
    extractor: str | None = None,
    truncation: float | None = None,
    label: str | None = None,
    recalibrate: bool = False,
    raw: bool = False,
    precision: str = TrainConfig.precision,
    device: str = TrainConfig.device,
    out: Path | None = None,
) -> Path:
    """Compare images of a checkpoint with those of the packed folder `data`.

    Prints the scores, and returns the JSON file that holds them and their protocol: `out`, or
    evaluations/step-STEP-PROTOCOL.json in the run folder, or beside a checkpoint file elsewhere.

    `count`: images to generate, of seeds 0, 1, 2, ...; None: as many as real ones, at most 50,000.
    `reals`: real images to choose at random; None: all. `fidelity`: also compute scores on
    Inception's features, with its weights in the file `weights`, or downloaded. `extractor`:
    "efficientnet", or "module:Class" of other features to compare, see `load_extractor`.
    `truncation`, `label`, `precision`: see `sampling.sample`. `recalibrate`, `raw`: see
    `sampling.load`.

    Raises UserError for files that are missing or do not fit each other, UsageError for values that
    cannot work.
    """
    options = EvaluateConfig(**locals())  # the checks of the command line
    count, reals = options.count, options.reals
    weights, out = options.weights, options.out
    devices.reuse_freed_memory()
    on = devices.select_device(device)
    found = find_checkpoint(checkpoint)
    with _advice_to_name_a_file(out):
        check_writable(out or _results_path(found, {}))
    if fidelity:
        check_torch_fidelity(weights)
    G = sampling.load(found.path, raw=raw, recalibrate=recalibrate, device=on)
    features: FeatureExtractor | None = None
    about_features: dict[str, str] = {}
    if extractor == EFFICIENTNET:
        features, about_features = load_efficientnet(on), describe_efficientnet()
    elif extractor:
        features = load_extractor(extractor, G.size, on)
    packed = open_packed(data)
    check_same_shape(G, packed)
    sampling.latents_from_seeds(G, [0], truncation, label)  # wrong values fail before the work
    computed_in = devices.describe_computation(on, precision)
    order = choose_images(packed, reals, match_label(packed, G, label))
    count = count or min(DEFAULT_MAX_IMAGES, len(order))

    def real() -> Iterator[np.ndarray]:
        return read_images(packed, order)

    def fake() -> Iterator[np.ndarray]:
        return sampling.sample(G, range(count), truncation, precision, label)

    protocol: dict[str, Any] = {
        "checkpoint": found.path.name,
        "checkpoint_sha256": file_sha256(found.path),
        "step": found.step,
        "weights": "of the last step" if raw else "averaged (EMA)",
        "batch_norm": "recalibrated" if recalibrate else "of the checkpoint",
        "seeds": "from 0",
        "truncation": truncation,
        "label": label,
        **computed_in,
        "images": count,
        "real_images": len(order),
        "real_images_there": len(packed),
        "real_label": label if packed.label_names else None,
        "real_fingerprint": packed.fingerprint,
    }
    pairwise = {"paired_images": min(MAX_PAIRWISE_IMAGES, count, len(order))}
    pixel_images = min(_PIXEL_IMAGES, count, len(order))
    comparison = Comparison(real(), RandomFeatures().to(on), on, pixel_images)
    results = {_RANDOM: comparison.scores(fake())}
    protocol[_RANDOM] = {
        "features": "dcgan.evaluation.random_features.RandomFeatures, none downloaded, no resize",
        **pairwise,
        "pixel_images": pixel_images,
    }
    if extractor and features:
        compared = FeatureComparison(extract_features(features, real(), on))
        results[extractor] = compared.scores(extract_features(features, fake(), on))
        protocol[extractor] = pairwise | about_features
    if fidelity:
        results["inception"], protocol["inception"] = inception_scores(
            fake(), count, real(), len(order), on, weights
        )
    _print_results(results, protocol)
    path = out or _results_path(found, protocol)
    with _advice_to_name_a_file(out):
        _save_results(path, results, protocol)
    return path


def _print_results(results: dict[str, dict[str, float]], protocol: dict[str, Any]) -> None:
    for group, scores in results.items():
        print_lines(
            f"{group}: " + ", ".join(f"{name} {value:.4g}" for name, value in scores.items())
        )
        if group == _RANDOM:
            print_lines(f"({_RANDOM_NOTE})")
    print_lines(f"protocol: {json.dumps(protocol)}")


def _results_path(found: Checkpoint, protocol: dict[str, Any]) -> Path:
    """The file of a checkpoint's results, named after the step and a hash of the protocol.

    Those of networks that come with the package, or from the Hub, are written below the working
    directory.
    """
    folder = Path() if found.shared else found.path.parent
    folder = (folder.parent if folder.name == CHECKPOINTS else folder) / EVALUATIONS
    digest = hashlib.sha256(json.dumps(protocol).encode()).hexdigest()[:8]
    return folder / f"step-{found.step:08d}-{digest}.json"


def _save_results(
    path: Path, results: dict[str, dict[str, float]], protocol: dict[str, Any]
) -> None:
    with replace_atomically(path) as partial:
        content = {"protocol": protocol, "results": results}
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


@contextmanager
def _advice_to_name_a_file(out: Path | None) -> Iterator[None]:
    """Add to a UserError of the block how to write elsewhere, unless the user has said where."""
    try:
        yield
    except UserError as error:
        raise error if out else UserError(f"{error}; name another file with --out") from error
