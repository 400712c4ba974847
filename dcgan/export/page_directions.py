"""The directions of latent space that the sliders of a page move along."""

from pathlib import Path

from dcgan import latent
from dcgan.errors import UserError
from dcgan.explore import Scorer
from dcgan.explore.classifier import load_classifier
from dcgan.explore.directions import sample_latents, without_labels
from dcgan.explore.directions_file import Directions, load_directions
from dcgan.networks import Generator, weights_hash
from dcgan.networks.initialization import LATENT_VARIANCES
from dcgan.pretrained import pretrained_part

MAX_DIRECTIONS = 100  # that a page has sliders for
_SEFA_DIRECTIONS = 8
_SAMPLES = 1000  # that a classifier scores
_STEP = 3.0  # standard deviations of a latent


def choose_directions(G: Generator, checkpoint: Path, file: Path | None = None) -> Directions:
    """The directions of a file; or those of the labels of the classifier that comes with a
    pretrained `checkpoint`, by linear regression on its logits; or by SeFa.

    Raises UserError for files that `load_directions` refuses, or with more than MAX_DIRECTIONS.
    """
    if file is not None:
        directions = load_directions(file, G)
        if (count := len(directions.names)) > MAX_DIRECTIONS:
            raise UserError(f"{file} has {count:,} directions: a page shows up to {MAX_DIRECTIONS}")
        return directions
    if (part := pretrained_part(checkpoint, "classifier")) is None:
        seeds = sample_latents(G, 1)
        return without_labels(None, G, "sefa", _SEFA_DIRECTIONS, seeds, 1).directions
    scorer = Scorer(G, load_classifier(part))
    z = sample_latents(G, _SAMPLES)
    weights, _ = latent.linear_scores(z[:, : G.latent_dim], scorer.logits(z))
    names = scorer.classifier.names
    steps = (_STEP * LATENT_VARIANCES[G.latent] ** 0.5,) * len(names)
    return Directions(names, latent.unit(weights), steps, "regression", weights_hash(G))
