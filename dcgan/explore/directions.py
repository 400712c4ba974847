"""Directions of a generator's latent space, found by a classifier, by examples or without labels.

Each function returns what it has found as `Found`: the directions, the latents of a filmstrip and
the lines of a table that says how much a direction moves what it should, and what else it moves.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dcgan import latent, sampling
from dcgan.errors import UsageError, UserError
from dcgan.explore.directions_file import Directions
from dcgan.explore.effects import (
    Effect,
    measure_effect,
    move_until_set,
    name_direction,
)
from dcgan.explore.found_directions import Found, along
from dcgan.explore.scoring import Scorer, first_features
from dcgan.networks import Generator, fold_batch_norm, weights_hash
from dcgan.networks.initialization import LATENT_VARIANCES
from dcgan.networks.layers import LatentProjection
from dcgan.runtime.cpu_sharing import sharing_cpus

FIRST_SEED = 1_000_000  # of the samples that are scored: others than those that are drawn
_MAX_STEP = 6.0  # standard deviations of a latent
_LABEL_FREE_STEP = 3.0
_MEASURED = 128  # images in which an effect is measured
_SCORED_AT_ENDS = 64  # images that name a direction
_PCA_SAMPLES = 1000
_SHOWN_FLIPS = 5
_QUANTILE = 0.9  # of the steps that images need: the step of a direction


def sample_latents(
    G: Generator, count: int, truncation: float | None = None, label: str | None = None
) -> Tensor:
    """Latents to score, [count, D], of seeds from FIRST_SEED on."""
    return sampling.latents_from_seeds(G, range(FIRST_SEED, FIRST_SEED + count), truncation, label)


def regressed_direction(
    scorer: Scorer,
    G: Generator,
    z: Tensor,
    logits: Tensor,
    index: int,
    orthogonal_to: Sequence[int] = (),
) -> tuple[Tensor, float, Effect]:
    """A label's direction by regression on samples z [N, D] with their logits [N, K].

    -> the unit vector, the step that sets the label in most images that lack it, and the effect
    when every image is moved by the smallest step that does. Raises UserError where every image has
    the label, and UsageError where the other labels leave no direction.
    """
    lacking = _lacking(scorer, logits, index)
    weights, _ = latent.linear_scores(z[:, : G.latent_dim], logits)
    others = [i for i in orthogonal_to if i != index]
    vector = latent.orthogonalized(weights[index], weights[others])
    if not vector.any():
        if others:
            raise UsageError("--orthogonal-to leaves no direction: name fewer labels")
        raise UserError(
            f"the scores of {len(z):,} samples do not change with z: take more samples, or a "
            f"larger --truncation"
        )
    largest = _MAX_STEP * _deviation(G)
    after, steps = move_until_set(scorer.logits, z[lacking], vector, largest, index, G.latent)
    effect = measure_effect(logits[lacking], after, index)
    return vector, steps.quantile(_QUANTILE).item(), effect


@sharing_cpus()
def edited(
    scorer: Scorer, G: Generator, z: Tensor, index: int, wanted: bool, vector: Tensor
) -> Tensor:
    """Latents near z whose images have, or lack, a label and keep the others: see `latent.edit`.

    Each starts where the direction `vector` of all images sets the label, which may have changed
    others. A latent's edit does not depend on the others in z: all passes have one size.
    """
    free = scorer.classifier.tied_to(index)
    largest = _MAX_STEP * _deviation(G)
    _, steps = move_until_set(scorer.logits, z, vector, largest, index, G.latent, wanted)
    start = latent.move(z, steps[:, None] * vector, G.latent)
    parts = []
    for batch, moved in zip(z.split(scorer.pass_size), start.split(scorer.pass_size), strict=True):
        padding = batch.new_zeros(scorer.pass_size - len(batch), z.shape[1])
        found = latent.edit(
            scorer.differentiable,
            torch.cat([batch, padding]).to(scorer.device),
            index,
            wanted,
            distribution=G.latent,
            latent_dim=G.latent_dim,
            start=torch.cat([moved, padding]).to(scorer.device),
            free=free,
        )
        parts.append(found[: len(batch)].cpu())
    return torch.cat(parts)


def by_regression(
    scorer: Scorer,
    G: Generator,
    name: str,
    z: Tensor,
    seeds: Tensor,
    steps: int,
    orthogonal_to: Sequence[int] = (),
) -> Found:
    """One direction for all latents. seeds: the latents [rows, D] of the filmstrip."""
    index = scorer.classifier.labels.index(name, "--attribute")
    logits = scorer.logits(z)
    vector, step, effect = regressed_direction(scorer, G, z, logits, index, orthogonal_to)
    lines = _effect_lines(scorer, effect, f"up to {step:.2f} along one direction")
    return along(
        G,
        (scorer.classifier.names[index],),
        vector[None],
        (step,),
        "regression",
        seeds,
        steps,
        lines,
    )


def by_edits(
    scorer: Scorer, G: Generator, name: str, z: Tensor, seeds: Tensor, steps: int
) -> Found:
    """The way of each latent apart; the direction that is kept is the mean of these ways.

    The filmstrip goes from an image without the label, in the first column, through that of the
    seed in the middle, to one with it.
    """
    index = scorer.classifier.labels.index(name, "--attribute")
    logits = scorer.logits(z)
    lacking = _lacking(scorer, logits, index)
    weights, _ = latent.linear_scores(z[:, : G.latent_dim], logits)
    vector = latent.unit(weights[index])
    after = edited(scorer, G, z[lacking], index, True, vector)
    effect = measure_effect(logits[lacking], scorer.logits(after), index)
    offsets = (after - z[lacking])[:, : G.latent_dim]
    length = offsets.norm(dim=1).median().item()
    mean_way = latent.unit(offsets.mean(0))
    lines = _effect_lines(scorer, effect, f"each image edited apart, {length:.2f} in the median")
    ends = [edited(scorer, G, seeds, index, wanted, vector) for wanted in (False, True)]
    t = torch.linspace(0, 1, steps + 1)[:, None, None]
    down, up = (latent.lerp(seeds, end, t) for end in ends)  # [steps + 1, rows, D]
    strip = torch.cat([down.flip(0), up[1:]]).transpose(0, 1)
    names = (scorer.classifier.names[index],)
    directions = Directions(names, mean_way[None], (length,), "edit", weights_hash(G))
    return Found(directions, strip, ("",) * len(seeds), lines)


def by_turn(scorer: Scorer, G: Generator, name: str, z: Tensor, seeds: Tensor, steps: int) -> Found:
    """The turn vector of a value of the classifier, such as the tilt of the drawn faces."""
    classifier = scorer.classifier
    column = len(classifier.names) + classifier.value_names.index(name)
    turn = latent.turn_vector(z[:, : G.latent_dim], scorer.outputs(z)[:, column])
    vector, step = latent.unit(turn), turn.norm().item()
    start = z[:_SCORED_AT_ENDS]
    places = torch.linspace(-1, 1, 2 * steps + 1)
    moved = [scorer.outputs(latent.move(start, t * turn, G.latent)) for t in places]
    values = torch.stack([outputs[:, column] for outputs in moved])  # [places, N]
    pooled = torch.corrcoef(
        torch.stack([places[:, None].expand_as(values).flatten(), values.flatten()])
    )[0, 1].item()
    centred = values - values.mean(0)
    each = (places @ centred) / (places.norm() * centred.norm(dim=0).clamp(min=1e-9))
    lines = (
        f"{name}: from {values[0].mean():+.2f} at {-step:.2f} to {values[-1].mean():+.2f} at "
        f"{step:.2f}, in the mean of {len(start)} images",
        f"correlation of step and {name}: {each.mean():.2f} within an image, {pooled:.2f} over all",
    )
    return along(G, (name,), vector[None], (step,), "turn", seeds, steps, lines)


def by_examples(
    scorer: Scorer | None, G: Generator, with_it: Tensor, without: Tensor, seeds: Tensor, steps: int
) -> Found:
    """The direction from the mean of examples without something to those with it."""
    ends = (with_it[:, : G.latent_dim], without[:, : G.latent_dim])
    vector = latent.direction_from_examples(*ends)
    step = (ends[0].mean(0) - ends[1].mean(0)).norm().item()
    lines = [f"{len(with_it)} examples with it and {len(without)} without, {step:.2f} apart"]
    if scorer:
        lines.append(_named(scorer, G, vector, step)[1])
    return along(G, ("examples",), vector[None], (step,), "examples", seeds, steps, tuple(lines))


def without_labels(
    scorer: Scorer | None, G: Generator, method: str, components: int, seeds: Tensor, steps: int
) -> Found:
    """Directions by SeFa or by PCA of the first layer's features, named by the classifier."""
    components = min(components, G.latent_dim, _PCA_SAMPLES)
    if method == "sefa":
        first = fold_batch_norm(G).layers[0]
        assert isinstance(first, LatentProjection)
        vectors, shares = latent.sefa(first.weight.detach().cpu()[: G.latent_dim])
    else:
        z = sample_latents(G, _PCA_SAMPLES)
        features = first_features(G, z)
        vectors, shares = latent.pca_directions(z[:, : G.latent_dim], features, components)
    vectors, shares = vectors[:components], shares[:components]
    step = _LABEL_FREE_STEP * _deviation(G)
    names, lines = [], []
    for i, (vector, share) in enumerate(zip(vectors, shares.tolist(), strict=True)):
        name, line = f"{method} {i + 1}", f"{share:.1%} of the variance"
        if scorer:
            label, says = _named(scorer, G, vector, step)
            name, line = f"{name}: {label}", f"{line}; {says}"
        names.append(name)
        lines.append(f"{method} {i + 1}: {line}")
    steps_of = (step,) * components
    return along(G, names, vectors, steps_of, method, seeds, steps, tuple(lines))


def along_saved(
    scorer: Scorer | None, G: Generator, saved: Directions, seeds: Tensor, steps: int
) -> Found:
    """Directions of a file, drawn with this generator."""
    lines = []
    if saved.generator != weights_hash(G):
        lines.append("note: these directions were found with other weights of the generator")
    for name, vector, step in zip(saved.names, saved.vectors, saved.steps, strict=True):
        says = _named(scorer, G, vector, step)[1] if scorer else f"steps up to {step:.2f}"
        lines.append(f"{name}: {says}")
    found = along(
        G, saved.names, saved.vectors, saved.steps, saved.method, seeds, steps, tuple(lines)
    )
    return Found(saved, found.strip, found.row_names, found.lines)


def _deviation(G: Generator) -> float:
    """The standard deviation of a component of z."""
    return LATENT_VARIANCES[G.latent] ** 0.5


def _lacking(scorer: Scorer, logits: Tensor, index: int) -> Tensor:
    """Which of the samples lack a label, the first _MEASURED of them. Raises UserError."""
    lacking = (logits[:, index] <= 0).nonzero()[:_MEASURED, 0]
    if len(lacking) == 0:
        name = scorer.classifier.names[index]
        raise UserError(f"all of {len(logits):,} samples have {name}: none is left to set it in")
    return lacking


def _named(scorer: Scorer, G: Generator, vector: Tensor, step: float) -> tuple[str, str]:
    """The label that a direction moves most, with its sign, and a line on its share."""
    z = sample_latents(G, _SCORED_AT_ENDS)
    down, here, up = (
        scorer.logits(latent.move(z, t * step * vector, G.latent)) for t in (-1, 0, 1)
    )
    naming = name_direction(down, up, here.std(0))
    sign, name = "+" if naming.sign > 0 else "-", scorer.classifier.names[naming.index]
    flips = ((down > 0) != (up > 0)).float().mean(0)
    listed = _listed(scorer, flips.tolist(), ())
    return f"{sign}{name}", f"moves {sign}{name} most, {naming.share:.0%} of all; changes {listed}"


def _effect_lines(scorer: Scorer, effect: Effect, how: str) -> tuple[str, ...]:
    classifier = scorer.classifier
    name, tied = classifier.names[effect.index], classifier.tied_to(effect.index)
    lines = [f"{name}: set in {effect.set:.0%} of {effect.count} images that lacked it, {how}"]
    if classifier.kind == "class":  # which excludes all others
        return tuple(lines)
    listed = _listed(scorer, effect.flips, [effect.index, *tied])
    lines.append(f"other labels changed: {listed}")
    if tied:
        shares = ", ".join(f"{classifier.names[i]} {effect.flips[i]:.0%}" for i in tied)
        lines.append(f"never together with it in the training images: {shares}")
    return tuple(lines)


def _listed(scorer: Scorer, flips: Sequence[float], without: Sequence[int]) -> str:
    """The labels that change most often, with the shares of the images in which they do."""
    chosen = [i for i in np.argsort(flips)[::-1].tolist() if i not in without and flips[i] > 0]
    listed = [f"{scorer.classifier.names[i]} {flips[i]:.0%}" for i in chosen[:_SHOWN_FLIPS]]
    return ", ".join(listed) or "none"
