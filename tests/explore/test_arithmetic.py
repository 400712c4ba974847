"""`dcgan arithmetic`: operands, results and the figure."""

import numpy as np
import pytest
import torch
from PIL import Image

from dcgan import cli, images, latent, sampling
from dcgan.config import ArithmeticConfig
from dcgan.errors import UsageError
from dcgan.explore import Operand, arithmetic, draw_arithmetic, read_operands
from dcgan.explore.classifier import load_classifier
from dcgan.explore.figures import Figure
from dcgan.explore.scoring import Scorer
from dcgan.runs import load_generator
from tests.cli.running import fail
from tests.explore.labelled import make_labelled_run
from tests.latent.generators import ATTRIBUTES, CLASSES, make_generator


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_labelled_run(tmp_path_factory.mktemp("labelled"))


def draw(G, z) -> np.ndarray:
    return np.concatenate(list(sampling.render(G, z)))


@pytest.mark.parametrize("options", [{}, {"latent": "uniform"}, {"channels": 1}])
def test_the_result_is_the_sum_of_means_and_images_do_not_depend_on_others(options):
    G = make_generator(**options)
    a, b, c = (sampling.latents_from_seeds(G, seeds) for seeds in ([3, 14, 15], [9, 2], [35]))
    done = arithmetic(G, [Operand(True, "a", a), Operand(False, "b", b), Operand(True, "c", c)])
    z = latent.to_typical(a.mean(0) - b.mean(0) + c[0], G.latent_dim, G.latent)
    torch.testing.assert_close(done.z[0], z)
    assert (done.results == draw(G, done.z)).all()
    assert (done.results[3] == draw(G, done.z[3:4])[0]).all()
    assert (done.exemplars[1] == draw(G, b)).all()
    mean = latent.to_typical(b.mean(0, keepdim=True), G.latent_dim, G.latent)
    assert (done.means[1] == draw(G, mean)[0]).all()
    of_images = draw(G, a).mean(0) - draw(G, b).mean(0) + draw(G, c).astype(float)[0]
    expected = of_images.round().clip(0, 255)
    assert abs(done.pixel_result.astype(float) - expected).max() <= 1
    assert (done.pixel_means[0] == draw(G, a).mean(0).round()).all()


def test_equal_operands_cancel():
    G = make_generator()
    one, other = sampling.latents_from_seeds(G, [1]), sampling.latents_from_seeds(G, [2, 3])
    done = arithmetic(
        G, [Operand(True, "", one), Operand(False, "", other), Operand(True, "", other)]
    )
    typical = latent.to_typical(one, G.latent_dim, G.latent)
    torch.testing.assert_close(done.z[:1], typical)
    assert abs(done.pixel_result.astype(int) - done.exemplars[0][0]).max() <= 1


def test_the_figure_shows_every_image_once():
    G = make_generator()
    z = sampling.latents_from_seeds(G, range(6))
    done = arithmetic(G, [Operand(True, "first, " * 9, z[:4]), Operand(False, "b", z[4:])])
    figure = draw_arithmetic(done)
    side = 16 * 6
    shown = [*done.exemplars[0][:3], *done.exemplars[1], *done.means, *done.results]
    shown += [*done.pixel_means, done.pixel_result]
    for image in shown:
        large = image.repeat(6, 0).repeat(6, 1)
        corners = (figure[: -side + 1, : -side + 1] == large[0, 0]).all(-1)
        places = [
            (y, x)
            for y, x in zip(*corners.nonzero(), strict=True)
            if (figure[y : y + side, x : x + side] == large).all()
        ]
        assert len(places) == 1, places


@pytest.mark.parametrize(("labels", "word"), [(ATTRIBUTES, "hat=1,beard=0"), (CLASSES, "dog")])
def test_a_conditional_generator_is_asked_for_labels(labels, word):
    G = make_generator(labels)
    other = labels.names[-1]
    config = ArithmeticConfig(plus=(word, f"label:{other}", "7"), minus=(word,), exemplars=2)
    operands = read_operands(G, config)
    assert [(operand.added, operand.name) for operand in operands] == [
        (True, word),
        (False, word),
        (True, f"label:{other}"),
        (True, "7"),
    ]
    of_seeds = sampling.latents_from_seeds
    assert torch.equal(operands[0].z, of_seeds(G, [0, 1], label=word))
    assert torch.equal(operands[1].z, of_seeds(G, [2, 3], label=word))
    assert torch.equal(operands[2].z, of_seeds(G, [4, 5], label=other))
    assert torch.equal(operands[3].z, of_seeds(G, [7]))


def test_a_classifier_finds_exemplars_of_labels(made):
    G = load_generator(made["run"])
    words = ("left=1,bright=0", "left=0")
    config = ArithmeticConfig(
        checkpoint=made["run"], classifier=made["classifier"], plus=words, exemplars=4
    )
    operands = read_operands(G, config)
    scorer = Scorer(G, load_classifier(made["classifier"]))
    names = scorer.classifier.names
    left, bright = names.index("left"), names.index("bright")
    first, second = (scorer.logits(operand.z) for operand in operands)
    assert (first[:, left] >= 2).all() and (first[:, bright] <= -2).all()
    assert (second[:, left] <= -2).all()
    rows = torch.cat([operand.z for operand in operands])
    assert len(rows.unique(dim=0)) == 8


def test_the_command_takes_seeds_and_photos_and_writes_the_figure(run, tmp_path, capsys):
    rng, photo = np.random.default_rng(0), tmp_path / "me.png"
    images.save_png(photo, rng.integers(0, 256, (20, 30, 3), dtype=np.uint8))
    out = tmp_path / "sum.png"
    words = ["--plus", f"3,{photo}", "--minus", "9,2", "--plus", "35", "--out", out]
    assert cli.main(["arithmetic", *map(str, [run, *words])]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    G = load_generator(run)
    plain = ArithmeticConfig(checkpoint=run, plus=(f"3,{photo}", "35"), minus=("9,2",))
    figure = draw_arithmetic(arithmetic(G, read_operands(G, plain)))
    with Image.open(out) as picture:
        assert (np.asarray(picture) == figure).all()


def test_mistakes_take_one_line(run, made, tmp_path, capsys):
    def line(*words) -> str:
        return fail(capsys, cli.arithmetic, *words)[1]

    assert "name what to add: --plus 3,14,15" in line(run)
    assert "--plus 3,no.png: there is no photo no.png" in line(run, "--plus", "3,no.png")
    text = tmp_path / "text.png"
    text.write_text("no image")
    assert f"{text} is no photo that can be read" in line(run, "--plus", text)
    assert "name one with labels by --data" in line(run, "--plus", "smiling")
    known = ["--classifier", made["classifier"]]
    unknown = line(made["run"], *known, "--plus", "cat", "--minus", "3")
    assert "--plus cat: no label 'cat'; one of bright, left, odd" in unknown
    class_7 = line(made["run"], *known, "--plus", "3", "--minus", "label:7")
    assert "--minus 7: no label '7'; one of bright" in class_7
    assert "--plus 0-1000: 1,001 images, and" in line(run, "--plus", "0-1000")
    contradiction = line(made["run"], *known, "--plus", "left=1,left=0")
    assert "left cannot be both 1 and 0" in contradiction


def test_an_empty_operand_of_a_python_caller_is_named():
    for operands in (dict(plus=("3", "")), dict(plus=("3",), minus=("",))):
        with pytest.raises(UsageError, match="an operand is empty"):
            ArithmeticConfig(**operands)


def test_captions_show_the_control_characters_of_a_name():
    assert Figure(16).wrap("a\nb\x1b[2J") == ["a\\nb\\x1b[2J"]
