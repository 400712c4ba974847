import dataclasses
import json
import re
import resource
import shutil
import signal
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from dcgan import cli
from dcgan.config import NETWORK_OPTIONS
from dcgan.errors import UserError
from dcgan.runs import checkpoint
from dcgan.runs.checkpoint_folder import find_checkpoint, latest_checkpoint, prune_checkpoints
from dcgan.runs.layout import checkpoint_path, list_checkpoints
from dcgan.runs.loading import load_discriminator, load_generator
from dcgan.runtime.host_copy import HostCopy
from dcgan.training import loop
from dcgan.training.resume import check_resumable
from dcgan.training.run_state import RunState
from dcgan.training.trainer import Trainer
from tests.conftest import TINY, fit

pytestmark = pytest.mark.usefixtures("windows_files")


@pytest.fixture
def copy(run, tmp_path):
    shutil.copytree(run, tmp_path / "copy")
    return tmp_path / "copy"


def last(run):
    return checkpoint_path(run, 6)


def test_a_run_keeps_its_newest_checkpoint_and_loads_it(run):
    names = sorted(p.name for p in (run / "checkpoints").iterdir())
    assert names == [f"step-{s:08d}.safetensors" for s in (2, 4, 6)]
    assert find_checkpoint(run).step == 6
    assert find_checkpoint(last(run)).config["width"] == 4


def test_ema_and_raw_generators_have_the_tensors_of_the_file(run):
    averaged, raw = load_generator(run), load_generator(run, ema=False)
    with safe_open(last(run), "pt") as file:
        for G, prefix in ((averaged, "ema."), (raw, "G.")):
            for name, value in G.state_dict().items():
                assert torch.equal(value, file.get_tensor(prefix + name))
    assert not torch.equal(averaged.layers[0].weight, raw.layers[0].weight)
    assert not averaged.training
    assert averaged.latent == "normal"
    assert averaged(torch.zeros(1, averaged.latent_dim)).shape == (1, 3, 16, 16)


def test_the_discriminator_has_the_tensors_of_the_file(run):
    D = load_discriminator(run)
    with safe_open(last(run), "pt") as file:
        assert torch.equal(D.score.weight, file.get_tensor("D.score.weight"))
    assert D(torch.zeros(2, 3, 16, 16)).shape == (2,)


def test_a_damaged_newest_checkpoint_is_skipped_with_a_warning(copy, capsys):
    last(copy).write_bytes(last(copy).read_bytes()[:1000])
    assert latest_checkpoint(copy).step == 4
    assert last(copy).name in capsys.readouterr().err


def test_a_run_with_only_damaged_checkpoints_is_an_error_not_a_fresh_start(copy):
    for path in (copy / "checkpoints").iterdir():
        path.write_bytes(b"")
    with pytest.raises(UserError, match="no checkpoint that can be read"):
        latest_checkpoint(copy)


RUN_FIELDS = ("data", "labels", "rollbacks", "seconds", "metrics", "summed_steps", "health", "best")
CONFIG = {name: getattr(TINY, name) for name in NETWORK_OPTIONS}
HEADER = {"format": checkpoint.FORMAT, "step": 1, "config": CONFIG}
TENSORS = {"x": torch.zeros(1)}


def metadata(text: str) -> dict[str, str]:
    """The metadata of a file with this header, with a valid checksum."""
    return {"dcgan": text, "sha256": checkpoint.checksum(text, TENSORS.items())}


def header(**changes):
    return metadata(json.dumps(HEADER | changes))


def without(name):
    return metadata(json.dumps({k: v for k, v in HEADER.items() if k != name}))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not a usable checkpoint"),
        (b"a text, no tensors at all", "not a usable checkpoint"),
        (b"\xff" * 64, "not a usable checkpoint"),
        (None, "safetensors file of another program"),
        (metadata("not JSON"), "not a usable checkpoint"),
        (metadata("[1, 2]"), "not a usable checkpoint"),
        (metadata("[" * 200_000), "recursion"),
        ({"dcgan": json.dumps(HEADER)}, "lacks 'sha256'"),
        (header() | {"sha256": "0" * 64}, "checksum does not match"),
        (header(format=2), "it has format 2, this dcgan reads 3"),
        (header(format="3"), "it has format 3"),
        (header(step="six"), "step cannot be 'six'"),
        (header(step=-5), "step cannot be -5"),
        (header(step=True), "step cannot be True"),
        *((without(name), f"lacks '{name}'") for name in ("format", "step", "config")),
        (header(config={}), "lacks 'size'"),
        (header(config=CONFIG | {"width": 10**9}), "width"),
        (header(config=CONFIG | {"size": "64"}), "size"),
        (header(), "does not hold the Generator's averaged weights"),
    ],
)
def test_a_file_that_is_no_checkpoint_gives_one_clear_line(tmp_path, content, complaint):
    path = tmp_path / "step-00000001.safetensors"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        save_file(TENSORS, path, content)
    with pytest.raises(UserError, match=complaint) as caught:
        load_generator(path)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"seconds": "x"}, "seconds cannot be 'x'"),
        ({"seconds": float("inf")}, "seconds cannot be inf"),
        ({"seconds": -1.0}, "seconds cannot be -1"),
        ({"data": 7}, "data cannot be 7"),
        ({"metrics": None}, "metrics cannot be None"),
        ({"summed_steps": -1}, "summed_steps cannot be -1"),
        ({"summed_steps": 1.5}, "summed_steps cannot be 1.5"),
        ({"rollbacks": -1}, "rollbacks cannot be -1"),
        ({"rollbacks": 10**9}, "rollbacks cannot be 1000000000"),
        ({"config": CONFIG | {"seed": "x"}}, "seed cannot be 'x'"),
        ({"config": CONFIG}, "lacks 'seed'"),
        ({"best": {"by": "frechet"}}, "not a usable checkpoint"),
        ({"health": 3}, "not a usable checkpoint"),
        *(({name: "absent"}, f"lacks '{name}'") for name in RUN_FIELDS if name != "data"),
        ({"data": "absent"}, "holds networks alone, without the state of a training"),
    ],
)
def test_resuming_refuses_an_invalid_state(copy, tiny, changes, complaint, capsys):
    """Sampling needs only the networks, and still works."""
    found = checkpoint.read(last(copy))
    changed = {k: v for k, v in (found.header | changes).items() if v != "absent"}
    checkpoint.save(last(copy), changed, found.tensors(""))
    with pytest.raises(UserError, match=complaint):
        check_resumable(find_checkpoint(copy))
    assert loop.checkpoint_to_resume(tiny(), copy).step == 4, "the one before it is whole"
    assert re.search(f"skipped: .*{last(copy).name}.*{complaint}", capsys.readouterr().err)
    assert load_generator(copy).size == 16


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("sums.loss_D", torch.zeros(2), "its sum of loss_D is not a number"),
        ("sums.loss_D", torch.tensor(3), "its sum of loss_D is not a number"),
        ("augment.p", torch.tensor(2.0), r"augment\.p is not a probability"),
        ("augment.p", torch.tensor(torch.nan), r"augment\.p is not a probability"),
        ("augment.p", torch.zeros(3), r"augment\.p is not a probability"),
        (
            "clipping_G.moment",
            torch.tensor(torch.nan),
            r"clipping_G\.moment is not a sum of squares",
        ),
        ("clipping_D.moment", torch.tensor(-1.0), r"clipping_D\.moment is not a sum of squares"),
        ("clipping_D.moment", torch.zeros(1), r"clipping_D\.moment is not a sum of squares"),
        ("memorization.means", torch.zeros(2), r"memorization\.means are no three means"),
        (
            "memorization.means",
            torch.tensor([0.0, torch.nan, 1.0]),
            r"memorization\.means are no three means",
        ),
    ],
)
def test_resuming_refuses_invalid_tensors(copy, name, value, complaint):
    found = checkpoint.read(last(copy))
    checkpoint.save(last(copy), found.header, found.tensors("") | {name: value})
    with pytest.raises(UserError, match=complaint):
        check_resumable(find_checkpoint(copy))


def test_a_saved_state_equals_the_state_that_is_read(copy, tmp_path):
    """Every field and every tensor."""
    state = RunState.from_checkpoint(find_checkpoint(copy))
    state = dataclasses.replace(
        state, rollbacks=2, seconds=1.25, summed_steps=7, metrics={"loss_D": 0.5}
    )
    path = tmp_path / "step-00000006.safetensors"
    checkpoint.save(path, state.header(), dict(state.tensors))
    again = RunState.from_checkpoint(checkpoint.read(path))
    assert again.header() == state.header()
    assert set(again.tensors) == set(state.tensors)
    assert all(torch.equal(value, state.tensors[name]) for name, value in again.tensors.items())


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.flatten()[:1],
        lambda v: torch.cat([v.flatten(), v.flatten()[:3]]),
        lambda v: v.half(),
        lambda v: v.int(),
    ],
)
@pytest.mark.parametrize("slot", ["exp_avg", "exp_avg_sq"])
def test_a_state_of_adam_that_does_not_fit_is_refused(copy, tiny, packed, change, slot):
    """The fused kernel would read beyond the end of a smaller tensor."""
    path = last(copy)
    name = f"opt_G.{slot}.layers.0.weight"
    found = checkpoint.read(path)
    tensors = found.tensors("")
    checkpoint.save(path, found.header, tensors | {name: change(tensors[name])})
    with pytest.raises(UserError, match=r"state of the optimizer does not fit layers\.0\.weight"):
        fit(tiny(steps=8), packed, copy, torch.device("cpu"))


def test_only_names_with_a_step_are_checkpoints_of_the_run(copy, tiny, packed):
    """A copy that the user keeps is neither resumed from, nor counted, nor deleted."""
    folder = last(copy).parent
    shutil.copy(checkpoint_path(copy, 2), folder / "step-best.safetensors")
    (folder / "step-00000001.safetensors").mkdir()
    assert latest_checkpoint(copy).step == 6
    assert list_checkpoints(copy) == [checkpoint_path(copy, step) for step in (2, 4, 6)]
    fit(tiny(steps=8, keep=1), packed, copy, torch.device("cpu"))
    assert list_checkpoints(copy) == [checkpoint_path(copy, 8)]
    assert (folder / "step-best.safetensors").is_file()


def test_steps_are_ordered_as_numbers(copy):
    large = last(copy).with_name("step-100000000.safetensors")
    shutil.copy(last(copy), large)
    assert list_checkpoints(copy)[-1] == large


def test_a_full_disk_is_one_clear_line_and_keeps_the_old_checkpoint(copy, tiny, packed, tmp_path):
    """A limit on the size of files stands for the full disk."""
    limit = (
        "import resource, signal, sys; from dcgan import cli\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    train = ["train", "--data", packed.folder, "--out", copy, "--steps", "8", "--width", "4"]
    train += ["--latent-dim", "8", "--batch-size", "8", "--device", "cpu"]
    sample = ["sample", copy, "--count", "500", "--npy", tmp_path / "a.npy"]
    for command, name in ((train, "copy"), (sample, "a.npy")):
        done = subprocess.run(
            [sys.executable, "-c", limit, *map(str, command)], capture_output=True, text=True
        )
        assert done.returncode == 1, done.stderr
        last_line = done.stderr.splitlines()[-1]  # the progress bar stands before it
        assert re.search(rf"cannot write .*{name}.*: .*File too large", last_line)
        assert "Traceback" not in done.stderr
    assert latest_checkpoint(copy).step == 6
    state = Trainer(tiny(), torch.device("cpu"))
    fit(tiny(), packed, tmp_path / "other", torch.device("cpu"))
    state.load(RunState.from_checkpoint(find_checkpoint(tmp_path / "other")))
    tensors = HostCopy(state.tensors()).read()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(UserError, match=r"cannot write .*step-00000008.*File too large"):
            checkpoint.save(checkpoint_path(copy, 8), {"step": 8}, tensors)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert latest_checkpoint(copy).step == 6
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_a_folder_without_checkpoints_is_named(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=name):
        find_checkpoint(tmp_path / name)


def test_prune_keeps_the_newest(copy):
    prune_checkpoints(last(copy), 0)
    assert len(list_checkpoints(copy)) == 3
    prune_checkpoints(last(copy), 1)
    assert list_checkpoints(copy) == [last(copy)]


def test_prune_deletes_nothing_if_a_user_has_deleted_checkpoints_meanwhile(copy):
    last(copy).unlink()
    prune_checkpoints(last(copy), 1)
    assert [path.stem for path in list_checkpoints(copy)] == ["step-00000002", "step-00000004"]
    shutil.rmtree(copy / "checkpoints")
    prune_checkpoints(last(copy), 1)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_networks_with_numbers_that_are_not_finite_are_refused(copy, capsys, value):
    found = find_checkpoint(copy)
    tensors = {name: tensor.clone() for name, tensor in found.tensors("").items()}
    tensors["ema.layers.1.running_var"][0] = value
    checkpoint.save(last(copy), found.header, tensors)
    assert cli.main(["sample", str(last(copy)), "--out", str(copy / "s.png")]) == 1
    err = capsys.readouterr().err
    assert "its Generator has numbers that are not finite" in err and err.count("\n") == 1
    assert not (copy / "s.png").exists()
    load_generator(last(copy), ema=False)


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header["config"].pop("conditional"),
        lambda header: header["config"].update(d_steps=[1]),
        lambda header: header["config"].update(width={}),
        lambda header: header["best"].update(stray=1),
        lambda header: header["best"].update(value=10**400),
        lambda header: header["metrics"].update(images=None),
        lambda header: header.update(seconds=10**400),
        lambda header: header.update(summed_steps=2**63),
    ],
)
def test_a_run_passes_over_a_checkpoint_with_an_impossible_header(copy, packed, capsys, change):
    newest = checkpoint.read(last(copy))
    tensors = newest.tensors("")
    change(newest.header)
    checkpoint.save(last(copy), newest.header, tensors)
    config = dataclasses.replace(TINY, steps=5)
    assert fit(config, packed, copy, torch.device("cpu")) == checkpoint_path(copy, 5)
    assert f"skipped: {last(copy)} is not a usable checkpoint" in capsys.readouterr().err
