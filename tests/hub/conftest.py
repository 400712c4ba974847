import huggingface_hub
import pytest
from huggingface_hub import constants

from dcgan.export import export_discriminator, export_generator
from tests.hub.stand_in import TOKEN, StandIn


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A stand-in for the Hub, with an empty cache beside it. The client is logged in to it."""
    server = StandIn()
    huggingface_hub.close_session()
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # LFS instead: documented, and HTTP
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("time.sleep", lambda _: None)  # between two attempts of the client
    yield server
    huggingface_hub.close_session()
    server.stop()


@pytest.fixture(scope="session")
def networks(run, tmp_path_factory) -> dict[str, bytes]:
    """The exported networks of `run`, by file name."""
    folder = tmp_path_factory.mktemp("networks")
    export_generator(run, folder / "generator.safetensors")
    export_discriminator(run, folder / "discriminator.safetensors")
    return {path.name: path.read_bytes() for path in folder.iterdir()}
