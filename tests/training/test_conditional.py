"""Training on labels, from the packed folder to `sample --label`."""

import copy
import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from benchmarks import labels as label_benchmark
from dcgan import cli, images, sampling
from dcgan.data import open_packed
from dcgan.errors import UsageError, UserError
from dcgan.evaluation import report
from dcgan.evaluation.real_images import match_label
from dcgan.latent import walk
from dcgan.reports import preflight
from dcgan.runs import checkpoint
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.runs.layout import best_checkpoint_path
from dcgan.runs.loading import load_discriminator, load_generator
from dcgan.training import loop, preparation
from dcgan.training.batches import BatchLoader
from dcgan.training.periodic_evaluation import Evaluator
from tests.conftest import TINY, fit, write_packed

CPU = torch.device("cpu")
N = 48
KINDS = {
    "class": (np.arange(N) % 3, ("cat", "dog", "fox")),
    "attributes": (np.stack([np.arange(N) % 2, np.arange(N) % 3 == 0], 1), ("Smiling", "hat")),
}


@pytest.fixture(scope="module", params=KINDS)
def labelled(request, tmp_path_factory):
    labels, names = KINDS[request.param]
    labels = labels.astype(np.int64 if request.param == "class" else np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (N, 16, 16, 3), dtype=np.uint8)
    folder = tmp_path_factory.mktemp("labelled") / "packed"
    return open_packed(write_packed(folder, noise, labels, names, request.param))


@pytest.fixture(scope="module")
def trained(labelled, tmp_path_factory):
    """A finished conditional run of 6 steps. Tests must not change it."""
    folder = tmp_path_factory.mktemp("runs") / "conditional"
    fit(conditional(TINY), labelled, folder, CPU)
    return folder


def conditional(config, **changes):
    return dataclasses.replace(config, conditional=True, **changes)


def test_a_batch_has_the_labels_of_its_images(labelled, tiny):
    """For D and for G alike."""
    batches = BatchLoader(labelled.images, tiny(flip=False), CPU, labels=labelled.multi_hot)
    batch = batches.at(0)
    found = images.to_uint8(batch.real).numpy()
    for image, labels, z in zip(found, batch.labels, batch.z, strict=True):
        (index,) = np.flatnonzero((labelled.images == image).all((1, 2, 3)))
        own = labelled.labels[index]
        if own.ndim == 0:
            own = np.eye(3)[own]
        assert labels.tolist() == z[8:].tolist() == own.tolist()


def test_loaded_networks_have_the_labels_and_use_them(labelled, trained):
    G = load_generator(trained)
    assert G.labels.kind == labelled.meta["label_kind"]
    assert G.labels.names == labelled.label_names
    assert G.labels.counts.sum() == N
    expected = preparation.read_labels(labelled).from_seeds(range(99))
    assert torch.equal(G.labels.from_seeds(range(99)), expected)
    assert G.layers[0].weight.shape[0] == 8 + len(labelled.label_names)
    D = load_discriminator(trained)
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    ones, zeros = (torch.full((2, len(labelled.label_names)), v) for v in (1.0, 0.0))
    assert not torch.allclose(D(x, ones), D(x, zeros), atol=1e-6)


def test_a_resumed_run_equals_an_uninterrupted_one(labelled, trained, tiny, tmp_path):
    fit(conditional(tiny(), steps=4), labelled, tmp_path / "halves", CPU)
    fit(conditional(tiny(), steps=6), labelled, tmp_path / "halves", CPU)
    whole, halves = (load_file(find_checkpoint(run).path) for run in (trained, tmp_path / "halves"))
    assert set(whole) == set(halves)
    assert all(torch.equal(whole[name], halves[name]) for name in whole)
    with pytest.raises(UserError, match="--conditional, not --no-conditional"):
        fit(tiny(steps=9), labelled, tmp_path / "halves", CPU)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of the compiler, at itself
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("bf16", 2e-2)])
def test_a_compiled_conditional_step_with_spectral_norm_has_the_gradients_of_the_eager_one(
    labelled, tiny, precision, tolerance
):
    """Every step starts from equal states: Adam's first steps turn the rounding error of a small
    gradient into a whole step of a weight.

    D must stay eager: a compiled one would read spectral-norm vectors that its next pass changes.
    The gradients of G in bf16 differ by 0.5 %; they differ from those in fp32 by 5 %, and from
    those for other labels by 20 %.
    """
    torch.compiler.reset()  # after eight compilations torch would go on in eager mode
    config = conditional(tiny(), spectral_norm=True, precision=precision)
    eager = preparation.make_trainer(labelled, config, CPU)
    compiled = preparation.make_trainer(labelled, dataclasses.replace(config, compile=True), CPU)
    for _, batch in zip(range(3), loop.make_batches(eager, labelled)):  # noqa: B905 (endless)
        for name in ("G", "D", "opt_G", "opt_D"):
            state = copy.deepcopy(getattr(eager, name).state_dict())
            getattr(compiled, name).load_state_dict(state)
        expected, found = eager.update(batch), compiled.update(batch)
        for name in ("loss_D", "loss_G"):
            torch.testing.assert_close(found[name], expected[name], rtol=tolerance, atol=0)
        for name in ("G", "D"):
            ours, theirs = (
                torch.cat([p.grad.flatten() for p in getattr(each, name).parameters()])
                for each in (compiled, eager)
            )
            assert theirs.norm() > 0
            assert (ours - theirs).norm() < tolerance * theirs.norm(), name
        vectors = [name for name in eager.D.state_dict() if name.endswith("._u")]
        assert len(vectors) == 4
        for name in vectors:
            ours, theirs = (each.D.state_dict()[name] for each in (compiled, eager))
            torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance)


def test_sample_generates_the_label_that_is_asked_for(labelled, trained, tmp_path, capsys):
    """A seed has labels of its own: naming them changes nothing, other ones change the image."""
    G = load_generator(trained)

    def draw(*flags):
        out = tmp_path / "out.npy"
        command = ["sample", trained, "--count", 6, "--npy", out, *flags]
        assert cli.main([str(word) for word in command]) == 0
        return np.load(out)

    free = draw()
    own = G.labels.from_seeds([3])[0]
    if G.labels.kind == "class":
        words = G.labels.names[int(own.argmax())]
        others = [name for name in G.labels.names if name != words]
    else:
        words = ",".join(f"{n}={int(v)}" for n, v in zip(G.labels.names, own, strict=True))
        others = [f"{n}={1 - int(v)}" for n, v in zip(G.labels.names, own, strict=True)]
    assert (draw("--label", words)[3] == free[3]).all()
    for other in others:
        assert (draw("--label", other)[3] != free[3]).any()


def test_evaluations_use_the_labels_of_their_seeds(labelled, tiny, tmp_path):
    config = conditional(tiny(), steps=2, eval_every=2, eval_images=10)
    fit(config, labelled, tmp_path / "run", CPU)
    assert best_checkpoint_path(tmp_path / "run").is_file()
    *_, line = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    G, labels = load_generator(tmp_path / "run"), []
    G.register_forward_pre_hook(lambda G, args: labels.append(args[0][:, 8:]))
    expected = Evaluator(config, labelled, CPU).scores(G)["frechet"]
    given = torch.cat(labels)[:10].float()  # a batch is padded to its full size
    assert torch.equal(given, G.labels.from_seeds(range(10)))
    assert json.loads(line)["eval/frechet"] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("which", [0, 1])
def test_a_label_is_evaluated_against_the_images_that_have_it(
    labelled, trained, tmp_path, monkeypatch, which
):
    i = np.arange(N)
    wanted, has = {
        "class": [("dog", i % 3 == 1), ("Fox=1", i % 3 == 2)],
        "attributes": [("smiling", i % 2 == 1), ("hat=0, smiling=1", (i % 3 > 0) & (i % 2 == 1))],
    }[labelled.meta["label_kind"]][which]
    read, chunks = [], report.read_images
    monkeypatch.setattr(report, "read_images", lambda p, rows: read.append(rows) or chunks(p, rows))
    run = shutil.copytree(trained, tmp_path / "run")
    command = ["evaluate", run, "--data", labelled.folder, "--label", wanted, "--reals", 12]
    assert cli.main([*map(str, command)]) == 0
    (rows,) = read
    assert len(set(rows)) == 12 and has[rows].all()
    (path,) = (run / "evaluations").iterdir()
    protocol = json.loads(path.read_text())["protocol"]
    assert (protocol["real_images"], protocol["real_label"]) == (12, wanted)


def test_a_label_is_evaluated_against_all_images_of_an_unlabelled_dataset(
    trained, packed, labelled, tmp_path
):
    G = load_generator(trained)
    name = G.labels.names[0]
    assert match_label(packed, G, name).tolist() == [True] * len(packed)
    other = write_packed(
        tmp_path / "other",
        labelled.images,
        labelled.labels * 0,
        ("hen", "cow"),
        labelled.meta["label_kind"],
    )
    with pytest.raises(UsageError, match=f"no image in .*other has label {name}"):
        match_label(open_packed(other), G, name)


def test_an_unknown_label_is_one_line(trained, run, capsys):
    for folder, words in ((trained, "no label 'wolf'"), (run, "not trained with --conditional")):
        assert cli.main(["sample", str(folder), "--label", "wolf"]) == 2
        assert cli.main(["walk", str(folder), "--label", "wolf"]) == 2
        first, second = capsys.readouterr().err.splitlines()
        assert words in first and words in second


def test_conditional_training_without_labels_is_refused(packed, tmp_path, capsys):
    command = ["train", "--data", packed.folder, "--conditional", "--out", tmp_path / "run"]
    assert cli.main([*map(str, command), "--device", "cpu"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--conditional: the images of" in line and "have no labels" in line
    assert not (tmp_path / "run").exists()


def test_preflight_of_a_conditional_run(labelled, tiny, tmp_path, monkeypatch, capsys):
    """With all that changes what a step is."""
    monkeypatch.setattr(preflight, "_TIMED_SECONDS", 0)
    config = conditional(tiny(), d_steps=2, lr_decay="linear", out=tmp_path / "never", eval_every=1)
    capsys.readouterr()
    said = {}
    wrong = preflight.run_preflight(
        config, labelled, 0, preflight.PackingCost(), tmp_path, CPU, said.__setitem__
    )
    assert wrong == []
    assert capsys.readouterr() == ("", "")
    assert said["resume"] == "bit for bit"


@pytest.mark.parametrize(
    "change",
    [
        lambda labels, tensors: labels.update(kind="mood"),
        lambda labels, tensors: labels.update(names=labels["names"][:-1]),
        lambda labels, tensors: labels.update(names=[1] * len(labels["names"])),
        lambda labels, tensors: labels.update(names=[]),
        lambda labels, tensors: labels.clear(),
        lambda labels, tensors: tensors.pop("labels.counts"),
        lambda labels, tensors: tensors["labels.counts"].neg_(),
        lambda labels, tensors: tensors.update({"labels.counts": torch.ones(4, 2)}),
        lambda labels, tensors: tensors.update({"labels.rows": torch.ones(4, 2)}),
    ],
)
def test_a_checkpoint_with_inconsistent_labels_is_damaged(trained, tmp_path, change):
    found = find_checkpoint(trained)
    tensors = load_file(found.path)
    change(found.header["labels"], tensors)
    path = tmp_path / "step-00000006.safetensors"
    checkpoint.save(path, found.header, tensors)
    with pytest.raises(UserError, match="its labels contradict each other"):
        load_generator(path)


def test_a_walk_keeps_its_label(trained, tmp_path, monkeypatch):
    """Slerp of latents and labels together would scale the labels by up to 1.4."""
    G = load_generator(trained)
    name = G.labels.names[0]
    stops = sampling.latents_from_seeds(G, [1, 2], label=name)
    path = walk(stops, 8, G.latent_dim)
    assert path[:, 8].eq(1).all()
    torch.testing.assert_close(path[:, :8], walk(stops[:, :8], 8))
    make_renderer, drawn = sampling.make_renderer, []

    def watched(G, precision):
        renderer = make_renderer(G, precision)
        return lambda z: drawn.append(z) or renderer(z)

    monkeypatch.setattr(sampling, "make_renderer", watched)
    command = ["walk", trained, "--seeds", "1,2", "--frames", 8, "--label", name]
    assert cli.main([*map(str, command), "--out", str(tmp_path / "walk.gif")]) == 0
    assert torch.equal(drawn[0], path)


def test_each_class_gets_its_own_colour(tiny, tmp_path):
    """Training on two classes of plain red and plain blue images."""
    colours = np.array([[220, 40, 40], [40, 40, 220]], np.uint8)
    labels = np.arange(64) % 2
    pictures = np.broadcast_to(colours[labels][:, None, None], (64, 8, 8, 3)).copy()
    folder = write_packed(tmp_path / "toy", pictures, labels, ("red", "blue"), "class")
    config = tiny(size=8, width=16, batch_size=16, steps=150, lr_G=2e-3, lr_D=1e-3)
    config = conditional(config, augment_p=0.0, log_every=50, sample_every=150, save_every=150)
    fit(config, open_packed(folder), tmp_path / "run", CPU)
    G = load_generator(tmp_path / "run")
    for name, colour in zip(("red", "blue"), colours, strict=True):
        drawn = np.concatenate(list(sampling.sample(G, range(64), label=name)))
        means = drawn.mean((1, 2))
        far = np.abs(means - colour).max(1)
        assert (far < 60).mean() > 0.95, name


@pytest.mark.slow
def test_a_classifier_reads_the_digit_that_was_asked_for(tiny, tmp_path):
    """In at least 95 % of the samples after a short run."""
    pictures, labels, names = label_benchmark.draw_all(1, 100, 16, seed=0)
    classifier = label_benchmark.train_classifier(pictures, labels)
    held_out, held_out_labels, _ = label_benchmark.draw_all(1, 30, 16, seed=1)
    assert label_benchmark.agreement(classifier, held_out, held_out_labels) > 0.99
    folder = write_packed(tmp_path / "digits", pictures, labels, names, "class")
    config = tiny(width=16, latent_dim=100, batch_size=64, steps=900, save_every=900)
    few = dict(sample_every=900, log_every=100, ema_images=6400)
    config = conditional(config, flip=False, lr_G=1e-3, **few)
    fit(config, open_packed(folder), tmp_path / "run", CPU)
    G = load_generator(tmp_path / "run")
    drawn = np.concatenate(list(sampling.sample(G, range(1000))))
    asked = G.labels.from_seeds(range(1000)).argmax(1).numpy()
    assert label_benchmark.agreement(classifier, drawn, asked) >= 0.95
