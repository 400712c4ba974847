"""Mistakes of a user, the disk or the terminal end in one line and an exit code."""

import io
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from dcgan import cli
from tests.cli.running import ROOT, fail, run_python


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--sise", "64"], "--sise, 64. Did you mean --size?"),
        (["--lr-g", "1e-3"], "Did you mean --lr-G?"),
        (["--source", "folder", "--stpes", "3"], "3. Did you mean --steps? See"),
        (
            ["--dataset", "folder"],
            "folder. Here --dataset is a preset as the first word, or --source. See",
        ),
        (["--root", "", "--steps", "3"], "an empty value after --root"),
        (["--root="], "an empty value after --root"),
        (["--levels"], "--levels: give it {full,file}|{FLOAT FLOAT}. See"),
        (["--no-flip=False"], "--no-flip takes no value: write --flip or --no-flip."),
        (["--dry-run", "folder"], "Put folder before the flags"),
        ([str(ROOT)], f"Your own images are given as: folder --root {ROOT}"),
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
        (["--label-smoothing", "0.1"], "--label-smoothing needs --loss non-saturating"),
        (["--accumulate", "5"], "--accumulate must be a divisor of --batch-size"),
        (["--max-bad", "2"], "--max-bad"),
        (["celebrities"], "unknown preset 'celebrities': choose one of faces, celeba"),
        (["faces", "extra"], "extra"),
        (["--size"], "--size needs a value. See"),
        (["--steps", "10", "mnist"], "Put mnist before the flags: dcgan mnist ..."),
        (["folder", "pics"], "A folder of images is given as --root pics."),
        (["--epochs", "5"], "Here --epochs is --steps (an epoch of N images has"),
        (["--niter=5"], "Here --niter is --steps"),
        (["folder", "--batchSize", "64"], "Here --batchSize is --batch-size."),
        (["--dataroot", "x", "--lr", "1"], "--dataroot is --root. Here --lr is --lr-G and --lr-D."),
        (["--flip=False"], "--flip takes no value: write --flip or --no-flip."),
        (["--spectral-norm", "true"], "write --spectral-norm or --no-spectral-norm."),
        (["--steps", "1e4"], "'1e4' is no whole number"),
        (["--lr-G", "fast"], "'fast' is no number"),
        (["--levels", "4095"], "--levels: it is {full,file}|{FLOAT FLOAT}, not '4095'. See"),
        (["--augment-p", "x"], "--augment-p: it is FLOAT|{adaptive,auto}, not 'x'. See"),
        (["--device", "cuda:x"], "must be auto, cuda, cuda:N, mps or cpu, not cuda:x"),
    ],
)
def test_wrong_flags_of_train_are_usage_errors_of_one_line(capsys, args, words):
    code, err = fail(capsys, cli.train, *args)
    assert code == 2
    assert words in err


@pytest.mark.parametrize(
    ("command", "args", "code", "words"),
    [
        (cli.train, ["folder", "--root", "/no/such/folder"], 1, "/no/such/folder"),
        (cli.train, ["--data", "/no/such/packed"], 1, "/no/such/packed"),
        (cli.sample, ["/no/such/run"], 1, "/no/such/run"),
        (cli.invert, [], 2, "PATH"),
        (cli.sample, ["--checkpoint", "x"], 2, "--checkpoint, x. Leave out --checkpoint: dcgan x"),
        (cli.sample, ["-n", "3", "x"], 2, "-n, 3, x. Here -n is --count."),
        (
            cli.invert,
            ["--checkpoint", "x"],
            2,
            "the checkpoint is missing. Leave out --checkpoint: dcgan x",
        ),
        (cli.sample, [ROOT / "setup.cfg"], 1, "setup.cfg is not a usable checkpoint"),
        (cli.sample, ["x", "--seeds", "5-3"], 2, "--seeds 5-3"),
        (cli.sample, ["x", "--seeds", "1", "--count", "2"], 2, "not both"),
        (cli.sample, ["x", "--rows", "2", "--cols", "2", "--count", "9"], 2, "do not fit"),
        (cli.sample, ["x", "--out", "grid.jpg"], 2, "grid.jpg"),
        (cli.sample, ["x", "--npy", "images.png"], 2, "--npy images.png"),
        (cli.sample, ["x", "--rows", "9" * 30, "--cols", "9" * 30], 2, "--rows must be from 1"),
        (
            cli.walk,
            ["x", "--out", "walk.avi"],
            2,
            "walk.avi: an animation ends in .gif, .webp, .png, .mp4",
        ),
        (cli.walk, ["x", "--easing", "bounce"], 2, "--easing"),
        (cli.walk, ["x", "--rows", "0"], 2, "--rows must be from 1 to 1,000, not 0"),
        (cli.walk, ["x", "--frames", "0"], 2, "--frames"),
        (cli.walk, ["x", "--seconds", "inf"], 2, "--seconds"),
        (cli.train, ["--out", "runs/\udcff"], 2, "--out"),
        (cli.walk, ["x", "--seconds", "1e6"], 2, "--seconds"),
        (cli.sample, ["x", "--seeds", "9" * 5000], 2, "--seeds"),
        (cli.sample, ["x" * 5000], 1, "name too long"),
        (cli.prepare, [], 2, "name a source: dcgan faces|face-parts|celeba|"),
        (cli.prepare, ["folder", "--root", "."], 2, "--out"),
    ],
)
def test_missing_files_and_wrong_values_are_named_in_one_line(capsys, command, args, code, words):
    found, err = fail(capsys, command, *args)
    assert (found, words in err) == (code, True), err


@pytest.mark.parametrize("columns", ["20", "40", "200"])
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_error_lines_do_not_depend_on_the_terminal(columns, encoding):
    environment = {**os.environ, "COLUMNS": columns, "PYTHONIOENCODING": encoding, "LC_ALL": "C"}
    done = run_python("train.py", "--sise", "4", env=environment)
    assert done.returncode == 2
    assert (
        done.stderr
        == "train.py: Unrecognized options: --sise, 4. Did you mean --size? See train.py --help\n"
    )


class PlainStream(io.TextIOBase):
    """A stream of a notebook or a web page: it writes text, and has neither a file nor a buffer."""

    def __init__(self):
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)


def test_commands_can_be_called_where_the_streams_are_no_files(run, tmp_path, monkeypatch):
    out, err = PlainStream(), PlainStream()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)

    def failing(args, prog):
        raise BrokenPipeError("the page is closed")

    def called_in_a_thread():
        codes.append(cli.main(["sample", "/no/such/run"]))
        codes.append(cli.main(["sample", str(run), "--out", str(tmp_path / "a.png")]))
        codes.append(cli.run(failing, [], "dcgan"))

    codes: list[int] = []
    thread = threading.Thread(target=called_in_a_thread)
    thread.start()
    thread.join()
    assert codes == [1, 0, 141]
    assert out.text == f"{tmp_path / 'a.png'}\n"
    assert err.text == "dcgan: /no/such/run: no such checkpoint or run folder\n"


@pytest.mark.slow
def test_closed_and_full_outputs_end_without_a_traceback(run, tmp_path):
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
        done = run_python("-c", run_in_shell, command)
        assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
        assert words in done.stderr
    assert (tmp_path / "a.png").exists()


def test_a_run_with_other_networks_is_refused_before_packing(capsys, run, tmp_path):
    """Packing a large data set only to refuse it would cost hours."""
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    flags = ["--root", tmp_path, "--data-cache", tmp_path / "cache", "--out", run]
    code, err = fail(capsys, cli.train, *flags, "--width", "5")
    assert code == 1
    assert "trained with --width 4, not 5" in err
    assert not (tmp_path / "cache").exists()


def test_packing_into_the_current_folder_is_refused(tmp_path, monkeypatch, capsys):
    """The packed folder replaces it by a rename, which would leave the shell in a deleted one."""
    (tmp_path / "raw").mkdir()
    (tmp_path / "out").mkdir()
    Image.new("RGB", (20, 20)).save(tmp_path / "raw" / "a.png")
    monkeypatch.chdir(tmp_path / "out")
    for out in (".", ""):
        code, err = fail(capsys, cli.prepare, "folder", "--root", "../raw", "--out", out)
        assert code == 1
        assert "current folder" in err
    assert not any((tmp_path / "out").iterdir())


def test_a_folder_without_images_is_named(capsys, tmp_path):
    code, err = fail(capsys, cli.train, "folder", "--root", tmp_path, "--data-cache", tmp_path)
    assert code == 1
    assert str(tmp_path) in err


def test_a_grid_or_an_array_too_large_is_refused_before_sampling(
    capsys, run, tmp_path, monkeypatch
):
    rows_and_columns = ["--rows", "9999999", "--cols", "9999999"]
    code, err = fail(capsys, cli.sample, run, *rows_and_columns, "--out", tmp_path / "a.png")
    assert (code, "--each or --npy" in err) == (2, True), err
    code, err = fail(capsys, cli.sample, run, *rows_and_columns, "--npy", tmp_path / "a.npy")
    assert (code, " are free" in err) == (1, True), err
    assert not any(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_named(capsys, run, tmp_path):
    (tmp_path / "file").write_text("")
    assert cli.main(["sample", str(run), "--each", str(tmp_path / "file" / "each")]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert str(tmp_path / "file" / "each") in err


def test_a_file_that_cannot_be_written_ends_sampling_soon(capsys, run, tmp_path):
    (tmp_path / "seed-00000070.png").mkdir()
    code = cli.main(["sample", str(run), "--count", "100000", "--each", str(tmp_path)])
    err = capsys.readouterr().err
    assert (code, err.count("\n")) == (1, 1)
    assert "cannot write" in err and "seed-00000070.png" in err
    names = os.listdir(tmp_path)
    assert 1 < len(names) < 1000
    assert not [name for name in names if not name.startswith("seed-")]


def test_a_file_or_folder_that_may_not_be_read_is_named_without_error_numbers(capsys, tmp_path):
    def refused(args, prog):
        open(tmp_path)  # noqa: SIM115

    code, err = fail(capsys, refused)
    assert (code, err) == (1, f"dcgan: {tmp_path}: Is a directory\n")


def test_threads_that_parse_at_once_report_their_own_errors_on_the_same_stderr(capsys):
    assert cli.main(["walk", "--frames", "x"]) == 2
    line = capsys.readouterr().err.strip()
    assert line.startswith("dcgan: ")
    stderr, columns = sys.stderr, os.environ.get("COLUMNS")
    with ThreadPoolExecutor(4) as pool:
        codes = [*pool.map(lambda _: cli.main(["walk", "--frames", "x"]), range(16))]
    assert codes == [2] * 16
    assert (sys.stderr, os.environ.get("COLUMNS")) == (stderr, columns)
    # The stream of these tests may lose or join lines that threads write at once.
    written = capsys.readouterr().err
    assert line in written and not written.replace(line, "").strip()
