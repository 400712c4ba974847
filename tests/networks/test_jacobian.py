"""The Jacobian of a generator, beside autograd's."""

import pytest
import torch

from dcgan.networks import fold_batch_norm, image_and_jacobian, jacobian
from tests.latent.generators import CLASSES, make_generator


@pytest.mark.parametrize("labels", [None, CLASSES])
@pytest.mark.parametrize("options", [{}, {"kernel_size": 5, "channels": 1, "size": 32}])
def test_the_jacobian_is_that_of_autograd_without_the_labels(labels, options):
    G = make_generator(labels, **options)
    z = torch.randn(G.layers[0].in_channels, generator=torch.Generator().manual_seed(1))
    image, ours = image_and_jacobian(fold_batch_norm(G), z)
    exact = torch.autograd.functional.jacobian(lambda z: G.double()(z[None])[0], z.double())
    torch.testing.assert_close(image, G(z.double()[None])[0].float(), atol=1e-5, rtol=1e-4)
    expected = exact.movedim(-1, 0)[: G.latent_dim].float()
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-3)


def test_passes_of_few_tangents_give_the_same_derivatives(monkeypatch):
    G = fold_batch_norm(make_generator(size=32))
    z = torch.randn(6)
    _, expected = image_and_jacobian(G, z)
    seen = []
    G.layers[0].register_forward_hook(lambda _, x, __: seen.append(len(x[0])))
    monkeypatch.setattr(jacobian, "_MAX_PASS_PIXELS", 4 * 32**2)
    torch.testing.assert_close(image_and_jacobian(G, z)[1], expected)
    assert seen == [1, 4, 2]
