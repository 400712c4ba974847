"""The notebook runs from top to bottom and shows its pictures."""

import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "latent_interpolation.ipynb"


def picture_types(notebook) -> list[str]:
    """The media types of the pictures among the outputs, in order."""
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
    """Run the notebook in folder/notebooks, on a checkpoint or, for None, on its own training."""
    (folder / "notebooks").mkdir()
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    first = notebook.cells[1]
    assert first.source.startswith("CHECKPOINT = None")
    if checkpoint:
        first.source = f"CHECKPOINT = {checkpoint!r}"
    training = notebook.cells[2]
    assert "steps=2000" in training.source  # 50 steps are enough to see that it runs
    training.source = training.source.replace("steps=2000", "steps=50")
    NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": folder / "notebooks"}}
    ).execute()
    assert picture_types(notebook) == EXPECTED


@pytest.mark.slow
def test_it_trains_on_drawn_faces_without_a_checkpoint(tmp_path):
    execute(tmp_path, None)
    assert (tmp_path / "runs" / "notebook" / "checkpoints").is_dir()


@pytest.mark.slow
def test_it_shows_a_given_checkpoint(run, tmp_path):
    shutil.copytree(run, tmp_path / "mine")
    execute(tmp_path, "../mine")
    assert not (tmp_path / "runs" / "notebook" / "checkpoints").exists()


def test_its_outputs_are_committed():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert picture_types(notebook) == EXPECTED
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error"
