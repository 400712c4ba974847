"""Texts of files cannot command the terminal that they are shown on."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dcgan import cli
from dcgan.data import open_packed
from dcgan.errors import UserError, printable
from dcgan.runs import checkpoint
from dcgan.runs.checkpoint_folder import find_checkpoint
from tests.conftest import TINY, fit, write_packed

# The title of the window, the C1 form of that, another colour, the cursor, another direction.
HOSTILE = "\x1b]0;owned\x07\x9d0;owned\x9c\x1b[31m\x9b2J\r\b\u202ecba\u2066\u2028\x00\x7f\nforged"
SHOWN = ascii(HOSTILE)[1:-1]


def assert_harmless(shown: str) -> None:
    assert "Traceback" not in shown
    for line in shown.replace("\r", "\n").split("\n"):  # progress bars return the carriage
        assert line.isprintable(), ascii(line)
        assert not line.startswith("forged")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Path:
    """packed/, of two classes with hostile names, and run/, a conditional run on it."""
    folder = tmp_path_factory.mktemp("hostile")
    images = np.random.default_rng(0).integers(0, 256, (50, 16, 16, 3), dtype=np.uint8)
    names = (HOSTILE, "b" + HOSTILE)
    packed = write_packed(folder / "packed", images, np.arange(50) % 2, names, "class")
    meta = json.loads((packed / "meta.json").read_text())
    meta |= {"notes": [HOSTILE], "skipped": [{"name": HOSTILE, "reason": HOSTILE}]}
    (packed / "meta.json").write_text(json.dumps(meta))
    config = dataclasses.replace(TINY, conditional=True)
    opened = open_packed(packed)
    fit(config, opened, folder / "run", torch.device("cpu"))
    found = find_checkpoint(folder / "run")
    header = found.header | {"labels": {"kind": "class", "names": names}}
    header["config"] = header["config"] | {"source": HOSTILE, "root": HOSTILE, "loss": HOSTILE}
    checkpoint.save(found.path, header, found.tensors(""))
    return folder


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["sample", "run", "--label", "x"], 2),
        (["sample", "run", "--label", SHOWN, "--count", "2"], 0),
        (["sample", HOSTILE.replace("\x00", "")], 1),
        (["train", "--sise", HOSTILE.replace("\x00", "")], 2),
        (["compare", "run", "other"], 0),
        (["doctor", "packed", "--width", "4", "--conditional", "--batch-size", "8"], 0),
        (["evaluate", "run", "--data", "packed", "--label", SHOWN, "--count", "10"], 0),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
@pytest.mark.slow
def test_hostile_names_of_others_are_shown_escaped(hostile, run, args, code, capsys, monkeypatch):
    monkeypatch.chdir(hostile)
    shutil.copytree(run, "other", dirs_exist_ok=True)
    assert cli.main(args) == code
    shown = "".join(capsys.readouterr())
    assert_harmless(shown)
    if args[0] in ("compare", "doctor") or code:
        assert "\\x1b" in shown


def test_hostile_names_of_raw_images_are_shown_escaped(tmp_path):
    """Here the bytes of a process."""
    name = HOSTILE.replace("\x00", "").replace("/", "")
    raw = tmp_path / "raw"
    for kind in (name, "b" + name):
        (raw / kind).mkdir(parents=True)
        Image.new("RGB", (20, 20)).save(raw / kind / f"{name}.png")
        (raw / kind / f"c{name}.png").write_bytes(b"no image")
    command = [sys.executable, "-m", "dcgan", "prepare", "folder", "--root", raw, "--size", "16"]
    command += ["--class-folders", "--out", tmp_path / "packed"]
    for flags, code in (([], 1), (["--max-bad", "1"], 0)):
        done = subprocess.run([*command, *flags], capture_output=True)
        shown = (done.stdout + done.stderr).decode()
        assert_harmless(shown)
        assert done.returncode == code, shown
        assert "\\x1b]0;owned\\x07" in shown


def test_errors_are_one_printable_line_for_python_callers_too():
    error = UserError(f"{HOSTILE} is\n  wrong")
    assert str(error).isprintable()
    assert "\\x1b]0;owned\\x07" in str(error)
    assert str(UserError("two  words\n and more")) == "two words and more"


@given(st.text(st.characters(exclude_categories=())))
def test_printable_text_is_kept_and_all_text_becomes_printable(text):
    shown = printable(text)
    assert shown.isprintable()
    assert shown.encode().decode() == shown
    assert (shown == text) == text.isprintable()
    assert printable(shown) == shown
