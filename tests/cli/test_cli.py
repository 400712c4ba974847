import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dcgan import cli
from dcgan.cli import commands
from dcgan.config import PRESETS, parse_seeds
from dcgan.errors import UsageError

ROOT = Path(__file__).parents[2]


def script(*args, **options):
    """Run one of the scripts at the top as a user would."""
    command = [sys.executable, *map(str, args)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, **options)


def fails(capsys, command, *args) -> tuple[int, str]:
    """Exit code and the one line of a command that must fail."""
    code = cli.run(command, [str(a) for a in args], "dcgan")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("dcgan: ") and err.count("\n") == 1, err
    return code, err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--sise", "64"], "--sise"),
        (["--size", "abc"], "'abc'"),
        (["--size", "48"], "--size must be a power of two"),
        (["--size", "0"], "--size"),
        (["--width", "0"], "--width"),
        (["--steps", "-5"], "--steps"),
        (["--batch-size", "1"], "--batch-size"),
        (["--lr-G", "nan"], "--lr-G"),
        (["--device", "tpu"], "tpu"),
        (["--loss", "gan"], "gan"),
        (["--augment-p", "often"], "often"),
        (["--augment", "colour", "rotation"], "rotation"),
        (["--label-smoothing", "0.1"], "--label-smoothing must be left out but for --loss"),
        (["--accumulate", "5"], "--accumulate must be a divisor of --batch-size"),
        (["--max-bad", "2"], "--max-bad"),
        (["celebrities"], "no preset 'celebrities'; one of faces, celeba"),
        (["faces", "extra"], "extra"),
        (["--size"], "--size"),
        (["--steps", "10", "mnist"], "mnist comes before the flags: dcgan mnist ..."),
    ],
)
def test_wrong_flags_are_usage_errors_of_one_line(capsys, args, words):
    code, err = fails(capsys, cli.train, *args)
    assert code == 2
    assert words in err


@pytest.mark.parametrize(
    ("command", "args", "code", "words"),
    [
        (cli.train, ["folder", "--root", "/no/such/folder"], 1, "/no/such/folder"),
        (cli.train, ["--data", "/no/such/packed"], 1, "/no/such/packed"),
        (cli.sample, ["/no/such/run"], 1, "/no/such/run"),
        (cli.sample, [], 2, "PATH"),
        (cli.sample, [ROOT / "setup.cfg"], 1, "setup.cfg is not a usable checkpoint"),
        (cli.sample, ["x", "--seeds", "5-3"], 2, "--seeds 5-3"),
        (cli.sample, ["x", "--seeds", "1", "--count", "2"], 2, "not both"),
        (cli.sample, ["x", "--rows", "2", "--cols", "2", "--count", "9"], 2, "do not fit"),
        (cli.sample, ["x", "--out", "grid.jpg"], 2, "grid.jpg"),
        (cli.sample, ["x", "--npy", "images.png"], 2, "--npy images.png"),
        (cli.sample, ["x", "--rows", "9" * 30, "--cols", "9" * 30], 2, "--rows must be from 1"),
        (cli.walk, ["x", "--out", "walk.mp4"], 2, "walk.mp4"),
        (cli.walk, ["x", "--frames", "0"], 2, "--frames"),
        (cli.walk, ["x", "--seconds", "inf"], 2, "--seconds"),
        (cli.train, ["--out", "runs/\udcff"], 2, "--out"),
        (cli.walk, ["x", "--seconds", "1e6"], 2, "--seconds"),
        (cli.sample, ["x", "--seeds", "9" * 5000], 2, "--seeds"),
        (cli.sample, ["x" * 5000], 1, "name too long"),
        (cli.prepare, [], 2, "which source?"),
        (cli.prepare, ["folder", "--root", "."], 2, "--out"),
    ],
)
def test_what_is_missing_is_named(capsys, command, args, code, words):
    found, err = fails(capsys, command, *args)
    assert (found, words in err) == (code, True), err


@pytest.mark.parametrize("columns", ["20", "40", "200"])
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_the_line_does_not_depend_on_the_terminal(columns, encoding):
    environment = {**os.environ, "COLUMNS": columns, "PYTHONIOENCODING": encoding, "LC_ALL": "C"}
    done = script("train.py", "--sise", "4", env=environment)
    assert done.returncode == 2
    assert done.stderr == "train.py: Unrecognized options: --sise, 4. See train.py --help\n"


@pytest.mark.slow
def test_closed_and_full_outputs(run, tmp_path):
    """Under cron there is no stdout; a reader may leave early; a disk may be full."""
    run_in_shell = "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1], shell=True))"
    dcgan = f"{sys.executable} -m dcgan"
    for command, code, words in [
        (f"{dcgan} --help >&-", 0, ""),
        (f"{dcgan} train --help >&-", 0, ""),
        (f"{dcgan} sample '{run}' --out '{tmp_path}/a.png' >&-", 0, ""),
        (f"{dcgan} --help >/dev/full", 1, "No space left"),
        (f"{dcgan} train --dry-run >/dev/full", 1, "No space left"),
    ]:
        done = script("-c", run_in_shell, command)
        assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
        assert words in done.stderr
    assert (tmp_path / "a.png").exists()


def test_contradictions_are_found_before_packing(capsys, run, tmp_path):
    """Packing a large data set only to refuse it would cost hours."""
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    flags = ["--root", tmp_path, "--data-cache", tmp_path / "cache", "--out", run]
    code, err = fails(capsys, cli.train, "folder", *flags, "--width", "5")
    assert code == 1
    assert "trained with --size 16, not 64" in err
    assert not (tmp_path / "cache").exists()


def test_packing_into_the_current_folder_is_refused(tmp_path, monkeypatch, capsys):
    """It is put in place by a rename, which would leave the shell in a folder that is gone."""
    (tmp_path / "raw").mkdir()
    (tmp_path / "out").mkdir()
    Image.new("RGB", (20, 20)).save(tmp_path / "raw" / "a.png")
    monkeypatch.chdir(tmp_path / "out")
    for out in (".", ""):
        code, err = fails(capsys, cli.prepare, "folder", "--root", "../raw", "--out", out)
        assert code == 1
        assert "current folder" in err
    assert not any((tmp_path / "out").iterdir())


def test_an_empty_folder_is_named(capsys, tmp_path):
    code, err = fails(capsys, cli.train, "folder", "--root", tmp_path, "--data-cache", tmp_path)
    assert code == 1
    assert str(tmp_path) in err


@pytest.mark.parametrize(
    ("source", "words", "preset"),
    [
        ("folder", [], "folder"),
        ("faces", [], "faces"),
        ("mnist", [], "mnist"),
        (["a", {"hostile": 1}], [], "folder"),
        ("folder", ["faces"], "faces"),
        ("celeba", ["paper"], "paper"),
    ],
)
def test_packed_images_have_the_preset_of_their_source(packed, tmp_path, source, words, preset):
    folder = shutil.copytree(packed.folder, tmp_path / "packed")
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps(meta | {"source": source}))
    config = commands.train_config([*words, "--data", str(folder), "--steps", "7"], "dcgan", "")
    expected = dict(data=folder, size=16, channels=3, steps=7)
    assert config == dataclasses.replace(PRESETS[preset], **expected)


def test_dry_run_shows_presets_and_lets_flags_win(capsys):
    assert cli.main(["train", "mnist", "--dry-run", "--width", "7", "--no-flip"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["source"], shown["channels"], shown["size"]) == ("mnist", 1, 32)
    assert (shown["width"], shown["flip"], shown["out"]) == (7, False, "runs/mnist")
    assert shown["steps"] == PRESETS["mnist"].steps


def test_data_decides_size_unless_a_flag_contradicts(capsys, packed):
    assert cli.main(["train", "--data", str(packed.folder), "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out)["size"] == 16
    code, err = fails(capsys, cli.train, "--data", packed.folder, "--size", "32", "--dry-run")
    assert (code, "--size 32" in err) == (2, True)


def test_help_answers_without_torch():
    """Heavy packages are what makes --help slow; a count of imports is steadier than a clock."""
    probe = (
        "import sys; from dcgan import cli\n"
        "try: cli.main(['train', '--help'])\n"
        "except SystemExit as stop: assert not stop.code\n"
        "heavy = {'torch', 'numpy', 'matplotlib', 'tensorboard', 'PIL', 'torchvision'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = script("-c", probe)
    assert done.returncode == 0, done.stderr
    for words in ("image options", "network options", "data options", "run options", "--root"):
        assert words in done.stdout
    assert f"(default: {PRESETS['faces'].steps})" in done.stdout


def test_parse_seeds():
    assert parse_seeds("0-3,7, 9") == [0, 1, 2, 3, 7, 9]
    for text in ("", "a", "-3", "3-", "1.5", "0-99999999999", "²"):
        with pytest.raises(UsageError, match="--seeds"):
            parse_seeds(text)


def test_sample_writes_what_was_asked(capsys, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["sample", str(run)]) == 0
    assert capsys.readouterr().out == "samples.png\n"
    with Image.open("samples.png") as grid:
        assert grid.size == (8 * 18 + 2, 8 * 18 + 2)
    with Image.open("samples.png") as drawn, Image.open(run / "samples/step-00000006.png") as seen:
        assert (np.asarray(drawn) == np.asarray(seen)).all(), "the grid of training, by seed"
    assert cli.main(["sample", str(run), "--rows", "2", "--cols", "3", "--out", "g.png"]) == 0
    with Image.open("g.png") as grid:
        assert grid.size == (3 * 18 + 2, 2 * 18 + 2)
    flags = ["--seeds", "5,2", "--each", "each", "--npy", "a.npy"]
    assert cli.main(["sample", str(run), *flags]) == 0
    assert sorted(os.listdir("each")) == ["seed-00000002.png", "seed-00000005.png"]
    with Image.open("each/seed-00000002.png") as image:
        assert (np.asarray(image) == np.load("a.npy")[1]).all()
    assert cli.main(["sample", str(run), "--raw", "--count", "4", "--npy", "raw.npy"]) == 0
    assert np.load("raw.npy").shape == (4, 16, 16, 3)
    assert (np.load("raw.npy")[2] != np.load("a.npy")[1]).any()


def test_sampling_starts_without_what_it_does_not_use(run, tmp_path):
    """Starting is importing torch; torch's compiler alone would take as long again."""
    probe = (
        "import sys; from dcgan import cli\n"
        f"assert cli.main(['sample', {str(run)!r}, '--each', {str(tmp_path)!r}]) == 0\n"
        "heavy = {'torch._dynamo', 'torch._inductor', 'torch.onnx', 'sympy', 'torchvision',\n"
        "         'matplotlib', 'tensorboard', 'torch.utils.tensorboard', 'scipy', 'lmdb',\n"
        "         'dcgan.training.loop'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = script("-c", probe)
    assert done.returncode == 0, done.stderr
    assert len(os.listdir(tmp_path)) == 64


@pytest.mark.skipif(sys.platform != "linux", reason="torch has another OpenMP elsewhere")
@pytest.mark.parametrize(
    ("users", "expected"),
    [({}, "'1000'"), ({"GOMP_SPINCOUNT": "7"}, "'7'"), ({"OMP_WAIT_POLICY": "PASSIVE"}, "'0'")],
)
def test_openmp_waits_briefly_unless_told_otherwise(run, tmp_path, users, expected):
    """OpenMP says itself what it found in the environment when torch loaded it."""
    unset = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    environment = {**unset, **users, "OMP_DISPLAY_ENV": "verbose"}
    done = script("sample.py", run, "--out", tmp_path / "grid.png", env=environment)
    assert f"GOMP_SPINCOUNT = {expected}" in done.stderr


def test_a_file_that_cannot_be_written_ends_sampling_soon(capsys, run, tmp_path):
    (tmp_path / "seed-00000070.png").mkdir()
    code = cli.main(["sample", str(run), "--count", "100000", "--each", str(tmp_path)])
    err = capsys.readouterr().err
    assert (code, err.count("\n")) == (1, 1)
    assert "cannot write" in err and "seed-00000070.png" in err
    names = os.listdir(tmp_path)
    assert 1 < len(names) < 1000
    assert not [name for name in names if not name.startswith("seed-")]


def test_a_grid_or_an_array_too_large_is_refused_before_it_is_drawn(
    capsys, run, tmp_path, monkeypatch
):
    rows_and_columns = ["--rows", "9999999", "--cols", "9999999"]
    code, err = fails(capsys, cli.sample, run, *rows_and_columns, "--out", tmp_path / "a.png")
    assert (code, "--each or --npy" in err) == (2, True), err
    code, err = fails(capsys, cli.sample, run, *rows_and_columns, "--npy", tmp_path / "a.npy")
    assert (code, "GB free" in err) == (1, True), err
    assert not any(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_named(capsys, run, tmp_path):
    (tmp_path / "file").write_text("")
    assert cli.main(["sample", str(run), "--each", str(tmp_path / "file" / "each")]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert str(tmp_path / "file" / "each") in err


@pytest.mark.slow
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_sampling_stops_when_told_and_leaves_whole_files(run, tmp_path, signum, code):
    command = [sys.executable, "sample.py", run, "--count", "1000000", "--each", tmp_path]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        while not any(tmp_path.glob("seed-*.png")):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signum)
        _, err = process.communicate(timeout=10)
    assert process.returncode == code
    assert err.startswith("sample.py: ") and err.count("\n") == 1, err
    paths = list(tmp_path.iterdir())
    assert paths
    for path in paths:
        assert re.fullmatch(r"seed-\d{8}\.png", path.name)
        with Image.open(path) as image:
            image.load()


def test_long_jobs_show_how_far_they_are(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    times = iter(range(0, 1000, 3))
    monkeypatch.setattr("tqdm.std.time", lambda: next(times))
    chunks = [np.zeros((n, 1, 1, 3), np.uint8) for n in (64, 36)]
    assert [len(chunk) for chunk in commands.progress(iter(chunks), 100)] == [64, 36]
    err = capsys.readouterr().err
    assert "64/100" in err and "100/100" in err


def test_walk_passes_through_its_seeds(run, tmp_path):
    out = tmp_path / "walk.webp"
    args = ["walk", str(run), "--seeds", "3,14", "--frames", "6", "--out", str(out)]
    assert cli.main(args) == 0
    cli.main(["sample", str(run), "--seeds", "3,14", "--npy", str(tmp_path / "a.npy")])
    stops = np.load(tmp_path / "a.npy").astype(int)
    with Image.open(out) as walk:
        assert walk.n_frames == 6
        for frame, stop in ((0, 0), (3, 1)):
            walk.seek(frame)
            assert np.abs(np.asarray(walk.convert("RGB")) - stops[stop]).max() <= 1


@pytest.mark.slow
def test_scripts_train_sample_and_go_on(tmp_path):
    """The whole way on the built-in faces, in a folder with a space, by the scripts."""
    flags = ["--size", "32", "--width", "4", "--batch-size", "8", "--count", "80"]
    flags += ["--data-cache", tmp_path / "cache", "--out", tmp_path / "my run"]
    first = script("train.py", "faces", *flags, "--steps", "3")
    assert first.returncode == 0, first.stderr
    for words in ("samples/step-00000003.png", "step-00000003.safetensors", "tensorboard --logdir"):
        assert words in first.stdout
    again = script("train.py", "faces", *flags, "--steps", "5")
    assert again.returncode == 0, again.stderr
    assert "step-00000005.safetensors" in again.stdout
    done = script("train.py", "faces", *flags, "--steps", "5")
    assert done.returncode == 0, done.stderr
    sampled = script("sample.py", tmp_path / "my run", "--out", tmp_path / "grid.png")
    assert sampled.returncode == 0, sampled.stderr
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.size == (8 * 34 + 2, 8 * 34 + 2)
