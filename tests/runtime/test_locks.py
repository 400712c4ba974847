import errno
import os
import subprocess
import sys
import time

import pytest

from dcgan.errors import UserError
from dcgan.runtime import locks
from dcgan.runtime.atomic_files import replace_atomically

pytestmark = pytest.mark.usefixtures("windows_files")

HOLD_FOLDER = (
    "import sys, time; from pathlib import Path\n"
    "from dcgan.runtime.locks import exclusive_access\n"
    "with exclusive_access(Path(sys.argv[1])):\n"
    "    print('locked', flush=True); time.sleep(600)"
)
PACK = (
    "import sys, time; from pathlib import Path\n"
    "from dcgan.runtime.atomic_files import replace_atomically\n"
    "from dcgan.runtime.locks import locked_folder\n"
    "with replace_atomically(Path(sys.argv[1])) as partial, locked_folder(partial):\n"
    "    (partial / 'a').write_text('a'); print(partial.name, flush=True); time.sleep(600)"
)


class Holder:
    """Another process that runs a script until it is killed; `said` is its first line."""

    def __init__(self, script, path):
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, path], stdout=subprocess.PIPE, text=True
        )
        self.said = self.process.stdout.readline().strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture(params=["ENOLCK", "EOPNOTSUPP", "ENOSYS", "EBADF", "EINVAL", "EIO", "EPROTO"])
def without_locks(request, monkeypatch):
    """What a file system without locks says, like some network file systems."""
    fcntl = pytest.importorskip("fcntl")
    code = getattr(errno, request.param)

    def refuse(descriptor, operation):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    return os.strerror(code)


# NFS takes a lock for writing by a lock on bytes of the file, which must be open for that.
LIKE_NFS = (
    "import errno, fcntl, os\n"
    "flock = fcntl.flock\n"
    "def of_nfs(descriptor, operation):\n"
    "    if not fcntl.fcntl(descriptor, fcntl.F_GETFL) & (os.O_WRONLY | os.O_RDWR):\n"
    "        raise OSError(errno.EBADF, os.strerror(errno.EBADF))\n"
    "    flock(descriptor, operation)\n"
    "fcntl.flock = of_nfs\n"
)


def make_old(*paths):
    for path in paths:
        os.utime(path, (time.time() - 2 * locks._MIN_AGE,) * 2)


def test_a_folder_is_locked_until_its_process_is_killed(tmp_path):
    run = tmp_path / "runs" / "a"
    with Holder(HOLD_FOLDER, run) as holder:
        assert holder.said == "locked"
        started = time.monotonic()
        message = f"another process is training in {run}: wait for its end"
        with pytest.raises(UserError, match=message), locks.exclusive_access(run):
            pass
        assert time.monotonic() - started < 5, "it does not wait"
        with locks.exclusive_access(tmp_path / "runs" / "b"):
            pass
    with locks.exclusive_access(run):
        pass


def test_the_lock_is_released_when_the_block_ends_or_raises(tmp_path):
    for _ in range(2):
        with pytest.raises(KeyError), locks.exclusive_access(tmp_path / "run"):
            raise KeyError
    with Holder(HOLD_FOLDER, tmp_path / "run") as holder:
        assert holder.said == "locked"
    assert os.listdir(tmp_path / "run") == [locks.LOCK_FILE]


def test_a_folder_is_locked_on_nfs_too(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(fcntl, "flock", fcntl.flock)  # restores it
    exec(LIKE_NFS, {})
    with Holder(LIKE_NFS + HOLD_FOLDER, tmp_path) as holder:
        assert holder.said == "locked"
        with (
            pytest.raises(UserError, match="another process is training in"),
            locks.exclusive_access(tmp_path),
        ):
            pass
    with locks.exclusive_access(tmp_path) as is_locked:
        assert is_locked


def test_file_systems_without_locks_are_supported_and_named_once(tmp_path, without_locks, capsys):
    target, run = tmp_path / "packed", tmp_path / "run"
    for _ in range(2):
        with locks.exclusive_access(run) as first, locks.exclusive_access(run) as second:
            assert not first and not second
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{run} cannot be locked ({without_locks}): ")
    with replace_atomically(target) as partial, locks.locked_folder(partial):
        make_old(partial)
        locks.remove_abandoned(target)
        assert partial.is_dir(), "nobody can say whether its maker is alive"
    assert os.listdir(target) == []
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("code", [errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES])
def test_a_lock_of_another_process_is_no_missing_lock(tmp_path, monkeypatch, capsys, code):
    fcntl = pytest.importorskip("fcntl")

    def held(descriptor, operation):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", held)
    with (
        pytest.raises(UserError, match="another process is training in"),
        locks.exclusive_access(tmp_path),
    ):
        pass
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EDQUOT])
def test_a_folder_whose_lock_cannot_be_written_is_refused(tmp_path, monkeypatch, capsys, code):
    """The folder of another user, a read-only or a full disk: training would fail later."""
    open_ = os.open

    def refuse(path, flags, *args, **options):
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(code, os.strerror(code), path)
        return open_(path, flags, *args, **options)

    monkeypatch.setattr(os, "open", refuse)
    message = f"cannot write {tmp_path}: {os.strerror(code)}"
    with pytest.raises(UserError, match=message), locks.exclusive_access(tmp_path):
        pass
    assert capsys.readouterr().err == ""


def test_a_finished_folder_has_no_lock_file(tmp_path):
    target = tmp_path / "packed"
    with replace_atomically(target) as partial, locks.locked_folder(partial):
        assert os.listdir(partial) == [locks.LOCK_FILE]
        (partial / "a").write_text("a")
    assert os.listdir(tmp_path) == ["packed"]
    assert os.listdir(target) == ["a"]


def test_temporary_folders_of_killed_processes_are_deleted_and_those_in_use_are_kept(tmp_path):
    target = tmp_path / "packed"
    other = tmp_path / ".other.0123abcd.partial"
    young = tmp_path / ".packed.0123abcd.partial"
    for folder in (other, young):
        folder.mkdir()
    with Holder(PACK, target) as holder:
        partial = tmp_path / holder.said
        make_old(partial, other)
        locks.remove_abandoned(target)
        assert (partial / "a").is_file(), "its maker is alive"
    make_old(partial)
    locks.remove_abandoned(target)
    assert sorted(os.listdir(tmp_path)) == [other.name, young.name]


def test_a_folder_in_use_is_kept_while_it_is_flushed_which_takes_minutes(tmp_path, monkeypatch):
    target, fsync, flushed = tmp_path / "packed", os.fsync, set()

    def slow(descriptor):
        if os.fstat(descriptor).st_ino not in flushed:  # then there is something to write
            make_old(*tmp_path.glob(".packed.*"))
            locks.remove_abandoned(target)
        flushed.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    with replace_atomically(target) as partial, locks.locked_folder(partial):
        (partial / "a").write_text("a")
    assert os.listdir(target) == ["a"]
    assert flushed
