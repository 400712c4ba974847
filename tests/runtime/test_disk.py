import os
import shutil

import pytest

from dcgan.errors import UserError
from dcgan.runtime.disk import check_free_space, disk_errors, format_size, make_folder

pytestmark = pytest.mark.usefixtures("windows_files")


def test_an_os_error_becomes_one_line_that_names_the_target(tmp_path):
    message = f"^cannot write {tmp_path / 'a'}: No such file"
    with pytest.raises(UserError, match=message), disk_errors(tmp_path / "a"):
        (tmp_path / "missing").read_bytes()
    with pytest.raises(ValueError, match="other"), disk_errors(tmp_path / "a"):
        raise ValueError("other")


def test_a_folder_is_made_with_its_parents_and_never_over_a_file(tmp_path):
    for _ in range(2):
        make_folder(tmp_path / "deep" / "folder")
    assert (tmp_path / "deep" / "folder").is_dir()
    (tmp_path / "file").write_text("kept")
    with pytest.raises(NotADirectoryError, match="file is not a folder"):
        make_folder(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "kept"


def test_free_space_is_that_of_the_disk_that_the_target_will_be_on(tmp_path):
    target = tmp_path / "not" / "there" / "yet"
    free = shutil.disk_usage(tmp_path).free
    check_free_space(target, free // 2)
    with pytest.raises(UserError, match=r"write .*yet: it takes .*, and only .* are free"):
        check_free_space(target, 2 * free)
    assert not (tmp_path / "not").exists()


def test_a_target_that_is_not_writable_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file is not a folder"):
        check_free_space(tmp_path / "file" / "a", 1)
    monkeypatch.setattr(os, "access", lambda *_: False)  # as for root on a read-only disk
    with pytest.raises(UserError, match=r"cannot write .*yet: .* is not writable"):
        check_free_space(tmp_path / "yet", 1)


def test_a_file_system_that_reports_no_size_is_not_called_full(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: (0, 0, 0))  # as /proc
    check_free_space(tmp_path / "a", 10**15)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 kB"), (999_400, "999 kB"), (999_600, "1 MB"), (2.46e9, "2.46 GB"), (1e12, "1 TB")],
)
def test_sizes_have_three_digits_and_a_unit(size, text):
    assert format_size(size) == text
