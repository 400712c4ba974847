"""`dcgan direction` on a small run whose labels a classifier knows."""

import dataclasses
import re
import types

import numpy as np
import pytest
import torch
from PIL import Image

from dcgan import cli, load_generator, sampling
from dcgan.errors import UserError
from dcgan.explore import directions, found_directions
from dcgan.explore.classifier import load_classifier
from dcgan.explore.direction_command import _orthogonal_to
from dcgan.explore.directions_file import Directions, load_directions, save_directions
from dcgan.explore.finding_classifier import run_images
from dcgan.explore.scoring import Scorer
from dcgan.networks import Generator
from tests.cli.running import fail
from tests.explore.labelled import make_labelled_run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_labelled_run(tmp_path_factory.mktemp("labelled"))


@pytest.fixture(scope="module")
def scorer(made):
    return Scorer(load_generator(made["run"]), load_classifier(made["classifier"]))


@pytest.fixture
def command(made, tmp_path, capsys):
    """Run `dcgan direction` with flags -> the lines it prints, and the file of directions."""

    def run(*flags: str) -> tuple[list[str], object]:
        out = tmp_path / "strip.png"
        words = ["direction", str(made["run"]), "--classifier", str(made["classifier"])]
        assert cli.main([*words, *flags, "--samples", "400", "--out", str(out)]) == 0
        return capsys.readouterr().out.splitlines(), load_directions(
            out.with_suffix(".safetensors")
        )

    return run


def shares(line: str) -> list[int]:
    return [int(share) for share in re.findall(r"(\d+)%", line)]


def test_an_edit_sets_its_label_and_leaves_others(command, made, scorer, tmp_path):
    lines, saved = command("--attribute", "left", "--seeds", "0-2", "--steps", "2")
    assert lines[0].startswith("left: set in ") and shares(lines[0])[0] >= 90
    assert max(shares(lines[1]), default=0) <= 10, lines[1]
    assert (saved.names, saved.method, saved.latent_dim) == (("left",), "edit", 8)
    # The middle column shows the seeds, and the ends what the classifier takes for with and
    # without.
    with Image.open(tmp_path / "strip.png") as strip:
        cells = np.asarray(strip)[2:, 2:].reshape(3, 18, 5, 18, 3)[:, :16, :, :16].swapaxes(1, 2)
    G = load_generator(made["run"])
    assert (cells[:, 2] == next(sampling.sample(G, range(3)))).all()
    for column, wanted in ((0, False), (4, True)):
        logits = scorer.classifier.outputs([np.ascontiguousarray(cells[:, column])])
        assert ((logits[:, 1] > 0) == wanted).all()


def test_regression_leaves_the_linear_scores_of_other_labels(command, scorer, made):
    _, free = command("--attribute", "left", "--method", "regression")
    lines, tied = command(
        *("--attribute", "left", "--method", "regression", "--orthogonal-to", "bright")
    )
    assert lines[0].startswith("left: set in ")
    G = load_generator(made["run"])
    z = directions.sample_latents(G, 400)
    weights, _ = directions.latent.linear_scores(z, scorer.logits(z))
    assert abs(tied.vectors[0] @ weights[0]) < 1e-4 < abs(free.vectors[0] @ weights[0])


def test_examples_find_the_direction_that_labels_give(command, scorer, made):
    G = load_generator(made["run"])
    z = sampling.latents_from_seeds(G, range(200))
    has = scorer.logits(z)[:, 1] > 0
    seeds = [",".join(map(str, chosen.nonzero()[:60, 0].tolist())) for chosen in (has, ~has)]
    lines, found = command("--with", seeds[0], "--without", seeds[1])
    assert lines[0].startswith("60 examples with it and 60 without, ")
    assert "moves +left most" in lines[1]
    _, regressed = command("--attribute", "left", "--method", "regression")
    assert found.vectors[0] @ regressed.vectors[0] > 0.6


@pytest.mark.parametrize("method", ["sefa", "pca"])
def test_directions_without_labels_are_named(command, method):
    lines, saved = command("--method", method, "--components", "2", "--seeds", "0,1")
    label = re.search(r"moves (\S+) most", lines[0])[1]
    assert saved.names[0] == f"{method} 1: {label}"
    assert torch.allclose(saved.vectors.norm(dim=1), torch.ones(2))
    assert (saved.vectors[0] @ saved.vectors[1]).abs() < 0.3


def test_a_saved_direction_is_drawn_again(command, tmp_path):
    lines, _ = command("--attribute", "left", "--method", "regression")
    file = tmp_path / "kept.safetensors"
    (tmp_path / "strip.safetensors").rename(file)
    again, saved = command("--load", str(file))
    assert again[0].startswith("left: moves +left most") and saved.names == ("left",)
    assert lines[-2:] == again[-2:]


def test_the_packed_images_of_a_run_are_found(made):
    packed = run_images(made["run"])
    assert packed is not None and packed.folder == made["packed"]


def test_an_edit_does_not_depend_on_what_is_edited_beside_it(made, scorer):
    G = load_generator(made["run"])
    z = directions.sample_latents(G, 70)
    vector = torch.eye(8)[0]
    together = directions.edited(scorer, G, z, 1, True, vector)
    for rows in (slice(3, 4), slice(60, 70)):
        assert torch.equal(directions.edited(scorer, G, z[rows], 1, True, vector), together[rows])


def test_a_label_that_no_sample_lacks_is_one_line(scorer):
    with pytest.raises(UserError, match="all of 5 samples have bright"):
        directions._lacking(scorer, torch.ones(5, 3), 0)


def test_scores_that_are_the_same_for_all_latents_are_one_line(scorer, made):
    G = load_generator(made["run"])
    z = directions.sample_latents(G, 50)
    with pytest.raises(UserError, match="scores of 50 samples do not change with z"):
        directions.regressed_direction(scorer, G, z, torch.full((50, 3), -9.0), 0)
    same = scorer.logits(z)[:, [1, 1, 1]]
    with pytest.raises(UserError, match="--orthogonal-to leaves no direction"):
        directions.regressed_direction(scorer, G, z, same, 1, [0])


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--attribute", "hat"], "no label 'hat'; one of bright, left, odd"),
        (["--attribute", "left", "--with", "1"], "--with and --without need each other"),
        (["--attribute", "left", "--method", "pca"], "exclude each other"),
        (["--attribute", "left", "--orthogonal-to", "odd"], "is for --method regression"),
        (["--method", "edit"], "needs --attribute"),
        (["--with", "a", "--without", "2"], "write numbers and ranges"),
        (["--load", "none.safetensors"], "no such file of directions"),
        (["--load", "x.png"], "must end in .safetensors"),
        (["--classifier", "x.png"], "must end in .safetensors"),
        (["--out", "x.gif"], "must end in .png"),
    ],
)
def test_mistakes_are_one_line(made, capsys, flags, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    args = [made["run"], *flags]
    if "--classifier" not in flags:
        args += ["--classifier", made["classifier"]]
    _, err = fail(capsys, cli.direction, *args, "--samples", "50")
    assert words in err
    assert not list(tmp_path.iterdir())


def test_a_run_without_labels_asks_for_data(run, capsys, tmp_path):
    out = ["--out", tmp_path / "x.png"]
    _, err = fail(capsys, cli.direction, run, "--attribute", "hat", *out)
    assert "name one with labels by --data, or a trained classifier by --classifier" in err
    assert cli.main(["direction", str(run), "--components", "1", *map(str, out)]) == 0
    assert "sefa 1: " in capsys.readouterr().out and (tmp_path / "x.png").exists()


@pytest.mark.parametrize(("channels", "latent_name"), [(1, "uniform"), (3, "normal")])
def test_conditional_and_grey_generators_move_z_alone(channels, latent_name):
    G = Generator(16, channels, width=2, latent_dim=4, latent=latent_name, num_labels=2).eval()
    z = torch.cat([torch.rand(3, 4), torch.eye(3, 2)], 1)
    found = found_directions.along(G, ["a"], torch.eye(4)[:1], [2.0], "x", z, 2, ())
    assert torch.equal(found.strip[:, :, 4:], z[:, None, 4:].expand(-1, 5, -1))
    assert torch.allclose(found.strip[:, 2], z)
    expected = (z[:, 0] + 2).clamp(max=1) if latent_name == "uniform" else z[:, 0] + 2
    assert torch.allclose(found.strip[:, 4, 0], expected)
    assert found_directions.draw(G, found, "fp32").shape[2] == channels


@pytest.mark.parametrize("flags", [["--components", "8"], ["--load"]])
def test_a_filmstrip_that_is_too_large_is_refused_before_directions_are_found(
    made, tmp_path, capsys, monkeypatch, flags
):
    monkeypatch.setattr(directions, "without_labels", None)  # not called
    monkeypatch.setattr(directions, "along_saved", None)
    G, path = load_generator(made["run"]), tmp_path / "many.safetensors"
    save_directions(path, Directions(("a",) * 8, torch.eye(8), (1.0,) * 8, "sefa", ""))
    assert G.latent_dim == 8
    words = [*flags, path] if flags == ["--load"] else flags
    seeds = ["--seeds", "0-399", "--steps", "100", "--out", tmp_path / "a.png"]
    _, err = fail(capsys, cli.direction, made["run"], *words, *seeds)
    assert "a grid of 643,200 images has" in err  # 8 directions, 400 seeds, 201 columns


def test_labels_to_keep_are_named_one_by_one_or_as_one_with_a_comma(scorer):
    def chosen(text: str) -> list[int]:
        names = dataclasses.replace(scorer.classifier, names=("a,b", "a", "b"))
        return _orthogonal_to(types.SimpleNamespace(classifier=names), text)

    assert chosen("a,b") == [0]
    assert chosen("b, a") == [2, 1]
    assert chosen("all") == [0, 1, 2]
