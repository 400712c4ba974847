import json
import os
import shutil

import pytest
import torch

from dcgan import cli
from dcgan.data import open_packed
from dcgan.errors import UserError
from dcgan.runs.checkpoint import Checkpoint
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.runs.layout import checkpoint_path, list_checkpoints
from dcgan.runtime.threads import available_cpus
from dcgan.training.preparation import choose_threads
from dcgan.training.resume import (
    announce_resume,
    checkpoint_to_resume,
    config_of_run,
    new_run_folder,
)
from tests.conftest import fit

pytestmark = pytest.mark.usefixtures("windows_files")

CPU = torch.device("cpu")


def content(folder) -> dict:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_fresh_starts_in_a_new_folder_and_deletes_nothing(packed, run, tmp_path, capsys):
    out = tmp_path / "run"
    shutil.copytree(run, out)
    before = content(out)
    flags = ["--data", str(packed.folder), "--out", str(out), "--width", "8", "--batch-size", "8"]
    for number in (2, 3):
        assert cli.main(["train", *flags, "--steps", "3", "--device", "cpu", "--fresh"]) == 0
        new = tmp_path / f"run-{number}"
        assert f"checkpoint   {checkpoint_path(new, 3)}" in capsys.readouterr().out
        assert find_checkpoint(new).config["out"] == str(new)
        assert json.loads((new / "config.json").read_text())["width"] == 8
    assert content(out) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "run-2", "run-3"]
    # Without it the first of them is gone on with, and refuses another width.
    assert cli.main(["train", *flags, "--steps", "9", "--device", "cpu"]) == 1
    assert "--width" in capsys.readouterr().err


def test_fresh_takes_the_folder_itself_where_it_is_free(tmp_path):
    assert new_run_folder(tmp_path / "a" / "run", CPU) == tmp_path / "a" / "run"
    assert new_run_folder(tmp_path / "a" / "run", CPU) == tmp_path / "a" / "run-2"
    (tmp_path / "a" / "run-3").write_text("a file")
    (tmp_path / "a" / "run-4").symlink_to("nowhere")
    assert new_run_folder(tmp_path / "a" / "run", CPU) == tmp_path / "a" / "run-5"


def test_processes_restarted_by_torchrun_keep_their_new_folder(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    (tmp_path / "run-other").mkdir()
    begun = new_run_folder(tmp_path / "run", CPU)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "2")
    assert new_run_folder(tmp_path / "run", CPU) == begun == tmp_path / "run-2"


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: b"", lambda data: data[7:]]
)
def test_training_resumes_from_the_newest_undamaged_checkpoint(run, tiny, tmp_path, capsys, damage):
    shutil.copytree(run, tmp_path / "run")
    newest = checkpoint_path(tmp_path / "run", 6)
    newest.write_bytes(damage(newest.read_bytes()))
    assert checkpoint_to_resume(tiny(), tmp_path / "run").step == 4
    assert f"skipped: {newest}" in capsys.readouterr().err
    assert newest.exists()


def test_a_flipped_bit_in_a_tensor_is_detected(run, tiny, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "run")
    newest = checkpoint_path(tmp_path / "run", 6)
    data = bytearray(newest.read_bytes())
    data[-1000] ^= 1
    newest.write_bytes(data)
    assert checkpoint_to_resume(tiny(), tmp_path / "run").step == 4
    assert "its checksum does not match" in capsys.readouterr().err
    assert cli.main(["sample", str(newest), "--out", str(tmp_path / "a.png")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert newest.name in line
    assert not (tmp_path / "a.png").exists()


def test_a_checkpoint_under_the_name_of_another_step_is_skipped(run, tiny, tmp_path, capsys):
    """A run would go on from it for ever, and lose what it learns after it each time."""
    shutil.copytree(run, tmp_path / "run")
    early, late = (checkpoint_path(tmp_path / "run", step) for step in (2, 99))
    early.rename(late)
    assert checkpoint_to_resume(tiny(), tmp_path / "run").step == 6
    assert f"skipped: {late}" in (err := capsys.readouterr().err)
    assert "it is of step 2" in err


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (dict(augment_p=0.5), dict(augment_p="auto"), "--augment-p auto (0.5 before)"),
        (dict(augment_p="auto"), dict(augment_p="auto"), None),  # it stood for adaptive
        (dict(augment_p="auto"), dict(augment_p=0.0), "--augment-p 0.0 (adaptive before)"),
        (dict(precision="bf16"), dict(precision="auto"), "--precision auto (bf16 before)"),
        (dict(lr_G=0.02), dict(lr_G=0.01), "--lr-G 0.01 (0.02 before)"),
    ],
)
def test_changed_options_are_reported(packed, tiny, tmp_path, capsys, before, now, said):
    fit(tiny(steps=2, **before), packed, tmp_path / "run", CPU)
    capsys.readouterr()
    config = tiny(steps=2, **now)
    found = checkpoint_to_resume(config, tmp_path / "run")
    assert capsys.readouterr().err == ""
    announce_resume(config, tmp_path / "run", found)
    changes = f" with {said}" if said else ""
    expected = f"{tmp_path / 'run'} resumes from step 2{changes}\n"
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (dict(bias_D=False), dict(bias_D=True), "with --no-bias-D, not --bias-D: use that"),
        (dict(seed=1), dict(seed=2), "with --seed 1, not 2: use that"),
    ],
)
def test_an_option_that_must_not_change_is_named_with_its_old_value(
    packed, tiny, tmp_path, before, now, said
):
    fit(tiny(steps=2, **before), packed, tmp_path / "run", CPU)
    with pytest.raises(UserError, match=said):
        checkpoint_to_resume(tiny(steps=2, **now), tmp_path / "run")


def test_fresh_takes_the_number_after_the_last(tmp_path):
    """A restart takes the last folder, so that must be the one that was begun."""
    (tmp_path / "run-7").mkdir()
    assert new_run_folder(tmp_path / "run", CPU) == tmp_path / "run-8"


def test_changed_images_are_refused(tiny, packed, tmp_path):
    """By one byte, under a meta.json that knows nothing of it."""
    folder = shutil.copytree(packed.folder, tmp_path / "packed")
    fit(tiny(steps=2), open_packed(folder), tmp_path / "run", CPU)
    fit(tiny(steps=3), open_packed(folder), tmp_path / "run", CPU)
    with open(folder / "images.npy", "r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read()[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))
    with pytest.raises(UserError, match="packed have changed: pack them again"):
        fit(tiny(steps=4), open_packed(folder), tmp_path / "run", CPU)


def test_a_finished_run_says_so(tiny, packed, run, capsys):
    before = content(run)
    for steps in (6, 4):
        fit(tiny(steps=steps), packed, run, CPU)
        assert "has done its 6 steps: raise --steps to train longer" in capsys.readouterr().err
    assert content(run) == before


def test_a_resumed_run_deletes_the_checkpoint_that_it_was_loaded_from(packed, tiny, tmp_path):
    """Windows refuses that while Adam's moments are still mapped from its file."""
    run = tmp_path / "run"
    for steps in (2, 6):
        fit(tiny(steps=steps, keep=1), packed, run, torch.device("cpu"))
    assert list_checkpoints(run) == [checkpoint_path(run, 6)]


def test_a_resumed_run_takes_its_number_of_threads_again(packed, tiny, tmp_path, capsys):
    """Sums over several threads differ in their last bits from those of one."""
    out, count = tmp_path / "run", available_cpus()
    torch.set_num_threads(count)
    try:
        cli.main(["train", *as_flags(packed, out), "--steps", "2"])
        assert find_checkpoint(out).config["threads"] == count
        torch.set_num_threads(1)
        cli.main(["train", *as_flags(packed, out), "--steps", "3"])
        assert find_checkpoint(out).config["threads"] == count
        assert "--threads" not in capsys.readouterr().err
        assert config_of_run(out).threads is None, "or it would seem to be the user's choice"
        cli.main(["train", *as_flags(packed, out), "--steps", "4", "--threads", str(count + 1)])
        assert f"--threads {count + 1} ({count} before)" in capsys.readouterr().err
        found = find_checkpoint(out)
        assert found.config["threads"] == count + 1
        assert choose_threads(tiny(), found) == 1, "this machine has too few CPUs for more"
    finally:
        torch.set_num_threads(1)


def test_a_resumed_run_says_that_more_threads_could_be_had(tiny, tmp_path, capsys):
    """One that was begun on a smaller machine, or by torchrun, which sets OMP_NUM_THREADS=1."""
    path = tmp_path / "step.safetensors"
    torch.set_num_threads(3)
    try:
        assert choose_threads(tiny(), Checkpoint(path, {"config": {"threads": 1}})) == 1
        assert "--threads 3" in capsys.readouterr().err
        assert choose_threads(tiny(threads=1), Checkpoint(path, {"config": {"threads": 1}})) == 1
        assert choose_threads(tiny(), Checkpoint(path, {"config": {"threads": 3}})) == 3
        assert not capsys.readouterr().err
    finally:
        torch.set_num_threads(1)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="of Linux alone")
def test_the_number_of_threads_does_not_depend_on_the_cpus_of_one_thread(tiny, tmp_path):
    """OpenMP binds it to one of them (OMP_PROC_BIND), another training moves it to free ones."""
    found = Checkpoint(tmp_path / "step.safetensors", {"config": {"threads": 2}})
    all_cpus = os.sched_getaffinity(0)
    torch.set_num_threads(2)
    os.sched_setaffinity(0, {min(all_cpus)})
    try:
        assert choose_threads(tiny(), None) == choose_threads(tiny(), found) == 2
    finally:
        os.sched_setaffinity(0, all_cpus)
        torch.set_num_threads(1)


def as_flags(packed, out) -> list[str]:
    shape = [
        "--size",
        "16",
        "--width",
        "4",
        "--batch-size",
        "8",
        "--save-every",
        "10",
        "--sample-every",
        "10",
    ]
    return ["--data", str(packed.folder), "--out", str(out), "--device", "cpu", *shape]
