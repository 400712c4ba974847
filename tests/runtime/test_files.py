import os
import shutil
import stat
import subprocess
import sys
import time

import pytest

from dcgan.errors import UserError
from dcgan.runtime import locks
from dcgan.runtime.atomic_files import replace_atomically
from dcgan.runtime.disk import check_free_space


def test_old_content_stays_until_the_block_ends(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with replace_atomically(target) as partial:
        partial.write_text("new")
        assert target.read_text() == "old"
        assert partial.parent == tmp_path
    assert target.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_content_reaches_the_disk_before_its_name_and_the_name_after_that(tmp_path, flushes):
    """What a power cut leaves hangs on this order."""
    target = tmp_path / "a"
    target.write_text("old")
    old = target.stat().st_ino
    with replace_atomically(target) as partial:
        partial.write_text("new")
        new = partial.stat().st_ino
        flushes.note(lambda: target.stat().st_ino)
    assert flushes == [(new, old), (tmp_path.stat().st_ino, new)]


def test_all_of_a_folder_reaches_the_disk_before_its_name(tmp_path, flushes):
    target = tmp_path / "folder"
    with replace_atomically(target) as partial:
        (partial / "deep").mkdir(parents=True)
        (partial / "deep" / "x").write_text("1")
        made = {path.stat().st_ino for path in (partial, *partial.rglob("*"))}
        flushes.note(target.exists)
    *before, after = flushes
    assert {inode for inode, named in before if not named} == made and len(before) == 3
    assert after == (tmp_path.stat().st_ino, True)


def test_what_need_not_last_is_not_flushed(tmp_path, flushes):
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


def test_a_folder_appears_whole(tmp_path):
    with replace_atomically(tmp_path / "deep" / "folder") as partial:
        partial.mkdir()
        (partial / "x").write_text("1")
        assert not (tmp_path / "deep" / "folder").exists()
    assert (tmp_path / "deep" / "folder" / "x").read_text() == "1"


def test_the_new_file_has_the_usual_mode(tmp_path):
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


def test_a_link_stays_and_leads_to_the_new_file(tmp_path):
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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs nodes")
def test_a_node_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "node")
    with (
        pytest.raises(UserError, match="node: it is not a file"),
        replace_atomically(tmp_path / "node"),
    ):
        pass
    assert stat.S_ISFIFO((tmp_path / "node").stat().st_mode)


def test_room_is_that_of_the_disk_and_what_cannot_be_written_is_said(tmp_path, monkeypatch):
    deep = tmp_path / "not" / "there" / "yet"
    free = shutil.disk_usage(tmp_path).free
    check_free_space(deep, free // 2)
    with pytest.raises(UserError, match=r"write .*yet: it takes .* GB, and there are .* GB free"):
        check_free_space(deep, 2 * free)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file is not a folder"):
        check_free_space(tmp_path / "file" / "a", 1)
    monkeypatch.setattr(os, "access", lambda *_: False)  # as for root on a read-only disk
    with pytest.raises(UserError, match=r"cannot write .*yet: .* may not be written to"):
        check_free_space(deep, 2 * free)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
def test_a_place_without_any_room_says_itself_what_is_wrong():
    with pytest.raises(UserError, match="cannot write /proc/self/a"):
        check_free_space("/proc/self/a", 1)
        with replace_atomically("/proc/self/a"):
            pass


@pytest.mark.skipif(locks.fcntl is None, reason="needs locks")
def test_what_a_killed_process_was_writing_is_swept_and_what_a_living_one_writes_is_not(tmp_path):
    hold = (
        "import sys, time; from pathlib import Path\n"
        "from dcgan.runtime.locks import locked_folder\n"
        "from dcgan.runtime.atomic_files import replace_atomically\n"
        "with replace_atomically(Path(sys.argv[1])) as partial, locked_folder(partial):\n"
        "    (partial / 'a').write_text('a'); print(partial.name, flush=True); time.sleep(600)"
    )
    target, old = tmp_path / "packed", (time.time() - 2 * locks.MIN_AGE,) * 2
    others = tmp_path / ".other.0123abcd.partial"
    others.mkdir()
    young = tmp_path / ".packed.0123abcd.partial"
    young.mkdir()
    with subprocess.Popen([sys.executable, "-c", hold, target], stdout=subprocess.PIPE) as holder:
        partial = tmp_path / holder.stdout.readline().decode().strip()
        for path in (partial, others):
            os.utime(path, old)
        locks.remove_abandoned(target)
        assert partial.is_dir(), "its maker is alive"
        holder.kill()
        holder.wait()
    os.utime(partial, old)
    locks.remove_abandoned(target)
    assert sorted(path.name for path in tmp_path.iterdir()) == [others.name, young.name]
