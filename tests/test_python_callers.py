"""Mistakes of Python callers are one clear sentence, as on the command line."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import dcgan
from dcgan import cli, data, explore, images, sampling
from dcgan.config import TrainConfig, WalkConfig
from dcgan.errors import UsageError, UserError
from dcgan.evaluation import evaluate, report_memorization
from dcgan.explore.finding_classifier import find_classifier
from dcgan.reports import load_frames, open_runs
from tests.conftest import TINY


@pytest.fixture(scope="module")
def G(run):
    return dcgan.load_generator(run)


def add(G, z: torch.Tensor) -> explore.Sum:
    return explore.arithmetic(G, [explore.Operand(True, "a", z)])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda G: list(dcgan.sample(G, [-1])), "whole number of at least 0, not -1"),
        (lambda G: list(dcgan.sample(G, [1.5])), "whole number of at least 0, not 1.5"),
        (lambda G: list(dcgan.sample(G, {1, 2})), "seeds must be a sequence"),
        (lambda G: dcgan.sample_grid(G, 5), "seeds must be a sequence of whole numbers, not 5"),
        (lambda G: dcgan.sample_grid(G, []), "name a seed"),
        (lambda G: dcgan.sample_grid(G, range(10**9)), "a grid of 1,000,000,000 images"),
        (lambda G: dcgan.sample_grid(G, [1, 2], columns=0), "columns must be a whole number"),
        (lambda G: dcgan.sample_grid(G, [1, 2], columns="2"), "at least 1, not '2'"),
        (lambda G: dcgan.sample_grid(G, [1], truncation="0.7"), "--truncation must be a number"),
        (lambda G: dcgan.sample_grid(G, [1], truncation=[0.7]), "must be a number, not [0.7]"),
        (lambda G: dcgan.sample_grid(G, [1], truncation=float("nan")), "above 0, not nan"),
        (lambda G: next(sampling.render(G, torch.zeros(3, 7))), "shape [N, 8], not [3, 7]"),
        (lambda G: next(sampling.render(G, torch.zeros(8))), "shape [N, 8], not [8]"),
        (lambda G: dcgan.train({"steps": 3}), "train needs a TrainConfig, not {'steps': 3}"),
        (lambda G: dcgan.load_generator(None), "None is no path"),
        (lambda G: open_runs([3]), "3 is no path"),
        (lambda G: list(dcgan.sample("run", [1])), "needs a Generator, see dcgan.load_generator"),
        (lambda G: dcgan.sample_grid("run", [1]), "dcgan.load_generator, not a str"),
        (lambda G: sampling.latents_from_seeds(Path("run"), [1]), "load_generator, not a Posix"),
        (lambda G: next(sampling.render(dcgan.Discriminator(), 0)), "not a Discriminator"),
        (lambda G: dcgan.sampling.parse_label(G, 3), '--label must be text such as "smiling=1,hat'),
        (lambda G: explore.draw_canvas(G, {}), "draw_canvas needs a CanvasConfig, not {}"),
        (lambda G: explore.latent_grid(G, {}), "latent_grid needs a CanvasConfig, not {}"),
        (lambda G: explore.walk_frames(G, [], None), "walk_frames needs a WalkConfig, not None"),
        (lambda G: explore.latents_of_walk(G, [3], {}), "latents_of_walk needs a WalkConfig, not"),
        (lambda G: explore.latents_of_walk(G, [1.5], WalkConfig()), "a whole number of at least 0"),
        (lambda G: explore.read_operands(G, {}), "read_operands needs an ArithmeticConfig, not {}"),
        (lambda G: add(G, torch.zeros(3, 7)), "must have the shape [n, 8], not [3, 7]"),
        (lambda G: add(G, torch.zeros(0, 8)), "must have the shape [n, 8], not [0, 8]"),
        (lambda G: add(G, torch.zeros(8)), "must have the shape [n, 8], not [8]"),
        (lambda G: data.prepare("faces"), "prepare needs a PrepareConfig, not 'faces'"),
        (lambda G: dcgan.Generator(size=48), "--size must be a power of two from 8 to 1024, not 4"),
        (lambda G: dcgan.Generator(latent="cauchy"), "--latent must be normal or uniform"),
        (lambda G: dcgan.Discriminator(size=4), "--size must be a power of two"),
        (lambda G: dcgan.Discriminator(width=0), "--width must be from 1 to 1024, not 0"),
        (
            lambda G: dcgan.Discriminator(batch_norm_D=True, spectral_norm=True),
            "--batch-norm-D and --spectral-norm exclude each other",
        ),
    ],
)
def test_wrong_arguments_are_named(G, call, words):
    with pytest.raises(UsageError, match=re.escape(words)):
        call(G)


@pytest.mark.parametrize("load", [dcgan.load_generator, dcgan.load_discriminator, sampling.load])
def test_a_network_is_loaded_to_a_device_that_exists(run, load):
    for device in ("x", 0, None, "cpu:", torch.device("meta")):
        with pytest.raises(UsageError, match="--device must be auto, cuda"):
            load(run, device=device)
    with pytest.raises(UserError, match="--device cuda: this machine has no cuda"):
        load(run, device="cuda")
    for device in ("cpu", "auto", torch.device("cpu", 0)):
        assert {p.device.type for p in load(run, device=device).parameters()} == {"cpu"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(count="20"), "--count must be of type int"),
        (dict(count=1), "--count must be at least 10"),
        (dict(device=3), "--device"),
        (dict(precision="fp8"), "--precision"),
        (dict(truncation="x"), "--truncation must be of type float"),
    ],
)
def test_evaluation_has_the_checks_of_the_command_line(run, packed, tmp_path, options, words):
    for compare in (evaluate, lambda *a, **o: report_memorization(*a, tmp_path / "a.png", **o)):
        with pytest.raises(UsageError, match=re.escape(words)):
            compare(run, packed.folder, **options)


def test_images_of_another_shape_are_refused_before_training(packed, tmp_path):
    options = {name: getattr(TINY, name) for name in ("width", "batch_size", "steps", "device")}
    options |= dict(data=packed.folder, out=tmp_path / "run")
    for name, ours, theirs in (("size", 32, 16), ("channels", 1, 3)):
        shape = dict(size=16, channels=3) | {name: ours}
        with pytest.raises(UsageError, match=f"--{name} must be {theirs}, .* not {ours}"):
            dcgan.train(TrainConfig(**options, **shape))
    assert not (tmp_path / "run").exists()


def test_training_leaves_the_settings_of_torch_as_they_were(packed, tmp_path):
    def settings() -> tuple:
        precision = torch.get_float32_matmul_precision()
        return torch.get_num_threads(), torch.backends.cudnn.benchmark, precision

    before = settings()
    config = dataclasses.replace(TINY, data=packed.folder, out=tmp_path / "run", steps=1)
    dcgan.train(dataclasses.replace(config, threads=before[0] + 1))
    assert settings() == before
    with pytest.raises(UserError, match="trained with --width 4, not 8"):
        dcgan.train(dataclasses.replace(config, width=8, threads=before[0] + 1))
    assert settings() == before


def test_a_dry_run_does_not_train(packed, tmp_path):
    config = dataclasses.replace(TINY, data=packed.folder, out=tmp_path / "run", dry_run=True)
    with pytest.raises(UsageError, match="--dry-run is of the command line alone"):
        dcgan.train(config)
    assert not (tmp_path / "run").exists()


def test_paths_may_be_text_and_latents_and_seeds_arrays(G, run, monkeypatch):
    monkeypatch.setenv("HOME", str(run.parent))
    assert dcgan.load_generator(f"~/{run.name}").size == 16
    assert [found.path for found in open_runs([f"~/{run.name}"])] == [run]
    assert len(load_frames(f"~/{run.name}", 2)) > 0
    seeds = np.arange(3)
    expected = dcgan.sample_grid(G, [0, 1, 2])
    assert np.array_equal(dcgan.sample_grid(G, seeds), expected)
    assert np.array_equal(dcgan.sample_grid(G, torch.arange(3)), expected)
    z = sampling.latents_from_seeds(G, seeds).double().numpy()
    rendered = np.concatenate(list(sampling.render(G, z)))
    assert np.array_equal(images.make_grid(rendered), expected)


def test_networks_and_commands_take_numpys_numbers_and_paths(run, tmp_path):
    size = np.int64(16)
    assert dcgan.Generator(size, width=np.int32(2))(torch.zeros(2, 100)).shape == (2, 3, 16, 16)
    assert dcgan.Discriminator(size, width=2)(torch.zeros(2, 3, 16, 16)).shape == (2,)
    out = tmp_path / "a.npy"
    assert cli.main(["sample", run, "--count", np.int64(3), "--npy", out]) == 0
    assert len(np.load(out)) == 3


def test_stops_may_be_numpys_numbers_and_the_names_of_photos(G, run):
    photo = next((run / "samples").glob("*.png"))
    expected = explore.latents_of_walk(G, [3, photo, 4], WalkConfig(checkpoint=run))
    found = explore.latents_of_walk(G, [np.int64(3), str(photo), np.int64(4)], WalkConfig())
    assert torch.equal(found, expected)
    assert torch.equal(found[[0, 2]], sampling.latents_from_seeds(G, [3, 4]))


def test_classifiers_and_encoders_are_found_by_the_names_of_their_files(G, tmp_path):
    text = tmp_path / "text.safetensors"
    text.write_text("none")
    with pytest.raises(UserError, match="not a usable file of an encoder: it is no safetensors"):
        explore.obtain_encoder(G, str(text))
    with pytest.raises(UserError, match="not a usable file of a classifier: it is no safetensors"):
        find_classifier("run", str(text))
