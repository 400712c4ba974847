"""Scores by torch-fidelity: with random weights of Inception, and without them."""

import numpy as np
import pytest
import scipy.linalg
import torch

from dcgan import cli, sampling
from dcgan.evaluation import choose_images, inception, read_images
from dcgan.evaluation.random_features import to_rgb
from dcgan.runs import load_generator
from dcgan.runtime.hashing import file_sha256
from tests.evaluation.commands import evaluate_command, stored_evaluations

CPU = torch.device("cpu")


def test_a_missing_torch_fidelity_names_the_extra(run, packed, capsys, monkeypatch):
    def absent(name):
        raise inception.PackageNotFoundError(name)

    monkeypatch.setattr(inception, "version", absent)
    assert cli.main(evaluate_command(run, packed, "--fidelity")) == 1
    assert 'pip install "dcgan[metrics]"' in capsys.readouterr().err


@pytest.mark.parametrize(("installed", "accepted"), [("0.3.0", False), ("0.10.1", True)])
def test_versions_with_precision_and_recall_swapped_are_refused(
    run, packed, capsys, monkeypatch, installed, accepted
):
    monkeypatch.setattr(inception, "version", lambda name: installed)
    flags = ["--fidelity", "--weights", "/no/such.pth"]
    assert cli.main(evaluate_command(run, packed, *flags)) == 1
    words = "/no/such.pth: no such file" if accepted else "0.4.0 or newer, not 0.3.0"
    assert words in capsys.readouterr().err


@pytest.fixture(scope="module")
def random_inception(tmp_path_factory):
    """A file with random weights of torch-fidelity's Inception, and the network."""
    pytest.importorskip("torch_fidelity")
    from torch_fidelity import feature_extractor_inceptionv3 as module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(module.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        torch.manual_seed(0)
        network = module.FeatureExtractorInceptionV3(inception._EXTRACTOR, ["2048"])
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save(network.state_dict(), path)
    return path, network


@pytest.mark.slow
def test_fid_equals_that_of_scipy_on_the_features(copied, packed, random_inception):
    """tr (A B)^(1/2) of two covariances is the sum of the singular values of X^T Y / (n - 1)."""
    path, network = random_inception
    flags = ["--fidelity", "--weights", path, "--count", 12, "--reals", 14]
    assert cli.main(evaluate_command(copied, packed, *flags)) == 0
    (found,) = stored_evaluations(copied.parent)
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
    scores = found["results"]["inception"]
    assert scores["fid"] == pytest.approx(expected, rel=1e-2)
    assert set(scores) == {"fid", "kid_x1000", "inception_score", "precision", "recall"}
    protocol = found["protocol"]["inception"]
    assert protocol["weights_sha256"] == file_sha256(path)
    assert protocol["kid_subset"] == 12


@pytest.mark.slow
def test_precision_and_recall_are_not_swapped(random_inception, monkeypatch):
    from torch_fidelity import metrics

    # It takes 10 s and is tested above.
    no_fid = {"frechet_inception_distance": 0.0}
    monkeypatch.setattr(metrics, "fid_statistics_to_metric", lambda *_: no_fid)
    path, _ = random_inception
    rng = np.random.default_rng(0)
    wide = np.repeat(rng.integers(0, 256, (12, 4, 4, 3)), 8, axis=1).repeat(8, axis=2)
    wide = wide.astype(np.uint8)
    tight = (wide[:1].astype(int) + rng.integers(-2, 3, wide.shape)).clip(0, 255).astype(np.uint8)
    scores, _ = inception.inception_scores(iter([tight]), 12, iter([wide]), 12, CPU, path)
    assert scores["precision"] > 0.9 and scores["recall"] < 0.2
    scores, _ = inception.inception_scores(iter([wide]), 12, iter([tight]), 12, CPU, path)
    assert scores["precision"] < 0.2 and scores["recall"] > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"not a pickle"])
def test_a_file_without_weights_is_a_mistake_of_one_line(run, packed, tmp_path, capsys, content):
    pytest.importorskip("torch_fidelity")
    (tmp_path / "bad.pth").write_bytes(content)
    flags = ["--fidelity", "--weights", tmp_path / "bad.pth"]
    assert cli.main(evaluate_command(run, packed, *flags)) == 1
    err = capsys.readouterr().err
    assert "bad.pth holds no weights of Inception" in err and err.count("\n") == 1


@pytest.mark.parametrize("content", [b"", b"junk"])
def test_a_damaged_download_is_named(run, packed, tmp_path, capsys, monkeypatch, content):
    pytest.importorskip("torch_fidelity")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = inception._downloaded_weights()
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert cli.main(evaluate_command(run, packed, "--fidelity", "--count", 10)) == 1
    err = capsys.readouterr().err
    assert f"{path} is damaged" in err and "delete it" in err and err.count("\n") == 1, err


def test_torch_fidelity_gets_its_batches_from_chunks_of_any_size():
    images = np.random.default_rng(0).integers(256, size=(20, 8, 8, 3), dtype=np.uint8)
    chunks = iter([images[:3], images[3:4], images[4:17], images[17:]])
    model = inception._as_generative_model(chunks)
    found = [model(torch.zeros(n, 1)).permute(0, 2, 3, 1).numpy() for n in (8, 8, 4)]
    np.testing.assert_array_equal(np.concatenate(found), images)
