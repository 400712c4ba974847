import pytest
import torch

from dcgan.deconv import autoencoder
from dcgan.deconv.autoencoder.network import (
    DenoisingAutoencoder,
    autoencoder_around,
    build_autoencoder,
)
from dcgan.networks import Discriminator, Generator


def options(**changes):
    return dict(size=16, channels=3, width=4, kernel_size=4, code_dim=8) | changes


@pytest.mark.parametrize("changes", [{}, {"size": 32, "channels": 1}])
def test_images_go_through_a_code_to_images(changes):
    asked = options(**changes)
    network = build_autoencoder(**asked)
    x = torch.rand(3, asked["channels"], asked["size"], asked["size"]) * 2 - 1
    assert network.code(x).shape == (3, 8)
    assert network(x).shape == x.shape and network(x).abs().max() <= 1


def test_features_are_those_of_a_discriminator_with_the_same_weights():
    network = build_autoencoder(**options())
    D = Discriminator(16, 3, 4, batch_norm_D=False, bias_D=True)
    D.blocks.load_state_dict(network.encoder.blocks.state_dict())
    x = torch.rand(2, 3, 16, 16)
    maps = network.features(x)
    assert [tuple(m.shape[1:]) for m in maps] == [(4, 8, 8), (8, 4, 4)]
    assert all(map(torch.equal, maps, D.features(x)))
    assert torch.equal(network.encoder.head(maps[-1].flatten(1)), network.code(x))


@torch.no_grad()
def gated(weight: float) -> DenoisingAutoencoder:
    """A network whose gate has this weight everywhere, and reads maps that are above zero."""
    network = build_autoencoder(**options()).eval()
    network.decoder.layers[-4].bias.fill_(10)
    network.gate.weight.fill_(weight)
    return network


@torch.no_grad()
def test_the_gate_mixes_the_image_with_that_of_the_decoder():
    network = gated(0.0)
    x, other = torch.rand(2, 2, 3, 16, 16) * 2 - 1
    half = network(x)
    network.gate.weight.fill_(1e4)
    assert (network(x) - x).abs().max() < 1e-6
    network.gate.weight.fill_(-1e4)
    made = network(x)
    assert torch.allclose(half, (made + x) / 2, atol=1e-5)
    assert (network(other) - made).abs().max() > 1e-3, "the decoder's image depends on x"


@torch.no_grad()
def test_details_pass_beside_the_code():
    network = gated(-1e4)  # closed
    network.encoder.head.weight.zero_()  # one code for all images
    network.encoder.head.bias.normal_()
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    made = network(x)
    assert (made[0] - made[1]).abs().max() > 1e-3
    for block in network.encoder.blocks:
        block[0].weight.zero_()  # nothing to add: what is left is the generator
    code = network.code(x)
    assert torch.allclose(network(x), network.decoder(code), atol=1e-5)


def test_different_images_have_different_codes_from_the_first_step_on():
    network = build_autoencoder(**options())
    codes = network.code(torch.rand(20, 3, 16, 16) * 2 - 1)
    assert codes.std(0).mean() > 0.05, "or the batch norm of the decoder would divide by zero"


def test_a_decoder_of_a_GAN_is_used_as_it_was_trained():
    G = Generator(16, 3, 4, 8, latent="uniform")
    network = autoencoder_around(G).train()
    assert not G.training and not any(p.requires_grad for p in G.parameters())
    with torch.no_grad():
        network.encoder.head.bias.fill_(1.0)  # one standard deviation
    z = torch.full((2, 8), 0.6826895)  # the share of a normal distribution within it
    made = network(torch.rand(2, 3, 16, 16))
    assert torch.allclose(made, G(z), atol=1e-5)


def test_a_loaded_network_is_ready_for_use(denoiser, packed):
    network = autoencoder.load_autoencoder(denoiser)
    assert (network.size, network.channels) == (16, 3)
    assert not network.training and not any(p.requires_grad for p in network.parameters())
    x = torch.rand(3, 3, 16, 16)
    together, alone = network(x), network(x[:1])
    assert torch.allclose(together[:1], alone, atol=1e-5), "running statistics, not of the batch"
