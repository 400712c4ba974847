"""Which packed images a run opens, and which process looks at the raw ones."""

import contextlib
import dataclasses
import json
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from dcgan.data.sources import folder as folder_source
from dcgan.errors import UserError
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.runtime import distributed
from dcgan.training import loop, training_images
from tests.conftest import TINY
from tests.processes import in_processes


def save_pictures(root, numbers):
    root.mkdir(exist_ok=True)
    for number in numbers:
        pixels = np.random.default_rng(number).integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{number}.png")


@pytest.fixture
def config(tmp_path):
    save_pictures(tmp_path / "pictures", range(12))
    return dataclasses.replace(
        TINY,
        source="folder",
        root=tmp_path / "pictures",
        data_cache=tmp_path / "cache",
        out=tmp_path / "run",
        steps=2,
        workers=1,
    )


@pytest.fixture
def walks(monkeypatch):
    """The folders of raw images that are walked."""
    walked = []
    walk = folder_source.FolderFiles._walk

    def watched(self, *args):
        walked.append(self.root)
        return walk(self, *args)

    monkeypatch.setattr(folder_source.FolderFiles, "_walk", watched)
    return walked


def test_a_run_that_goes_on_does_not_look_at_the_raw_images(config, walks, capsys):
    loop.train(config)
    assert walks == [config.root]
    (folder,) = config.data_cache.iterdir()
    capsys.readouterr()
    shutil.move(config.root, config.root.with_name("moved"))
    loop.train(dataclasses.replace(config, steps=4))
    assert walks == [config.root]
    assert find_checkpoint(config.out).step == 4
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("using")]
    told = f"using the packed images in {folder}, without looking for new ones in {config.root}"
    assert lines == [f"{told}; --fresh does"]


def test_a_relative_root_is_that_of_the_current_folder(config, walks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    relative = config.root.relative_to(tmp_path)
    loop.train(dataclasses.replace(config, root=relative))
    loop.train(dataclasses.replace(config, steps=4))
    assert walks == [relative], "it is the same folder by another name"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"pictures does not exist \(--root\)"):
        loop.train(dataclasses.replace(config, root=relative, steps=6))


def test_a_run_goes_on_with_its_images_when_pictures_are_added(config, walks):
    loop.train(config)
    save_pictures(config.root, [12])
    loop.train(dataclasses.replace(config, steps=4))
    assert (len(walks), len(list(config.data_cache.iterdir()))) == (1, 1)
    fresh = loop.train(dataclasses.replace(config, fresh=True))
    assert fresh.parent.parent.name == "run-2"
    assert sorted(
        json.loads(meta.read_text())["packed"] for meta in config.data_cache.glob("*/meta.json")
    ) == [12, 13]


def test_images_that_are_not_packed_any_more_are_packed_again(config, walks):
    loop.train(config)
    shutil.rmtree(config.data_cache)
    loop.train(dataclasses.replace(config, steps=4))
    assert len(walks) == 2
    assert find_checkpoint(config.out).step == 4
    # Nor are those of another root, or of other content, which the cache has too.
    save_pictures(config.root.with_name("others"), range(20, 32))
    others = dataclasses.replace(config, root=config.root.with_name("others"), steps=6)
    with pytest.raises(UserError, match="trained on other images than those in"):
        loop.train(others)
    loop.train(dataclasses.replace(config, steps=6))
    assert len(walks) == 3
    (meta,) = (
        path
        for path in config.data_cache.glob("*/meta.json")
        if json.loads(path.read_text())["root"] == str(config.root)
    )
    meta.write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        loop.train(dataclasses.replace(config, steps=8))


def test_more_pictures_in_another_folder_are_refused_before_packing(config):
    loop.train(config)
    more = config.root.with_name("more")
    save_pictures(more, range(21))
    before = sorted(config.data_cache.iterdir())
    with pytest.raises(UserError, match=r"trained on 12 images, and .*more has 21: .*--from"):
        loop.train(dataclasses.replace(config, root=more, steps=6))
    assert sorted(config.data_cache.iterdir()) == before
    # The same ones may have moved.
    moved = config.root.rename(config.root.with_name("moved"))
    loop.train(dataclasses.replace(config, root=moved, steps=6))
    assert find_checkpoint(config.out).step == 6


def test_a_run_folder_that_cannot_be_written_is_refused_before_packing(config, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write .*file/run"):
        loop.train(dataclasses.replace(config, out=tmp_path / "file" / "run"))
    assert not config.data_cache.exists()


def distributed_main(rank, config, own_disks, environment):
    """Rank 0 alone walks where the processes share a disk; the first of each machine otherwise."""
    os.environ |= environment | {"RANK": str(rank), "LOCAL_RANK": "0" if own_disks else str(rank)}
    walked = []
    walk = folder_source.FolderFiles._walk

    def watched(self, *args):
        walked.append(rank)
        return walk(self, *args)

    folder_source.FolderFiles._walk = watched
    if own_disks:
        config = dataclasses.replace(config, data_cache=config.data_cache / str(rank))
        if rank == 1:  # it sees no folder of rank 0
            is_packed = training_images.is_packed
            training_images.is_packed = lambda path: (
                "/cache/0/" not in f"{path}/" and is_packed(path)
            )
    with distributed.process_group(torch.device("cpu")):
        packed = training_images.open_images(config, None)
        assert walked == ([rank] if own_disks or rank == 0 else [])
        assert packed.folder.parent == config.data_cache
        if own_disks:
            # Another picture on one of the machines.
            if rank == 1:
                save_pictures(config.root.with_name("theirs"), range(13))
                config = dataclasses.replace(config, root=config.root.with_name("theirs"))
            refused = pytest.raises(UserError, match=r"are not those that rank 0 has in .*/cache/0")
            with refused if rank == 1 else contextlib.nullcontext():
                training_images.open_images(config, None)


@pytest.mark.slow
@pytest.mark.parametrize("own_disks", [False, True])
def test_one_process_of_each_machine_packs(config, own_disks):
    in_processes(distributed_main, config, own_disks)
