"""Which feature maps draw an object, by a logistic regression on its positions (Radford et al.
2015, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
Networks", arXiv:1511.06434, section 6.3.1).
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dcgan.deconv.forget.editing import reader
from dcgan.errors import UserError
from dcgan.networks import Generator, fold_batch_norm
from dcgan.runtime.device import full_float32_precision
from dcgan.sampling import batch_size

_INSIDE = 0.25  # the share of a position's pixels that the object takes at least
_MAX_POSITIONS = 20_000  # of each kind
_C = 1.0  # inverse weight of the penalty on the weights of standardised maps
_MAX_ITERATIONS = 1000


def check_scikit_learn() -> None:
    """Raise UserError unless scikit-learn is installed."""
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise UserError('forgetting needs scikit-learn: pip install "dcgan[features]"') from None


def map_weights(G: Generator, layer: int, z: Tensor, masks: Tensor) -> Tensor:
    """The weight of each map of a layer in telling the positions of an object from others.

    z: latents [N, D]; masks: the object in their images, bool [N, S, S]. -> weights float32 [C],
    on the CPU, of the maps after the rectifier divided by their standard deviations. The positions
    outside are as many random ones of the images that have the object. Raises UserError where
    all positions, or none, show the object.
    """
    check_scikit_learn()
    from sklearn.linear_model import LogisticRegression

    inside, outside = _positions(G, layer, z, masks)
    count = min(len(inside), len(outside), _MAX_POSITIONS)
    if count == 0:
        raise UserError(
            f"layer {layer}: {len(inside)} of the positions show the object and {len(outside)} do "
            f"not, and both are needed: choose another --object or --layer"
        )
    rng = torch.Generator().manual_seed(0)
    kept = [each[torch.randperm(len(each), generator=rng)[:count]] for each in (inside, outside)]
    features = torch.cat(kept).double().numpy()
    deviations = features.std(0)
    deviations[deviations == 0] = 1
    labels = np.repeat([1, 0], count)
    model = LogisticRegression(C=_C, max_iter=_MAX_ITERATIONS).fit(features / deviations, labels)
    return torch.from_numpy(model.coef_[0]).float()


def _positions(G: Generator, layer: int, z: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """The activations [P, C] and [Q, C] inside an object and outside it, in images that have it.

    Outside are as many random positions of each batch of images as there are inside.
    """
    device = next(G.parameters()).device
    before = fold_batch_norm(G).layers[: reader(G, layer)]
    rng = torch.Generator().manual_seed(0)
    inside, outside = [], []
    size = batch_size(G.size)
    for latents, object_masks in zip(z.split(size), masks.split(size), strict=True):
        with torch.inference_mode(), full_float32_precision():
            maps = before(latents.to(device)[:, :, None, None]).cpu().permute(0, 2, 3, 1)
        cell = G.size // maps.shape[1]
        share = F.avg_pool2d(object_masks[:, None].float(), cell)[:, 0]
        shows = share >= _INSIDE
        clear = (share == 0) & shows.flatten(1).any(1)[:, None, None]
        inside.append(maps[shows])
        others = maps[clear]
        outside.append(others[torch.randperm(len(others), generator=rng)[: len(inside[-1])]])
    return torch.cat(inside), torch.cat(outside)
