"""Seeds to images: what an image depends on, recalibration, truncation, files."""

import copy

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from dcgan import images, sampling
from dcgan.latent import noise_from_seeds
from dcgan.networks import Generator
from dcgan.runtime import device


@pytest.fixture(scope="module", params=[(64, 16), (32, 8)])
def G(request):
    """A generator whose images have contrast, so that no two are the same after rounding."""
    size, width = request.param
    torch.manual_seed(0)
    G = Generator(size, width=width, latent_dim=20)
    with torch.no_grad():
        G.layers[-2].weight.mul_(100)
        for _ in range(3):
            G(torch.randn(16, 20))
    return G.to(memory_format=torch.channels_last).eval()


def render_seeds(G, seeds, **options):
    return np.concatenate(list(sampling.sample(G, seeds, **options)))


def test_an_image_depends_on_its_seed_alone(G):
    many = render_seeds(G, range(150))
    assert (render_seeds(G, [100])[0] == many[100]).all()
    assert (render_seeds(G, [149, 3, 70]) == many[[149, 3, 70]]).all()
    assert len(np.unique(many.reshape(150, -1), axis=0)) == 150


@pytest.mark.parametrize(
    ("precision", "size", "most"),
    [
        *[("fp32", 16, 64), ("fp32", 32, 64), ("fp32", 64, 16), ("fp32", 128, 4)],
        *[("fp32", 256, 1), ("fp32", 512, 1), ("bf16", 64, 64), ("bf16", 256, 4)],
    ],
)
def test_passes_through_G_follow_from_the_size_of_the_images(precision, size, most):
    """One seed is not 64 times the work, and large images do not fill the memory."""
    G, seen = Generator(size, width=1, latent_dim=3), []
    with torch.no_grad():
        G.layers[0].register_forward_hook(lambda _, x, __: seen.append(len(x[0])))
        one = render_seeds(G, [70], precision=precision)
        assert seen == [most]
        images = render_seeds(G, [69, 70, 71], precision=precision)
    assert (images[1] == one[0]).all() and set(seen) == {most}
    seen.clear()
    sampling.recalibrate_batch_norm(G, 64)
    assert max(seen) * size**2 == min(64 * size**2, 2**22)


def test_an_image_of_a_grid_does_not_depend_on_the_others(G):
    grids = torch.randn(3, 20, 5, 13, generator=torch.Generator().manual_seed(0))
    (pixels,) = sampling.render(G, grids)
    (last,) = sampling.render(G, grids[2:])
    assert (pixels[2] == last[0]).all() and (pixels[0] != last[0]).any()


def test_images_are_those_of_evaluation_mode(G):
    z = noise_from_seeds([5, 6], 20, "normal")
    with torch.no_grad():
        expected = images.to_uint8(G(z)).numpy().astype(int)
    assert np.abs(render_seeds(G, [5, 6]) - expected).max() <= 1
    before = {k: v.clone() for k, v in G.state_dict().items()}
    G.train()
    assert (render_seeds(G, [5, 6]) == render_seeds(G.eval(), [5, 6])).all()
    assert all(torch.equal(v, before[k]) for k, v in G.state_dict().items())


def test_bf16_images_are_close_and_auto_follows_the_processor(G, monkeypatch):
    exact, rough = (render_seeds(G, range(70), precision=p).astype(int) for p in ("fp32", "bf16"))
    difference = np.abs(exact - rough)
    assert 0 < difference.mean() < 0.5 and difference.max() <= 8
    for native, expected in ((True, rough), (False, exact)):
        monkeypatch.setattr(device, "has_native_bf16", lambda _, native=native: native)
        assert (render_seeds(G, range(70)) == expected).all()


def test_a_grid_of_latents_gives_larger_images(G):
    z = torch.randn(3, 20, 2, 1)
    with torch.no_grad():
        expected = images.to_uint8(G(z)).numpy().astype(int)
    (pixels,) = sampling.render(G, z)
    assert pixels.shape[1] > pixels.shape[2] == G.size
    assert np.abs(pixels - expected).max() <= 1


def test_sampling_leaves_a_training_network_training(G):
    G.train()
    render_seeds(G, [1])
    assert G.training
    G.eval()


@pytest.mark.parametrize("mode", [True, False])
def test_recalibrated_batch_norm_normalizes_the_activations(G, mode):
    """Over the latents of recalibration: mean 0 and standard deviation 1, before scale and bias."""
    G, seen = copy.deepcopy(G), {}
    for module in G.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.fill_(5.0)
            module.register_forward_hook(
                lambda norm, _, y: seen.setdefault(norm, []).append(
                    (y - norm.bias[:, None, None]) / norm.weight[:, None, None]
                )
            )
    G.train(mode)
    sampling.recalibrate_batch_norm(G, 128)
    assert G.training == mode
    seen.clear()
    with torch.no_grad():
        G.eval()(sampling.latents_from_seeds(G, range(128)))
    assert len(seen) >= 2
    for (y,) in seen.values():
        # The mean of the batches' variances lacks that between the batches: a percent or so.
        torch.testing.assert_close(y.mean((0, 2, 3)), torch.zeros(y.shape[1]), atol=0.02, rtol=0)
        torch.testing.assert_close(y.std((0, 2, 3)), torch.ones(y.shape[1]), atol=0.03, rtol=0)


def test_recalibrated_statistics_are_means_over_the_batches(G):
    G, z = copy.deepcopy(G), noise_from_seeds(range(192), 20, "normal")
    norm = G.layers[1]
    norm.running_mean.fill_(7.0)
    with torch.no_grad():
        inputs = [G.layers[0](batch[:, :, None, None]) for batch in z.split(64)]
    sampling.recalibrate_batch_norm(G, 192)
    means = torch.stack([x.mean((0, 2, 3)) for x in inputs]).mean(0)
    variances = torch.stack([x.transpose(0, 1).flatten(1).var(1) for x in inputs]).mean(0)
    torch.testing.assert_close(norm.running_mean, means)
    torch.testing.assert_close(norm.running_var, variances)
    assert (norm.momentum, norm.training) == (0.1, False)


def test_a_smaller_truncation_gives_less_varied_images(G):
    spread = [render_seeds(G, range(64), truncation=t).std(0).mean() for t in (0.2, 1.0, 10.0)]
    assert spread[0] < 0.5 * spread[1] < spread[2]
    large, none = render_seeds(G, range(8), truncation=10.0), render_seeds(G, range(8))
    assert np.abs(large.astype(int) - none).max() <= 1


def test_files_hold_the_images_of_their_seeds(G, tmp_path):
    seeds = [9, 80, 3]
    expected = render_seeds(G, seeds)
    sampling.save_each(tmp_path / "each", seeds, sampling.sample(G, seeds))
    for seed, image in zip(seeds, expected, strict=True):
        with Image.open(tmp_path / "each" / f"seed-{seed:08d}.png") as file:
            assert (np.asarray(file) == image).all()
    sampling.save_npy(tmp_path / "all.npy", 130, sampling.sample(G, range(130)))
    assert (np.load(tmp_path / "all.npy") == render_seeds(G, range(130))).all()
