"""Runs: learning, resuming bit for bit, stopping, and run folders that are in the way."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dcgan.config import DenoiseEvaluateConfig
from dcgan.data import open_packed
from dcgan.deconv import autoencoder
from dcgan.deconv.autoencoder import trainer as trainer_module
from dcgan.deconv.autoencoder.batches import DenoisingLoader
from dcgan.deconv.autoencoder.state import DenoisingState
from dcgan.deconv.autoencoder.trainer import DenoisingTrainer
from dcgan.deconv.training import hold_out, options_of_run
from dcgan.errors import UsageError, UserError
from dcgan.runs.checkpoint import DENOISER, read
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.runs.layout import list_checkpoints
from dcgan.runtime.locks import exclusive_access
from dcgan.runtime.signals import Stopped
from tests.cli.running import ROOT
from tests.conftest import write_packed

CPU = torch.device("cpu")
OF_THE_CLOCK = ("seconds", "images_per_second")


def lines(run) -> list[dict]:
    found = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [{k: v for k, v in line.items() if k not in OF_THE_CLOCK} for line in found]


def same(one, other) -> None:
    """Every tensor of the last checkpoint, every line and point of the log, every picture."""
    first, second = find_checkpoint(one, DENOISER), find_checkpoint(other, DENOISER)
    assert first.step == second.step
    tensors, others = load_file(first.path), load_file(second.path)
    assert set(tensors) == set(others)
    assert [name for name in tensors if not torch.equal(tensors[name], others[name])] == []
    assert lines(one) == lines(other)
    curves = []
    for run in (one, other):
        events = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
        tags = [tag for tag in events.Tags()["scalars"] if tag not in OF_THE_CLOCK]
        curves.append({tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags})
    assert curves[0] == curves[1]
    pictures = [
        {p.name: p.read_bytes() for p in (run / "samples").iterdir()} for run in (one, other)
    ]
    assert pictures[0] == pictures[1]


@pytest.fixture
def at_step(monkeypatch):
    """`at_step(n, act)`: call `act` once, in the n-th step that this process trains."""

    def install(number: int, act) -> None:
        update, done = DenoisingTrainer.update, []

        def counted(self, batch):
            done.append(None)
            if len(done) == number:
                act()
            return update(self, batch)

        monkeypatch.setattr(DenoisingTrainer, "update", counted)

    return install


@pytest.mark.parametrize("corruption", ["gaussian", "masking", "salt-and-pepper"])
def test_a_stopped_run_ends_as_one_that_was_left_alone(tiny, tmp_path, at_step, corruption, capsys):
    whole = tiny(corruption=corruption, steps=11, out=tmp_path / "whole")
    autoencoder.train(whole)
    stopped = tiny(corruption=corruption, steps=11, out=tmp_path / "stopped")
    at_step(5, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(
        Stopped, match="stopped after step 5 of 11; the same command resumes it"
    ) as e:
        autoencoder.train(stopped)
    assert e.value.exit_code == 128 + signal.SIGTERM
    assert find_checkpoint(stopped.out, DENOISER).step == 5
    autoencoder.train(stopped)
    assert f"{stopped.out} resumes from step 5\n" in capsys.readouterr().err
    same(whole.out, stopped.out)


def test_a_killed_run_repeats_the_steps_after_its_last_checkpoint(tiny, tmp_path, at_step):
    whole = tiny(steps=11, out=tmp_path / "whole", log_every=3)
    autoencoder.train(whole)
    killed = tiny(steps=11, out=tmp_path / "killed", log_every=3)

    def fail():
        raise ZeroDivisionError  # no handler of the loop knows it

    at_step(8, fail)
    with pytest.raises(ZeroDivisionError):
        autoencoder.train(killed)
    assert find_checkpoint(killed.out, DENOISER).step == 6
    autoencoder.train(killed)
    same(whole.out, killed.out)


@pytest.mark.slow
def test_SIGKILL_at_a_random_moment_loses_no_saved_step(packed, tiny, tmp_path):
    killed = tmp_path / "killed"
    command = [sys.executable, "-m", "dcgan", "denoise", "train", "--data", str(packed.folder)]
    command += ["--out", str(killed), "--width", "4", "--code-dim", "8", "--batch-size", "8"]
    command += ["--held-out", "10", "--device", "cpu", "--steps", "60", "--log-every", "3"]
    command += ["--sample-every", "7", "--save-every", "2", "--keep", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    while len(list_checkpoints(killed)) < 2 and process.poll() is None:
        time.sleep(0.002)
    time.sleep(np.random.default_rng().uniform(0, 0.1))
    process.kill()
    assert process.wait(60) == -signal.SIGKILL, "it was killed too late"
    assert find_checkpoint(killed, DENOISER).step < 60
    schedule = dict(steps=60, log_every=3, sample_every=7, save_every=2, keep=2)
    autoencoder.train(tiny(out=killed, **schedule))
    autoencoder.train(tiny(out=tmp_path / "whole", **schedule))
    same(tmp_path / "whole", killed)


def test_the_run_folder_has_what_that_of_a_GAN_has(denoiser):
    names = {path.name for path in denoiser.iterdir() if not path.name.startswith("events")}
    assert names == {".lock", "config.json", "checkpoints", "metrics.jsonl", "samples"}
    assert [path.stem for path in list_checkpoints(denoiser)] == [
        f"step-0000000{step}" for step in (2, 4, 6)
    ]
    logged = lines(denoiser)
    assert [line["step"] for line in logged] == [2, 3, 4, 6]
    assert [line["images"] for line in logged] == [16, 24, 32, 48]
    assert {"psnr/0.1", "psnr/0.3", "psnr/0.5"} <= logged[-1].keys() & logged[1].keys()
    assert {"loss", "grad_norm", "lr"} <= logged[0].keys()
    events = EventAccumulator(str(denoiser)).Reload().Tags()
    assert "samples/denoised" in events["images"] and "psnr/0.3" in events["scalars"]


def test_keep_deletes_older_checkpoints(tiny):
    autoencoder.train(tiny(keep=1))
    assert [path.stem for path in list_checkpoints(tiny().out)] == ["step-00000006"]


def test_a_finished_run_trains_on_with_more_steps(tiny, capsys):
    last = autoencoder.train(tiny())
    assert autoencoder.train(tiny()) == last
    assert "has done its 6 steps: raise --steps to train longer" in capsys.readouterr().err
    longer = autoencoder.train(tiny(steps=8, lr=1e-4))
    said = capsys.readouterr().err
    assert "resumes from step 6 with --steps 8 (6 before), --lr 0.0001 (0.003 before)" in said
    assert read(longer, DENOISER).step == 8
    assert options_of_run(DenoisingState, tiny().out).lr == 1e-4


def test_only_images_that_are_not_held_out_are_trained_on(tiny, tmp_path):
    numbered = np.zeros((60, 16, 16, 3), np.uint8)
    numbered[:] = np.arange(60, dtype=np.uint8)[:, None, None, None]
    packed = open_packed(write_packed(tmp_path / "numbered", numbered))
    config = tiny(data=packed.folder, held_out=12)
    fitted, held_out = hold_out(60, 12, config.seed)
    assert len(held_out) == 12 and set(fitted) | set(held_out) == set(range(60))
    assert (hold_out(60, 12, seed=1)[1] != held_out).any(), "chosen by the seed"
    loader = DenoisingLoader(packed, config, CPU)
    seen = [((loader.at(step).clean[:, 0, 0, 0] + 1) * 127.5).round().int() for step in range(6)]
    assert sorted(torch.cat(seen).tolist()) == sorted(fitted), "each once in an epoch"


def test_at_most_a_fifth_is_held_out():
    assert [len(part) for part in hold_out(50, 1000, 0)] == [40, 10]


def test_a_batch_is_a_pure_function_of_seed_and_step(packed, tiny):
    loaders = [DenoisingLoader(packed, tiny(seed=seed), CPU) for seed in (0, 0, 1)]
    ahead = loaders[0].starting_at(3)
    for step in (3, 4):
        ours, alone, other = next(ahead), loaders[1].at(step), loaders[2].at(step)
        assert torch.equal(ours.clean, alone.clean)
        assert torch.equal(ours.corrupted, alone.corrupted)
        assert not torch.equal(ours.corrupted, other.corrupted)
    error = (ours.corrupted - ours.clean).flatten(1).std(1)
    assert float(error.min()) > 0.05 and float(error.max()) < 0.5


def test_training_learns_to_denoise(tiny, tmp_path):
    """Stripes of any direction and colour: far from the mean, and far from the noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:16, :16]
    angle, phase = rng.uniform(0, np.pi, (2, 400, 1, 1))
    waves = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 0.6 + phase * 2)
    colours = rng.uniform(0.2, 1, (400, 1, 1, 3))
    images = (127.5 + 127 * waves[..., None] * colours).astype(np.uint8)
    data = write_packed(tmp_path / "stripes", images)
    config = tiny(data=data, width=16, code_dim=32, batch_size=16, steps=250, lr=3e-3)
    config = dataclasses.replace(config, sample_every=250, save_every=250, noise_levels=(0.5, 0.5))
    autoencoder.train(config)
    report = DenoiseEvaluateConfig(run=config.out, out=tmp_path / "d.png")
    found = autoencoder.evaluate(report)
    (noisy,), (ours,) = found.psnr["noisy"], found.psnr["autoencoder"]
    assert 11 < noisy < 14.5
    assert ours > noisy + 4


def test_a_loss_that_is_not_finite_ends_the_run_before_it_is_saved(tiny, monkeypatch):
    loss, calls = trainer_module.denoising_loss, []

    def poisoned(network, batch):
        calls.append(None)
        poison = float("nan") if len(calls) == 5 else 1.0
        return loss(network, batch._replace(clean=batch.clean * poison))

    monkeypatch.setattr(trainer_module, "denoising_loss", poisoned)
    with pytest.raises(UserError, match=r"not finite at step 6: try a lower --lr.*step-00000004"):
        autoencoder.train(tiny())
    assert find_checkpoint(tiny().out, DENOISER).step == 4


def test_two_processes_do_not_train_in_one_folder(tiny):
    with (
        exclusive_access(tiny().out),
        pytest.raises(UserError, match="another process is training in"),
    ):
        autoencoder.train(tiny())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(width=8), "was trained with --width 4, not 8: use that, or another --out"),
        (dict(code_dim=9), "was trained with --code-dim 8, not 9"),
        (dict(seed=1), "was trained with --seed 0, not 1"),
        (dict(held_out=11), "was trained with --held-out 10, not 11"),
        (dict(batch_size=16), "was trained with --batch-size 8, not 16"),
    ],
)
def test_what_defines_a_run_does_not_change(tiny, changes, words):
    autoencoder.train(tiny(steps=2))
    with pytest.raises(UserError, match=re.escape(words)):
        autoencoder.train(tiny(**changes))


def test_other_images_and_other_files_are_refused(tiny, tmp_path):
    autoencoder.train(tiny(steps=2))
    data = write_packed(tmp_path / "other", np.zeros((20, 16, 16, 3), np.uint8))
    with pytest.raises(UserError, match="was trained on other images than those in"):
        autoencoder.train(tiny(data=data))
    few = write_packed(tmp_path / "few", np.zeros((9, 16, 16, 3), np.uint8))
    with pytest.raises(UserError, match="9 images are too few"):
        autoencoder.train(tiny(data=few, out=tmp_path / "new"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(UserError, match="holds other files: use another --out"):
        autoencoder.train(tiny(out=tmp_path / "mine"))
    with pytest.raises(UsageError, match="--data: name a packed folder"):
        autoencoder.train(tiny(data=None))
    with pytest.raises(UsageError, match="train needs a DenoiseTrainConfig, not"):
        autoencoder.train({})


def test_a_damaged_checkpoint_is_passed_over(tiny, capsys):
    autoencoder.train(tiny())
    newest = list_checkpoints(tiny().out)[-1]
    content = bytearray(newest.read_bytes())
    content[-9] ^= 1
    newest.write_bytes(content)
    autoencoder.train(tiny())
    said = capsys.readouterr().err
    assert "its checksum does not match" in said and "resumes from step 4" in said
    assert find_checkpoint(tiny().out, DENOISER).step == 6
