"""`dcgan import`: the same networks under other names, and everything else refused in one line."""

import json
import shlex

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

import dcgan
from dcgan import cli, sampling
from dcgan.config import ImportConfig
from dcgan.errors import UsageError, UserError
from dcgan.importing import import_networks
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.training.resume import config_of_run
from tests import pytorch_example
from tests.cli.running import fail, run_python
from tests.markdown import PAGES, commands
from tests.pytorch_example import Discriminator, Generator, save


@pytest.fixture(autouse=True)
def few_latents(monkeypatch):
    """Statistics over 128 latents in place of 1,024, which take seconds."""
    measure = sampling.recalibrate_batch_norm
    monkeypatch.setattr(sampling, "recalibrate_batch_norm", lambda G: measure(G, 128))


@pytest.fixture(scope="module")
def example() -> pytorch_example.Example:
    """The example after ten fast steps."""
    return pytorch_example.trained()


@pytest.fixture
def files(example, tmp_path) -> tuple:
    names = ("netG", "netD")
    return tuple(save(tmp_path / f"{name}.safetensors", getattr(example, name)) for name in names)


def import_as(out, *files):
    return import_networks(ImportConfig(weights=files, out=out))


def same(ours: dict, theirs: dict) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


def test_imported_networks_are_the_same_functions(example, files, tmp_path):
    run = import_as(tmp_path / "run", *files).run
    torch.manual_seed(0)
    z = torch.randn(5, 10)
    x = F.interpolate(torch.rand(5, 3, 8, 8) * 2 - 1, scale_factor=8)  # D tells no fine noise apart
    G, D = dcgan.load_generator(run, ema=False), dcgan.load_discriminator(run)
    netG, netD = example.netG.eval(), example.netD.eval()
    with torch.no_grad():
        torch.testing.assert_close(G(z), netG(z[:, :, None, None]), rtol=0, atol=1e-5)
        torch.testing.assert_close(D(x).sigmoid(), netD(x), rtol=1e-4, atol=1e-6)
        assert netD(x).std() > 0.01
    netG.train(), netD.train()


@pytest.mark.parametrize(
    ("factors", "size"), [((2, 1), 16), ((4, 2, 1), 32), ((8, 8, 4, 2, 1), 128)]
)
def test_shapes_tell_all_options(tmp_path, factors, size):
    """Of the networks with fewer or more layers that people make of the example, too."""
    torch.manual_seed(0)
    netG = Generator(ngf=6, nz=7, nc=1, factors=factors)
    netD = Discriminator(ndf=6, nc=1, factors=factors[::-1])
    G = save(tmp_path / "a.safetensors", netG)
    D = save(tmp_path / "b.safetensors", netD)
    run = import_as(tmp_path / "run", G, D).run
    config = find_checkpoint(run).config
    assert (config["size"], config["width"], config["latent_dim"]) == (size, 6, 7)
    assert (config["channels"], config["batch_norm_D"], config["bias_D"]) == (1, True, False)
    assert json.loads((run / "config.json").read_text()) == config
    x, z = torch.rand(2, 1, size, size), torch.randn(2, 7)
    D = dcgan.load_discriminator(run)
    with torch.no_grad():
        torch.testing.assert_close(D(x).sigmoid(), netD.eval()(x))
        fake = netG.eval()(z[:, :, None, None])
        torch.testing.assert_close(dcgan.load_generator(run, ema=False)(z), fake)


def test_statistics_of_batch_norm_are_measured_as_the_pictures_of_the_example_are_made(
    example, files, tmp_path
):
    """The example draws in training mode. Its running statistics are behind its weights."""
    run = import_as(tmp_path / "run", *files).run
    z = torch.randn(256, 10)
    netG = pytorch_example.Generator(nz=10)
    netG.load_state_dict(example.netG.state_dict())
    with torch.no_grad():
        of_file = netG.eval()(z[:, :, None, None])
        pictures = netG.train()(z[:, :, None, None])
        measured = dcgan.load_generator(run)(z)
    assert (measured - pictures).abs().mean() < 0.2 * (of_file - pictures).abs().mean()
    found = find_checkpoint(run)
    averaged, last = found.tensors("ema."), found.tensors("G.")
    differing = {
        name.split(".")[-1] for name in last if not torch.equal(last[name], averaged[name])
    }
    assert differing == {"running_mean", "running_var", "num_batches_tracked"}


def test_files_saved_in_other_ways_give_the_same_networks(example, files, tmp_path):
    plain = find_checkpoint(import_as(tmp_path / "plain", *files).run).tensors("")

    def tensors_of(name, *others):
        return find_checkpoint(import_as(tmp_path / name, *others).run).tensors("")

    assert same(tensors_of("swapped", *files[::-1]), plain)
    parallel = save(tmp_path / "parallel.safetensors", example.netG, "module.")
    assert same(tensors_of("parallel-run", parallel, files[1]), plain)
    double = save(tmp_path / "double.safetensors", example.netG, dtype=torch.float64)
    assert same(tensors_of("double-run", double, files[1]), plain)
    weights = load_file(files[0])
    old = {name: tensor for name, tensor in weights.items() if "tracked" not in name}
    save_file(old, tmp_path / "old.safetensors")
    without = tensors_of("old-run", tmp_path / "old.safetensors", files[1])
    assert without.pop("G.layers.1.num_batches_tracked") == 0
    assert all(torch.equal(without[name], plain[name]) for name in without if "tracked" not in name)
    half = save(tmp_path / "half.safetensors", example.netG, dtype=torch.float16)
    halves = tensors_of("half-run", half, files[1])
    for name, tensor in plain.items():
        assert halves[name].dtype == tensor.dtype
        if name.startswith("G.") and tensor.is_floating_point():
            assert torch.equal(halves[name], tensor.half().float())


def test_the_line_in_the_docs_makes_files_to_import(example, files, tmp_path, monkeypatch):
    """Run on the files that the example itself writes."""
    (line,) = [c for c in commands(PAGES["docs/moving.md"]) if c.startswith("python -c")]
    pickles = [tmp_path / "netG_epoch_24.pth", tmp_path / "netD_epoch_24.pth"]
    for path, network in zip(pickles, (example.netG, example.netD), strict=True):
        torch.save(network.state_dict(), path)
    with pytest.raises(UserError, match=r"pickle of torch\.save, .*docs/moving\.md"):
        import_as(tmp_path / "run", *pickles)
    code = shlex.split(line)[2]
    assert shlex.split(line)[3:] == [path.name for path in pickles]
    done = run_python("-c", code, *pickles)
    assert done.returncode == 0, done.stderr
    converted = [path.with_suffix(".safetensors") for path in pickles]
    for path, file in zip(converted, files, strict=True):
        assert same(load_file(path), load_file(file))


def test_a_generator_alone_samples_but_does_not_train(files, tmp_path, capsys):
    run = tmp_path / "run"
    assert cli.main(["import", str(files[0]), "--out", str(run)]) == 0
    out = capsys.readouterr().out
    assert f"{files[0]}: 64x64 pixels, 3 channels, --width 8, --latent-dim 10" in out
    assert "discriminator  none" in out and "--from" not in out
    assert cli.main(["sample", str(run), "--out", str(tmp_path / "grid.png")]) == 0
    walk = ["walk", str(run), "--frames", "3", "--seconds", "1", "--out", str(tmp_path / "w.gif")]
    assert cli.main(walk) == 0
    flags = ["--from", str(run), "--out", str(tmp_path / "new"), "--count", "16", "--width", "8"]
    assert cli.main(["train", *flags, "--data-cache", str(tmp_path / "cache")]) == 1
    assert "does not hold all networks of a training" in capsys.readouterr().err


def test_the_command_shows_how_to_train_on(files, tmp_path, capsys):
    """As another run, since there is no state of optimizers."""
    run, new = tmp_path / "run", tmp_path / "new"
    assert cli.main(["import", *map(str, files), "--out", str(run)]) == 0
    assert f"train.py pytorch-example --from {run} " in capsys.readouterr().out
    flags = ["pytorch-example", "--from", str(run), "--out", str(new), "--source", "faces"]
    flags += ["--count", "16", "--batch-size", "8", "--steps", "1", "--device", "cpu"]
    assert cli.main(["train", *flags, "--data-cache", str(tmp_path / "cache")]) == 0
    trained, imported = find_checkpoint(new), find_checkpoint(run)
    assert (trained.step, trained.config["lr_D"]) == (1, 2e-4)
    name = "D.score.weight"
    change = (trained.tensors("")[name] - imported.tensors("")[name]).abs()
    assert 0 < change.max() < 3e-4
    with pytest.raises(UserError, match="no checkpoint that can be read"):
        config_of_run(run)
    assert "--from" in capsys.readouterr().err


def changed(path, **tensors):
    """A copy of a file with other tensors, named with _ for the dots; None leaves one out."""
    weights = load_file(path)
    for name, tensor in tensors.items():
        key = name.replace("__", ".")
        weights = {k: v for k, v in weights.items() if k != key}
        weights |= {} if tensor is None else {key: tensor}
    copy = path.with_name("changed.safetensors")
    save_file(weights, copy)
    return copy


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"main__0__bias": torch.zeros(64)}, r"has no main\.0\.bias"),
        ({"main__3__weight": None}, r"it lacks main\.3\.weight, which"),
        ({"main__7__running_var": None}, r"it lacks main\.7\.running_var"),
        ({"main__4__weight": torch.ones(5)}, r"its main\.4\.weight is 5, and 32 in a network"),
        ({"main__0__weight": torch.ones(10, 64, 5, 5)}, r"0\.weight is 10x64x5x5, and 10x64x4x4"),
        ({"main__12__weight": torch.ones(8, 4, 4, 4)}, "channels must be one of 1, 3, not 4"),
        ({"main__12__weight": torch.ones(0, 3, 4, 4)}, "width must be from 1 to 1024, not 0"),
        ({"main__1__bias": torch.full([64], torch.nan)}, r"main\.1\.bias has numbers that are not"),
        ({"main__1__bias": torch.full([64], 1e39, dtype=torch.float64)}, "that are not finite"),
        ({"main__0__weight": torch.full([10, 64, 4, 4], 3e38)}, "its feature maps overflow"),
        ({"main__1__running_var": -torch.ones(64)}, "has negative variances"),
        ({"main__1__bias": torch.ones(64, dtype=torch.int32)}, "bias has the type I32"),
        (
            {"main__1__bias": torch.zeros(64, dtype=torch.uint8).view(torch.float8_e8m0fnu)},
            "bias has the type F8_E8M0",
        ),
        ({"main__1__num_batches_tracked": torch.ones(())}, "tracked has the type F32"),
        (
            {"main__1__num_batches_tracked": torch.ones(2).long()},
            r"tracked is 2, and one number",
        ),
        ({"\x1b[31m" + "x" * 99: torch.ones(1)}, r"has no \\x1b\[31mxxxx\S+\.\.\.$"),
    ],
)
def test_networks_that_differ_from_the_example_are_refused(files, tmp_path, tensors, words):
    path = changed(files[0], **tensors)
    with pytest.raises(UserError, match=words) as error:
        import_as(tmp_path / "run", path, files[1])
    assert str(path) in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_generator_wider_than_eight_times_its_width_is_refused(tmp_path):
    """The usual extension to 128 pixels starts with 16 times ngf."""
    path = save(tmp_path / "G.safetensors", Generator(factors=(16, 8, 4, 2, 1)))
    words = "10x128x4x4, and 10x64x4x4 in a network for 128x128 pixels with --width 8, whose layers"
    with pytest.raises(UserError, match=words):
        import_as(tmp_path / "run", path)


@pytest.mark.parametrize(
    ("program", "names"),
    [
        ("mimicry", ["l1.weight", "block2.c1.weight", "block2.b1.weight", "b6.bias", "c6.weight"]),
        ("StudioGAN", ["linear0.weight", "blocks.0.0.deconv0.weight", "conv4.weight"]),
        ("StudioGAN", ["blocks.0.0.conv0.weight", "conv1.weight", "linear1.weight"]),
        ("torchgan", ["model.0.0.weight", "model.0.1.running_mean", "model.3.0.bias"]),
        ("StyleGAN", ["mapping.fc0.weight", "synthesis.b4.const"]),
    ],
)
def test_networks_of_other_programs_are_named(tmp_path, program, names):
    path = tmp_path / "other.safetensors"
    save_file({name: torch.ones(3, 3, 4, 4) for name in names}, path)
    with pytest.raises(UserError, match=f"is of a network of {program}, which is another"):
        import_as(tmp_path / "run", path)


def test_files_without_such_a_network_are_refused(run, files, tmp_path, capsys):
    def error_of(*paths) -> str:
        code, err = fail(capsys, cli.import_, *paths, "--out", tmp_path / "run")
        assert code in (1, 2) and not (tmp_path / "run").exists()
        return err

    bad = tmp_path / "bad.safetensors"
    save_file({"features.0.weight": torch.ones(2, 2)}, bad)
    assert "is no network of PyTorch's DCGAN example" in error_of(bad)
    save_file({}, bad)
    assert "holds no tensors" in error_of(bad)
    save_file({f"main.{3 * i}.weight": torch.ones(1, 1, 1, 1) for i in range(99)}, bad)
    assert "size must be a power of two from 8 to 1024" in error_of(bad)
    bad.write_bytes(files[0].read_bytes()[:-5])
    assert "cannot be imported" in error_of(bad)
    torch.save(load_file(files[0]), tmp_path / "netG.pth")
    assert "is a pickle of torch.save" in error_of(tmp_path / "netG.pth")
    assert "no such file of weights" in error_of(tmp_path)
    assert "is a file of dcgan already" in error_of(find_checkpoint(run).path)
    assert "both hold a generator" in error_of(files[0], files[0])
    assert "holds a discriminator; name the file of the generator" in error_of(files[1])
    assert "there are 3 files" in error_of(*files, files[0])
    other = save(tmp_path / "other.safetensors", Discriminator(ndf=4))
    assert "has --width 8 and" in error_of(files[0], other)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").touch()
    with pytest.raises(UserError, match="holds other files: use another --out, new or empty"):
        import_as(tmp_path / "run", *files)
    with pytest.raises(UsageError, match="import_networks needs an ImportConfig"):
        import_networks(files)


def test_the_sample_grid_shows_the_first_seeds(files, tmp_path):
    found = import_as(tmp_path / "run", *files)
    expected = dcgan.sample_grid(dcgan.load_generator(found.run), range(64))
    assert np.array_equal(dcgan.images.to_pil(expected), _read(found.sample_grid))


def _read(path) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(path))
