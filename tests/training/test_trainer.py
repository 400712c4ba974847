import copy
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from dcgan import sampling
from dcgan.data import open_packed
from dcgan.errors import UserError
from dcgan.networks import strided_convolution
from dcgan.runs import checkpoint
from dcgan.runs.checkpoint_folder import find_checkpoint, latest_checkpoint
from dcgan.runs.loading import load_generator
from dcgan.runs.scalar_means import ScalarMeans
from dcgan.runtime.signals import Stopped
from dcgan.training import loop
from dcgan.training.adaptive_augmentation import overfitting_heuristic
from dcgan.training.batches import Batch, BatchLoader
from dcgan.training.monitoring import Diverged, image_diagnostics
from dcgan.training.optimizer import make_adam
from dcgan.training.periodic_tasks import PeriodicTasks
from dcgan.training.trainer import Trainer
from tests.conftest import PLAIN, fit, write_packed

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]


def logged(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def state(run):
    return load_file(find_checkpoint(run).path)


def test_one_step_equals_an_independent_implementation(tiny, packed):
    """That of 2014, against an independent step in float64 with BCE and torch's unfused Adam."""
    ours = Trainer(tiny(**PLAIN), CPU)
    for network in (ours.G, ours.D):
        network.double()
    ours.opt_G = make_adam(ours.G, 1e-2, ours.config)
    ours.opt_D = make_adam(ours.D, 3e-3, ours.config)
    G, D = copy.deepcopy(ours.G), copy.deepcopy(ours.D)
    opt_G = torch.optim.Adam(G.parameters(), 1e-2, (0.5, 0.999), foreach=False)
    opt_D = torch.optim.Adam(D.parameters(), 3e-3, (0.5, 0.999), foreach=False)
    bce = F.binary_cross_entropy
    for batch in itertools.islice(BatchLoader(packed.images, ours.config, CPU).starting_at(0), 3):
        batch = Batch._make(tensor.double() for tensor in batch)
        real, z = batch.real, batch.z
        scalars = ours.d_and_g_step(batch)

        one, zero = torch.ones(8).double(), torch.zeros(8).double()
        G.zero_grad()
        D.zero_grad()
        fake = G(z)
        p_real, p_fake = D(real).sigmoid(), D(fake.detach()).sigmoid()
        loss_D = bce(p_real, one) + bce(p_fake, zero)
        loss_D.backward()
        norm_D = torch.cat([p.grad.flatten() for p in D.parameters()]).norm()
        opt_D.step()
        loss_G = bce(D(fake).sigmoid(), one)
        loss_G.backward()
        norm_G = torch.cat([p.grad.flatten() for p in G.parameters()]).norm()
        opt_G.step()

        expected = {
            "loss_D": loss_D,
            "loss_G": loss_G,
            "D_real": p_real.mean(),
            "D_fake": p_fake.mean(),
            "accuracy_real": (p_real > 0.5).double().mean(),
            "accuracy_fake": (p_fake < 0.5).double().mean(),
            "logit_real": p_real.logit().mean(),
            "logit_fake": p_fake.logit().mean(),
            "logit_std": p_real.logit().std(),
            "overfitting": overfitting_heuristic(p_real, p_fake),
            "augment_p": torch.zeros(()).double(),
            "grad_norm_D": norm_D,
            "grad_norm_G": norm_G,
            **image_diagnostics(real, fake.detach()),  # tested in monitoring/test_diagnostics.py
        }
        assert set(scalars) == set(expected)
        for name, value in expected.items():
            torch.testing.assert_close(scalars[name].double(), value.detach().double(), msg=name)
    for mine, theirs in ((ours.G, G), (ours.D, D)):
        for name, value in theirs.state_dict().items():
            torch.testing.assert_close(mine.state_dict()[name], value, msg=name)


def test_g_step_leaves_no_gradient_in_D(tiny, packed):
    ours = Trainer(tiny(), CPU)
    batch = BatchLoader(packed.images, ours.config, CPU).at(0)
    parts = ours.generate_fakes(batch)
    _, real_logits = ours.d_step(parts, penalized=True)
    before = [p.grad.clone() for p in ours.D.parameters()]
    ours.g_step(parts, real_logits)
    assert all(torch.equal(p.grad, b) for p, b in zip(ours.D.parameters(), before, strict=True))


@pytest.mark.parametrize(
    "options", [{}, dict(loss="wasserstein", gradient_penalty=10), dict(augment_p=0.5)]
)
def test_the_step_runs_on_the_meta_device(tiny, packed, monkeypatch, options):
    """On "meta" there are no values: reading one, or mixing in a tensor of the CPU, raises."""

    def plain_adam(network, lr, config, captured):  # the fused one has no kernel there
        return torch.optim.Adam(network.parameters(), lr, betas=(config.beta1, config.beta2))

    monkeypatch.setattr("dcgan.training.trainer.make_adam", plain_adam)
    meta = torch.device("meta")
    ours = Trainer(tiny(**options), meta)
    shapes = BatchLoader(packed.images, ours.config, CPU).at(0)
    batch = Batch._make(torch.empty_like(tensor, device=meta) for tensor in shapes)
    for _ in range(2):  # what clips gradients knows none before the second
        scalars = ours.update(batch)
    ScalarMeans().add(scalars)
    assert {value.device for value in scalars.values()} == {meta}
    assert sampling.make_renderer(ours.G_ema)(torch.empty(64, 8, device=meta)).device == meta
    with pytest.raises(RuntimeError):
        ours.update(batch._replace(real=shapes.real))


class HostSyncs(TorchFunctionMode):
    """Counts the calls, of this thread, that would make the host wait for a GPU.

    `tolist` and `numpy` read the memory of a CPU tensor without an operation that a
    TorchDispatchMode sees, so methods of tensors are counted rather than operations.
    """

    NAMES = (
        *("item", "tolist", "cpu", "numpy", "nonzero", "equal", "allclose", "masked_select"),
        *("unique", "is_nonzero", "__bool__", "__float__", "__int__", "__index__", "__array__"),
    )

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.count += getattr(function, "__name__", "") in self.NAMES
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "sync",
    [
        lambda x: x.item(),
        lambda x: x.tolist(),
        lambda x: x.cpu(),
        lambda x: x.numpy(),
        lambda x: float(x),
        lambda x: bool(x > 0),
        lambda x: torch.equal(x, x),
        lambda x: x.nonzero(),
    ],
)
def test_the_counter_sees_every_kind_of_host_sync(sync):
    with HostSyncs() as mode:
        sync(torch.ones(()))
    assert mode.count == 1


@pytest.mark.parametrize(
    "options", [{}, dict(augment_p="adaptive", d_steps=2), dict(spectral_norm=True, accumulate=2)]
)
def test_only_steps_that_log_sample_or_save_wait_for_the_device(tiny, packed, tmp_path, options):
    config = tiny(steps=20, log_every=10, sample_every=4, save_every=3, **options)
    ours = Trainer(config, CPU)
    batches = BatchLoader(packed.images, config, CPU)
    waits = []
    with PeriodicTasks(ours, packed, tmp_path / "run") as tasks:
        for step in range(19):
            of_step = [batches.at(config.d_steps * step + i) for i in range(config.d_steps)]
            with HostSyncs() as mode:
                tasks.after_step(ours.update(*of_step))
            waits.append(mode.count)
    due = {step for step in range(1, 20) if not (step % 10 and step % 4 and step % 3)}
    assert {step for step, count in enumerate(waits, start=1) if count} == due


class Operations(TorchDispatchMode):
    """Notes every operation with the shapes and the numbers that it is given."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        def shape_or_number(value):
            return tuple(value.shape) if isinstance(value, torch.Tensor) else value

        given = torch.utils._pytree.tree_map(shape_or_number, (args, kwargs or {}))
        if func.namespace != "profiler":
            self.seen.append((str(func), repr(given)))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("penalized", [False, True])
@pytest.mark.parametrize("options", [{}, dict(d_steps=2, accumulate=2, augment_p="adaptive")])
def test_every_step_does_the_same_operations_on_the_same_numbers(tiny, packed, penalized, options):
    """What a CUDA graph has recorded it does again: a learning rate or a shape included."""
    ours = Trainer(tiny(**options), CPU)
    batches = BatchLoader(packed.images, ours.config, CPU).starting_at(0)
    recordings = []
    for _ in range(4):
        of_step = [next(batches) for _ in range(ours.config.d_steps)]
        with Operations() as recording:
            ours.d_and_g_step(*of_step, penalized=penalized)
        recordings.append(recording.seen)
    assert len(recordings[1]) > 100
    # The first step also makes the state of Adam.
    assert recordings[1] == recordings[2] == recordings[3]


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        (dict(r1=1, r2=0, penalty_every=3), [True, False, False] * 2),
        (dict(r1=1, r2=0, penalty_every=1), [True] * 6),
        (dict(loss="hinge", r1=0, r2=0), [False] * 6),
    ],
)
def test_the_first_two_steps_show_every_kind_of_step(tiny, options, kinds):
    """Or a recording would wait for ever for one that never comes."""
    ours = Trainer(tiny(**options), CPU)
    assert [ours.is_penalized(step) for step in range(6)] == kinds
    assert set(kinds[:2]) == set(kinds)


def test_full_gpu_memory_gives_one_line_with_what_to_reduce(tiny, packed, tmp_path, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

    monkeypatch.setattr(Trainer, "update", full)
    config = tiny(data=packed.folder, out=tmp_path / "run")
    with pytest.raises(UserError, match="memory is full: try a smaller --batch-size"):
        loop.train(config)


def losses_of(config, packed, on, steps=16) -> torch.Tensor:
    ours = Trainer(config, on)
    batches = BatchLoader(packed.images, ours.config, on).starting_at(0)
    groups = zip(range(steps), *[batches] * config.d_steps, strict=False)
    scalars = (ours.update(*group) for _, *group in groups)
    return torch.tensor([[float(s["loss_D"]), float(s["loss_G"])] for s in scalars])


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of the compiler, at itself
def test_compiled_networks_learn_as_eager_ones(tiny, packed):
    """In steps with penalties, whose second derivatives the compiler has not, and without."""
    options = dict(penalty_every=2, precision="fp32")  # the compiler skips roundings to bf16
    eager = losses_of(tiny(**options), packed, CPU, steps=3)
    compiled = losses_of(tiny(**options, compile=True), packed, CPU, steps=3)
    torch.testing.assert_close(compiled, eager, rtol=1e-3, atol=1e-4)
    names = set(Trainer(tiny(compile=True), CPU).G.state_dict())
    assert names == set(Trainer(tiny(), CPU).G.state_dict())


def test_too_little_memory_gives_one_line(packed, tmp_path):
    """Networks that need gigabytes, where the system gives one."""
    limit = (
        "import resource, sys, torch; from dcgan import cli\n"
        "from dcgan.training import loop\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 2**30,) * 2)\n"
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    words = ["train", "--data", packed.folder, "--out", tmp_path / "run", "--device", "cpu"]
    words += ["--width", "1024", "--threads", "1"]
    done = subprocess.run(
        [sys.executable, "-c", limit, *map(str, words)], capture_output=True, text=True
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "the memory is full: try a smaller --batch-size" in done.stderr.splitlines()[-1]


@pytest.mark.cuda
@pytest.mark.filterwarnings("default")  # of the compiler, at itself
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize(
    "mode",
    [
        dict(cuda_graphs=True),
        dict(cuda_graphs=True, d_steps=2, accumulate=2, augment_p=0.5, clip=1.01),
        dict(cuda_graphs=True, precision="bf16", lr_decay="linear", augment_p="adaptive"),
        dict(cuda_graphs=True, compile=True),
        dict(cuda_graphs=False, compile=True),
    ],
)
def test_captured_and_compiled_steps_learn_as_eager_ones_on_a_gpu(tiny, packed, mode):
    """Steps with penalties and those without are recorded after three of each, then replayed."""
    gpu, lazy = torch.device("cuda"), dict(precision="fp32", penalty_every=2, lr_G=1e-3)
    eager = losses_of(tiny(**lazy | mode | dict(cuda_graphs=False, compile=False)), packed, gpu)
    found = losses_of(tiny(**lazy | mode), packed, gpu)
    torch.testing.assert_close(found, eager, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("by_products", [False, True])
def test_bf16_gives_nearly_the_same_losses(tiny, packed, monkeypatch, by_products):
    """With the convolutions of PyTorch, and with those of CPUs that multiply bf16 in hardware."""
    capability = torch.backends.cpu.get_cpu_capability()
    measured = {capability: (torch.bfloat16,)} if by_products else {}
    monkeypatch.setattr(strided_convolution, "MEASURED_TYPES", measured)
    monkeypatch.setattr(strided_convolution, "_MIN_PRODUCT_CHANNELS", 1)
    batch = BatchLoader(packed.images, tiny(), CPU).at(0)
    single, half = (
        Trainer(tiny(precision=precision, width=16), CPU).update(batch)
        for precision in ("fp32", "bf16")
    )
    for name in ("loss_D", "loss_G"):
        assert half[name].dtype == torch.float32
        torch.testing.assert_close(half[name], single[name], rtol=0.02, atol=0)
        assert not torch.equal(half[name], single[name])
    for name in ("grad_norm_D", "grad_norm_G"):  # penalties included
        torch.testing.assert_close(half[name], single[name], rtol=0.1, atol=0)


def test_resumed_run_equals_an_uninterrupted_one_bit_for_bit(tiny, packed, run, tmp_path):
    fit(tiny(steps=4), packed, tmp_path / "halves", CPU)
    fit(tiny(steps=6), packed, tmp_path / "halves", CPU)
    whole, halves = state(run), state(tmp_path / "halves")
    assert set(whole) == set(halves)
    assert all(torch.equal(whole[name], halves[name]) for name in whole)
    for png in (run / "samples").iterdir():
        if png.name != "step-00000004.png":
            assert png.read_bytes() == (tmp_path / "halves" / "samples" / png.name).read_bytes()
    assert [line["step"] for line in logged(tmp_path / "halves")] == [2, 4, 6]


@pytest.mark.parametrize("done", [2, 3, 4, 5])
def test_a_crashed_run_resumes_with_the_logs_of_an_uninterrupted_one(tiny, packed, tmp_path, done):
    """Checkpoints fall between two lines of the log here, so its sums must be kept in them."""
    config = tiny(log_every=3, save_every=2)
    fit(config, packed, tmp_path / "whole", CPU)
    crashed = Trainer(config, CPU)
    batches = BatchLoader(packed.images, config, CPU)
    with PeriodicTasks(crashed, packed, tmp_path / "parts") as tasks:
        for step in range(done):
            tasks.after_step(crashed.update(batches.at(step)))
    fit(config, packed, tmp_path / "parts", CPU)
    whole, parts = logged(tmp_path / "whole"), logged(tmp_path / "parts")
    for line in (*whole, *parts):
        assert line.pop("seconds") > 0
        assert line.pop("images_per_second") > 0
    assert whole == parts
    events = EventAccumulator(str(tmp_path / "parts"), size_guidance={"images": 0}).Reload()
    assert [e.step for e in events.Scalars("loss_D")] == [3, 6]
    assert [e.step for e in events.Images("real")] == [0]


def test_non_finite_networks_are_never_saved(tiny, packed, tmp_path):
    """A poisoned weight between two lines of the log must not push out the good checkpoints."""
    config = tiny(steps=40, log_every=40, save_every=2, keep=1)
    ours = Trainer(config, CPU)
    batches = BatchLoader(packed.images, config, CPU)
    with (
        pytest.raises(Diverged, match="G is not finite in step 4"),
        PeriodicTasks(ours, packed, tmp_path / "run") as tasks,
    ):
        for step in range(3):
            tasks.after_step(ours.update(batches.at(step)))
        with torch.no_grad():
            ours.G.layers[0].weight[0, 0] = float("nan")
        tasks.after_step(ours.update(batches.at(3)))
    found = find_checkpoint(tmp_path / "run")
    assert found.step == 2
    assert all(value.isfinite().all() for value in load_file(found.path).values())


@pytest.mark.parametrize("content", ['{"mine": 1}', "not JSON", None])
def test_training_refuses_a_folder_of_other_files(tiny, packed, tmp_path, content):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "metrics.jsonl").write_text('{"step": 9, "accuracy": 0.5}\n')
    if content:
        (folder / "config.json").write_text(content)
    before = {path.name: path.read_text() for path in folder.iterdir()}
    with pytest.raises(UserError, match="mine holds other files"):
        fit(tiny(), packed, folder, CPU)
    assert {path.name: path.read_text() for path in folder.iterdir()} == before


def test_a_run_without_checkpoints_restarts_and_keeps_its_old_log(packed, tiny, run, tmp_path):
    """Killed before the first checkpoint, or its checkpoints were moved away."""
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    old = (tmp_path / "run" / "metrics.jsonl").read_text()
    for count in (1, 2):
        fit(tiny(steps=2), packed, tmp_path / "run", CPU)
        assert (tmp_path / "run" / "metrics-1.jsonl").read_text() == old
        assert len(list((tmp_path / "run").glob("metrics-*"))) == count
        shutil.rmtree(tmp_path / "run" / "checkpoints")


def test_a_damaged_log_does_not_stop_a_run(tiny, packed, run, tmp_path):
    shutil.copytree(run, tmp_path / "copy")
    metrics = tmp_path / "copy" / "metrics.jsonl"
    with metrics.open("ab") as file:
        file.write(b'\xff\xfe\n[]\n{"step": 6')
    fit(tiny(steps=8), packed, tmp_path / "copy", CPU)
    assert [line["step"] for line in logged(tmp_path / "copy")] == [2, 4, 6, 8]
    metrics.unlink()
    metrics.mkdir()
    with pytest.raises(UserError, match=r"metrics\.jsonl is not a file"):
        fit(tiny(steps=10), packed, tmp_path / "copy", CPU)


def test_the_initial_weights_depend_on_the_seed_alone(tiny):
    torch.manual_seed(99)
    a = Trainer(tiny(), CPU)
    before = torch.rand(1)
    torch.manual_seed(99)
    assert torch.rand(1) == before, "a trainer must not touch the caller's random state"
    b, c = Trainer(tiny(), CPU), Trainer(tiny(seed=1), CPU)
    weight = a.G.layers[0].weight
    assert torch.equal(weight, b.G.layers[0].weight)
    assert not torch.equal(weight, c.G.layers[0].weight)


def test_logs_are_read_back_by_tensorboard(run):
    events = EventAccumulator(str(run), size_guidance={"images": 0, "scalars": 0}).Reload()
    lines = logged(run)
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert [line["images"] for line in lines] == [16, 32, 48]
    names = set(lines[0]) - {"step"}
    assert {"loss_D", "loss_G", "D_real", "D_fake", "lr_G", "images_per_second"} <= names
    for name in names:
        points = [(e.step, e.value) for e in events.Scalars(name)]
        assert [s for s, _ in points] == [2, 4, 6]
        np.testing.assert_allclose(
            [v for _, v in points], [line[name] for line in lines], rtol=1e-5
        )
    assert [e.step for e in events.Images("real")] == [0]
    for kind in ("samples/ema", "samples/raw"):
        pictures = events.Images(kind)
        assert [e.step for e in pictures] == [3, 6]
        assert pictures[0].width == 8 * 18 + 2
    assert sorted(p.name for p in (run / "samples").iterdir()) == [
        "step-00000003.png",
        "step-00000006.png",
    ]


def test_logged_losses_are_means_over_the_steps_since_the_last(tiny, packed, tmp_path):
    every = fit(tiny(log_every=1), packed, tmp_path / "every", CPU)
    fit(tiny(log_every=3), packed, tmp_path / "third", CPU)
    assert every.exists()
    fine, coarse = (
        [line["loss_D"] for line in logged(tmp_path / name)] for name in ("every", "third")
    )
    np.testing.assert_allclose(np.reshape(fine, (2, 3)).mean(1), coarse, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [({"width": 8}, "--width 4, not 8"), ({"seed": 3}, "--seed"), ({"batch_size": 4}, "--batch")],
)
def test_a_run_refuses_contradicting_flags(tiny, packed, run, tmp_path, changes, complaint):
    shutil.copytree(run, tmp_path / "copy")
    with pytest.raises(UserError, match=complaint):
        fit(tiny(steps=9, **changes), packed, tmp_path / "copy", CPU)


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_run_and_the_same_command_resumes_it(packed, tmp_path, signum):
    flags = ["--width", "4", "--batch-size", "8", "--device", "cpu", "--save-every", "1000000"]
    command = [sys.executable, "train.py", "--data", packed.folder, "--out", tmp_path / "run"]
    options = {"cwd": ROOT, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    long = subprocess.Popen([*command, *flags, "--steps", "1000000", "--log-every", "1"], **options)
    metrics = tmp_path / "run" / "metrics.jsonl"
    while not (metrics.exists() and metrics.read_text().count("\n") > 3):
        assert long.poll() is None, long.communicate()
        time.sleep(0.05)
    long.send_signal(signum)
    _, err = long.communicate(timeout=60)
    assert long.returncode == 128 + signum
    assert "the same command resumes it" in err.splitlines()[-1]
    assert "Traceback" not in err
    stopped = find_checkpoint(tmp_path / "run").step
    assert stopped == logged(tmp_path / "run")[-1]["step"]
    again = [*command, *flags, "--steps", str(stopped + 2), "--log-every", "1"]
    subprocess.run(again, check=True, cwd=ROOT, capture_output=True)
    assert [line["step"] for line in logged(tmp_path / "run")] == [*range(1, stopped + 3)]


def test_training_learns_both_modes_of_a_toy_data_set(tiny, tmp_path):
    """Images that are all light or all dark: G must end with both, and little in between."""
    images = np.full((64, 8, 8, 1), 230, np.uint8)
    images[::2] = 25
    toy = open_packed(write_packed(tmp_path / "toy", images))
    config = tiny(
        size=8,
        channels=1,
        width=32,
        batch_size=32,
        steps=400,
        lr_G=1e-3,
        lr_D=3e-4,
        beta1=0.0,
        log_every=100,
        sample_every=400,
        save_every=400,
    )  # both modes with each of five seeds; with lr_D = lr_G one of the two with none
    fit(config, toy, tmp_path / "run", CPU)
    G = load_generator(tmp_path / "run")
    means = np.concatenate(list(sampling.sample(G, range(256)))).mean((1, 2, 3))
    light, dark = (means > 180).mean(), (means < 75).mean()
    assert light > 0.1
    assert dark > 0.1
    assert light + dark > 0.4


@pytest.fixture
def at_step(monkeypatch):
    """`at_step(3, action)` does that in the step after the third."""

    def wait(step, action):
        update = Trainer.update

        def acting(self, *batches, **options):
            if self.step == step:
                action()
            return update(self, *batches, **options)

        monkeypatch.setattr(Trainer, "update", acting)

    return wait


@pytest.mark.parametrize("step", [0, 3])
def test_a_read_error_saves_the_steps_done(tiny, tmp_path, at_step, step):
    """A disk may fail, and a file be cut short, hours after the last checkpoint."""
    images = np.zeros((50, 16, 16, 3), np.uint8)
    packed = open_packed(write_packed(tmp_path / "packed", images))
    at_step(step, lambda: os.truncate(packed.images.filename, 128))
    with pytest.raises(UserError, match=r"images\.npy has been cut short"):
        fit(tiny(steps=99, save_every=99), packed, tmp_path / "run", CPU)
    # One batch was read ahead, and the next may have been.
    assert find_checkpoint(tmp_path / "run").step - step in (1, 2)


def test_a_read_error_before_the_first_step_saves_nothing(tiny, tmp_path, monkeypatch):
    def refuse(*_):
        raise UserError("cannot read it")

    images = np.zeros((50, 16, 16, 3), np.uint8)
    packed = open_packed(write_packed(tmp_path / "packed", images))
    monkeypatch.setattr(BatchLoader, "_load", refuse)
    with pytest.raises(UserError, match="cannot read it"):
        fit(tiny(), packed, tmp_path / "run", CPU)
    assert latest_checkpoint(tmp_path / "run") is None


@pytest.mark.parametrize("step", [3, 5])
def test_a_signal_saves_once_and_is_ignored_in_the_last_step(
    tiny, packed, tmp_path, monkeypatch, at_step, step
):
    save, saved = checkpoint.save, []

    def counted(path, *args):
        saved.append(path.stem)
        save(path, *args)

    monkeypatch.setattr(checkpoint, "save", counted)
    at_step(step, lambda: signal.raise_signal(signal.SIGTERM))
    handler = signal.getsignal(signal.SIGTERM)
    if step == 3:
        with pytest.raises(Stopped, match="after step 4 of 6"):
            fit(tiny(), packed, tmp_path / "run", CPU)
    else:
        path = fit(tiny(), packed, tmp_path / "run", CPU)
        assert path == find_checkpoint(tmp_path / "run").path
    assert saved == [f"step-{i:08d}" for i in range(2, step + 2, 2)]
    assert signal.getsignal(signal.SIGTERM) is handler


def test_training_a_finished_run_changes_nothing(tiny, packed, run, tmp_path):
    """Fewer --steps than are done are not what the run was trained with."""
    shutil.copytree(run, tmp_path / "copy")
    before = {path: path.read_bytes() for path in (tmp_path / "copy").rglob("*.*")}
    for steps in (2, 6):
        path = fit(tiny(steps=steps), packed, tmp_path / "copy", CPU)
        assert path == find_checkpoint(tmp_path / "copy").path
    assert {path: path.read_bytes() for path in (tmp_path / "copy").rglob("*.*")} == before


def test_trainers_that_threads_build_at_once_get_the_weights_of_their_seeds(tiny):
    configs = [tiny(seed=seed, width=32) for seed in range(8)]
    expected = [Trainer(config, CPU) for config in configs]
    before = torch.get_rng_state()
    with ThreadPoolExecutor(len(configs)) as pool:
        built = [*pool.map(lambda config: Trainer(config, CPU), configs)]
    for ours, theirs in zip(built, expected, strict=True):
        for one, other in zip([ours.G, ours.D], [theirs.G, theirs.D], strict=True):
            assert all(map(torch.equal, one.parameters(), other.parameters()))
    assert torch.equal(torch.get_rng_state(), before)
