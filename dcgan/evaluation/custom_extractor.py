"""A user's own feature extractor, named as module:Class on the command line."""

from contextlib import ExitStack
from functools import partial

import numpy as np
import torch
from torch import Tensor

from dcgan.errors import UserError
from dcgan.evaluation.random_features import FeatureExtractor
from dcgan.runtime.importing import import_module


def load_extractor(name: str, size: int, device: torch.device) -> FeatureExtractor:
    """Import the extractor "module:Class", and try it on two images of this size.

    The module may lie in the current folder, unless another has its name; a class is called without
    arguments. Raises UserError, now and at every later call, for any error in it and for outputs
    that are not features [N, F].
    """
    module, _, attribute = name.partition(":")
    try:
        with ExitStack() as stack:
            extractor = getattr(import_module(module, stack), attribute)
            extractor = extractor() if isinstance(extractor, type) else extractor
            if isinstance(extractor, torch.nn.Module):
                extractor = extractor.to(device).eval()
            pixels = np.random.default_rng(0).integers(256, size=(2, 3, size, size), dtype=np.uint8)
            features = _extract_checked(name, extractor, torch.from_numpy(pixels).to(device))
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # a user's code can raise anything
        raise _extractor_error(name, error) from error
    return partial(_extract_checked, name, extractor, num_features=features.shape[1])


@torch.inference_mode()
def _extract_checked(
    name: str, extractor: FeatureExtractor, images: Tensor, num_features: int | None = None
) -> Tensor:
    """Features of images. Raises UserError unless they are finite, real and [N, num_features]."""
    try:
        features = extractor(images)
    except (Exception, SystemExit) as error:
        raise _extractor_error(name, error) from error
    valid = (
        isinstance(features, Tensor)
        and features.dim() == 2
        and features.shape == (len(images), num_features or max(features.shape[1], 1))
        and not features.is_complex()
        and features.isfinite().all()
    )
    if not valid:
        raise UserError(
            f"--extractor {name} does not make features [N, F] of images [N, 3, S, S]: "
            f"as many numbers for every image, real and finite"
        )
    return features


def _extractor_error(name: str, error: BaseException) -> UserError:
    return UserError(f"--extractor {name}: {type(error).__name__}: {error}")
