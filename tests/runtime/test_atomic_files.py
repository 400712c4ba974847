import errno
import os
import stat

import pytest

from dcgan.errors import UserError
from dcgan.runtime.atomic_files import replace_atomically

pytestmark = pytest.mark.usefixtures("windows_files")


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


@pytest.fixture
def refuse_fsync(monkeypatch):
    """`refuse_fsync(code, S_ISDIR)`: a file system whose fsync fails for folders, or for files."""
    fsync = os.fsync

    def start(code, applies):
        def refuse(descriptor):
            if applies(os.fstat(descriptor).st_mode):
                raise OSError(code, os.strerror(code))
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", refuse)

    return start


def write_folder(target):
    with replace_atomically(target) as partial:
        (partial / "deep").mkdir(parents=True)
        (partial / "deep" / "x").write_text("1")


@pytest.mark.parametrize("name", ["EINVAL", "EBADF", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EACCES"])
def test_file_systems_that_flush_no_folders_are_written_to(tmp_path, refuse_fsync, name):
    refuse_fsync(getattr(errno, name), stat.S_ISDIR)
    write_folder(tmp_path / "folder")
    assert (tmp_path / "folder" / "deep" / "x").read_text() == "1"
    with replace_atomically(tmp_path / "a") as partial:
        partial.write_text("new")
    assert (tmp_path / "a").read_text() == "new"


def test_folders_that_cannot_be_opened_are_written_to(tmp_path, monkeypatch):
    """As on Windows, or below a folder that may be written but not listed."""
    open_ = os.open

    def refuse(path, flags, *args, **options):
        if os.path.isdir(path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return open_(path, flags, *args, **options)

    monkeypatch.setattr(os, "open", refuse)
    write_folder(tmp_path / "folder")
    assert (tmp_path / "folder" / "deep" / "x").read_text() == "1"


@pytest.mark.parametrize(
    ("name", "applies"),
    [
        *((name, stat.S_ISDIR) for name in ("EIO", "ENOSPC", "EDQUOT", "ESTALE")),
        *((name, stat.S_ISREG) for name in ("EIO", "ENOSPC", "EDQUOT", "EINVAL")),
    ],
)
def test_errors_of_the_disk_are_raised_when_it_is_flushed(tmp_path, refuse_fsync, name, applies):
    refuse_fsync(getattr(errno, name), applies)
    reason = os.strerror(getattr(errno, name))
    with pytest.raises(UserError, match=f"cannot write {tmp_path / 'folder'}: {reason}"):
        write_folder(tmp_path / "folder")


def test_an_empty_folder_is_replaced_where_renaming_replaces_no_folders(tmp_path, monkeypatch):
    """As on Windows and on some network shares. One that is not empty stays."""
    replace = os.replace

    def refuse(source, target):
        if os.path.isdir(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    target = tmp_path / "folder"
    target.mkdir()
    write_folder(target)
    assert (target / "deep" / "x").read_text() == "1"
    (target / "deep" / "x").write_text("2")
    with pytest.raises(UserError, match=f"cannot write {target}"):
        write_folder(target)
    assert (target / "deep" / "x").read_text() == "2"
    assert os.listdir(tmp_path) == ["folder"]


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


@pytest.mark.parametrize("exists", [True, False])
def test_the_slower_of_two_writers_of_a_folder_is_told(tmp_path, exists):
    """As with two `dcgan prepare` into one folder."""
    target = tmp_path / "packed"
    if exists:
        target.mkdir()
    told = r"packed: another process has written it meanwhile$"
    with pytest.raises(UserError, match=told), replace_atomically(target) as slow:
        with replace_atomically(target) as fast:
            fast.mkdir()
            (fast / "images.npy").write_text("fast")
        slow.mkdir()
        (slow / "images.npy").write_text("slow")
    assert [path.name for path in tmp_path.iterdir()] == ["packed"]
    assert (target / "images.npy").read_text() == "fast"


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
