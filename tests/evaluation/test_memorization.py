"""A G that copies is found out, and one that draws from the same law is not."""

from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from PIL import Image

from dcgan import cli
from dcgan.config import NeighboursConfig
from dcgan.data import faces, open_packed
from dcgan.errors import UsageError
from dcgan.evaluation.memorization import examine, leakage, nearest, pixels, split
from dcgan.evaluation.random_features import RandomFeatures
from dcgan.networks import Generator
from dcgan.training.loop import read_labels
from tests.conftest import write_packed

CPU = torch.device("cpu")


def test_leakage_is_scipys_mann_whitney():
    rng = np.random.default_rng(0)
    samples, held_out = rng.integers(0, 30, 80) / 1.0, rng.integers(0, 25, 50) / 1.0
    found = leakage(torch.from_numpy(samples), torch.from_numpy(held_out))
    u = scipy.stats.mannwhitneyu(held_out, samples).statistic  # pairs where held_out is larger
    assert found.score == pytest.approx(u / 4000)
    assert found.z == pytest.approx((u - 2000) / np.sqrt(4000 * 131 / 12))


@pytest.mark.parametrize("chunk", [1, 4, 40])
def test_neighbours_are_those_of_a_sort(chunk):
    rng = np.random.default_rng(1)
    queries, rows = (torch.from_numpy(rng.normal(size=(n, 5))) for n in (7, 40))
    apart, which = nearest(queries, rows.split(chunk))
    expected = torch.cdist(queries, rows).sort(1)
    torch.testing.assert_close(apart.double(), expected.values[:, :3])
    assert torch.equal(which, expected.indices[:, :3])


@pytest.fixture(scope="module")
def drawn():
    """900 faces: training images, held-out ones, and new ones of the same law."""
    images = faces.render(range(900), 32).images.numpy()
    return images[:500], images[500:700], images[700:]


@pytest.mark.parametrize("view", [pixels, RandomFeatures()], ids=["pixels", "features"])
def test_a_copier_is_found_out_and_an_honest_generator_is_not(drawn, view):
    training, held_out, new = drawn

    def chunks():
        return iter([training[:300], training[300:]])

    honest, _, _ = examine(new, held_out, chunks, view, CPU)
    assert abs(honest.z) < 3 and honest.copies < 0.06

    rng = np.random.default_rng(2)
    noise = rng.integers(-3, 4, (200, 32, 32, 3))
    copied = (training[100:300].astype(int) + noise).clip(0, 255).astype(np.uint8)
    copies, apart, which = examine(copied, held_out, chunks, view, CPU)
    assert copies.score > 0.95 and copies.z > 10 and copies.copies > 0.9
    assert (which[:, 0].numpy() == np.arange(100, 300)).all()
    assert (apart[:, 0] < apart[:, 1]).all()

    some, _, _ = examine(np.concatenate([new[:160], copied[:40]]), held_out, chunks, view, CPU)
    assert some.copies > 0.19, "a fifth of copies is seen among honest images"


def test_large_images_are_compared_at_64_pixels():
    assert pixels(torch.zeros(2, 3, 128, 128, dtype=torch.uint8)).shape == (2, 3 * 64 * 64)
    assert pixels(torch.zeros(2, 1, 16, 16, dtype=torch.uint8)).shape == (2, 256)


def test_the_command_writes_a_picture_and_says_what_it_saw(run, packed, tmp_path, capsys):
    rng = np.random.default_rng(3)
    other = write_packed(tmp_path / "other", rng.integers(0, 256, (20, 16, 16, 3), dtype=np.uint8))
    out = tmp_path / "found.png"
    flags = ["--data", str(packed.folder), "--count", "30", "--device", "cpu", "--out", str(out)]
    assert cli.main(["neighbours", str(run), *flags, "--held-out", str(other)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("pixels: ") and lines[1].startswith("features: ")
    assert lines[2] == "30 samples, 20 held-out and 50 training images"
    with Image.open(out) as image:
        assert image.size == (7 * 18 + 2, 12 * 18 + 2)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "give --held-out"),  # a tenth of 50 images is too few
        (["--label", "dog"], "not trained with --conditional"),
        (["--held-out", "DATA"], "holds the images of --data"),
        (["--held-out", "/no/such"], "does not exist"),
        (["--out", "a.jpg"], "ends in .png"),
        (["--count", "3"], "--count"),
    ],
)
def test_mistakes_are_one_line(run, packed, capsys, flags, words):
    flags = [str(packed.folder) if flag == "DATA" else flag for flag in flags]
    code = cli.main(["neighbours", str(run), "--data", str(packed.folder), *flags])
    err = capsys.readouterr().err
    assert code in (1, 2) and words in err and err.count("\n") == 1


def test_copies_among_the_held_out_images_hide_no_copier():
    held_out = torch.cat([torch.zeros(3), torch.linspace(1, 2, 97)])
    assert leakage(torch.zeros(50), held_out).copies == 1
    assert leakage(torch.full((50,), 1.5), held_out).copies == 0
    assert leakage(torch.zeros(50), torch.zeros(20)).copies == 0


def test_samples_of_a_label_are_compared_with_images_of_that_label(tmp_path):
    """Where one class is plainer than the other, plain samples are near plain images."""
    i = np.arange(60)
    images = np.zeros((60, 16, 16, 3), np.uint8)
    images[:, 0, 0, 0] = i
    packed = open_packed(write_packed(tmp_path / "a", images, i % 2, ("plain", "busy"), "class"))
    other = write_packed(tmp_path / "b", images + 1, i % 3 % 2, ("plain", "busy"), "class")
    bare = write_packed(tmp_path / "c", images + 2)
    G = Generator(16, width=4)
    G.labels = read_labels(packed)

    def parts(label, held_out):
        config = NeighboursConfig(
            checkpoint=Path("x"), data=packed.folder, held_out=held_out, label=label
        )
        return split(packed, config, G)

    training, held_out = parts("busy", other)
    assert set(training) == set(i[i % 2 == 1])
    assert set(held_out[:, 0, 0, 0] - 1) == set(i[i % 3 == 1])
    training, held_out = parts(None, other)
    assert len(training) == len(held_out) == 60
    with pytest.raises(UsageError, match=r"the images of .*c have none"):
        parts("busy", bare)
