import errno
import os

import pytest

from dcgan.runs import layout

pytestmark = pytest.mark.usefixtures("windows_files")


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_files_are_listed_by_their_step_and_other_names_are_left_out(tmp_path):
    steps = (7, 99_999_999, 100_000_000)  # the last has one digit more than the names are padded to
    for list_paths, path_of in (
        (layout.list_checkpoints, layout.checkpoint_path),
        (layout.list_sample_grids, layout.sample_grid_path),
    ):
        expected = [touch(path_of(tmp_path, step)) for step in reversed(steps)][::-1]
        touch(expected[0].with_stem("step-best"))
        touch(expected[0].with_stem("step-00000007-copy"))
        expected[0].with_stem("step-00000008").mkdir()
        assert list_paths(tmp_path) == expected
    assert layout.latest_sample_grid(tmp_path) == layout.sample_grid_path(tmp_path, steps[-1])


def test_a_run_without_files_has_empty_lists(tmp_path):
    assert layout.list_checkpoints(tmp_path) == layout.list_sample_grids(tmp_path) == []
    assert layout.latest_sample_grid(tmp_path) is None


def test_folders_that_may_not_be_read_do_not_count_as_empty(tmp_path, monkeypatch):
    touch(layout.checkpoint_path(tmp_path, 5))
    touch(layout.sample_grid_path(tmp_path, 5))

    def refuse(path=".", *_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(os, "listdir", refuse)  # root may read everything
    monkeypatch.setattr(os, "scandir", refuse)
    for list_paths in (layout.list_checkpoints, layout.list_sample_grids):
        with pytest.raises(PermissionError):
            list_paths(tmp_path)


def test_the_temporaries_of_a_killed_run_are_deleted_and_nothing_else(tmp_path):
    finished = [
        touch(tmp_path / layout.CONFIG_FILE),
        touch(tmp_path / layout.METRICS_FILE),
        touch(layout.sample_grid_path(tmp_path, 5)),
        touch(layout.checkpoint_path(tmp_path, 5)),
        touch(layout.best_checkpoint_path(tmp_path)),
        touch(layout.diverged_path(tmp_path, 5)),
    ]
    for path in finished:
        touch(path.with_name(f".{path.name}.0123abcd.partial"))
    for path in finished[-3:]:
        touch(path.with_name(".tmpA1b2C3"))  # of safetensors
    users = [
        touch(tmp_path / name) for name in (".notes.0123abcd.partial", ".tmpA1b2C3", "a.partial")
    ]
    layout.remove_temporaries(tmp_path)
    left = {os.path.join(folder, name) for folder, _, names in os.walk(tmp_path) for name in names}
    assert left == {str(path) for path in finished + users}
