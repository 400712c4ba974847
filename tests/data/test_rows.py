"""Rows of an array in a file are read as they are, without staying in memory."""

import errno
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dcgan.data import rows
from dcgan.data.packed_files import read_array
from dcgan.errors import UserError
from dcgan.training.batches import BatchLoader

ROWS = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3), dtype=np.uint8)


@pytest.fixture
def mapped(tmp_path) -> np.ndarray:
    np.save(tmp_path / "images.npy", ROWS)
    return read_array(tmp_path / "images.npy")


@pytest.mark.parametrize("view", [lambda a: a, lambda a: a[5:], lambda a: a[::2], np.array])
def test_rows_are_those_of_the_array(mapped, view):
    array = view(mapped)
    indices = np.array([3, 0, 19, 3, len(array) - 1])
    out = rows.row_reader(array)(indices)
    np.testing.assert_array_equal(out, np.asarray(array)[indices])
    assert out.flags.writeable and out.flags.c_contiguous


@pytest.mark.skipif(not hasattr(os, "preadv"), reason="needs preadv")
def test_a_truncated_file_is_an_error_and_not_a_signal(mapped):
    read = rows.row_reader(mapped)
    os.truncate(mapped.filename, 4096)
    with pytest.raises(UserError, match=r"images\.npy has been cut short"):
        read(np.array([49]))


@pytest.mark.skipif(not hasattr(os, "preadv"), reason="needs preadv")
def test_a_read_error_names_the_file(mapped, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    read = rows.row_reader(mapped)
    monkeypatch.setattr(os, "preadv", fail)
    with pytest.raises(UserError, match=r"cannot read .*images\.npy: Input/output error"):
        read(np.array([0]))


@pytest.mark.skipif(not hasattr(os, "preadv"), reason="needs preadv")
def test_a_disk_may_give_a_row_in_parts(mapped, monkeypatch):
    preadv = os.preadv
    monkeypatch.setattr(os, "preadv", lambda file, buffers, at: preadv(file, [buffers[0][:50]], at))
    np.testing.assert_array_equal(rows.row_reader(mapped)(np.array([7, 49])), ROWS[[7, 49]])


class SlowDisk:
    """A disk on which every read takes one unit of time, and which does all it is asked to at once.

    `clock` is the time: reading a row waits until the row has come.
    """

    def __init__(self, monkeypatch):
        self.clock, self.requests = 0, {}
        preadv, fadvise = os.preadv, os.posix_fadvise

        def request(descriptor, offset, length, advice):
            fadvise(descriptor, offset, length, advice)
            assert advice == os.POSIX_FADV_WILLNEED
            asked = dict.fromkeys(range(offset, offset + length), self.clock)
            self.requests = asked | self.requests  # the first request counts

        def read(descriptor, buffers, offset):
            asked = min(self.requests.get(i, self.clock) for i in range(offset, offset + 192))
            self.clock = max(self.clock, asked + 1)
            return preadv(descriptor, buffers, offset)

        monkeypatch.setattr(os, "posix_fadvise", request)
        monkeypatch.setattr(os, "preadv", read)


needs_fadvise = pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="needs posix_fadvise")


@needs_fadvise
@given(st.lists(st.integers(-50, 49), max_size=60))
def test_the_rows_of_a_batch_wait_for_a_slow_disk_once_and_not_one_by_one(indices):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        np.save(Path(folder) / "images.npy", ROWS)
        read, disk = rows.row_reader(read_array(Path(folder) / "images.npy")), SlowDisk(patch)
        np.testing.assert_array_equal(read(np.array(indices, int)), ROWS[np.array(indices, int)])
        assert disk.clock == (1 if indices else 0)


@needs_fadvise
def test_rows_are_read_where_the_file_system_takes_no_advice(mapped, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "posix_fadvise", refuse)
    np.testing.assert_array_equal(rows.row_reader(mapped)(np.array([7, 3])), ROWS[[7, 3]])


@needs_fadvise
def test_batches_of_training_are_requested_before_the_steps_that_read_them(
    mapped, tiny, monkeypatch
):
    disk = SlowDisk(monkeypatch)
    loader = BatchLoader(mapped, tiny(batch_size=8, latent_dim=4), torch.device("cpu"))
    loaded = loader._load_in_order(0)
    for step in range(20):
        waited = disk.clock
        batch = next(loaded)
        assert torch.equal(batch.images, loader._load(step, loader._indices(step)).images)
        assert disk.clock == (1 if step == 0 else waited)
        disk.clock += 1  # a step of training


def test_negative_indices_count_from_the_end_and_others_outside_are_refused(mapped):
    for read in (rows.row_reader(mapped), rows.row_reader(ROWS)):
        np.testing.assert_array_equal(read(np.array([-1, -50])), ROWS[[-1, -50]])
        for outside in (50, -51):
            with pytest.raises(IndexError):
                read(np.array([outside]))


def test_copy_on_write_and_nameless_files_are_read_through_the_mapping(mapped):
    changed = np.lib.format.open_memmap(mapped.filename, mode="c")
    changed[3] = 7
    assert (rows.row_reader(changed)(np.array([3])) == 7).all()
    with tempfile.TemporaryFile() as file:
        file.write(ROWS.tobytes())
        file.flush()
        nameless = np.memmap(file, np.uint8, "r", shape=ROWS.shape)
        np.testing.assert_array_equal(rows.row_reader(nameless)(np.array([9])), ROWS[[9]])


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")
def test_rows_that_were_read_do_not_stay_in_resident_memory(tmp_path):
    path = tmp_path / "images.npy"
    rows.create_array(path, (2000, 64, 64, 3))
    array = read_array(path)
    before = resident()
    for row in range(2000):
        rows.row_reader(array)(np.array([row]))
    assert resident() - before < 2
    assert array.sum() == 0  # through the mapping
    assert resident() - before > 20


def resident() -> float:
    """Resident pages of files, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssFile"))
