"""`dcgan compare` and `dcgan timelapse`."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from dcgan import cli, images
from dcgan.data import open_packed
from dcgan.errors import UsageError
from dcgan.reports import compare, timelapse
from dcgan.runs.layout import sample_grid_path
from dcgan.sampling import sample_grid
from tests.conftest import TINY, fit, write_packed


@pytest.fixture(scope="module")
def other(tmp_path_factory, packed):
    """A run of other flags, with evaluated metrics in its log."""
    config = dataclasses.replace(TINY, steps=4, lr_D=3e-3, width=6)
    folder = tmp_path_factory.mktemp("other") / "tiny"
    fit(config, packed, folder, torch.device("cpu"))
    path = folder / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line, swd, recall in zip(lines, (3.0, 5.0), (0.4, 0.2), strict=True):
        line |= {"eval/swd": swd, "eval/recall": recall, "eval/ms_ssim": 0.3, "eval/density": 2.0}
    text = "".join(json.dumps(line) + "\n" for line in lines)
    bad = ("not json", '["step"]', '{"step": 9, "images": "many", "loss_D": 1}', '{"step": -7}')
    path.write_text(text + "\n".join(bad) + "\n")
    return folder


def test_the_table_shows_last_and_best_and_what_differs(run, other, tmp_path, capsys):
    out = tmp_path / "c.png"
    assert cli.main(["compare", str(run), str(other), "--out", str(out), "--device", "cpu"]) == 0
    text = capsys.readouterr().out
    lines = [line.split() for line in text.splitlines()]
    assert text.endswith(f"{out}\n")
    assert ["steps", "6", "4"] in lines
    assert ["images", "48", "32"] in lines
    assert ["eval/swd,", "last", "-", "5"] in lines
    assert ["eval/swd,", "best", "-", "3"] in lines, "less is better"
    assert ["eval/recall,", "best", "-", "0.4"] in lines, "more is better"
    assert ["eval/ms_ssim,", "last", "-", "0.3"] in lines
    best = {words[0] for words in lines if words[1:2] == ["best"]}
    assert best == {"eval/swd,", "eval/recall,"}, "of others neither more nor less is better"
    assert [words for words in lines if words[0].startswith("--")] == [
        ["--width", "4", "6"],
        ["--steps", "6", "4"],
        ["--lr-D", f"{TINY.lr_D}", "0.003"],
    ]
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    shown = next(words for words in lines if words[:2] == ["loss_D,", "last"])
    assert float(shown[2]) == pytest.approx(last["loss_D"], rel=1e-3)
    assert lines[0] == [f"{run.parent.name}/tiny", f"{other.parent.name}/tiny"]


def test_the_picture_holds_the_grids_of_the_same_seeds_and_curves(
    run, other, tmp_path, monkeypatch
):
    shown, drawn = [], []
    draw_curve = compare._draw_curve

    def spy(axis, x, y, *rest):
        drawn.append((rest[-1], x, y))
        draw_curve(axis, x, y, *rest)

    from matplotlib.axes import Axes

    imshow = Axes.imshow
    monkeypatch.setattr(compare, "_draw_curve", spy)
    monkeypatch.setattr(
        Axes, "imshow", lambda self, x, **k: shown.append(np.asarray(x)) or imshow(self, x, **k)
    )
    runs = compare.open_runs([run, other])
    compare.save_comparison(tmp_path / "c.png", runs, [3, 1, 2], "cpu")
    for picture, folder in zip(shown, (run, other), strict=True):
        G = compare.load_generator(folder)
        assert (picture == sample_grid(G, [3, 1, 2])).all()
    loss = [(x.tolist(), len(y)) for metric, x, y in drawn if metric == "loss_D"]
    assert loss[:2] == [([16, 32, 48], 3), ([16, 32], 2)], "over images"
    assert 0 < loss[2][0][-1] < 5, "over minutes"
    swd = [y.tolist() for metric, _, y in drawn if metric == "eval/swd"]
    assert swd == [[], [3, 5], [], [3, 5]], "the first run has none"
    with Image.open(tmp_path / "c.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    inked = (pixels[: pixels.shape[0] // 4] < 240).any(2)
    assert inked.mean() > 0.1, "the grids are to be seen"


def test_the_running_mean_covers_fewer_points_at_the_ends():
    class Axis:
        def plot(self, x, y, *style, **options):
            self.x, self.y = x, y

    for count in (1, 2, 3, 200):
        axis = Axis()
        compare._draw_curve(axis, np.arange(count), np.full(count, 7.0), "C0", "loss_D")
        np.testing.assert_allclose(axis.y, np.full(count, 7.0))
    compare._draw_curve(axis, np.arange(4), np.array([0.0, 3, 6, 0]), "C0", "loss_D")
    np.testing.assert_allclose(axis.y, [1.5, 3, 3, 3])


def test_names_and_logs_with_special_characters_are_drawn_as_they_are(run, tmp_path, monkeypatch):
    """Names that mean something to matplotlib, curves of nothing, numbers without end."""
    from matplotlib import pyplot

    drawn = []
    monkeypatch.setattr(pyplot, "close", drawn.append)
    logs = {
        "_old": '{"step": 5, "eval/$x^$": 1}',
        "$a^$": '{"step": 5, "loss_D": 1%s}' % ("0" * 400),
    }
    logs[r"\\frac$"] = '{"step": 1%s, "loss_D": 1}\n{"step": 2}' % ("0" * 400)
    for name, log in logs.items():
        shutil.copytree(run, tmp_path / name)
        (tmp_path / name / "metrics.jsonl").write_text(log)
    runs = compare.open_runs([run, *(tmp_path / name for name in logs)])
    compare.format_table(runs)
    compare.save_comparison(tmp_path / "c.png", runs, [1, 2], "cpu")
    axes = [axis for figure in drawn[0].subfigs for axis in figure.axes]
    (legend,) = (axis.get_legend() for axis in axes if axis.get_legend())
    assert [text.get_text() for text in legend.get_texts()] == ["tiny", *logs]
    assert {axis.get_title() for axis in axes} >= {f"{name}, step 6" for name in logs}


def test_grey_images_keep_their_brightness(packed, tiny, tmp_path, monkeypatch):
    from matplotlib import pyplot

    grey = open_packed(
        write_packed(tmp_path / "grey", np.ascontiguousarray(packed.images[..., :1]))
    )
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        fit(tiny(channels=1, steps=2), grey, path, torch.device("cpu"))
    drawn = []
    monkeypatch.setattr(pyplot, "close", drawn.append)
    compare.save_comparison(tmp_path / "c.png", compare.open_runs(paths), [1, 2], "cpu")
    limits = {axis.images[0].get_clim() for axis in drawn[0].subfigs[0].axes}
    assert limits == {(0, 255)}


def test_short_names_tell_runs_apart(tmp_path):
    names = [tmp_path / "a" / "faces", tmp_path / "b" / "faces", tmp_path / "b" / "other"]
    assert compare._short_names(names) == ["a/faces", "b/faces", "b/other"]
    assert compare._short_names(names[1:]) == ["faces", "other"]


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["compare"], 2, "name two runs or more: dcgan compare RUN RUN"),
        (["compare", "RUN"], 2, "name two runs or more: dcgan compare RUN RUN"),
        (["compare", "RUN", "RUN"], 1, "named twice"),
        (["compare", "RUN", "OTHER", "LINK"], 1, "link is named twice"),
        (["compare", "RUN", "OTHER", "--seeds", "0-999999"], 2, "1,000,000 images has 256,000,000"),
        (["compare", "RUN", "/no/such"], 1, "/no/such: no such checkpoint or run folder"),
        (["compare", "RUN", "FILE"], 1, "name the run folder"),
        (["compare", "RUN", "UNLOGGED"], 1, "it has no metrics.jsonl"),
        (["compare", "RUN", "OTHER", "--out", "a.jpg"], 2, "a.jpg"),
        (["compare", "RUN", "OTHER", "--seeds", "x"], 2, "--seeds"),
        (["timelapse"], 2, "PATH"),
        (["timelapse", "/no/such"], 1, "/no/such: no such run folder"),
        (["timelapse", "EMPTY"], 1, "no sample grid"),
        (["timelapse", "RUN", "--out", "a.avi"], 2, "a.avi"),
        (["timelapse", "RUN", "--seconds", "0"], 2, "--seconds"),
        (["timelapse", "RUN", "--seconds", "nan"], 2, "--seconds"),
    ],
)
def test_mistakes_are_one_line(run, other, tmp_path, monkeypatch, capsys, words, code, complaint):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty" / "samples").mkdir(parents=True)
    shutil.copytree(run, tmp_path / "unlogged", ignore=shutil.ignore_patterns("metrics*"))
    places = {"RUN": run, "OTHER": other, "FILE": run / "config.json"}
    (tmp_path / "link").symlink_to(run, target_is_directory=True)
    places["LINK"] = tmp_path / "link"
    places |= {"EMPTY": tmp_path / "empty", "UNLOGGED": tmp_path / "unlogged"}
    assert cli.main([str(places.get(word, word)) for word in words]) == code
    err = capsys.readouterr().err
    assert complaint in err and err.count("\n") == 1, err


# Timelapse


@pytest.fixture
def grids(tmp_path):
    """Write the grids of a run: `grids({step: (side, value)})`."""

    def write(sides):
        for step, (side, value) in sides.items():
            images.save_png(
                sample_grid_path(tmp_path, step), np.full((side, side, 3), value, np.uint8)
            )
        return tmp_path

    return write


def test_frames_come_in_the_order_of_steps_and_in_one_size(grids, capsys):
    run = grids({20: (6, 20), 100_000_000: (4, 100), 3: (6, 3)})
    (run / "samples" / "step-00000004.png").write_bytes(b"cut short")
    (run / "samples" / "notes.png").write_bytes(b"")
    frames = timelapse.load_frames(run, 8)
    assert [frame.shape for frame in frames] == [(6, 6, 3)] * 3
    assert [int(frame[0, 0, 0]) for frame in frames] == [3, 20, 100]
    assert (frames[2][4:] == 255).all() and (frames[2][:, 4:] == 255).all()
    assert "step-00000004.png" in capsys.readouterr().err


def test_too_many_grids_for_the_time_are_thinned_evenly(grids):
    run = grids({step: (2, step) for step in range(1, 101)})
    values = [int(frame[0, 0, 0]) for frame in timelapse.load_frames(run, 0.5)]
    assert len(values) == 25
    assert (values[0], values[-1]) == (1, 100)
    assert set(np.diff(values)) == {4, 5}


@pytest.mark.parametrize("seconds", [0, -1, 3601, float("nan")])
def test_a_duration_that_cannot_be_is_refused_in_python_too(grids, seconds):
    with pytest.raises(UsageError, match=r"--seconds must be from 0\.02 to 3600"):
        timelapse.load_frames(grids({1: (2, 1)}), seconds)


def test_a_picture_that_is_no_png_is_refused_in_python_too(tmp_path):
    with pytest.raises(UsageError, match=r"--out .*a\.jpg: the file name must end in \.png"):
        compare.save_comparison(tmp_path / "a.jpg", [], [1], "cpu")


@pytest.mark.parametrize("name", ["t.gif", "t.webp"])
def test_timelapse_of_a_run(run, tmp_path, capsys, name):
    out = tmp_path / name
    assert cli.main(["timelapse", str(run), "--seconds", "1", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    with Image.open(out) as animation:
        assert animation.n_frames == 2, "steps 3 and 6"
        animation.seek(1)
        last = np.asarray(animation.convert("RGB")).astype(int)
    with Image.open(sample_grid_path(run, 6)) as grid:
        assert np.abs(last - np.asarray(grid)).mean() < (8 if name == "t.gif" else 0.01)
