"""Walks through a generator: stops, frames, grids of parallel walks, files."""

import dataclasses
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from dcgan import animation, cli, images, latent, sampling
from dcgan.config import WalkConfig
from dcgan.errors import UsageError, UserError
from dcgan.explore import latents_of_walk, save_walk, stops_from_seeds, walk_frames
from dcgan.latent import Labels
from dcgan.networks import Generator
from tests.cli.running import fail

SEEDS = [3, 14, 15]


def generator(latent="normal", channels=3, labels=None) -> Generator:
    torch.manual_seed(0)
    options = dict(size=8, width=4, latent_dim=6, latent=latent, channels=channels)
    G = Generator(**options, num_labels=len(labels.names) if labels else 0).eval()
    G.labels = labels
    return G


G = generator()


def frames_of(G, stops, **options) -> np.ndarray:
    return np.stack(list(walk_frames(G, stops, WalkConfig(**options))))


@pytest.mark.parametrize("kind", ["normal", "uniform"])
@pytest.mark.parametrize("channels", [1, 3])
def test_frames_are_the_images_of_the_path(kind, channels):
    G = generator(kind, channels)
    stops = sampling.latents_from_seeds(G, SEEDS)
    options = dict(closed=False, easing="smoothstep")
    interpolate = latent.uniform_slerp if kind == "uniform" else latent.slerp
    path = latent.walk(stops, 70, **options, interpolate=interpolate)
    expected = np.concatenate(list(sampling.render(G, path)))
    assert expected.shape == (70, 8, 8, channels)
    assert (frames_of(G, stops, frames=70, **options) == expected).all()
    assert (expected[-1:] == next(sampling.sample(G, SEEDS[-1:]))).all()


@pytest.mark.parametrize("frames", [5, 70])
@pytest.mark.parametrize("easing", ["linear", "constant-speed", "smoothstep"])
def test_every_cell_of_a_grid_is_a_walk_of_its_own(easing, frames):
    options = dict(frames=frames, easing=easing)
    config = WalkConfig(rows=2, cols=3, **options)
    stops = stops_from_seeds(G, SEEDS, config)
    grids = frames_of(G, stops, rows=2, cols=3, **options)
    for k in range(6):
        seeds = [seed + 13 * k for seed in SEEDS]  # 13 = 15 - 3 + 1
        alone = frames_of(G, sampling.latents_from_seeds(G, seeds), **options)
        top, left = 2 + 10 * (k // 3), 2 + 10 * (k % 3)
        assert (grids[:, top : top + 8, left : left + 8] == alone).all()
        grids[:, top : top + 8, left : left + 8] = 255
    assert (grids == 255).all()


def test_no_two_walks_share_a_seed(monkeypatch):
    seen = []
    latents_from_seeds = sampling.latents_from_seeds

    def watched(G, seeds, *options):
        seen.append(seeds)
        return latents_from_seeds(G, seeds, *options)

    monkeypatch.setattr(sampling, "latents_from_seeds", watched)
    stops_from_seeds(G, [5, 9, 2], WalkConfig(rows=3, cols=2))
    assert seen[0] == [5, 9, 2] and seen[1] == [13, 17, 10]
    assert len({seed for seeds in seen for seed in seeds}) == 18


def test_stops_have_the_truncation_and_the_label_of_the_command():
    labels = Labels("class", ("cat", "dog"), np.array([5, 5]))
    G = generator(labels=labels)
    config = WalkConfig(truncation=0.5, label="dog", cols=2)
    stops = stops_from_seeds(G, SEEDS, config)
    assert stops.shape == (2, 3, 8)
    assert torch.equal(stops[0], sampling.latents_from_seeds(G, SEEDS, 0.5, "dog"))
    assert len(frames_of(G, stops, cols=2, frames=4)) == 4


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".mp4"])
def test_the_command_writes_the_frames(run, tmp_path, suffix, capsys):
    if suffix == ".mp4":
        pytest.importorskip("av")
    out = tmp_path / f"walk{suffix}"
    flags = ["--seeds", "3,14", "--frames", "6", "--seconds", "1.5", "--rows", "2", "--no-closed"]
    assert cli.main(["walk", str(run), *flags, "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    trained = sampling.load(run)
    config = WalkConfig(seeds="3,14", frames=6, seconds=1.5, rows=2, closed=False)
    stops = stops_from_seeds(trained, [3, 14], config)
    save_walk(trained, stops, dataclasses.replace(config, out=tmp_path / f"python{suffix}"))
    assert out.read_bytes() == (tmp_path / f"python{suffix}").read_bytes()
    if suffix in (".webp", ".png"):
        expected = list(walk_frames(trained, stops, config))
        ends = np.concatenate(list(sampling.sample(trained, [14, 26])))  # 26 = 14 + 12
        assert (expected[-1] == images.make_grid(ends, 1)).all()
        with Image.open(out) as file:
            assert file.n_frames == 6
            for i, frame in enumerate(expected):
                file.seek(i)
                assert (np.asarray(file.convert("RGB")) == frame).all()


def test_frames_are_drawn_as_they_are_asked_for(monkeypatch):
    """A walk of 100,000 frames begins at once, and holds one batch of images."""
    drawn = []
    make_renderer = sampling.make_renderer

    def watched(*args):
        renderer = make_renderer(*args)
        return lambda z: drawn.append(len(z)) or renderer(z)

    monkeypatch.setattr(sampling, "make_renderer", watched)
    config = WalkConfig(frames=100_000, seconds=5000, cols=3)
    frames = walk_frames(G, stops_from_seeds(G, SEEDS, config), config)
    assert drawn == []
    next(frames)
    assert drawn == [63]  # 21 frames of 3 walks: 64 images of this size are a batch


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: walk_frames(G, torch.zeros(3, 7), WalkConfig()), r"\[K, 6\] or .*not \[3, 7\]"),
        (lambda: walk_frames(G, torch.zeros(0, 6), WalkConfig()), r"not \[0, 6\]"),
        (lambda: walk_frames(G, torch.zeros(6), WalkConfig()), r"not \[6\]"),
        (lambda: walk_frames("run", torch.zeros(1, 6), WalkConfig()), "load_generator"),
        (lambda: stops_from_seeds(G, [], WalkConfig()), "a walk of 0 images"),
        (
            lambda: stops_from_seeds(G, SEEDS, WalkConfig(rows=200, cols=200)),
            "40,000 walks of 3 images: from 1 to 100,000",
        ),
        (
            lambda: walk_frames(generator(), torch.zeros(2**21 + 1, 1, 6), WalkConfig()),
            "a grid of 2,097,153 images",
        ),
    ],
)
def test_wrong_arguments_are_usage_errors(call, words):
    with pytest.raises(UsageError, match=words):
        call()


def test_a_walk_that_does_not_fit_in_memory_is_one_line(run, tmp_path, capsys):
    flags = ["--rows", "30", "--cols", "30", "--frames", "9000", "--seconds", "900"]
    code, err = fail(capsys, cli.walk, run, *flags, "--out", tmp_path / "walk.gif")
    assert code == 2
    assert "9,000 frames of 542x542 pixels take 2.64 GB of memory as GIF" in err
    assert not any(tmp_path.iterdir())


def test_without_pyav_nothing_is_drawn(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "av", None)
    code, err = fail(capsys, cli.walk, run, "--out", tmp_path / "walk.mp4")
    assert (code, 'pip install "dcgan[video]"' in err) == (1, True)
    with pytest.raises(UserError, match="PyAV"):
        animation.animation_format(tmp_path / "walk.mp4")


@pytest.mark.parametrize("stops", [[], range(100_001)])
def test_a_walk_of_too_few_or_too_many_images_is_refused_at_once(stops):
    with pytest.raises(UsageError, match=rf"a walk of {len(stops):,} images: from 1 to 100,000"):
        latents_of_walk(G, stops, WalkConfig())
