"""Directions with their names, and the file that holds them."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dcgan.errors import UserError
from dcgan.networks import Generator
from dcgan.runs.tensor_file import read_tensors, save_tensors

DIRECTIONS = "directions"
_MAX_DIRECTIONS = 10_000


@dataclass(frozen=True, eq=False)
class Directions:
    """Directions of the latent space of one generator."""

    names: tuple[str, ...]
    vectors: Tensor  # [K, latent_dim], of length 1
    steps: tuple[float, ...]  # how far along each is far: as far as its name needs, or is drawn
    method: str
    generator: str  # the hash of its weights

    @property
    def latent_dim(self) -> int:
        return self.vectors.shape[1]

    def check_generator(self, G: Generator) -> None:
        """Raise UserError for a generator with latents of another size."""
        if G.latent_dim != self.latent_dim:
            raise UserError(
                f"these directions have {self.latent_dim} numbers, and the latents of the "
                f"generator {G.latent_dim}: they are of another model"
            )


def save_directions(path: Path, directions: Directions) -> None:
    """Write directions to a safetensors file. Raises UserError if writing fails."""
    header = {
        "names": list(directions.names),
        "steps": list(directions.steps),
        "method": directions.method,
        "generator": directions.generator,
    }
    save_tensors(path, DIRECTIONS, header, {"directions": directions.vectors.float()})


def load_directions(path: Path, G: Generator | None = None) -> Directions:
    """Read directions, for a generator if one is given. Raises UserError unless the file is a
    complete one, and for directions of another size than the generator's latents.
    """
    found = read_tensors(path, DIRECTIONS)
    try:
        names, steps = found.header["names"], found.header["steps"]
        texts = [*names, found.header["method"], found.header["generator"]]
        if not all(isinstance(text, str) and text.isprintable() for text in texts):
            raise TypeError("a name is no printable text")
        if not all(type(step) is float and abs(step) < 1e6 for step in steps):
            raise TypeError("a step is no number")
        vectors = found.tensors["directions"]
        if set(found.tensors) != {"directions"} or vectors.dtype != torch.float32:
            raise ValueError("it holds other tensors")
        if vectors.dim() != 2 or not 1 <= len(vectors) <= _MAX_DIRECTIONS or not vectors.shape[1]:
            raise ValueError(f"its directions have the shape {list(vectors.shape)}")
        if not len(names) == len(steps) == len(vectors):
            raise ValueError("it has not as many names and steps as directions")
    except KeyError as error:
        raise found.unusable(f"it lacks {error}") from error
    except (TypeError, ValueError) as error:
        raise found.unusable(error) from error
    directions = Directions(
        tuple(names), vectors, tuple(steps), found.header["method"], found.header["generator"]
    )
    if G is not None:
        try:
            directions.check_generator(G)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
    return directions
