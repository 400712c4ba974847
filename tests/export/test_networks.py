"""Single networks as checkpoint files."""

import shutil

import numpy as np
import pytest
import torch

import dcgan
from dcgan import sampling
from dcgan.errors import UserError
from dcgan.export import export_discriminator, export_generator
from dcgan.runs import checkpoint
from dcgan.runs.checkpoint_folder import find_checkpoint


def draw(G) -> np.ndarray:
    return np.concatenate(list(sampling.sample(G, range(8), precision="fp32")))


def test_an_exported_generator_draws_the_same_images_from_a_smaller_file(run, tmp_path):
    out = tmp_path / "G.safetensors"
    export_generator(run, out)
    assert np.array_equal(draw(dcgan.load_generator(out)), draw(dcgan.load_generator(run)))
    whole, alone = find_checkpoint(run), find_checkpoint(out)
    assert out.stat().st_size < 0.5 * whole.path.stat().st_size
    paths = {"root", "data", "data_cache", "out", "from_"}
    assert alone.config == {k: v for k, v in whole.config.items() if k not in paths}
    assert str(run).encode() not in out.read_bytes()
    assert set(alone.tensors("")) == {f"ema.{name}" for name in whole.tensors("ema.")}


def test_half_precision_rounds_weights_to_eleven_bits(run, tmp_path):
    out = tmp_path / "G.safetensors"
    export_generator(run, out, half_precision=True, licence="MIT")
    whole, half = dcgan.load_generator(run), dcgan.load_generator(out)
    for name, value in whole.state_dict().items():
        rounded = half.state_dict()[name]
        assert rounded.dtype == value.dtype
        torch.testing.assert_close(rounded, value, rtol=2**-11, atol=2**-24)
    assert any((a != b).any() for a, b in zip(whole.parameters(), half.parameters(), strict=True))
    assert find_checkpoint(out).header["licence"] == "MIT"


def test_an_exported_discriminator_scores_as_before(run, tmp_path):
    out = tmp_path / "D.safetensors"
    export_discriminator(run, out)
    x = torch.rand(4, 3, 16, 16) * 2 - 1
    assert torch.equal(dcgan.load_discriminator(out)(x), dcgan.load_discriminator(run)(x))


def test_what_a_file_does_not_hold_is_said(run, tmp_path):
    out = tmp_path / "G.safetensors"
    export_generator(run, out)
    with pytest.raises(UserError, match="does not hold the Discriminator's weights"):
        dcgan.load_discriminator(out)
    with pytest.raises(UserError, match="does not hold the Generator's weights of the last step"):
        sampling.load(out, raw=True)
    with pytest.raises(UserError, match="does not hold the network that is to be exported"):
        export_discriminator(out, tmp_path / "D.safetensors")
    assert not (tmp_path / "D.safetensors").exists()


def test_a_checkpoint_is_not_replaced_by_a_part_of_itself(run, tmp_path):
    path = tmp_path / "all.safetensors"
    shutil.copy(find_checkpoint(run).path, path)
    before = path.read_bytes()
    for export in (export_generator, export_discriminator):
        with pytest.raises(UserError, match="would be replaced by a part of itself"):
            export(path, str(path))
    assert path.read_bytes() == before


def test_weights_beyond_half_precision_are_refused(run, tmp_path):
    found = find_checkpoint(run)
    tensors = found.tensors("")
    name = next(name for name in tensors if name.startswith("ema."))
    tensors[name] = tensors[name] + 1e5
    large, out = tmp_path / "large.safetensors", tmp_path / "out.safetensors"
    checkpoint.save(large, found.header, tensors)
    with pytest.raises(UserError, match="has numbers that are not finite, or not in half"):
        export_generator(large, out, half_precision=True)
    assert not out.exists()
    export_generator(large, out)
    assert torch.equal(find_checkpoint(out).tensors("")[name], tensors[name])
