"""FID, KID, Inception Score, precision and recall on Inception's features, by torch-fidelity."""

import hashlib
import warnings
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dcgan.errors import UserError
from dcgan.evaluation.random_features import to_rgb

BATCH = 64  # images: the chunks that sampling makes
KID_SUBSET = 1000  # of the authors of KID
EXTRACTOR = "inception-v3-compat"
CUT_SHORT = ("UnpicklingError", "EOFError")  # what reading part of a download raises


def check_there(weights: Path | None) -> None:
    """Raise UserError unless torch-fidelity is installed, and a file of weights there if named."""
    try:
        found = version("torch-fidelity")
    except PackageNotFoundError:
        raise UserError('--fidelity needs torch-fidelity: pip install "dcgan[metrics]"') from None
    if tuple(map(int, found.split(".")[:2])) < (0, 4):
        # Before that, precision was called recall, and recall precision.
        raise UserError(f"--fidelity needs torch-fidelity 0.4.0 or newer, not {found}")
    if weights and not weights.is_file():
        raise UserError(f"{weights}: no such file of weights")


def scores(
    fake: Iterator[np.ndarray],
    count: int,
    real: Iterator[np.ndarray],
    real_count: int,
    on: torch.device,
    weights: Path | None,
) -> tuple[dict[str, float], dict]:
    """Numbers, and the protocol, of `count` images and `real_count` real ones in chunks of 64.

    torch-fidelity reads the weights with pickle: they must come from somebody who is trusted.
    Raises UserError where they cannot be had, or are no weights of Inception.
    """
    from torch_fidelity import calculate_metrics

    subset = min(KID_SUBSET, count, real_count)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = calculate_metrics(
                input1=stream(fake),
                input1_model_num_samples=count,
                input2=stream(real),
                input2_model_num_samples=real_count,
                isc=True,
                fid=True,
                kid=True,
                prc=True,
                kid_subset_size=subset,
                feature_extractor=EXTRACTOR,
                feature_extractor_weights_path=weights and str(weights),
                batch_size=BATCH,
                cuda=on.type == "cuda",
                cache=False,
                save_cpu_ram=True,  # distances of all pairs a block at a time
                verbose=False,
            )
    except OSError as error:  # of the download too
        hint = "give --weights FILE where there is no network"
        raise UserError(f"cannot load Inception's weights: {error}; {hint}") from error
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if not weights and type(error).__name__ in CUT_SHORT:
            raise UserError(f"{downloaded()} is damaged: {reason}; delete it") from error
        if not weights:
            raise
        # What unpickling a file of anything may raise is anybody's guess.
        raise UserError(f"{weights} holds no weights of Inception: {reason}") from error
    names = {
        "fid": "frechet_inception_distance",
        "kid_x1000": "kernel_inception_distance_mean",
        "inception_score": "inception_score_mean",
        "precision": "precision",
        "recall": "recall",
    }
    numbers = {name: float(found[key]) for name, key in names.items()}
    numbers["kid_x1000"] *= 1000
    protocol = {
        "features": f"torch-fidelity {version('torch-fidelity')} {EXTRACTOR}, 2048",
        "weights_sha256": digest(weights or downloaded()),
        "resize": "bilinear to 299x299 as in TensorFlow 1",
        "kid_subset": subset,
        "precision_recall_k": 3,
    }
    return numbers, protocol


def stream(chunks: Iterator[np.ndarray]):
    """Images in chunks of 64 as torch-fidelity's model: its noise is only asked how many it wants.

    So our latents stay ours, U(-1, 1) or N(0, 1) by seeds, and no image is ever a file.
    """
    from torch_fidelity import GenerativeModelBase

    class Stream(GenerativeModelBase):
        z_size, z_type, num_classes = 1, "normal", 0

        def forward(self, z: Tensor) -> Tensor:
            images = to_rgb(torch.from_numpy(next(chunks)).to(z.device))
            assert len(images) == len(z)
            return images

    return Stream()


def downloaded() -> Path:
    """Where torch-fidelity has put the weights."""
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    return Path(torch.hub.get_dir()) / "checkpoints" / Path(URL_INCEPTION_V3).name


def digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
