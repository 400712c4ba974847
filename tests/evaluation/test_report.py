"""`dcgan evaluate`: the numbers, their protocol, and what can be wrong with what it is given."""

import json
import sys
import weakref
from contextlib import chdir

import numpy as np
import pytest
import scipy.linalg
import torch

from dcgan import cli, sampling
from dcgan.evaluation import Comparison, choose_images, distances, read_images
from dcgan.evaluation import inception as fidelity
from dcgan.evaluation.random_features import RandomFeatures, extract_features, to_rgb
from dcgan.runs.loading import load_generator
from dcgan.runs.run_folder import latest_checkpoint
from tests.conftest import write_packed

CPU = torch.device("cpu")


def command(run, packed, *flags):
    return ["evaluate", str(run), "--data", str(packed.folder), "--device", "cpu", *map(str, flags)]


@pytest.fixture
def copied(run, tmp_path):
    """The checkpoint of the tiny run in a folder of its own, which tests may write to."""
    path = tmp_path / "elsewhere" / "G.safetensors"
    path.parent.mkdir()
    path.write_bytes(latest_checkpoint(run).path.read_bytes())
    return path


def stored(folder):
    return [json.loads(path.read_text()) for path in sorted(folder.glob("evaluations/*.json"))]


def test_numbers_are_of_the_images_that_sample_draws(copied, packed, capsys):
    assert cli.main(command(copied, packed, "--count", 30)) == 0
    out = capsys.readouterr().out
    (found,) = stored(copied.parent)
    fake = list(sampling.sample(load_generator(copied), range(30)))
    order = choose_images(packed, None)
    network = RandomFeatures()
    real = extract_features(network, read_images(packed, order), CPU)
    expected = distances.frechet(
        distances.gaussian(real), distances.gaussian(extract_features(network, fake, CPU))
    )
    assert found["results"]["random network"]["frechet"] == pytest.approx(expected, rel=1e-4)
    assert f"frechet {expected:.4g}" in out and "protocol: {" in out
    assert out.splitlines()[-1].endswith(".json")


def test_the_protocol_says_what_the_numbers_depend_on(copied, packed):
    assert cli.main(command(copied, packed, "--raw", "--reals", 20)) == 0
    assert cli.main(command(copied, packed, "--truncation", "0.5")) == 0
    first, second = (found["protocol"] for found in stored(copied.parent))
    plain, raw = sorted((first, second), key=lambda protocol: protocol["truncation"] is None)
    assert raw["weights"] == "of the last step" and plain["weights"] == "averaged (EMA)"
    assert raw["step"] == 6 and raw["batch_norm"] == "of the checkpoint"
    assert (raw["images"], raw["real_images"], raw["real_images_there"]) == (20, 20, 50)
    assert (plain["images"], plain["truncation"]) == (50, 0.5)
    assert raw["real_fingerprint"] == packed.fingerprint
    assert raw["checkpoint_sha256"] == fidelity.digest(copied)


def test_the_same_evaluation_again_is_the_same_file(copied, packed):
    for _ in range(2):
        assert cli.main(command(copied, packed)) == 0
    assert len(stored(copied.parent)) == 1


def test_evaluations_of_a_run_are_in_its_folder(run, packed, tmp_path):
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    path = latest_checkpoint(run).path
    (folder / path.name).write_bytes(path.read_bytes())
    assert cli.main(command(tmp_path / "run", packed)) == 0
    assert len(stored(tmp_path / "run")) == 1


def test_an_extractor_of_ones_own_is_compared_too(copied, packed, tmp_path, monkeypatch):
    (tmp_path / "my_features.py").write_text(
        "import torch\n"
        "class Colour(torch.nn.Module):\n"
        "    def forward(self, images):\n"
        "        assert images.dtype == torch.uint8 and images.shape[1] == 3\n"
        "        return images.float().mean((2, 3))\n"
        "def wrong(images):\n"
        "    return images\n"
    )
    monkeypatch.chdir(tmp_path)
    assert cli.main(command(copied, packed, "--extractor", "my_features:Colour")) == 0
    (found,) = stored(copied.parent)
    fake = np.concatenate(list(sampling.sample(load_generator(copied), range(50))))
    gaussians = [
        distances.gaussian(torch.from_numpy(images.astype(np.float64).mean((1, 2))))
        for images in (np.asarray(packed.images), fake)
    ]
    expected = distances.frechet(*gaussians)
    ours = found["results"]["my_features:Colour"]
    assert ours["frechet"] == pytest.approx(expected, rel=1e-4)
    assert set(ours) == {"frechet", "kernel", "precision", "recall", "density", "coverage"}


def test_an_extractor_is_tried_on_images_of_the_size_it_is_for(copied, packed, tmp_path):
    text = "def flat(x):\n    return x.reshape(-1, 3 * 16 * 16)[:, :5]\n"
    (tmp_path / "of_16.py").write_text(text)
    with chdir(tmp_path):
        assert cli.main(command(copied, packed, "--extractor", "of_16:flat")) == 0


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("torch.zeros(2, 4)", "does not make features"),
        ("torch.zeros(len(x), len(x))", "does not make features"),
        ("torch.zeros(len(x), 0)", "does not make features"),
        ("x.flatten(1)[:, :5] * 1j", "does not make features"),
        ("torch.full((len(x), 4), torch.nan)", "real and finite"),
        ("x.flatten(1)[:, : 4 if len(x) == 2 else 1 // 0]", "ZeroDivisionError"),
    ],
)
def test_what_an_extractor_does_wrong_is_one_line(copied, packed, tmp_path, capsys, body, words):
    """In the first images or in later ones, where it would be a traceback or a wrong number."""
    module = tmp_path / f"{tmp_path.name}.py"
    module.write_text(f"import torch\ndef seen(x):\n    return {body}\n")
    with chdir(tmp_path):
        assert cli.main(command(copied, packed, "--extractor", f"{module.stem}:seen")) == 1
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1, err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--extractor", ""], "write it as module:Class"),
        (["--extractor", "sys:exit"], "SystemExit"),
        (["--extractor", "nowhere"], "write it as module:Class"),
        (["--extractor", "no_such_module:Class"], "no_such_module"),
        (["--extractor", "math:no_such"], "no_such"),
        (["--extractor", "math:sqrt"], "--extractor math:sqrt"),
        (["--extractor", "torch:sum"], "does not make features"),
        (["--weights", "a.pth"], "--weights needs --fidelity"),
        (["--count", "3"], "--count must be at least 10"),
        (["--reals", "0"], "--reals must be at least 10"),
        (["--data", "/no/such"], "does not exist"),
        (["--label", "smiling=1"], "--label"),
        (["--truncation", "-1"], "--truncation must be above 0"),
    ],
)
def test_mistakes_are_one_line(run, packed, capsys, flags, words):
    assert cli.main(command(run, packed, *flags)) in (1, 2)
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1, err


def test_an_extractor_may_go_elsewhere(copied, packed, tmp_path):
    text = "import os\nos.chdir(os.sep)\ndef seen(x):\n    return x.flatten(1)[:, :5].float()\n"
    (tmp_path / "wanderer.py").write_text(text)
    path = [*sys.path]
    with chdir(tmp_path):
        assert cli.main(command(copied, packed, "--extractor", "wanderer:seen")) == 0
    assert sys.path == path


def test_images_of_another_size_are_refused(run, tmp_path, capsys):
    other = write_packed(tmp_path / "other", np.zeros((20, 32, 32, 3), np.uint8))
    assert cli.main(["evaluate", str(run), "--data", str(other)]) == 2
    assert "has images of size 32, and G makes 16" in capsys.readouterr().err


def test_without_torch_fidelity_its_absence_names_the_extra(run, packed, capsys, monkeypatch):
    def absent(name):
        raise fidelity.PackageNotFoundError(name)

    monkeypatch.setattr(fidelity, "version", absent)
    assert cli.main(command(run, packed, "--fidelity")) == 1
    assert 'pip install "dcgan[metrics]"' in capsys.readouterr().err
    monkeypatch.setattr(fidelity, "version", lambda name: "0.3.0")
    assert cli.main(command(run, packed, "--fidelity")) == 1
    assert "0.4.0 or newer" in capsys.readouterr().err


@pytest.fixture(scope="module")
def inception(tmp_path_factory):
    """A file with random weights of torch-fidelity's Inception, and the network."""
    pytest.importorskip("torch_fidelity")
    from torch_fidelity import feature_extractor_inceptionv3 as module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(module.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        torch.manual_seed(0)
        network = module.FeatureExtractorInceptionV3(fidelity.EXTRACTOR, ["2048"])
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save(network.state_dict(), path)
    return path, network


@pytest.mark.slow
def test_fid_is_that_of_scipy_on_the_features(copied, packed, inception, capsys):
    """tr (A B)^(1/2) of two covariances is the sum of the singular values of X^T Y / (n - 1)."""
    path, network = inception
    flags = ["--fidelity", "--weights", path, "--count", 12, "--reals", 14]
    assert cli.main(command(copied, packed, *flags)) == 0
    (found,) = stored(copied.parent)
    fake = sampling.sample(load_generator(copied), range(12))
    order = choose_images(packed, 14)
    x, y = (
        network(to_rgb(torch.from_numpy(np.concatenate(list(chunks)))))[0].double().numpy()
        for chunks in (fake, read_images(packed, order))
    )
    mean_x, mean_y = x.mean(0), y.mean(0)
    x, y = (x - mean_x) / np.sqrt(11), (y - mean_y) / np.sqrt(13)
    expected = ((mean_x - mean_y) ** 2).sum() + (x**2).sum() + (y**2).sum()
    expected -= 2 * scipy.linalg.svdvals(x @ y.T).sum()
    ours = found["results"]["inception"]
    assert ours["fid"] == pytest.approx(expected, rel=1e-2)
    assert set(ours) == {"fid", "kid_x1000", "inception_score", "precision", "recall"}
    protocol = found["protocol"]["inception"]
    assert protocol["weights_sha256"] == fidelity.digest(path)
    assert protocol["kid_subset"] == 12


@pytest.mark.slow
def test_precision_and_recall_of_torch_fidelity_are_what_they_say(inception):
    """Before 0.4.0 it had them the other way round."""
    path, _ = inception
    rng = np.random.default_rng(0)
    wide = np.repeat(rng.integers(0, 256, (12, 4, 4, 3)), 8, axis=1).repeat(8, axis=2)
    wide = wide.astype(np.uint8)
    tight = (wide[:1].astype(int) + rng.integers(-2, 3, wide.shape)).clip(0, 255).astype(np.uint8)
    found, _ = fidelity.scores(iter([tight]), 12, iter([wide]), 12, CPU, path)
    assert found["precision"] > 0.9 and found["recall"] < 0.2
    found, _ = fidelity.scores(iter([wide]), 12, iter([tight]), 12, CPU, path)
    assert found["precision"] < 0.2 and found["recall"] > 0.9


@pytest.mark.slow
def test_a_file_that_holds_no_weights_is_a_mistake_of_one_line(run, packed, tmp_path, capsys):
    pytest.importorskip("torch_fidelity")
    for content in (b"", b"not a pickle"):
        (tmp_path / "bad.pth").write_bytes(content)
        flags = ["--fidelity", "--weights", tmp_path / "bad.pth"]
        assert cli.main(command(run, packed, *flags)) == 1
        err = capsys.readouterr().err
        assert "bad.pth" in err and err.count("\n") == 1


@pytest.mark.parametrize("content", [b"", b"junk"])
def test_a_download_that_is_damaged_is_named(run, packed, tmp_path, capsys, monkeypatch, content):
    pytest.importorskip("torch_fidelity")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = fidelity.downloaded()
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert cli.main(command(run, packed, "--fidelity", "--count", 10)) == 1
    err = capsys.readouterr().err
    assert f"{path} is damaged" in err and "delete it" in err and err.count("\n") == 1, err


def test_images_are_let_go_once_their_features_are_known():
    seen, most = [], 0

    def chunks():
        nonlocal most
        for i in range(12):
            chunk = np.random.default_rng(i).integers(256, size=(8, 16, 16, 3), dtype=np.uint8)
            seen.append(weakref.ref(chunk))
            yield chunk
            del chunk
            most = max(most, sum(reference() is not None for reference in seen))

    comparison = Comparison(chunks(), RandomFeatures(), torch.device("cpu"), 16)
    assert len(comparison.images.real) == 16
    assert most <= 3, "those of the pixels, and the one that is looked at"
