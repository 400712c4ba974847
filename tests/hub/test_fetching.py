"""hf:// names, with the real client and a stand-in for the Hub."""

import shutil
import sys
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub import constants
from PIL import Image

import dcgan
from dcgan import cli
from dcgan.errors import UserError
from dcgan.explore.classifier import load_classifier
from dcgan.explore.directions_file import Directions, load_directions, save_directions
from dcgan.explore.finding_classifier import find_classifier
from dcgan.hub import fetching
from dcgan.pretrained import pretrained_part
from dcgan.runs.checkpoint_folder import find_checkpoint
from tests.cli.running import fail

NAME = "hf://ada/faces"
G, D = "generator.safetensors", "discriminator.safetensors"


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def weights(network: torch.nn.Module) -> list[float]:
    return torch.cat([tensor.flatten() for tensor in network.parameters()]).tolist()


def flat(path: Path) -> list[str]:
    return [str(file) for file in path.rglob("*") if file.is_file()]


def why_not(name: str = NAME) -> str:
    with pytest.raises(UserError) as caught:
        find_checkpoint(Path(name))
    assert str(caught.value).startswith(name)
    return str(caught.value).removeprefix(name)


def test_both_networks_are_those_of_the_run_and_no_other_file_is_fetched(hub, run, networks):
    others = dict.fromkeys(("netG.pth", "README.md", "a.py", "other.json", ".git"), b"x")
    hub.files["ada/faces"] = others | networks
    assert weights(dcgan.load_generator(NAME)) == weights(dcgan.load_generator(run))
    assert weights(dcgan.load_discriminator(NAME)) == weights(dcgan.load_discriminator(run))
    assert hub.fetched() == {G, D}
    gets = [path for method, path in hub.requests if method == "GET"]
    assert len(gets) == 2, "the second network came from the cache"
    assert {method for method, _ in hub.requests} == {"HEAD", "GET"}


def test_a_file_a_revision_and_small_files_without_lfs(hub, networks, monkeypatch):
    hub.files["ada/faces"] = {"old/step 2.safetensors": networks[G], G: b"of another program"}
    monkeypatch.setattr("tests.hub.stand_in.is_lfs", lambda name: False)
    found = find_checkpoint(Path(f"{NAME}/old/step 2.safetensors@v1.0"))
    assert found.path.read_bytes() == networks[G]
    assert hub.fetched() == {"old/step 2.safetensors"}
    commit = hub.commit_of("ada/faces")
    assert find_checkpoint(Path(f"{NAME}/old/step 2.safetensors@{commit}")).step == found.step


def test_the_only_safetensors_file_is_taken(hub, networks):
    hub.files["ada/faces"] = {"weights/mine.safetensors": networks[G], "x.pth": b""}
    assert find_checkpoint(Path(NAME)).path.name == "mine.safetensors"


def test_other_lists_of_files_are_refused_without_fetching_any(hub, networks):
    hub.files["ada/faces"] = {"netG.pth": b"", "a\x1b]0;.bin": b"", "README.md": b""}
    assert "only pickles (a\\x1b]0;.bin, netG.pth), which can run code" in why_not()
    hub.files["ada/faces"] = {"README.md": b""}
    assert why_not() == " has no .safetensors file"
    hub.files["ada/faces"] = {f"{i}.safetensors": b"" for i in range(9)}
    assert "name hf://ada/faces/FILE, one of 0.safetensors, 1.safetensors" in why_not()
    assert hub.fetched() == set()


def test_a_safetensors_file_of_another_program_is_no_checkpoint(hub):
    hub.files["ada/faces"] = {G: b"\x80\x02pickled", "x.json": b"{}"}
    with pytest.raises(UserError, match="it is a pickle, which can run code"):
        find_checkpoint(Path(NAME))


def test_too_large_files_are_not_fetched(hub, networks):
    hub.files["ada/faces"] = networks
    hub.sizes[G] = 2**32 + 1
    assert "4,294,967,297 bytes" in why_not()
    assert G not in hub.fetched()


def test_a_damaged_file_is_refused_and_not_kept(hub, networks):
    hub.files["ada/faces"] = {G: networks[G]}
    middle = len(networks[G]) // 2
    flipped = bytes([networks[G][middle] ^ 1])
    hub.replaced[G] = networks[G][:middle] + flipped + networks[G][middle + 1 :]
    assert "another hash" in why_not()
    hub.replaced.clear()
    assert find_checkpoint(Path(NAME)).path.read_bytes() == networks[G]


def test_half_a_download_is_refused_and_not_kept(hub, networks, tmp_path):
    hub.files["ada/faces"] = {G: networks[G]}
    hub.cut_after = len(networks[G]) // 2
    assert "the connection to http://127.0.0.1" in why_not()
    kept = [path for path in flat(tmp_path / "cache") if "blobs" in path]
    assert all(path.endswith(".incomplete") for path in kept), "older clients resume from these"
    hub.cut_after = None
    assert find_checkpoint(Path(NAME)).path.read_bytes() == networks[G]


def test_a_cached_file_that_has_changed_on_the_disk_is_fetched_again(hub, networks):
    hub.files["ada/faces"] = {G: networks[G]}
    cached = find_checkpoint(Path(NAME)).path
    cached.write_bytes(networks[G][:-1])
    assert "another hash" in why_not()
    assert find_checkpoint(Path(NAME)).path.read_bytes() == networks[G]


@pytest.mark.parametrize("token", ["", "hf_wrong"])
def test_what_the_hub_refuses_is_said_in_words(hub, networks, token, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", token)
    for name in ("private", "gated", "forbidden"):
        hub.files[f"ada/{name}"] = networks
        getattr(hub, name).add(f"ada/{name}")
    if token:
        assert "refuses the token (401): log in with `hf auth login`" in why_not()
        return
    assert "no such repository, or hides it from you (404)" in why_not()
    assert "no such repository, or it is private (401)" in why_not("hf://ada/private")
    assert "access is restricted (403): ask for it on its page" in why_not("hf://ada/gated")
    assert "the Hub forbids it (403)" in why_not("hf://ada/forbidden")
    hub.files["ada/faces"] = networks
    assert "no such revision (404)" in why_not(f"{NAME}@v9")
    assert "no such file (404)" in why_not(f"{NAME}/x.safetensors")


@pytest.mark.parametrize("switch", ["HF_HUB_OFFLINE", "no network"])
def test_the_cache_works_without_the_hub(hub, networks, switch, monkeypatch, capsys):
    hub.files["ada/faces"] = networks
    hub.files["ada/other"] = {"mine.safetensors": networks[G]}
    seen = {name: find_checkpoint(Path(name)) for name in (NAME, "hf://ada/other")}
    hub.requests.clear()
    if switch == "no network":
        hub.stop()
        huggingface_hub.close_session()
    else:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for name, before in seen.items():
        found = find_checkpoint(Path(name))
        assert (found.path, found.other_files) == (before.path, before.other_files)
    notes = capsys.readouterr().err.splitlines()
    if switch == "no network":
        assert len(notes) == 2 and all("using the copy in the cache" in note for note in notes)
        assert "the connection to http://127.0.0.1" in why_not("hf://ada/unknown")
    else:
        assert notes == []
        assert "HF_HUB_OFFLINE forbids" in why_not("hf://ada/unknown")
        assert "HF_HUB_OFFLINE forbids" in why_not(f"{NAME}@v1.0")
    assert hub.requests == []


def test_a_new_commit_is_seen(hub, networks):
    hub.files["ada/faces"] = {"x.safetensors": b""}
    hub.files["ada/faces"] = networks
    old = find_checkpoint(Path(NAME))
    hub.files["ada/faces"] = {G: networks[G]}
    new = find_checkpoint(Path(NAME))
    assert (len(old.other_files), len(new.other_files)) == (1, 0)


def test_a_discriminator_that_does_not_fit_is_refused(hub, networks):
    hub.files["ada/faces"] = networks | {D: b"nothing"}
    with pytest.raises(UserError, match="is not a usable checkpoint"):
        dcgan.load_generator(NAME)


def test_commands_take_the_name_and_write_nothing_beside_the_cache(
    hub, run, packed, networks, tmp_path, monkeypatch, capsys
):
    hub.files["ada/faces"] = networks
    monkeypatch.chdir(tmp_path)
    assert cli.main(["sample", NAME, "--seeds", "3-8", "--out", "hub.png"]) == 0
    assert cli.main(["sample", str(run), "--seeds", "3-8", "--out", "run.png"]) == 0
    assert (pixels(tmp_path / "hub.png") == pixels(tmp_path / "run.png")).all()
    before = flat(tmp_path / "cache")
    assert cli.main(["walk", NAME, "--seeds", "1,2", "--frames", "3", "--out", "w.gif"]) == 0
    canvas = ["--width", "32", "--height", "16", "--out", "c.png"]
    assert cli.main(["canvas", NAME, *canvas]) == 0
    assert cli.main(["export", NAME, "--out", "g.safetensors"]) == 0
    assert cli.main(["export", NAME, "--to", "html"]) == 0
    assert cli.main(["visualize", NAME, "--of", "G", "--seeds", "0"]) == 0
    assert cli.main(["visualize", NAME, "--filters", "--out", "filters.png"]) == 0
    assert cli.main(["direction", NAME, "--method", "sefa", "--seeds", "0"]) == 0
    capsys.readouterr()
    evaluate = ["evaluate", NAME, "--data", str(packed.folder), "--count", "10", "--reals", "10"]
    assert cli.main(evaluate) == 0
    assert (tmp_path / capsys.readouterr().out.split()[-1]).parent == tmp_path / "evaluations"
    assert "<title>faces" in (tmp_path / "generator.html").read_text(encoding="utf-8")
    assert flat(tmp_path / "cache") == before


def test_directions_and_classifiers_are_taken_from_the_hub(hub, networks, tmp_path):
    G = dcgan.load_pretrained("faces")
    directions = Directions(("x",), torch.eye(G.latent_dim)[:1], (1.0,), "axes", "0")
    save_directions(tmp_path / "d.safetensors", directions)
    classifier = pretrained_part(Path("faces"), "classifier")
    hub.files["ada/faces"] = {
        "d.safetensors": (tmp_path / "d.safetensors").read_bytes(),
        "c.safetensors": classifier.read_bytes(),
    }
    found = load_directions(Path(f"{NAME}/d.safetensors"), G)
    assert found.names == ("x",) and torch.equal(found.vectors, directions.vectors)
    names = find_classifier(Path("none"), Path(f"{NAME}/c.safetensors")).names
    assert names == load_classifier(classifier).names
    with pytest.raises(UserError, match=f"name the file of directions: {NAME}/FILE.safetensors"):
        load_directions(Path(NAME), G)


@pytest.mark.parametrize(
    "name",
    [
        "hf://ada",
        "hf:///",
        "hf://ada/faces@",
        "hf://ada/fa ces",
        "hf://ada/../etc",
        "hf://ada/faces/../../etc/x.safetensors",
        "hf://ada/faces@v1/../x",
        "hf://ada/faces@main/generator.safetensors",
        "hf://ada/-faces",
        "hf://ada/fa--ces",
    ],
)
def test_names_of_another_form_are_refused_before_any_request(hub, name, capsys):
    code, line = fail(capsys, cli.sample, name)
    assert code == 2
    assert "write hf://user/name[/file.safetensors][@revision]" in line and "hf://" in line[7:13]
    assert hub.requests == []


def test_files_of_other_types_are_refused_before_any_request(hub, capsys):
    code, line = fail(capsys, cli.sample, f"{NAME}/netG.pth")
    assert (code, hub.requests) == (2, [])
    assert f"{NAME}/netG.pth: only .safetensors files are read" in line


def test_a_missing_package_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    code, line = fail(capsys, cli.sample, NAME)
    assert code == 1 and f'{NAME} needs huggingface_hub: pip install "dcgan[hub]"' in line


def test_the_cache_on_file_systems_without_links(hub, networks, monkeypatch, tmp_path):
    monkeypatch.setattr("os.symlink", lambda *_, **__: (_ for _ in ()).throw(OSError("none")))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_SYMLINKS_WARNING", True)
    hub.files["ada/faces"] = {G: networks[G]}
    hub.replaced[G] = networks[G][:-1] + b"?"
    assert "another hash" in why_not()
    assert not [path for path in flat(tmp_path / "cache") if path.endswith(G)]
    hub.replaced.clear()
    assert find_checkpoint(Path(NAME)).path.read_bytes() == networks[G]
    shutil.rmtree(tmp_path / "cache")
    assert fetching.fetch_networks(fetching.HubName("ada/faces"))
