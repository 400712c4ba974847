"""Files of latents that belong to a generator.

One safetensors file, see `runs.tensor_file`, with the tensor `z` [N, latent_dim + num_labels], the
inputs of G. Its header says which generator that is, and has a list of N objects with what is known
about each image.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from dcgan.errors import UserError
from dcgan.networks import Generator, weights_hash
from dcgan.runs.tensor_file import read_tensors, save_tensors

LATENTS = "latents"


def save_latents(
    path: Path, G: Generator, latents: Tensor, about: Sequence[Mapping[str, Any]]
) -> None:
    """Write the inputs of G [N, latent_dim + num_labels], with JSON values about each of them.

    Raises UserError if writing fails.
    """
    header = {
        "generator": weights_hash(G),
        "latent_dim": G.latent_dim,
        "latent": G.latent,
        "labels": [] if G.labels is None else list(G.labels.names),
        "images": [dict(each) for each in about],
    }
    save_tensors(path, LATENTS, header, {"z": latents.float()})


def load_latents(path: Path, G: Generator) -> Tensor:
    """Inputs of G, float32 [N, latent_dim + num_labels], from a file of `save_latents`.

    Raises UserError unless the file is a complete one, of this generator.
    """
    found = read_tensors(path, LATENTS)
    z, width = found.tensors.get("z"), G.layers[0].in_channels
    if z is None or not z.is_floating_point() or z.dim() != 2 or not len(z):
        raise found.unusable("it holds no z [N, D]")
    if z.shape[1] != width:
        raise UserError(
            f"{path}: its latents have {z.shape[1]} numbers, the generator reads {width}"
        )
    if found.header.get("generator") != weights_hash(G):
        raise UserError(
            f"{path}: its latents are of another generator: invert the photos again with this one"
        )
    return z.float()
