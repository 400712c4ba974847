"""Commands, flags, paths, links, names and Python in README and docs are those of the code."""

import dataclasses
import itertools
import os
import re
import runpy
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
import tyro

import benchmarks.__main__ as speed
from benchmarks import arithmetic, labels, latent, quality
from dcgan import cli, config, images, pretrained
from dcgan.data import open_packed
from dcgan.deconv import fcn
from dcgan.errors import UserError
from tests.conftest import TINY, fit, write_packed
from tests.markdown import PAGES, ROOT, anchors, blocks, commands, quoted, rows, section
from tests.test_structure import MAY_IMPORT

ARCHITECTURE = PAGES["docs/architecture.md"]
COMMANDS = commands(*PAGES.values())
# Words that start a line of a code block, and what checks it; the others are of other programs.
TRAIN = [c for c in COMMANDS if re.search(r"(^dcgan train|\btrain\.py) ", c)]
DCGAN = [
    c
    for c in COMMANDS
    if re.match(r"(dcgan|python sample\.py)( (?!train|sizes|segment train|prepare face)|$)", c)
]
SEGMENT = [c for c in COMMANDS if c.startswith("dcgan segment train")]
SIZES = [c for c in COMMANDS if c.startswith("dcgan sizes")]
BENCHMARKS = [c for c in COMMANDS if c.startswith("python -m benchmarks")]
INLINE = {code for page in PAGES.values() for code in quoted(page)}
PYTEST = sorted(c for c in INLINE | set(COMMANDS) if re.match(r"(DCGAN_\w+=\d+ )?pytest ", c))
OTHER_FLAGS = {"help", "logdir", "nproc-per-node", "nnodes", "max-restarts"}

every_page = pytest.mark.parametrize("name", PAGES)


@pytest.fixture
def no_files(tmp_path, monkeypatch) -> None:
    """An empty current folder and home, so that no file of a command exists."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)


def test_the_commands_are_found():
    assert min(len(TRAIN), len(DCGAN), len(BENCHMARKS), len(PYTEST)) >= 5


@pytest.mark.parametrize("command", TRAIN)
def test_training_commands_are_understood(command, capsys, no_files):
    words = shlex.split(re.split(r"^dcgan train|\btrain\.py", command)[-1])
    if "--data" in words:
        assert cli.main(["train", *words]) == 1
        assert "does not exist" in capsys.readouterr().err
    else:
        assert cli.main(["train", *words, "--dry-run"]) == 0


@pytest.mark.parametrize("command", SEGMENT)
def test_segmentation_commands_are_understood(command, capsys, monkeypatch, no_files):
    """Without the training, which would draw the built-in faces first."""

    def stop(config):
        raise UserError(f"would train on {config.data}")

    monkeypatch.setattr(fcn, "train", stop)
    assert cli.main(shlex.split(command)[1:]) == 1
    assert "would train on" in capsys.readouterr().err


@pytest.mark.parametrize("command", DCGAN)
def test_other_commands_fail_only_because_files_are_missing(command, capsys, no_files):
    words = shlex.split(command.replace("python sample.py", "dcgan sample"))
    assert cli.main(words[1:]) == 1
    assert re.search(r"no such|does not exist|there is no photo", capsys.readouterr().err)


@pytest.mark.parametrize("command", SIZES)
def test_commands_that_need_no_files_run(command, capsys, no_files):
    assert cli.main(shlex.split(command)[1:]) == 0
    table = capsys.readouterr().out.splitlines()
    assert len(table) > 2


@pytest.mark.parametrize("command", BENCHMARKS)
def test_benchmark_commands_are_understood(command):
    module, *words = shlex.split(command.replace("PART", "step"))[2:]
    options = {
        "benchmarks": speed.Options,
        "benchmarks.arithmetic": arithmetic.Options,
        "benchmarks.labels": labels.Options,
        "benchmarks.latent": latent.Options,
        "benchmarks.quality": quality.Options,
    }
    if module in options:
        tyro.cli(options[module], args=words)
    else:
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file()
        assert not words


@pytest.mark.parametrize("command", PYTEST)
def test_pytest_commands_select_tests(command):
    words = [word for word in shlex.split(command) if not word.startswith("DCGAN_")]
    paths = [ROOT / word for word in words if word.startswith("tests")]
    assert all(path.exists() for path in paths)
    files = [path for path in paths if path.is_file()] or list(ROOT.glob("tests/**/test_*.py"))
    names = "".join(re.findall(r"def test_\w+", "".join(file.read_text() for file in files)))
    for flag, value in itertools.pairwise(words):
        if flag == "-k":
            assert all(word.lower() in names.lower() for word in value.split(" or "))
        if flag == "-m":
            assert f"    {value.removeprefix('not ')}: " in (ROOT / "setup.cfg").read_text()


@every_page
def test_links_lead_somewhere(name):
    for target in re.findall(r"\]\(([^)\s]+)\)", PAGES[name]):
        path, _, anchor = target.partition("#")
        if not path.startswith("https://"):
            file = (ROOT / name).parent / path if path else ROOT / name
            assert file.exists(), target
            assert not anchor or anchor in anchors(file.read_text(encoding="utf-8")), target


@every_page
def test_paths_exist(name):
    for code in quoted(PAGES[name]):
        if re.match(r"(dcgan|tests|benchmarks|docs|notebooks)/[\w/.-]*$", code):
            assert (ROOT / code).exists(), code


@every_page
def test_flags_exist(name):
    exported = [getattr(config, name) for name in config.__all__]
    options = [kind for kind in exported if dataclasses.is_dataclass(kind)]
    options += [kind.Options for kind in (speed, arithmetic, labels, latent, quality)]
    fields = {field.name for kind in options for field in dataclasses.fields(kind)}
    known = {config.format_flag(field)[2:] for field in fields}
    known |= {f"no-{field}" for field in known} | OTHER_FLAGS
    for code in quoted(PAGES[name]):
        flags = set(re.findall(r"(?:^| )--([a-zA-Z][\w-]*)", code))
        assert flags <= known, flags - known


def test_the_table_of_folders_is_that_of_the_layers():
    """As `MAY_IMPORT` in test_structure.py has them."""
    table = {
        row[0].strip("`").removesuffix("/").removesuffix(".py"): set(re.findall(r"\w+", row[2]))
        for row in rows(section(ARCHITECTURE, "Folders"), 3)[2:]
    }
    layers = {folder: set(others.split()) for folder, others in MAY_IMPORT.items()}
    assert table == {folder: others for folder, others in layers.items() if folder != "__main__"}


def test_names_are_in_the_files_that_the_table_of_changes_gives():
    checked = []
    for _, where in rows(section(ARCHITECTURE, "Where to change what"), 2)[2:]:
        paths = [ROOT / code for code in quoted(where) if code.startswith("dcgan/")]
        assert paths, where
        files = [f for path in paths for f in ([path] if path.is_file() else path.rglob("*.py"))]
        text = "".join(file.read_text() for file in files)
        names = re.findall(r"`(\w+)`", where)
        assert all(re.search(rf"\b{name}\b", text) for name in names), names
        checked += names
    assert checked


@pytest.fixture(scope="module")
def named_runs(tmp_path_factory, run) -> Path:
    """A folder with pictures and small runs under the names that the pages use."""
    folder = tmp_path_factory.mktemp("pages")
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 16, 3), dtype=np.uint8)
    labels = np.arange(16, dtype=np.int64) % 2
    data = write_packed(folder / "animals", pixels, labels, ("cat", "dog"), "class")
    options = dataclasses.replace(TINY, steps=1, conditional=True)
    fit(options, open_packed(data), folder / "runs" / "animals", torch.device("cpu"))
    os.symlink(run, folder / "runs" / "celeba")
    (folder / "pictures").mkdir()
    for i, picture in enumerate(pixels):
        images.save_png(folder / "pictures" / f"{i}.png", picture)
    return folder


WITH_PYTHON = [name for name, page in PAGES.items() if blocks(page, "python")]


@pytest.mark.parametrize("name", WITH_PYTHON)
def test_python_runs(name, named_runs, monkeypatch, tmp_path):
    monkeypatch.chdir(named_runs)
    monkeypatch.setenv("HOME", str(named_runs))
    small = "steps=1, size=16, width=4, batch_size=8"
    for example in blocks(PAGES[name], "python"):
        example = example.replace("steps=10_000", small)
        (tmp_path / "example.py").write_text(example, encoding="utf-8")
        pixels = runpy.run_path(str(tmp_path / "example.py"))["pixels"]
        assert pixels.dtype == np.uint8
        assert pixels.shape[1:] == (16, 16, 3)
