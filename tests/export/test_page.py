"""The text of exported pages: nothing of others' names becomes a part of it."""

import base64
import hashlib
import json
import re

import pytest
import torch

from dcgan import export, sampling
from dcgan.errors import UserError
from dcgan.explore.directions_file import save_directions
from dcgan.export.page import page_content
from dcgan.export.page_directions import MAX_DIRECTIONS, choose_directions
from dcgan.latent import Labels
from dcgan.networks import weights_hash
from tests.export.pages import parse, some_directions
from tests.latent.generators import CLASSES, make_generator

HOSTILE = '</script><img src=x onerror="alert(1)">{{numbers}}&amp;\'<!--'


def hash_of(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def test_hostile_names_stay_text():
    labels = Labels("class", (HOSTILE, "dog", "owl"), CLASSES.counts)
    G = make_generator(labels)
    found = parse(page_content(G, HOSTILE, some_directions(G, (HOSTILE, "b"))))
    plain = parse(page_content(G, "a", some_directions(G, ("a", "b"))))
    assert found.tags == plain.tags
    assert found.texts["h1"].strip() == HOSTILE
    assert found.texts["title"].startswith(HOSTILE)
    model = json.loads(found.texts["model"])
    assert model["labels"]["names"][0] == HOSTILE
    assert model["directions"]["names"][0] == HOSTILE
    assert found.texts["numbers"] == plain.texts["numbers"]


def test_the_policy_allows_the_scripts_of_the_page_and_no_requests():
    page = parse(page_content(make_generator(), "a", some_directions(make_generator())))
    metas = [attrs for tag, attrs in page.tags if tag == "meta"]
    (policy,) = [m["content"] for m in metas if m.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules == {
        "default-src": "'none'",
        "script-src": hash_of(page.texts["script"]),
        "style-src": hash_of(page.texts["style"]),
        "worker-src": "blob:",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert not any(name in attrs for _, attrs in page.tags for name in ("src", "style", "onclick"))


def test_a_page_names_no_address():
    page = page_content(make_generator(), "a", some_directions(make_generator()))
    assert not re.search(r"https?:|//[a-z]+\.|fetch\(|XMLHttp|import\(|innerHTML|eval", page)


def test_every_control_has_a_name():
    page = parse(page_content(make_generator(), "a", some_directions(make_generator())))
    labelled = {attrs.get("for") for tag, attrs in page.tags if tag == "label"}
    for tag, attrs in page.tags:
        if tag == "input" and attrs["id"] != "truncate":  # which stands in its label
            assert attrs["id"] in labelled or attrs.get("aria-label"), attrs


def test_the_shipped_faces_take_at_most_3_megabytes(tmp_path):
    G, out = sampling.load("faces"), tmp_path / "faces.html"
    export.export_page(G, out, "faces", some_directions(G))
    assert out.stat().st_size < 3e6


def test_faces_have_directions_of_labels_that_move_their_scores():
    """Towards a label its logit rises in nearly all faces that lack it."""
    from dcgan.explore import Scorer, find_classifier
    from dcgan.latent import move

    G = sampling.load("faces")
    directions = choose_directions(G, "faces")
    scorer = Scorer(G, find_classifier("faces"))
    assert directions.names == scorer.classifier.names
    index = directions.names.index("eyeglasses")
    z = sampling.latents_from_seeds(G, range(48))
    z = z[scorer.logits(z)[:, index] < 0]
    assert len(z) > 20
    moved = move(z, directions.steps[index] * directions.vectors[index], G.latent)
    rises = scorer.logits(moved)[:, index] > scorer.logits(z)[:, index]
    assert rises.float().mean() > 0.95


def test_other_generators_have_sefa_directions(run):
    G = sampling.load(run)
    directions = choose_directions(G, run)
    assert directions.method == "sefa" and len(directions.names) == 8
    gram = directions.vectors @ directions.vectors.T
    torch.testing.assert_close(gram, torch.eye(8), rtol=0, atol=1e-5)


def test_directions_of_a_file_are_taken_up_to_a_limit(run, tmp_path):
    G = sampling.load(run)
    few, many = tmp_path / "few.safetensors", tmp_path / "many.safetensors"
    save_directions(few, some_directions(G))
    found = choose_directions(G, run, few)
    assert found.names == ("first", "second") and found.generator == weights_hash(G)
    count = MAX_DIRECTIONS + 1
    large = make_generator(latent_dim=count)
    save_directions(many, some_directions(large, [f"d{i}" for i in range(count)]))
    with pytest.raises(UserError, match="has 101 directions: a page shows up to 100"):
        choose_directions(large, run, many)
    with pytest.raises(UserError, match="they are of another model"):
        choose_directions(G, run, many)
