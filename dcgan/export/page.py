"""One HTML file that runs a generator in the browser, without a server and without a network.

The parts of the page are the files in page/. Its Content-Security-Policy forbids all requests, and
all scripts and styles but those written here, by their hashes.
"""

import base64
import hashlib
import html
import json
import re
from importlib import resources
from pathlib import Path

from dcgan.explore.directions_file import Directions
from dcgan.export.page_model import page_model
from dcgan.networks import Generator
from dcgan.runtime.atomic_files import replace_atomically
from dcgan.runtime.disk import check_free_space

_WORKER = ("random.js", "latents.js", "generator.js", "worker.js")  # in this order
_DISTRIBUTIONS = {"normal": "N(0, 1)", "uniform": "U(-1, 1)"}


def export_page(G: Generator, out: Path, name: str, directions: Directions) -> None:
    """Write a page that generates G's pictures of seeds, with sliders along `directions`.

    `name`: its heading. Raises UserError if writing fails.
    """
    content = page_content(G, name, directions).encode()
    check_free_space(out, len(content))
    with replace_atomically(out) as partial:
        partial.write_bytes(content)


def page_content(G: Generator, name: str, directions: Directions) -> str:
    """The text of the page, see `export_page`."""
    header, numbers = page_model(G, directions)
    style, page = _part("page.css"), _part("page.js")
    parts = {
        "policy": _policy(style, page),
        "name": html.escape(name),
        "size": str(G.size),
        "latents": f"{G.latent_dim} numbers of {_DISTRIBUTIONS[G.latent]}",
        "style": style,
        "page": page,
        "worker": "\n".join(map(_part, _WORKER)),
        # "<" occurs within texts alone, which JSON can escape: none can end the element.
        "model": json.dumps(header).replace("<", "\\u003c"),
        "numbers": base64.b64encode(numbers).decode(),
    }
    # All marks in one pass: a name that looks like a mark stays as it is.
    return re.sub(r"\{\{(\w+)\}\}", lambda mark: parts[mark[1]], _part("page.html"))


def _part(name: str) -> str:
    return resources.files("dcgan.export").joinpath("page", name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """The Content-Security-Policy. The worker is a `blob:` that the page makes of its own text."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hash(script)}",
            f"style-src {_hash(style)}",
            "worker-src blob:",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
