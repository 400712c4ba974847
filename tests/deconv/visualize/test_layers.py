"""Layers are found by name, by number and by call, and leave the network as it was."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from dcgan.deconv.visualize import discriminator_forward, open_layer, project
from dcgan.errors import UsageError, UserError
from dcgan.networks import Discriminator, Generator


class Functional(nn.Module):
    """Convolutions with functions between them; the first one is followed by an addition."""

    def __init__(self):
        super().__init__()
        self.one = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.two = nn.Conv2d(4, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.three = nn.Conv2d(4, 6, 3)

    def forward(self, x):
        x = self.one(x)
        x += 1
        x = self.norm(x)
        x = self.relu(self.two(x))
        x = self.relu(self.two(x))
        return F.relu(self.three(x)).mean((2, 3))


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_numbers_name_the_convolutions_with_what_follows():
    D = Discriminator(32, width=4, batch_norm_D=True)
    layers = [open_layer(D, number, (3, 32, 32)) for number in (1, 2, 3, "3", None)]
    assert [layer.title for layer in layers] == [
        *("blocks.0.1", "blocks.1.2", "blocks.2.2", "blocks.2.2", "blocks.2.2")
    ]
    assert [layer.shape for layer in layers[:3]] == [(4, 16, 16), (8, 8, 8), (16, 4, 4)]
    x = noise(5, 3, 32, 32)
    D.eval()
    for layer, maps in zip(layers, D.features(x), strict=False):
        torch.testing.assert_close(layer.maps(x), maps)
    assert open_layer(D, 4, (3, 32, 32)).title == "score"


def test_what_is_computed_between_a_convolution_and_batch_norm_separates_them():
    titles = [open_layer(Functional(), number, (3, 8, 8)).title for number in (1, 2, 3, 4)]
    assert titles == ["one", "relu@1", "relu@2", "three"]


def test_layers_are_taken_before_what_follows_changes_them_in_place():
    network = Functional().eval()
    x = noise(2, 3, 8, 8)
    maps = open_layer(network, "two@1", (3, 8, 8)).maps(x)
    torch.testing.assert_close(maps, network.two(network.norm(network.one(x) + 1)))
    assert (maps < 0).any()
    second = open_layer(network, "two@2", (3, 8, 8)).maps(x)
    torch.testing.assert_close(second, network.two(maps.relu()))


def test_a_name_made_of_digits_counts_before_a_number():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 5, 1), nn.ReLU())
    assert open_layer(network, "2", (3, 8, 8)).title == "2"
    assert open_layer(network, 2, (3, 8, 8)).title == "3"
    assert open_layer(network, "0", (3, 8, 8)).title == "0"


def test_the_output_and_layers_without_positions_have_maps_of_one_pixel():
    network = Functional().eval()
    layer = open_layer(network, "output", (3, 8, 8))
    assert layer.shape == (6, 1, 1) and layer.title == "output"
    x = noise(2, 3, 8, 8)
    torch.testing.assert_close(layer.maps(x)[..., 0, 0], network(x))
    logits = open_layer(Discriminator(16, width=4), "output", (3, 16, 16))
    assert logits.shape == (1, 1, 1)


def test_a_conditional_discriminator_gets_labels():
    D = Discriminator(16, width=4, num_labels=5, minibatch_std=True, batch_norm_D=False).eval()
    x = noise(4, 3, 16, 16)
    layer = open_layer(D, "output", (3, 16, 16), discriminator_forward(D))
    each = torch.cat([D(one, torch.zeros(1, 5)) for one in x.split(1)])
    torch.testing.assert_close(layer.maps(x).flatten(), each)
    assert project(layer, x, 0, "gradient").any()


def test_layers_of_a_generator_take_latents():
    G = Generator(16, width=4, latent_dim=6).eval()
    layer = open_layer(G, 1, (6,))
    assert layer.shape == (8, 4, 4)
    z = noise(3, 6)
    torch.testing.assert_close(layer.maps(z), G.layers[:3](z[..., None, None]))


@pytest.mark.parametrize("method", ["deconvnet", "gradient"])
def test_the_network_stays_as_it_was(method):
    network = torchvision.models.resnet18()
    network.bn1.eval()
    network.conv1.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    wanted = [parameter.requires_grad for parameter in network.parameters()]
    x = noise(2, 3, 64, 64)
    layer = open_layer(network, "layer1.0.relu@2", (3, 64, 64))
    projection = project(layer, x, [1, 5], method)
    torch.testing.assert_close(project(layer, x[1:], 5, method), projection[1:])
    assert modes == [module.training for module in network.modules()]
    assert wanted == [parameter.requires_grad for parameter in network.parameters()]
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())
    after = network.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert torch.equal(x, noise(2, 3, 64, 64))


def test_networks_for_one_number_of_inputs_fail_in_one_line():
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Unflatten(0, (2, 1)), nn.Flatten(0, 1))
    layer = open_layer(network, "output", (3, 8, 8))
    with pytest.raises(UserError, match="cannot take inputs of the shape 3x3x8x8: RuntimeError"):
        layer.maps(noise(3, 3, 8, 8))


def test_projections_are_computed_in_blocks_without_gradients():
    layer = open_layer(Functional(), "three", (3, 8, 8))
    expected = project(layer, noise(2, 3, 8, 8), 0)
    for block in (torch.no_grad(), torch.inference_mode()):
        with block:
            assert torch.equal(project(layer, noise(2, 3, 8, 8), 0), expected)


@pytest.mark.parametrize(
    ("network", "layer", "words"),
    [
        (
            Functional(),
            "four",
            r"no layer four: choose one of 1 = one .4x8x8., norm.* 2 = relu@1 ",
        ),
        (Functional(), "relu", "layer relu is computed 2 times: write relu@1 or relu@2"),
        (Functional(), "relu@3", "no layer relu@3: choose one of"),
        (Functional(), "relu@x", "no layer relu@x"),
        (Functional(), 0, "no layer 0: choose one of"),
        (Functional(), 5, "no layer 5"),
        (nn.Flatten(), None, "there is no convolution: choose one of output"),
        (Functional(), "@", "no layer @: choose one of"),
        (nn.Sequential(nn.Conv2d(1, 1, 1)), 1, "cannot take inputs of the shape 3x8x8: Runtime"),
        (nn.Sequential(nn.Conv2d(3, 1, 9)), 1, "cannot take inputs of the shape 3x8x8: Runtime"),
    ],
)
def test_mistakes_take_one_line(network, layer, words):
    with pytest.raises(UserError, match=words) as caught:
        open_layer(network, layer, (3, 8, 8))
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_compiled_networks_are_refused():
    for network in (torch.jit.script(nn.ReLU()), torch.compile(nn.ReLU(), backend="eager")):
        with pytest.raises(UserError, match="compiled by"):
            open_layer(network, "output", (3, 8, 8))


def test_units_positions_and_inputs_are_checked():
    layer = open_layer(Functional(), "three", (3, 8, 8))
    x = noise(2, 3, 8, 8)
    for mistake, words in (
        (lambda: project(layer, x, 6), "unit 6: layer three has the units 0 to 5"),
        (lambda: project(layer, x, [0, -1]), "unit -1: layer three"),
        (lambda: project(layer, x, [0, 1, 2]), "3 units for 2 images"),
        (lambda: project(layer, x[..., 1:], 0), "opened for inputs of 3x8x8, not 3x8x7"),
        (lambda: project(layer, x, 0, "guided", torch.tensor([[0, 0]])), r"must be \[2, 2\]"),
        (lambda: project(layer, x, 0, "guided", torch.tensor([[0, 6]] * 2)), r"\(0, 6\) is not on"),
        (lambda: project(layer, x, 0, "guided", torch.zeros(2, 2), True), "leave positions out"),
        (lambda: project(layer, x, 0, "lrp"), "must be one of guided, deconvnet, gradient"),
    ):
        with pytest.raises(UsageError, match=words):
            mistake()
