"""Exported pages, and their JavaScript run by Node.js, for the tests beside this file."""

import html.parser
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dcgan.explore.directions_file import Directions
from dcgan.networks import Generator, weights_hash

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="needs Node.js")

# Runs the worker's script, and calls its functions as the page does.
_HARNESS = r"""
const { worker, model, numbers, calls } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const names = "Random, truncate, interpolate, labelsOfSeed, latentOfSeed, inputOf, readModel";
const tools = new Function("self", `${worker}; return { ${names} };`)({});
const state = model && tools.readModel(model, numbers);
const big = (wanted) => ({
  ...wanted,
  seed: BigInt(wanted.seed),
  ...(wanted.other === undefined ? {} : { other: BigInt(wanted.other) }),
});
const results = calls.map(([name, ...args]) => {
  if (name === "truncate") return args[0].map((x) => tools.truncate(x, args[1]));
  if (name === "interpolate") {
    const [a, b, t, latent] = args;
    return [...tools.interpolate(Float32Array.from(a), Float32Array.from(b), t, latent)];
  }
  if (name === "below") {
    const random = new tools.Random(args[0].map(BigInt));
    return Array.from({ length: args[2] }, () => String(random.below(BigInt(args[1]))));
  }
  if (name === "input") return Array.from(tools.inputOf(state, big(args[0])));
  if (name === "pixels") return Array.from(state.generate(tools.inputOf(state, big(args[0]))));
  throw new Error(name);
});
console.log(JSON.stringify(results));
"""


class _Scripts(html.parser.HTMLParser):
    """The texts of the elements of a page that have an id, and of its scripts without one."""

    def __init__(self, text: str):
        super().__init__()
        self.texts: dict[str, str] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = dict(attrs).get("id") or tag

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        self.texts[self._open] = self.texts.get(self._open, "") + data


def parse(text: str) -> _Scripts:
    """What a browser finds in a page."""
    return _Scripts(text)


def run_in_node(calls: Sequence[Sequence[Any]], page: str | None = None) -> list[Any]:
    """The results of calls of the worker's functions, in a page or without a model."""
    if page is None:
        folder = Path(__file__).parents[2] / "dcgan" / "export" / "page"
        files = ("random.js", "latents.js", "generator.js", "worker.js")
        given: dict[str, Any] = {"worker": "\n".join((folder / f).read_text() for f in files)}
    else:
        texts = parse(page).texts
        given = {"worker": texts["worker"], "numbers": texts["numbers"]}
        given["model"] = json.loads(texts["model"])
    assert NODE
    done = subprocess.run(
        [NODE, "-e", _HARNESS],
        input=json.dumps({**given, "calls": calls}),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def wanted(seed: int, **others: Any) -> dict[str, Any]:
    """A description of a picture, as the page sends it to its worker."""
    return {"seed": str(seed), "truncation": None, "fixed": [], "offsets": [], **others}


def some_directions(G: Generator, names: Sequence[str] = ("first", "second")) -> Directions:
    """Directions along the axes of latent space, with steps of 1, 2, ..."""
    vectors = torch.eye(G.latent_dim)[: len(names)]
    steps = tuple(float(i + 1) for i in range(len(names)))
    return Directions(tuple(names), vectors, steps, "axes", weights_hash(G))


def pixels(flat: Sequence[int], G: Generator) -> np.ndarray:
    """RGBA bytes -> uint8 [S, S, C]."""
    return np.array(flat, np.uint8).reshape(G.size, G.size, 4)[..., : G.channels]
