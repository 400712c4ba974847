"""Commands refuse to replace what they read, and files of other kinds."""

import shutil

import pytest

from dcgan import cli
from dcgan.explore.directions_file import load_directions
from dcgan.runs.checkpoint_folder import find_checkpoint
from tests.cli.running import fail


@pytest.fixture
def photo(run, tmp_path):
    """A picture that a camera could have taken."""
    path = tmp_path / "me.png"
    shutil.copy(next((run / "samples").glob("*.png")), path)
    return path


@pytest.mark.parametrize(
    "args",
    [["walk", "--seeds", "3,{}"], ["arithmetic", "--plus", "3", "--minus", "{}"], ["invert", "{}"]],
)
def test_a_photo_is_not_replaced(run, photo, capsys, args):
    before = photo.read_bytes()
    command, *flags = (word.format(photo) for word in args)
    code, err = fail(capsys, getattr(cli, command), run, *flags, "--out", photo)
    assert code == 1
    assert f"{photo} would be replaced, and is read: name another --out" in err
    assert photo.read_bytes() == before


@pytest.mark.parametrize("name", ["model", "other"])
def test_a_checkpoint_is_not_replaced_by_directions(run, tmp_path, capsys, name):
    model = tmp_path / "model.safetensors"
    for path in (model, tmp_path / "other.safetensors"):
        shutil.copy(find_checkpoint(run).path, path)
    before = model.read_bytes()
    code, err = fail(capsys, cli.direction, model, "--out", tmp_path / f"{name}.png")
    assert code == 1
    assert f"{tmp_path / name}.safetensors would be replaced, and" in err
    assert model.read_bytes() == before == (tmp_path / "other.safetensors").read_bytes()
    assert not (tmp_path / f"{name}.png").exists()


def test_a_folder_in_the_place_of_the_directions_is_named_before_the_work(run, tmp_path, capsys):
    (tmp_path / "d.safetensors").mkdir()
    code, err = fail(capsys, cli.direction, run, "--out", tmp_path / "d.png")
    assert code == 1
    assert f"cannot write {tmp_path / 'd.safetensors'}: it is not a file" in err
    assert not (tmp_path / "d.png").exists()


def test_directions_may_be_written_again(run, tmp_path):
    flags = ["--seeds", "0", "--steps", "1", "--components", "1", "--out", tmp_path / "d.png"]
    again = ["--load", tmp_path / "d.safetensors"]
    found = []
    for more in ([], [], again):
        assert cli.main(["direction", run, *flags, *more]) == 0
        saved = load_directions(tmp_path / "d.safetensors")
        found.append((saved.names, saved.steps, saved.vectors.tolist()))
    assert found[0] == found[1] == found[2]
