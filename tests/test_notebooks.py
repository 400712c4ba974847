"""Notebooks run from top to bottom and show what they promise."""

import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "latent_interpolation.ipynb"


def pictures(notebook) -> list[str]:
    kinds = ("image/png", "image/gif")
    return [
        kind
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        for kind in kinds
        if kind in output.get("data", {})
    ]


EXPECTED = ["image/png"] * 4 + ["image/gif"]


def execute(folder: Path, checkpoint: str | None) -> None:
    """Run a copy of the notebook in folder/notebooks, on a checkpoint or on its own."""
    (folder / "notebooks").mkdir()
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    first = notebook.cells[1]
    assert first.source.startswith("CHECKPOINT = None")
    if checkpoint:
        first.source = f"CHECKPOINT = {checkpoint!r}"
    training = notebook.cells[2]
    assert "steps=2000" in training.source  # a fortieth is enough to see that it runs
    training.source = training.source.replace("steps=2000", "steps=50")
    NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": folder / "notebooks"}}
    ).execute()
    assert pictures(notebook) == EXPECTED


@pytest.mark.slow
def test_it_trains_its_own_faces_where_there_is_no_checkpoint(tmp_path):
    execute(tmp_path, None)
    assert (tmp_path / "runs" / "notebook" / "checkpoints").is_dir()


@pytest.mark.slow
def test_it_shows_the_readers_checkpoint(run, tmp_path):
    shutil.copytree(run, tmp_path / "mine")
    execute(tmp_path, "../mine")
    assert not (tmp_path / "runs" / "notebook" / "checkpoints").exists()


def test_it_is_committed_with_its_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert pictures(notebook) == EXPECTED
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error"
