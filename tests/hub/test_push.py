"""`dcgan push`, with the real client and a stand-in for the Hub, and the model card."""

import io
import json
import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from dcgan import cli, sampling
from dcgan.config import PushConfig, TrainConfig
from dcgan.data import open_packed
from dcgan.errors import printable
from dcgan.export import push_model
from dcgan.export.model_folder.facts import last_evaluation, training_command
from dcgan.export.model_folder.markdown import code_block, escape
from dcgan.runs import checkpoint
from dcgan.runs.checkpoint_folder import find_checkpoint
from tests.cli.running import fail, run_python
from tests.conftest import TINY, fit, write_packed
from tests.hub.stand_in import TOKEN

# The client gives a file as `data`, which its HTTP library calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

HOSTILE = "<img src=x onerror=alert(1)>|[x](http://evil) `--- \n# \"quote'"


def push(*args: object) -> int:
    return cli.main(["push", *map(str, args)])


def card_in(folder: Path) -> tuple[dict, str]:
    """The metadata and the text of a model card."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert text.startswith("---\n")
    _, metadata, body = text.split("---\n", 2)
    return yaml.safe_load(metadata), body


@pytest.fixture(scope="module")
def hostile_run(tmp_path_factory) -> Path:
    """A run on images whose classes have hostile names."""
    images = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)
    labels = np.arange(40) % 2
    folder = tmp_path_factory.mktemp("hostile")
    packed = write_packed(folder / "packed", images, labels, [HOSTILE, "dog"], "class")
    config = TrainConfig(
        **{**vars(TINY), "steps": 2, "conditional": True, "source": "folder", "data": packed}
    )
    fit(config, open_packed(packed), folder / "run", torch.device("cpu"))
    return folder / "run"


def test_what_is_pushed_gives_the_same_pixels_elsewhere(hub, run, tmp_path, capsys):
    assert push(run, "ada/faces", "--discriminator", "--license", "mit") == 0
    printed = capsys.readouterr().out
    assert "uploading to ada/faces (public" in printed
    assert printed.splitlines()[-1] == f"{hub.url}/ada/faces"
    files = hub.files["ada/faces"]
    for name, content in files.items():
        if name != ".gitattributes":
            assert re.search(rf"^  {re.escape(name)} +{len(content):,} bytes$", printed, re.M)
    assert sorted(files) == [
        *(".gitattributes", "README.md", "config.json"),
        *("discriminator.safetensors", "generator.safetensors", "samples.png"),
    ]
    for name in ("run", "hub"):
        source = run if name == "run" else "hf://ada/faces"
        out = tmp_path / f"{name}.npy"
        assert cli.main(["sample", str(source), "--seeds", "5-9", "--npy", str(out)]) == 0
    assert (np.load(tmp_path / "run.npy") == np.load(tmp_path / "hub.npy")).all()
    with Image.open(io.BytesIO(files["samples.png"])) as picture:
        grid = sampling.sample_grid(sampling.load(run), range(64))
        assert (np.asarray(picture) == grid).all()
    commits = [body for body in hub.bodies if body["key"] == "header"]
    assert len(commits) == 1


def test_a_checkpoint_of_the_hub_can_be_pushed_on(hub, run):
    assert push(run, "ada/faces", "--discriminator") == 0
    assert push("hf://ada/faces", "bob/copy", "--discriminator") == 0
    for prefix in ("ema.", "D."):
        first, second = (
            find_checkpoint(Path(name)).tensors(prefix)
            for name in ("hf://ada/faces", "hf://bob/copy")
        )
        assert first.keys() == second.keys() and first
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_discriminator_of_an_earlier_push_does_not_stay(hub, run):
    assert push(run, "ada/faces", "--discriminator") == 0
    assert push(run, "ada/faces") == 0
    assert "discriminator.safetensors" not in hub.files["ada/faces"]
    assert find_checkpoint(Path("hf://ada/faces")).other_files == ()


def test_private_repositories(hub, run, capsys):
    assert push(run, "ada/secret", "--private") == 0
    assert hub.private == {"ada/secret"}
    assert push(run, "ada/secret", "--private") == 0
    hub.files["ada/open"] = {}
    capsys.readouterr()
    assert push(run, "ada/open", "--private") == 1
    assert "ada/open is there and public" in capsys.readouterr().err
    assert hub.files["ada/open"] == {}


def test_the_environment_alone_is_enough(hub, run, tmp_path):
    assert push(run, "ada/faces") == 0
    environment = os.environ | {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_TOKEN": TOKEN,
    }
    out = ["--seeds", "1", "--npy", tmp_path / "online.npy"]
    done = run_python("-m", "dcgan", "sample", "hf://ada/faces", *out, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    environment |= {"HF_HUB_OFFLINE": "1", "HF_TOKEN": ""}
    out = ["--seeds", "1", "--npy", tmp_path / "offline.npy"]
    done = run_python("-m", "dcgan", "sample", "hf://ada/faces", *out, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert (np.load(tmp_path / "online.npy") == np.load(tmp_path / "offline.npy")).all()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("no token", "the Hub wants a token to upload: log in with `hf auth login`"),
        ("wrong token", "the Hub refuses the token (401)"),
        ("forbidden", "the Hub forbids it (403)"),
        ("no network", "the connection to http://127.0.0.1"),
        ("no package", 'dcgan push needs huggingface_hub: pip install "dcgan[hub]"'),
    ],
)
def test_a_refused_push_is_one_line(hub, run, fault, said, monkeypatch, capsys):
    if fault in ("no token", "wrong token"):
        monkeypatch.setenv("HF_TOKEN", "" if fault == "no token" else "hf_wrong")
    hub.files["ada/faces"] = {}
    hub.forbidden |= {"ada/faces"} if fault == "forbidden" else set()
    if fault == "no network":
        hub.stop()
    if fault == "no package":
        monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert push(run, "ada/faces") == 1
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert hub.files["ada/faces"] == {}


@pytest.mark.parametrize("name", ["faces", "ada/faces/x", "a da/faces", "ada/", "../x", "hf://a/b"])
def test_other_names_are_refused(run, name, capsys):
    code, line = fail(capsys, cli.push, run, name)
    assert code == 2 and f"{name}: name the repository as user/name" in line


def test_a_dry_run_needs_no_hub_and_overwrites_nothing(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.chdir(tmp_path)
    assert push(run, "ada/my-faces", "--dry-run") == 0
    folder = tmp_path / "my-faces"
    assert sorted(path.name for path in folder.iterdir()) == [
        *("README.md", "config.json", "generator.safetensors", "samples.png")
    ]
    assert "files to upload to ada/my-faces" in capsys.readouterr().out
    assert push(run, "ada/my-faces", "--dry-run") == 1
    assert "my-faces is not empty" in capsys.readouterr().err
    assert push(run, "ada/my-faces", "--out", "x") == 2


def test_nothing_tells_of_the_machine(hostile_run, tmp_path):
    out = tmp_path / "o"
    push_model(PushConfig(checkpoint=hostile_run, repository="a/b", dry_run=True, out=out))
    for path in out.iterdir():
        assert str(hostile_run.parent).encode() not in path.read_bytes(), path.name
    options = json.loads((out / "config.json").read_text(encoding="utf-8"))
    assert options["config"]["width"] == 4 and options["step"] == 2


def test_the_card_says_what_is_known(hostile_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert push(hostile_run, "ada/faces", "--dry-run", "--license", "cc-by-4.0") == 0
    metadata, text = card_in(tmp_path / "faces")
    assert metadata["license"] == "cc-by-4.0"
    assert metadata["library_name"] == "dcgan"
    assert metadata["pipeline_tag"] == "unconditional-image-generation"
    assert "dcgan" in metadata["tags"]
    assert "Trained on 40 images. Source: images of the author's own." in text
    assert "dcgan sample hf://ada/faces --seeds 0-63" in text
    assert "dcgan train folder --data PACKED --size 16 --width 4" in text
    assert "![Images of the seeds 0 to 63](samples.png)" in text
    assert "None is stored for this checkpoint" in text
    assert re.search(r"They are classes: .*, dog\.", text)
    for attack in ("<img", "](http", "`---", "onerror=", "|[x", '\n# "'):
        assert attack not in text, attack
    assert escape(printable(HOSTILE)) in text
    assert push(hostile_run, "ada/other", "--dry-run") == 0
    metadata, text = card_in(tmp_path / "other")
    assert "license" not in metadata
    assert "has not chosen a licence" in text


def test_escaped_text_starts_nothing_in_markdown():
    assert escape("a\n# b|c") == r"a \# b\|c"
    assert escape("<b>&amp; \\ \x1b[31m") == r"&lt;b&gt;&amp;amp\; \\ \\x1b\[31m"
    assert escape("x" * 1000) == "x" * 100 + r"\.\.\."
    block = code_block(["a ``` b", "c\n```\nd"])
    assert block == "````\na ``` b\nc\\n```\\nd\n````"


def test_the_command_gives_the_options_of_the_run(run, capsys):
    command = training_command(find_checkpoint(run))
    assert command is not None
    words = shlex.split(command)
    assert cli.main([*words[1:], "--dry-run"]) == 0
    options = json.loads(capsys.readouterr().out)
    for name in ("size", "width", "batch_size", "lr_G", "ema_images", "loss", "augment", "r1"):
        value = getattr(TINY, name)
        assert options[name] == (list(value) if isinstance(value, tuple) else value), name


def test_a_hostile_command_stays_one_word(run, tmp_path):
    found = find_checkpoint(run)
    config = found.config | {"source": "folder", "classes": ["a; rm -rf ~", "$(x)"]}
    path = tmp_path / "x.safetensors"
    checkpoint.save(path, found.header | {"config": config}, found.tensors(""))
    assert "--classes 'a; rm -rf ~' '$(x)'" in training_command(checkpoint.read(path))
    config["unknown"] = 1
    checkpoint.save(path, found.header | {"config": config}, found.tensors(""))
    assert training_command(checkpoint.read(path)) is None


def test_the_newest_evaluation_of_this_very_checkpoint_is_in_the_card(run, packed, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    assert last_evaluation(find_checkpoint(copy)) is None
    for count in (10, 12):
        words = ["evaluate", copy, "--data", packed.folder, "--count", count, "--reals", 10]
        assert cli.main(list(map(str, words))) == 0
    files = sorted((copy / "evaluations").iterdir())
    by_count = {json.loads(file.read_text())["protocol"]["images"]: file for file in files}
    os.utime(by_count[12], (1, 1))  # is the older one now
    content = json.loads(by_count[10].read_text())
    content["results"]["<b>|"] = {"x": 1.5, "nan": float("nan"), "text": "1"}
    by_count[10].write_text(json.dumps(content))
    (copy / "evaluations/broken.json").write_text("[" * 100_000)
    found = last_evaluation(find_checkpoint(copy))
    assert found.protocol["images"] == 10
    assert found.scores["<b>|"] == {"x": 1.5}
    push_model(PushConfig(checkpoint=copy, repository="a/b", dry_run=True, out=tmp_path / "o"))
    _, text = card_in(tmp_path / "o")
    score = content["results"]["random network"]["frechet"]
    assert f"| random network | frechet | {score:.4g} |" in text
    assert r"| &lt;b&gt;\| | x | 1.5 |" in text
    assert "images: 10; real images: 10" in text
    older = find_checkpoint(sorted((copy / "checkpoints").glob("step-*"))[0])
    assert last_evaluation(older) is None
