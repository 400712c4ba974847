"""The generator against the paper's architecture in PyTorch's own layers."""

import pytest
import torch
from torch import nn

from dcgan.networks import Generator, StridedConvTranspose2d
from tests.networks.reference import assert_same_function_and_gradients, count_parameters


def reference_G(latent_dim=100, width=64, channels=3) -> nn.Sequential:
    """Figure 1 of the paper in PyTorch's own layers, with 4 x 4 kernels."""
    layers = [nn.ConvTranspose2d(latent_dim, 8 * width, 4, 1, 0, bias=False)]
    in_channels = 8 * width
    for out_channels in (4 * width, 2 * width, width, channels):
        layers += [nn.BatchNorm2d(in_channels), nn.ReLU()]
        layers += [nn.ConvTranspose2d(in_channels, out_channels, 4, 2, 1, bias=False)]
        in_channels = out_channels
    return nn.Sequential(*layers, nn.Tanh())


def test_it_has_as_many_parameters_as_pytorchs_example():
    assert count_parameters(Generator()) == 3_576_704


def test_it_computes_the_same_as_pytorchs_layers():
    x = torch.randn(5, 100, 1, 1, dtype=torch.float64)
    assert_same_function_and_gradients(Generator(width=8), reference_G(width=8), x)


@pytest.mark.parametrize("size", [8, 32, 64, 128, 256])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kernel_size", [4, 5])
def test_images_have_the_size_and_range_asked_for(size, channels, kernel_size):
    G = Generator(size, channels, 2, 10, kernel_size=kernel_size)
    x = G(torch.randn(2, 10))
    assert x.shape == (2, channels, size, size)
    assert -1 <= x.min() < 0 < x.max() <= 1


def test_there_is_no_batch_norm_at_the_output():
    G = Generator(width=2)
    assert [type(m) for m in list(G.layers)[-2:]] == [StridedConvTranspose2d, nn.Tanh]
    assert sum(isinstance(m, nn.BatchNorm2d) for m in G.modules()) == 4


def test_a_grid_of_latents_gives_a_larger_image_that_moves_with_it():
    """Away from the borders, moving the latents by one moves the image by size / 4 pixels."""
    G = Generator(32, width=4, latent_dim=6).eval()
    z = torch.randn(1, 6, 2, 9) * 30
    large, moved = G(z), G(z.roll(1, 3))
    assert large.shape == (1, 3, 8 * (2 + 3), 8 * (9 + 3))
    torch.testing.assert_close(large[..., 40:48], moved[..., 48:56])
    assert (large[..., 40:48] - moved[..., 40:48]).abs().max() > 1e-3


def test_vmap_runs_over_latents_and_over_weights():
    G = Generator(16, width=2, latent_dim=6).eval()
    z = torch.randn(3, 2, 6)
    torch.testing.assert_close(torch.func.vmap(G)(z), torch.stack([G(one) for one in z]))
    weights = {name: torch.stack([p, 2 * p]) for name, p in G.named_parameters()}

    def generate(parameters):
        return torch.func.functional_call(G, parameters, (z[0],))

    each = [generate({name: p[i] for name, p in weights.items()}) for i in (0, 1)]
    torch.testing.assert_close(torch.func.vmap(generate)(weights), torch.stack(each))


def test_labels_enter_the_first_layer():
    """With all labels 0 it is the unconditional G that has the other kernels."""
    G = Generator(16, width=4, latent_dim=6, num_labels=2)
    unconditional = Generator(16, width=4, latent_dim=6)
    weights = G.state_dict()
    weights["layers.0.weight"] = weights["layers.0.weight"][:6]
    unconditional.load_state_dict(weights)
    z = torch.randn(3, 6)
    none, first = (torch.tensor(label).expand(3, 2) for label in ([0.0, 0.0], [1.0, 0.0]))
    torch.testing.assert_close(G(torch.cat([z, none], 1)), unconditional(z))
    assert not torch.allclose(G(torch.cat([z, first], 1)), unconditional(z), atol=1e-4)
