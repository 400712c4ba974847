"""The notebooks run from top to bottom and show their pictures, on any checkpoint."""

import os
import re
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
# The pictures of each, and the numbers that are smaller in tests: enough to see that it runs.
PICTURES = {
    "quickstart": 4,
    "latent_interpolation": 6,
    "latent_arithmetic": 6,
    "own_pictures": 3,
    "inside_the_networks": 4,
    "dense_prediction": 9,
}
SMALLER = {
    "quickstart": [("steps=1000", "steps=30"), ("count=4000", "count=300")],
    "latent_interpolation": [],
    "latent_arithmetic": [
        ("sample_latents(G, 1000)", "sample_latents(G, 24)"),
        ("Scorer(G, classifier)", "Scorer(G, classifier); scorer.pass_size = 8"),
        (", None, [Path(PHOTO)]", ", None, [Path(PHOTO)], restarts=1"),
    ],
    "own_pictures": [
        ("range(1200)", "range(240)"),
        ("steps=600", "steps=20"),
        ("eval_every=300", "eval_every=20"),
        ("eval_images=500", "eval_images=100"),
        ("count=500", "count=100"),
    ],
    "inside_the_networks": [
        ("count=3000", "count=300"),
        ("per_class=20, draws=4", "per_class=5, draws=2"),
        ("test=500", "test=60"),
        ("count=12, rounds=8", "count=2, rounds=1"),
    ],
    "dense_prediction": [
        ("STEPS = 300", "STEPS = 10"),
        ("count=3000", "count=300"),
        ("[:500]", "[:100]"),
        ("windows(13_000)", "windows(1_300)"),
    ],
}


def read(name: str):
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def pictures(notebook) -> int:
    """How many outputs are pictures."""
    return sum(
        bool({"image/png", "image/gif"} & set(output.get("data", {})))
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    )


def execute(folder: Path, name: str, replace: list[tuple[str, str]]):
    """Run a notebook in folder/notebooks, with some texts of its cells replaced."""
    (folder / "notebooks").mkdir(parents=True)
    notebook = read(name)
    for old, new in replace:
        cells = [cell for cell in notebook.cells if old in cell.source]
        assert cells, old
        for cell in cells:
            cell.source = cell.source.replace(old, new)
    resources = {"metadata": {"path": folder / "notebooks"}}
    # Where ZeroMQ has not announced a reply to asyncio, it is read when the time is over.
    NotebookClient(notebook, timeout=100, resources=resources).execute()
    return notebook


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """In kernels: tests run side by side, and threads of several programs wait for one another."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def no_server_left():
    """End the TensorBoard servers that a notebook has started."""
    from tensorboard import manager

    before = {info.pid for info in manager.get_all()}
    yield
    for info in manager.get_all():
        if info.pid not in before:
            os.kill(info.pid, 15)


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
def test_it_runs_as_it_is(name, tmp_path, no_server_left):
    done = execute(tmp_path, name, SMALLER[name])
    assert pictures(done) == PICTURES[name]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "shown"), [("latent_interpolation", 6), ("latent_arithmetic", 3)])
def test_it_runs_on_a_checkpoint_of_ones_own(name, shown, run, tmp_path):
    shutil.copytree(run, tmp_path / "mine")
    cell = [('CHECKPOINT = "faces"', 'CHECKPOINT = "../mine"')]
    if name == "latent_arithmetic":
        operands = re.search(r"PLUS = .*\nMINUS = .*", read(name).cells[1].source)[0]
        cell.append((operands, 'PLUS = ["1,2", "3"]\nMINUS = ["4-6"]'))
    assert pictures(execute(tmp_path, name, cell)) == shown


@pytest.mark.parametrize("name", PICTURES)
def test_outputs_are_committed(name):
    assert (NOTEBOOKS / f"{name}.ipynb").stat().st_size < 1_500_000
    notebook = read(name)
    assert pictures(notebook) == PICTURES[name]
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error"


def test_there_are_no_others():
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(PICTURES)
