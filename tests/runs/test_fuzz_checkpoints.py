"""Damaged or forged checkpoints and packed folders raise UserError, or are read completely.

`DCGAN_FUZZ=5000 pytest tests/runs/test_fuzz_checkpoints.py` tries more of them than the suite does.
"""

import copy
import dataclasses
import json
import shutil
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from dcgan.data import open_packed, row_reader
from dcgan.errors import UserError
from dcgan.reports.compare import format_table, open_runs
from dcgan.runs import checkpoint
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.runs.layout import best_checkpoint_path, checkpoint_path
from dcgan.runs.loading import load_discriminator, load_generator
from dcgan.training.resume import check_resumable
from dcgan.training.run_state import RunState
from dcgan.training.trainer import Trainer
from tests import fuzzing
from tests.conftest import TINY, fit, write_packed
from tests.fuzzing import damage

many = fuzzing.fuzz_settings(60)

numbers = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from([-1, 0, 1, 2, 3, 7, 8, 16, 31, 32, 2**31, 2**63, 10**30, True]),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=8)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def whole(run):
    """The last checkpoint of a run: its path, its bytes, and the same as read."""
    path = find_checkpoint(run).path
    return path, path.read_bytes(), checkpoint.read(path).header, load_file(path)


def refused(function, path) -> bool:
    """Whether the call raises UserError, whose message must name the file or folder."""
    try:
        function(path)
    except UserError as error:
        return str(path) in str(error) or pytest.fail(f"no word of {path} in: {error}")
    return False


def use(path) -> None:
    """Read a checkpoint in every way that the package does."""
    found = find_checkpoint(path)
    load_generator(path)(torch.zeros(1, 8))
    load_generator(path, ema=False)
    load_discriminator(path)
    check_resumable(found)
    try:
        Trainer(TINY, torch.device("cpu")).load(RunState.from_checkpoint(found))
    except ValueError as error:
        raise checkpoint.damaged(path, error) from error


@many
@given(damage(near=(12_000,)))
def test_a_damaged_checkpoint_is_refused_or_is_the_same(whole, tmp_path, damage):
    _, data, header, tensors = whole
    data = damage(data)
    path = tmp_path / "step-00000006.safetensors"
    path.write_bytes(data)
    if not refused(use, path):
        assert checkpoint.read(path).header == header
        assert all(torch.equal(value, tensors[name]) for name, value in load_file(path).items())


@many
@given(position=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_no_flipped_bit_goes_unnoticed_anywhere_in_a_file(whole, tmp_path, position, bit):
    _, data, header, tensors = whole
    position %= len(data)
    path = tmp_path / "step-00000006.safetensors"
    path.write_bytes(data[:position] + bytes([data[position] ^ 1 << bit]) + data[position + 1 :])
    if not refused(checkpoint.read, path):  # it was one of the blanks that fill up the header
        assert checkpoint.read(path).header == header
        assert all(torch.equal(value, tensors[name]) for name, value in load_file(path).items())


def places(value, path=()):
    """Every place in nested objects and lists."""
    yield path
    if isinstance(value, dict | list):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(child, (*path, key))


def put(value, path, new):
    if not path:
        return new
    copied = copy.copy(value)
    copied[path[0]] = put(value[path[0]], path[1:], new)
    return copied


@many
@given(st.data())
def test_an_invalid_header_is_refused(whole, tmp_path, data):
    """The checksum is that of the invalid header, so that it does not reveal it."""
    _, _, header, tensors = whole
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.sampled_from(list(places(header))[1:]))
        header = put(header, place, data.draw(values))
    path = tmp_path / "step-00000006.safetensors"
    checkpoint.save(path, header, tensors)
    refused(use, path)


def fields_of(header):
    """The objects in a header: itself, and those in it."""
    found = [header]
    for value in header.values():
        found += fields_of(value) if isinstance(value, dict) else []
    return found


def resume(folder, packed) -> None:
    """Train one more step, which is logged and saved."""
    config = dataclasses.replace(TINY, steps=7, log_every=1)
    assert fit(config, packed, folder, torch.device("cpu")) == checkpoint_path(folder, 7)


def compare(folder, other) -> None:
    format_table(open_runs([folder, other]))


header_changes = st.tuples(
    st.integers(0, 99), st.sampled_from(["stray", "absent", "other"]), st.integers(0, 99), values
)
one_of_three = st.sampled_from([False, False, True])


def pick(number, items):
    return items[number % len(items)]


@fuzzing.fuzz_settings(40)
@given(changes=st.lists(header_changes, min_size=1, max_size=2), is_best=one_of_three)
def test_a_run_with_an_invalid_header_resumes_or_is_refused(
    run, packed, tmp_path, changes, is_best
):
    """Fields of another type or size, absent ones and stray ones, anywhere in the header."""
    last = checkpoint.read(checkpoint_path(run, 6))
    header, tensors = last.header, last.tensors("")
    for where, kind, which, value in changes:
        fields = pick(where, fields_of(header))
        name = pick(which, sorted(fields)) if fields and kind != "stray" else "stray"
        if kind == "absent":
            fields.pop(name, None)
        else:
            fields[name] = copy.deepcopy(value)
    changed = Path(tempfile.mkdtemp(dir=tmp_path)) / "run"
    shutil.copytree(run, changed)
    if is_best:  # it is not needed
        checkpoint.save(best_checkpoint_path(changed), header, tensors)
        resume(changed, packed)
        return
    checkpoint.save(checkpoint_path(changed, 6), header, tensors)
    for older in (2, 4):
        checkpoint_path(changed, older).unlink()
    refused(partial(compare, other=run), changed)
    refused(use, checkpoint_path(changed, 6))
    refused(partial(resume, packed=packed), changed)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.int64, torch.bool])
def test_an_augmentation_probability_of_another_type_is_refused(whole, tmp_path, dtype):
    _, _, header, tensors = whole
    path = tmp_path / "step-00000006.safetensors"
    checkpoint.save(path, header, tensors | {"augment.p": torch.zeros((), dtype=dtype)})
    assert refused(use, path)


SHAPES = st.lists(st.integers(0, 9), max_size=5)
DTYPES = st.sampled_from([torch.float32, torch.float16, torch.int64, torch.uint8, torch.bool])


@many
@given(st.data())
def test_invalid_tensors_are_refused(whole, tmp_path, data):
    """A wrong shape or type, NaNs, one tensor too few or too many."""
    _, _, header, tensors = whole
    tensors = dict(tensors)
    name = data.draw(st.sampled_from(sorted(tensors)))
    kind = data.draw(st.sampled_from(["shape", "dtype", "nan", "absent", "more"]))
    if kind == "shape":
        tensors[name] = torch.ones(data.draw(SHAPES))
    elif kind == "dtype":
        tensors[name] = tensors[name].to(data.draw(DTYPES))
    elif kind == "nan":
        tensors[name] = torch.full_like(tensors[name].float(), torch.nan)
    elif kind == "absent":
        del tensors[name]
    else:
        tensors[name + data.draw(st.text("abG.", max_size=5))] = torch.ones(data.draw(SHAPES))
    path = tmp_path / "step-00000006.safetensors"
    checkpoint.save(path, header, tensors)
    refused(use, path)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    labels = np.arange(12, dtype=np.int64) % 3
    folder = tmp_path_factory.mktemp("packed") / "labelled"
    return write_packed(folder, images, labels, ("a", "b", "c"), "class")


def look(folder) -> None:
    """A packed folder that opens can be read to its end."""
    packed = open_packed(folder)
    assert row_reader(packed.images)(np.arange(len(packed))).dtype == np.uint8
    if packed.labels is not None:
        assert set(np.unique(packed.multi_hot(np.arange(len(packed))))) <= {0.0, 1.0}


@many
@given(
    name=st.sampled_from(["images.npy", "labels.npy", "meta.json"]),
    damage=damage(near=(700,)),
)
def test_a_damaged_packed_folder_is_refused_or_can_be_read(labelled, tmp_path, name, damage):
    folder = tmp_path / "copy"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(labelled, folder)
    (folder / name).write_bytes(damage((folder / name).read_bytes()))
    refused(look, folder)


@many
@given(st.data())
def test_an_invalid_meta_json_is_refused_or_can_be_read(labelled, tmp_path, data):
    folder = tmp_path / "copy"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(labelled, folder)
    meta = json.loads((folder / "meta.json").read_text())
    meta = put(meta, data.draw(st.sampled_from(list(places(meta)))), data.draw(values))
    (folder / "meta.json").write_text(json.dumps(meta))
    refused(look, folder)


HEADERS = [
    "{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999, 8, 8, 3)}",
    "{'descr': '|u1', 'fortran_order': True, 'shape': (12, 8, 8, 3)}",
    "{'descr': '|O', 'fortran_order': False, 'shape': (12, 8, 8, 3)}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (-12, 8, 8, 3)}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (12.0, 8, 8, 3)}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (2**3, 8, 8, 3)}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': " + 3000 * "(" + "}",
    "{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (12, 8, 8, 3)}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (13L, 8L, 8L, 3L)}",  # of Python 2
    "{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999, 99999999999, 999)}",
    "{'descr': 'a', 'fortran_order': False, 'shape': (True,)}",
    "__import__('os').system('touch pwned')",
    "[]",
    "",
]


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0), (9, 9)])
def test_an_array_with_an_invalid_header_is_refused(labelled, tmp_path, header, version):
    folder = tmp_path / "copy"
    shutil.copytree(labelled, folder)
    text = header.encode() + b"\n"
    length = len(text).to_bytes(2 if version == (1, 0) else 4, "little")
    content = b"\x93NUMPY" + bytes(version) + length + text + bytes(12 * 8 * 8 * 3)
    (folder / "images.npy").write_bytes(content)
    with pytest.raises(UserError, match="copy is damaged"):
        open_packed(folder)
    assert not list(tmp_path.rglob("pwned"))
