"""The generator with folded batch norm against the generator it is a copy of."""

import pytest
import torch
import torch.nn.functional as F
from torch.optim.swa_utils import update_bn

from dcgan.networks import Generator, fold_batch_norm, recalibrate


def make_G(size: int = 32, kernel_size: int = 4, channels: int = 3) -> Generator:
    """A small generator in training mode, with batch norm that is far from its initial state."""
    torch.manual_seed(size + kernel_size + channels)
    G = Generator(size, channels, width=4, latent_dim=6, kernel_size=kernel_size).double()
    with torch.no_grad():
        for name, tensor in (*G.named_parameters(), *G.named_buffers()):
            if name.endswith(("running_var", "layers.1.weight")):
                tensor.uniform_(0.2, 3.0)
            elif tensor.is_floating_point():
                tensor.normal_(0, 0.3)
    return G


@pytest.mark.parametrize("grid", [(), (1, 1), (3, 2)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kernel_size", [4, 5])
@pytest.mark.parametrize("size", [32, 64, 128, 256])
def test_it_generates_the_images_of_evaluation_mode(size, kernel_size, channels, grid):
    G = make_G(size, kernel_size, channels)
    z = torch.randn(2, 6, *grid, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(fold_batch_norm(G)(z), G.eval()(z), rtol=0, atol=1e-12)


def test_it_computes_convolution_and_batch_norm():
    """y = gamma (x - mean) / sqrt(variance + epsilon) + beta, layer by layer."""
    G = make_G()
    z = torch.randn(3, 6, 1, 1, dtype=torch.float64)
    state, x = G.state_dict(), z
    for i in (0, 3, 6, 9):
        stride = {} if i == 0 else {"stride": 2, "padding": 1}
        x = F.conv_transpose2d(x, state[f"layers.{i}.weight"], **stride)
        if i < 9:
            scale, shift, mean, variance = (
                state[f"layers.{i + 1}.{name}"][None, :, None, None]
                for name in ("weight", "bias", "running_mean", "running_var")
            )
            x = (scale * (x - mean) / (variance + 1e-5).sqrt() + shift).clamp(min=0)
    torch.testing.assert_close(fold_batch_norm(G)(z), x.tanh(), rtol=0, atol=1e-12)
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in fold_batch_norm(G).layers)


def test_the_original_network_does_not_change():
    G = make_G().train()
    before = {name: tensor.clone() for name, tensor in G.state_dict().items()}
    copy = fold_batch_norm(G)
    copy(torch.randn(2, 6, dtype=torch.float64))
    for parameter in copy.parameters():
        assert not parameter.requires_grad
        parameter.zero_()
    assert G.training and all(p.requires_grad for p in G.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in G.state_dict().items())


def test_recalibration_in_passes_gives_the_statistics_of_whole_batches():
    """Not those of many small batches, which lack the differences between their images."""
    whole, in_passes = make_G(64).train(), make_G(64).train()
    batches = torch.randn(3, 20, 6, dtype=torch.float64)
    update_bn(batches, whole)
    most, latents = [], in_passes.layers[0].register_forward_hook(lambda _, x, __: most.append(x))
    recalibrate(in_passes, batches, max_latents=7)
    latents.remove()
    assert max(len(x) for (x,) in most) == 7
    assert in_passes.training
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(in_passes.state_dict()[name], tensor, rtol=1e-10, atol=1e-12)
    for norm in in_passes.modules():
        assert getattr(norm, "momentum", 0.1) == 0.1
