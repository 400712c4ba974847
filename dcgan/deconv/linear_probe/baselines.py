"""What learnt features are compared with: principal components of pixels."""

import numpy as np
import torch
from torch import Tensor, nn

from dcgan import images
from dcgan.data import PackedImages, row_reader
from dcgan.deconv.linear_probe.features import pixel_features

_COMPONENTS = 256
_FITTED_IMAGES = 4000  # that components are computed from


class PrincipalComponents(nn.Module):
    """Projection of pixels onto their principal components: [N, C, S, S] -> [N, components].

    The components keep their variances: they are not whitened.
    """

    mean: Tensor
    components: Tensor

    def __init__(self, mean: Tensor, components: Tensor):
        super().__init__()
        self.register_buffer("mean", mean)  # [C * S * S]
        self.register_buffer("components", components)  # [C * S * S, components]

    def forward(self, x: Tensor) -> Tensor:
        return (pixel_features(x) - self.mean) @ self.components


def fit_principal_components(
    packed: PackedImages, indices: np.ndarray, seed: int = 0
) -> PrincipalComponents:
    """The first 256 principal components of the packed images `indices`, without their labels.

    Computed from 4,000 images at most by randomised SVD (Halko et al. 2011), or exactly where there
    are no more than 256 pixels or images.
    """
    from sklearn.decomposition import PCA

    read = row_reader(packed.images)
    pixels = images.to_float(torch.from_numpy(read(indices[:_FITTED_IMAGES]))).flatten(1).numpy()
    count = min(_COMPONENTS, *pixels.shape)
    solver = "full" if count in pixels.shape else "randomized"
    fitted = PCA(count, svd_solver=solver, random_state=seed).fit(pixels)
    mean, components = torch.from_numpy(fitted.mean_), torch.from_numpy(fitted.components_)
    return PrincipalComponents(mean.float(), components.float().T.contiguous())
