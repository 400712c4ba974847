import os
import stat

import pytest

from dcgan.errors import UserError
from dcgan.runtime.atomic_files import replace_atomically


def test_old_content_stays_until_the_block_ends(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with replace_atomically(target) as partial:
        partial.write_text("new")
        assert target.read_text() == "old"
        assert partial.parent == tmp_path
    assert target.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_the_content_is_flushed_before_the_rename_and_the_rename_after_it(tmp_path, flushes):
    """With another order, a power cut could leave an incomplete file."""
    target = tmp_path / "a"
    target.write_text("old")
    old = target.stat().st_ino
    with replace_atomically(target) as partial:
        partial.write_text("new")
        new = partial.stat().st_ino
        flushes.note(lambda: target.stat().st_ino)
    assert flushes == [(new, old), (tmp_path.stat().st_ino, new)]


def test_everything_in_a_folder_is_flushed_before_the_rename(tmp_path, flushes):
    target = tmp_path / "folder"
    with replace_atomically(target) as partial:
        (partial / "deep").mkdir(parents=True)
        (partial / "deep" / "x").write_text("1")
        made = {path.stat().st_ino for path in (partial, *partial.rglob("*"))}
        flushes.note(target.exists)
    *before, after = flushes
    assert {inode for inode, named in before if not named} == made and len(before) == 3
    assert after == (tmp_path.stat().st_ino, True)


def test_nothing_is_flushed_where_durable_is_false(tmp_path, flushes):
    with replace_atomically(tmp_path / "a", durable=False) as partial:
        partial.write_text("new")
    assert flushes == []


def test_a_block_that_raises_leaves_the_old_file_and_no_temporary(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), replace_atomically(target) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_folder_appears_complete(tmp_path):
    with replace_atomically(tmp_path / "deep" / "folder") as partial:
        partial.mkdir()
        (partial / "x").write_text("1")
        assert not (tmp_path / "deep" / "folder").exists()
    assert (tmp_path / "deep" / "folder" / "x").read_text() == "1"


def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("")
    with replace_atomically(tmp_path / "a") as partial:
        partial.write_text("")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_a_target_that_cannot_be_written_is_a_user_error(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match="cannot write"),
        replace_atomically(tmp_path / "file" / "a"),
    ):
        pass


def test_a_symbolic_link_stays_and_its_target_is_replaced(tmp_path):
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "a", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    for text in ("new", "again"):
        with replace_atomically(link) as partial:
            partial.write_text(text)
        assert link.is_symlink()
        assert target.read_text() == text
        target.unlink()  # a link may lead to what is not there yet


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with (
        pytest.raises(UserError, match="pipe: it is not a file"),
        replace_atomically(tmp_path / "pipe"),
    ):
        pass
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
def test_an_error_of_the_file_system_is_a_user_error():
    with (
        pytest.raises(UserError, match=r"cannot write /proc/\d+/a"),
        replace_atomically("/proc/self/a") as partial,
    ):
        partial.write_text("")
