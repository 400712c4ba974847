import pytest

from dcgan.runs.checkpoint_folder import latest_checkpoint


@pytest.fixture
def copied(run, tmp_path):
    """The checkpoint of the tiny run in a folder of its own, which tests may write to."""
    path = tmp_path / "elsewhere" / "G.safetensors"
    path.parent.mkdir()
    path.write_bytes(latest_checkpoint(run).path.read_bytes())
    return path
