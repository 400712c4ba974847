"""`dcgan evaluate`: numbers of one checkpoint, and the protocol that they were computed by."""

import hashlib
import importlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dcgan import sampling
from dcgan.config import DEFAULT_MAX_IMAGES, EvaluateConfig
from dcgan.data import open_packed
from dcgan.errors import UserError
from dcgan.evaluation import inception
from dcgan.evaluation.comparison import MAX_PAIRWISE_IMAGES, Comparison, FeatureComparison
from dcgan.evaluation.random_features import Extractor, RandomFeatures, extract_features
from dcgan.evaluation.real_images import (
    check_same_shape,
    choose_images,
    match_label,
    read_images,
)
from dcgan.runs.checkpoint import Checkpoint
from dcgan.runs.layout import CHECKPOINTS
from dcgan.runs.run_folder import find_checkpoint
from dcgan.runtime import device
from dcgan.runtime.atomic_files import replace_atomically

FOLDER = "evaluations"
PIXEL_IMAGES = 2000  # images for what is computed from pixels


def evaluate(config: EvaluateConfig) -> Path:
    """Compare a checkpoint with real images; print the numbers, and return the file they are in.

    The file is evaluations/step-STEP-PROTOCOL.json in the run folder, or beside a checkpoint that
    is in none. Raises UserError for files that are missing or do not fit each other.
    """
    device.reuse_freed_memory()
    on = device.select_device(config.device)
    found = find_checkpoint(config.checkpoint)
    if config.fidelity:
        inception.check_there(config.weights)
    G = sampling.load(found.path, raw=config.raw, recalibrate=config.recalibrate, device=on)
    extractor = load_extractor(config.extractor, G.size, on) if config.extractor else None
    packed = open_packed(config.data)
    check_same_shape(G, packed)
    # Wrong flags fail before the work.
    sampling.latents_from_seeds(G, [0], config.truncation, config.label)
    order = choose_images(packed, config.reals, match_label(packed, G, config.label))
    count = config.count or min(DEFAULT_MAX_IMAGES, len(order))

    def real() -> Iterator[np.ndarray]:
        return read_images(packed, order)

    def fake() -> Iterator[np.ndarray]:
        return sampling.sample(G, range(count), config.truncation, config.precision, config.label)

    protocol = {
        **described(found, config),
        "images": count,
        "real_images": len(order),
        "real_images_there": len(packed),
        "real_label": config.label if packed.label_names else None,
        "real_fingerprint": packed.fingerprint,
    }
    comparison = Comparison(real(), RandomFeatures().to(on), on, PIXEL_IMAGES)
    results = {"random network": comparison.scores(fake())}
    protocol["random network"] = {
        "features": "dcgan.evaluation.random_features.RandomFeatures, none downloaded, no resize",
        "paired_images": min(MAX_PAIRWISE_IMAGES, count, len(order)),
        "pixel_images": min(PIXEL_IMAGES, count, len(order)),
    }
    if extractor:
        compared = FeatureComparison(extract_features(extractor, real(), on))
        results[config.extractor] = compared.scores(extract_features(extractor, fake(), on))
        protocol[config.extractor] = {"paired_images": min(MAX_PAIRWISE_IMAGES, count, len(order))}
    if config.fidelity:
        results["inception"], protocol["inception"] = inception.scores(
            fake(), count, real(), len(order), on, config.weights
        )
    return report(found, protocol, results)


def described(found: Checkpoint, config: EvaluateConfig) -> dict:
    """What was judged, and how it was drawn."""
    return {
        "checkpoint": found.path.name,
        "checkpoint_sha256": inception.digest(found.path),
        "step": found.step,
        "weights": "of the last step" if config.raw else "averaged (EMA)",
        "batch_norm": "measured anew" if config.recalibrate else "of the checkpoint",
        "seeds": "from 0",
        "truncation": config.truncation,
        "label": config.label,
        "precision": config.precision,
    }


def report(found: Checkpoint, protocol: dict, results: dict[str, dict[str, float]]) -> Path:
    """Print and store numbers and protocol."""
    for group, scores in results.items():
        print(f"{group}: " + ", ".join(f"{name} {value:.4g}" for name, value in scores.items()))
    line = json.dumps(protocol)
    print(f"protocol: {line}")
    folder = found.path.parent
    folder = (folder.parent if folder.name == CHECKPOINTS else folder) / FOLDER
    digest = hashlib.sha256(line.encode()).hexdigest()[:8]
    path = folder / f"step-{found.step:08d}-{digest}.json"
    with replace_atomically(path) as partial:
        content = {"protocol": protocol, "results": results}
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return path


def load_extractor(name: str, size: int, on: torch.device) -> Extractor:
    """What module:Class names, made and checked by what it sees in two images of a size.

    Raises UserError, now and later, for whatever goes wrong in it and for features that are none.
    """
    module, _, attribute = name.partition(":")
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        made = getattr(importlib.import_module(module), attribute)
        made = made() if isinstance(made, type) else made
        if isinstance(made, torch.nn.Module):
            made = made.to(on).eval()
        extractor = partial(features_of, name, made)
        pixels = np.random.default_rng(0).integers(256, size=(2, 3, size, size), dtype=np.uint8)
        count = extractor(torch.from_numpy(pixels).to(on)).shape[1]
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # whatever code of a user raises
        raise failed(name, error) from error
    finally:
        with suppress(ValueError):  # the module may have changed it
            sys.path.remove(here)
    return partial(extractor, count=count)


@torch.inference_mode()
def features_of(name: str, made: Extractor, images: Tensor, count: int | None = None) -> Tensor:
    """What an extractor sees in images: `count` finite numbers of each. UserError otherwise."""
    try:
        features = made(images)
    except (Exception, SystemExit) as error:
        raise failed(name, error) from error
    fit = (
        isinstance(features, Tensor)
        and features.dim() == 2
        and features.shape == (len(images), count or max(features.shape[1], 1))
        and not features.is_complex()
        and features.isfinite().all()
    )
    if not fit:
        raise UserError(
            f"--extractor {name} does not make features [N, F] of images [N, 3, S, S]: "
            f"as many numbers of each, real and finite"
        )
    return features


def failed(name: str, error: BaseException) -> UserError:
    """What is said of an error in an extractor."""
    return UserError(f"--extractor {name}: {type(error).__name__}: {error}")
