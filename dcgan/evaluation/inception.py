"""FID, KID, Inception Score, precision and recall on Inception's features, by torch-fidelity."""

import itertools
import warnings
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dcgan.errors import UserError
from dcgan.evaluation.random_features import to_rgb
from dcgan.runtime.hashing import file_sha256

_BATCH = 64  # images
_KID_SUBSET = 1000  # images, as by the authors of KID
_EXTRACTOR = "inception-v3-compat"
_TRUNCATED_FILE_ERRORS = ("UnpicklingError", "EOFError")


def check_torch_fidelity(weights: Path | None) -> None:
    """Raise UserError unless torch-fidelity is installed and a given file of weights exists."""
    try:
        installed = version("torch-fidelity")
    except PackageNotFoundError:
        raise UserError('--fidelity needs torch-fidelity: pip install "dcgan[metrics]"') from None
    if tuple(map(int, installed.split(".")[:2])) < (0, 4):
        # Older versions have precision and recall swapped.
        raise UserError(f"--fidelity needs torch-fidelity 0.4.0 or newer, not {installed}")
    if weights and not weights.is_file():
        raise UserError(f"{weights}: no such file of weights")


def inception_scores(
    fake: Iterator[np.ndarray],
    fake_count: int,
    real: Iterator[np.ndarray],
    real_count: int,
    device: torch.device,
    weights: Path | None,
) -> tuple[dict[str, float], dict[str, Any]]:
    """Scores on Inception's features, and the protocol they were computed by.

    Images are uint8 [n, S, S, C] in chunks. The scores are fid (Heusel et al. 2017),
    kid_x1000 (Bińkowski et al. 2018), inception_score (Salimans et al. 2016), precision and recall
    (Kynkäänniemi et al. 2019). torch-fidelity unpickles the weights, so their source must be
    trusted. Raises UserError where they cannot be downloaded or are no weights of Inception.
    """
    from torch_fidelity import calculate_metrics

    kid_subset = min(_KID_SUBSET, fake_count, real_count)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = calculate_metrics(
                input1=_as_generative_model(fake),
                input1_model_num_samples=fake_count,
                input2=_as_generative_model(real),
                input2_model_num_samples=real_count,
                isc=True,
                fid=True,
                kid=True,
                prc=True,
                kid_subset_size=kid_subset,
                feature_extractor=_EXTRACTOR,
                feature_extractor_weights_path=weights and str(weights),
                batch_size=_BATCH,
                cuda=device.type == "cuda",
                cache=False,
                save_cpu_ram=True,  # all-pairs distances in blocks
                verbose=False,
            )
    except OSError as error:  # failed downloads too
        hint = "give --weights FILE where there is no network"
        raise UserError(f"cannot load Inception's weights: {error}; {hint}") from error
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if not weights and type(error).__name__ in _TRUNCATED_FILE_ERRORS:
            raise UserError(f"{_downloaded_weights()} is damaged: {reason}; delete it") from error
        if not weights:
            raise
        # Unpickling an arbitrary file can raise anything.
        raise UserError(f"{weights} holds no weights of Inception: {reason}") from error
    keys = {
        "fid": "frechet_inception_distance",
        "kid_x1000": "kernel_inception_distance_mean",
        "inception_score": "inception_score_mean",
        "precision": "precision",
        "recall": "recall",
    }
    scores = {name: float(found[key]) for name, key in keys.items()}
    scores["kid_x1000"] *= 1000
    protocol = {
        "features": f"torch-fidelity {version('torch-fidelity')} {_EXTRACTOR}, 2048",
        "weights_sha256": file_sha256(weights or _downloaded_weights()),
        "resize": "bilinear to 299x299 as in TensorFlow 1",
        "kid_subset": kid_subset,
        "precision_recall_k": 3,
    }
    return scores, protocol


def _as_generative_model(chunks: Iterator[np.ndarray]):
    """Wrap chunks of images as a generative model of torch-fidelity, whose noise is ignored.

    So the images are those of our own seeds and latent distribution, and are never files.
    """
    from torch_fidelity import GenerativeModelBase

    class ImageStream(GenerativeModelBase):
        z_size, z_type, num_classes = 1, "normal", 0

        def forward(self, z: Tensor) -> Tensor:
            batch = np.stack(list(itertools.islice(images, len(z))))
            return to_rgb(torch.from_numpy(batch).to(z.device))

    images = itertools.chain.from_iterable(chunks)
    return ImageStream()


def _downloaded_weights() -> Path:
    """Where torch-fidelity stores the weights that it downloads."""
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    return Path(torch.hub.get_dir()) / "checkpoints" / Path(URL_INCEPTION_V3).name
