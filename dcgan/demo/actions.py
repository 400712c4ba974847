"""What the controls of the page compute. No function here knows the page."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from dcgan import animation, latent
from dcgan.demo.controls import Controls
from dcgan.demo.model import Model
from dcgan.demo.visitor import Source, Visitor
from dcgan.explore import save_latents
from dcgan.latent import noise_from_seeds

FRAMES = 48  # of an animation, there and back
_SECONDS = 3.0


def latents(model: Model, sources: Sequence[Source], controls: Controls) -> Tensor:
    """The inputs of G of seeds and latents, [N, latent_dim + num_labels].

    Truncation is of seeds alone. The chosen labels are of all; where none is chosen, seeds have
    those that `dcgan sample` gives them, and latents keep theirs.
    """
    G = model.G
    rows = []
    for source in sources:
        if isinstance(source, int):
            z = noise_from_seeds([source], G.latent_dim, G.latent, controls.truncation)[0]
            if G.labels is not None:
                z = torch.cat([z, G.labels.from_seeds([source], controls.labels)[0]])
        else:
            z = _with_labels(model, torch.tensor(source), controls.labels)
        rows.append(z)
    return torch.stack(rows)


def _with_labels(model: Model, z: Tensor, chosen: dict[int, float]) -> Tensor:
    """An input of G with the chosen labels in place of its own, [D]."""
    labels, start = model.G.labels, model.G.latent_dim
    if labels is not None and labels.kind == "class" and chosen:
        z[start:] = 0
    for index, value in chosen.items():
        z[start + index] = value
    return z


def shown_latent(model: Model, visitor: Visitor, controls: Controls) -> Tensor:
    """The input of G of the picture, moved as the sliders say: [1, latent_dim + num_labels]."""
    directions = model.directions
    steps = torch.tensor(controls.amounts) * torch.tensor(directions.steps)
    offset = steps @ directions.vectors
    if visitor.own is not None:
        offset = offset + controls.own * torch.tensor(visitor.own)
    return latent.move(latents(model, [visitor.shown], controls), offset, model.G.latent)


def shown_source(model: Model, visitor: Visitor, controls: Controls) -> Source:
    """The picture with all that the sliders do to it, to be picked as others are: its seed where
    no slider is moved, otherwise its latent.
    """
    if is_moved(visitor, controls):
        return to_source(shown_latent(model, visitor, controls))
    return visitor.shown


def is_moved(visitor: Visitor, controls: Controls) -> bool:
    """Whether a slider moves the picture."""
    return any(controls.amounts) or bool(visitor.own and controls.own)


def to_source(z: Tensor) -> Source:
    """An input of G [1, D] as plain numbers."""
    return tuple(z[0].tolist())


def arithmetic(model: Model, visitor: Visitor, controls: Controls) -> Visitor:
    """Show A - B + C, each the mean of its pictures, scaled to a latent that G has seen in training
    (Radford et al. 2015, section 6.3.2). Raises UsageError where a pick is missing.
    """
    a, b, c = (latents(model, picked, controls) for picked in visitor.picked("A", "B", "C"))
    z = latent.add_and_subtract([a, c], [b])
    typical = latent.to_typical(z, model.G.latent_dim, model.G.latent)
    return dataclasses.replace(visitor, shown=to_source(typical[None]))


def make_direction(model: Model, visitor: Visitor, controls: Controls) -> Visitor:
    """Give the visitor the direction from the pictures without something to those with it. One step
    is as long as their means are apart. Raises UsageError where a pick is missing, and where the
    means agree.
    """
    with_it, without = (
        latents(model, picked, controls)[:, : model.G.latent_dim]
        for picked in visitor.picked("with", "without")
    )
    direction = latent.direction_from_examples(with_it, without)
    step = (with_it.mean(0) - without.mean(0)).norm()
    return dataclasses.replace(visitor, own=tuple((step * direction).tolist()))


def animate(model: Model, visitor: Visitor, controls: Controls) -> bytes:
    """A GIF from the first picked picture to the last one and back, on the path of `dcgan walk`.

    Raises UsageError where a pick is missing.
    """
    ends = [picked[-1] for picked in visitor.picked("first", "last")]
    z = latent.walk(
        latents(model, ends, controls),
        FRAMES,
        model.G.latent_dim,
        interpolate=latent.interpolation_for(model.G.latent),
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / "walk.gif"
        animation.save_animation(path, list(model.draw(z)), _SECONDS / FRAMES)
        return path.read_bytes()


def latents_file(model: Model, visitor: Visitor, controls: Controls) -> bytes:
    """The file of the latent that is shown, as `dcgan invert` writes it."""
    about = {"seed": visitor.shown} if isinstance(visitor.shown, int) else {}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "latents.safetensors"
        save_latents(path, model.G, shown_latent(model, visitor, controls), [about])
        return path.read_bytes()
