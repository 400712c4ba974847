"""Files and folders that are no checkpoint: what they are is said, and what to name instead."""

import pickle
import shutil
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from dcgan.errors import UserError
from dcgan.reports.compare import open_runs
from dcgan.reports.timelapse import load_frames
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.runs.layout import checkpoint_path


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_pickle_of_torch_is_named_and_not_read(tmp_path, zipped):
    path = tmp_path / "netG_epoch_24.pth"
    weights = {"main.0.weight": torch.zeros(3)}
    torch.save(weights, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match=r"pickle of torch\.save.*docs/moving\.md"):
        find_checkpoint(path)


def test_the_list_of_files_in_a_pickle_of_torch_is_not_read(tmp_path):
    """It may be as long as the file, and each of its entries takes ten times the memory."""
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("bomb/data.pkl", b"")
        for i in range(20_000):
            archive.writestr(f"bomb/data/{i}", b"")
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=r"pickle of torch\.save"):
            find_checkpoint(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"\n <!DOCTYPE html><html>Quota exceeded</html>", "web page"),
        ("<html>log in</html>".encode("utf-16"), "web page"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "picture"),
        (b"GIF89a" + bytes(20), "picture"),
        (pickle.dumps({"G_ema": 1}), r"it is a pickle, which can run code"),
        (b"a text of some length\n", "it is no safetensors file"),
        (b'{"a": 1}', "it is no safetensors file"),
        (b"\x08\x07\x12\x07pytorch" * 9, "it is no safetensors file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
    ],
)
def test_what_a_file_is_instead_is_said(tmp_path, content, words):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=words):
        find_checkpoint(tmp_path / "model.safetensors")


def test_safetensors_of_other_programs_are_named(tmp_path):
    save_file({"w": np.zeros(2, np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="safetensors file of another program"):
        find_checkpoint(tmp_path / "model.safetensors")


def test_the_folder_checkpoints_stands_for_its_run(run, monkeypatch):
    assert find_checkpoint(run / "checkpoints") == find_checkpoint(run)
    monkeypatch.chdir(run / "checkpoints")
    assert find_checkpoint(".").step == 6


def test_a_folder_of_runs_or_of_copied_checkpoints_names_them(run, tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "one").symlink_to(run)
    with pytest.raises(UserError, match=r"name one run of those in it: one$"):
        find_checkpoint(tmp_path / "runs")
    shutil.copy(checkpoint_path(run, 6), tmp_path / "copy.safetensors")
    (tmp_path / "other.safetensors").mkdir()
    with pytest.raises(UserError, match=r"name one checkpoint of those in it: copy\.safetensors$"):
        find_checkpoint(tmp_path)
    assert find_checkpoint(tmp_path / "copy.safetensors").step == 6


def test_parts_of_a_run_stand_for_it_in_other_commands_too(run, tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "one").symlink_to(run)
    assert find_checkpoint(run / "samples").step == 6
    for part in ("samples", "checkpoints"):
        assert len(load_frames(run / part, 8)) == len(load_frames(run, 8))
        assert open_runs([run / part])[0].step == 6
    with pytest.raises(UserError, match=r"name one run of those in it: one$"):
        load_frames(tmp_path / "runs", 8)
    with pytest.raises(UserError, match=r"runs is no run folder: name one run"):
        open_runs([tmp_path / "runs"])
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file is a file: name the run folder"):
        load_frames(tmp_path / "file", 8)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty is no run folder: it has no samples"):
        load_frames(tmp_path / "empty", 8)
