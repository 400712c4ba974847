"""Networks as files that PyTorch's DCGAN example loads."""

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import dcgan
from dcgan.config import PRESETS, ImportConfig
from dcgan.data import open_packed
from dcgan.errors import UserError
from dcgan.export import export_generator, export_to_pytorch_example
from dcgan.importing import import_networks
from dcgan.runs import checkpoint
from dcgan.runs.checkpoint_folder import find_checkpoint
from tests import pytorch_example
from tests.conftest import TINY, fit, write_packed
from tests.pytorch_example import Discriminator, Generator, save


@pytest.fixture(scope="module")
def run_of_preset(tmp_path_factory):
    """Two steps of the preset, with tiny networks and an average of G."""
    folder = tmp_path_factory.mktemp("preset")
    pixels = np.random.default_rng(0).integers(0, 256, (16, 64, 64, 3), dtype=np.uint8)
    packed = open_packed(write_packed(folder / "data", pixels))
    small = {"width": 4, "latent_dim": 6, "batch_size": 4, "steps": 2, "ema_images": 100}
    config = dataclasses.replace(PRESETS["pytorch-example"], **small, lr_G=1e-2, device="cpu")
    fit(config, packed, folder / "run", torch.device("cpu"))
    return folder / "run"


def test_imported_networks_come_back_bit_for_bit(tmp_path):
    example = pytorch_example.trained(3)
    (tmp_path / "theirs").mkdir()
    files = [
        save(tmp_path / "theirs" / f"{name}.safetensors", getattr(example, name))
        for name in ("netG", "netD")
    ]
    run = import_networks(ImportConfig(weights=tuple(files), out=tmp_path / "run")).run
    paths = export_to_pytorch_example(run, tmp_path / "ours")
    assert [path.name for path in paths] == ["netG.safetensors", "netD.safetensors"]
    for ours, theirs in zip(map(load_file, paths), map(load_file, files), strict=True):
        assert {k: v.dtype for k, v in ours.items()} == {k: v.dtype for k, v in theirs.items()}
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_the_example_loads_a_run_and_draws_and_scores_the_same(run_of_preset, tmp_path):
    export_to_pytorch_example(run_of_preset, tmp_path)
    z, x = torch.randn(4, 6), torch.rand(4, 3, 64, 64) * 2 - 1
    netG, netD = Generator(ngf=4, nz=6).eval(), Discriminator(ndf=4).eval()
    netD.load_state_dict(load_file(tmp_path / "netD.safetensors"))
    pictures = {}
    for name, ema in (("netG", False), ("netG_averaged", True)):
        netG.load_state_dict(load_file(tmp_path / f"{name}.safetensors"))
        with torch.no_grad():
            pictures[name] = netG(z[:, :, None, None])
            ours = dcgan.load_generator(run_of_preset, ema=ema)(z)
        torch.testing.assert_close(ours, pictures[name], rtol=1e-4, atol=1e-5)
    assert (pictures["netG"] - pictures["netG_averaged"]).abs().mean() > 1e-3
    with torch.no_grad():
        ours = dcgan.load_discriminator(run_of_preset)(x).sigmoid()
        torch.testing.assert_close(ours, netD(x), rtol=1e-4, atol=1e-6)


def test_a_generator_alone_becomes_netG(run_of_preset, tmp_path):
    export_generator(run_of_preset, tmp_path / "G.safetensors", half_precision=True)
    (path,) = export_to_pytorch_example(tmp_path / "G.safetensors", tmp_path / "example")
    netG = Generator(ngf=4, nz=6)
    netG.load_state_dict(load_file(path))
    averaged = find_checkpoint(run_of_preset).tensors("ema.")
    assert path.name == "netG.safetensors"
    assert torch.equal(netG.main[3].weight, averaged["layers.3.weight"].half().float())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 128}, "with --size 128, and PyTorch's example has --size 64"),
        ({"kernel_size": 5}, "with --kernel-size 5, and .* has --kernel-size 4"),
        ({"latent": "uniform"}, "with --latent uniform, and .* has --latent normal"),
        ({"batch_norm_D": False}, r"with --no-batch-norm-D, .* \(a file of its generator alone"),
        ({"bias_D": True}, "with --bias-D, and PyTorch's example has --no-bias-D"),
        ({"minibatch_std": True}, "with --minibatch-std"),
        ({"batch_norm_D": False, "spectral_norm": True}, "with --no-batch-norm-D"),
    ],
)
def test_what_the_example_cannot_express_is_refused_by_its_option(
    run_of_preset, tmp_path, options, words
):
    found = find_checkpoint(run_of_preset)
    path = tmp_path / "other.safetensors"
    checkpoint.save(path, {"step": 1, "config": found.config | options}, found.tensors(""))
    with pytest.raises(UserError, match=words):
        export_to_pytorch_example(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_conditional_networks_are_refused(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 16, 3), dtype=np.uint8)
    labels = np.arange(16, dtype=np.int64) % 2
    packed = open_packed(write_packed(tmp_path / "data", pixels, labels, ("a", "b"), "class"))
    config = dataclasses.replace(TINY, steps=1, conditional=True)
    fit(config, packed, tmp_path / "run", torch.device("cpu"))
    with pytest.raises(UserError, match=r"trained with --conditional, and .* has no labels"):
        export_to_pytorch_example(tmp_path / "run", tmp_path / "out")


def test_files_that_are_there_stay(run_of_preset, tmp_path):
    (tmp_path / "netD.safetensors").write_text("mine")
    with pytest.raises(UserError, match=r"netD\.safetensors is there already"):
        export_to_pytorch_example(run_of_preset, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["netD.safetensors"]
    assert (tmp_path / "netD.safetensors").read_text() == "mine"
