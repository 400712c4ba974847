"""`dcgan evaluate`: scores, their protocol, and mistakes in what it is given."""

import inspect
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from dcgan import cli, sampling
from dcgan.config import EvaluateConfig
from dcgan.errors import UsageError
from dcgan.evaluation import (
    RandomFeatures,
    choose_images,
    evaluate,
    extract_features,
    fit_gaussian,
    frechet_distance,
    read_images,
    report,
)
from dcgan.runs import load_generator
from dcgan.runs.checkpoint_folder import latest_checkpoint
from dcgan.runtime import device
from dcgan.runtime.hashing import file_sha256
from tests.conftest import write_packed
from tests.evaluation.commands import evaluate_command, stored_evaluations

CPU = torch.device("cpu")


def test_scores_are_of_the_images_that_sample_makes(copied, packed, capsys):
    assert cli.main(evaluate_command(copied, packed, "--count", 30)) == 0
    out = capsys.readouterr().out
    (found,) = stored_evaluations(copied.parent)
    fake = list(sampling.sample(load_generator(copied), range(30)))
    network = RandomFeatures()
    real = read_images(packed, choose_images(packed, None))
    features = [torch.cat(list(extract_features(network, i, CPU))) for i in (real, fake)]
    expected = frechet_distance(*map(fit_gaussian, features))
    assert found["results"]["random network"]["frechet"] == pytest.approx(expected, rel=1e-4)
    assert f"frechet {expected:.4g}" in out and "protocol: {" in out
    assert out.splitlines()[-1].endswith(".json")


def test_the_function_gives_what_the_command_gives(copied, packed, capsys):
    assert cli.main(evaluate_command(copied, packed, "--count", 12, "--truncation", 1)) == 0
    printed = capsys.readouterr().out
    path = evaluate(copied, packed.folder, count=12, truncation=1.0, device="cpu")
    assert printed == capsys.readouterr().out + f"{path}\n"
    assert len(stored_evaluations(copied.parent)) == 1


def test_the_function_takes_every_option_of_the_command_with_its_default():
    options = inspect.signature(EvaluateConfig).parameters.items()
    arguments = inspect.signature(evaluate).parameters.items()
    assert {name: option.default for name, option in options} == {
        name: argument.default for name, argument in arguments
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 9}, "--count must be at least 10, not 9"),
        ({"reals": 0}, "--reals must be at least 10, not 0"),
        ({"weights": "a.pth"}, "--weights needs --fidelity"),
        ({"extractor": "nowhere"}, "--extractor nowhere: write it as efficientnet or module:Class"),
        ({"out": Path("scores.txt")}, "--out scores.txt: the file name must end in .json"),
        ({"truncation": -1.0}, "--truncation must be above 0"),
        ({"label": "dog"}, "not trained with --conditional"),
        ({"precision": "fp16"}, "--precision must be one of auto, fp32, bf16, not 'fp16'"),
        ({"device": "gpu"}, "--device must be auto, cuda, cuda:N, mps or cpu, not gpu"),
    ],
)
def test_the_function_refuses_what_the_command_refuses(copied, packed, options, message):
    with pytest.raises(UsageError, match=message):
        evaluate(copied, packed.folder, **{"device": "cpu", **options})
    assert not stored_evaluations(copied.parent)


def test_the_protocol_says_what_the_scores_depend_on(copied, packed):
    assert cli.main(evaluate_command(copied, packed, "--raw", "--reals", 20)) == 0
    assert cli.main(evaluate_command(copied, packed, "--truncation", "0.5")) == 0
    protocols = [found["protocol"] for found in stored_evaluations(copied.parent)]
    truncated, raw = sorted(protocols, key=lambda protocol: protocol["truncation"] is None)
    assert raw["weights"] == "of the last step" and truncated["weights"] == "averaged (EMA)"
    assert raw["step"] == 6 and raw["batch_norm"] == "of the checkpoint"
    assert (raw["images"], raw["real_images"], raw["real_images_there"]) == (20, 20, 50)
    assert (truncated["images"], truncated["truncation"]) == (50, 0.5)
    assert raw["real_fingerprint"] == packed.fingerprint
    assert raw["checkpoint_sha256"] == file_sha256(copied)


@pytest.mark.parametrize(
    ("asked", "native", "stored"),
    [("auto", True, "bf16"), ("auto", False, "fp32"), ("bf16", False, "bf16")],
)
def test_the_protocol_says_what_was_computed_in(copied, packed, monkeypatch, asked, native, stored):
    monkeypatch.setattr(device, "has_native_bf16", lambda _: native)
    evaluate(copied, packed.folder, count=12, precision=asked, device="cpu")
    (found,) = stored_evaluations(copied.parent)
    protocol = found["protocol"]
    assert (protocol["precision"], protocol["device"]) == (stored, "cpu")
    assert protocol["torch"] == torch.__version__


def test_results_go_where_they_are_asked_for(copied, packed, tmp_path, capsys):
    out = tmp_path / "new" / "scores.json"
    assert cli.main(evaluate_command(copied, packed, "--count", 12, "--out", out)) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(out)
    assert json.loads(out.read_text())["protocol"]["images"] == 12
    assert not (copied.parent / "evaluations").exists()


def test_a_run_that_cannot_be_written_is_refused_before_the_work(copied, packed, capsys):
    (copied.parent / "evaluations").write_text("in the way")
    assert cli.main(evaluate_command(copied, packed, "--count", 12)) == 1
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1 and "name another file with --out" in printed.err
    assert "frechet" not in printed.out
    for out in ("/proc/scores.json", copied.parent / "evaluations" / "scores.json"):
        assert cli.main(evaluate_command(copied, packed, "--count", 12, "--out", out)) == 1
        printed = capsys.readouterr()
        assert f"cannot write {out}" in printed.err and "frechet" not in printed.out


def test_scores_are_printed_where_they_cannot_be_written_after_all(
    copied, packed, monkeypatch, capsys
):
    def blocked(results, protocol):
        printing(results, protocol)
        (copied.parent / "evaluations").write_text("in the way")

    printing = report._print_results
    monkeypatch.setattr(report, "_print_results", blocked)
    assert cli.main(evaluate_command(copied, packed, "--count", 12)) == 1
    printed = capsys.readouterr()
    assert "frechet" in printed.out and "name another file with --out" in printed.err


def test_the_same_evaluation_again_replaces_its_file(copied, packed):
    for _ in range(2):
        assert cli.main(evaluate_command(copied, packed)) == 0
    assert len(stored_evaluations(copied.parent)) == 1


def test_evaluations_of_a_run_are_stored_in_its_folder(run, packed, tmp_path):
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    path = latest_checkpoint(run).path
    (folder / path.name).write_bytes(path.read_bytes())
    assert cli.main(evaluate_command(tmp_path / "run", packed)) == 0
    assert len(stored_evaluations(tmp_path / "run")) == 1


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--extractor", ""], "an empty value after --extractor"),
        (["--extractor", "nowhere"], "write it as efficientnet or module:Class"),
        (["--extractor", r"C:\models\mine.py"], "write it as efficientnet or module:Class"),
        (["--weights", "a.pth"], "--weights needs --fidelity"),
        (["--count", "3"], "--count must be at least 10"),
        (["--reals", "0"], "--reals must be at least 10"),
        (["--data", "/no/such"], "does not exist"),
        (["--label", "smiling=1"], "--label"),
        (["--truncation", "-1"], "--truncation must be above 0"),
    ],
)
def test_mistakes_are_one_line(run, packed, capsys, flags, words):
    assert cli.main(evaluate_command(run, packed, *flags)) in (1, 2)
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1, err


def test_images_of_another_size_are_refused(run, tmp_path, capsys):
    other = write_packed(tmp_path / "other", np.zeros((20, 32, 32, 3), np.uint8))
    assert cli.main(["evaluate", str(run), "--data", str(other)]) == 2
    assert "has images of size 32, and G makes 16" in capsys.readouterr().err
