"""What `dcgan direction` finds, from its options."""

from torch import Tensor

from dcgan import sampling
from dcgan.config import DirectionConfig, parse_seeds
from dcgan.errors import UsageError, UserError
from dcgan.explore import directions
from dcgan.explore.directions import sample_latents
from dcgan.explore.directions_file import Directions, load_directions
from dcgan.explore.finding_classifier import find_classifier
from dcgan.explore.found_directions import Found
from dcgan.explore.scoring import Scorer
from dcgan.networks import Generator


def find(G: Generator, config: DirectionConfig) -> Found:
    """Find the directions that the options ask for. Raises UserError as the functions of
    `explore.directions` do, and where a label is asked for and no classifier is to be had.
    """
    saved = load_directions(config.load, G) if config.load else None

    def latents(text: str) -> Tensor:
        return sampling.latents_from_seeds(G, parse_seeds(text), config.truncation, config.label)

    sampling.check_grid_size(G, _images(G, config, saved))
    seeds = latents(config.seeds)
    scorer = _scorer(G, config)
    if saved:
        return directions.along_saved(scorer, G, saved, seeds, config.steps)
    if config.with_ and config.without:
        ends = latents(config.with_), latents(config.without)
        return directions.by_examples(scorer, G, *ends, seeds, config.steps)
    if config.attribute is None:
        method = config.method or "sefa"
        return directions.without_labels(scorer, G, method, config.components, seeds, config.steps)
    assert scorer
    z = sample_latents(G, config.samples, config.truncation, config.label)
    if config.attribute in scorer.classifier.value_names:
        if config.method is not None:
            raise UsageError(f"--attribute {config.attribute} has its turn vector: no --method")
        return directions.by_turn(scorer, G, config.attribute, z, seeds, config.steps)
    scorer.classifier.labels.index(config.attribute, "--attribute")
    if config.method == "regression":
        others = _orthogonal_to(scorer, config.orthogonal_to)
        return directions.by_regression(scorer, G, config.attribute, z, seeds, config.steps, others)
    return directions.by_edits(scorer, G, config.attribute, z, seeds, config.steps)


def _images(G: Generator, config: DirectionConfig, saved: Directions | None) -> int:
    """The number of images of the filmstrip."""
    directions_shown = 1
    if saved:
        directions_shown = len(saved.names)
    elif config.attribute is None and config.with_ is None:
        directions_shown = min(config.components, G.latent_dim)
    return directions_shown * len(parse_seeds(config.seeds)) * (2 * config.steps + 1)


def _scorer(G: Generator, config: DirectionConfig) -> Scorer | None:
    """The classifier for G; None where there is none and none is asked for."""
    device = next(G.parameters()).device
    try:
        classifier = find_classifier(config.checkpoint, config.classifier, config.data, device)
        return Scorer(G, classifier, config.precision)
    except UserError:
        if config.attribute or config.classifier or config.data:
            raise
        return None


def _orthogonal_to(scorer: Scorer, text: str | None) -> list[int]:
    """The labels of --orthogonal-to."""
    if text is None:
        return []
    labels = scorer.classifier.labels
    if text in labels.names:  # the name of a class may contain a comma
        return [labels.names.index(text)]
    if text == "all":
        return list(range(len(labels.names)))
    return [labels.index(name.strip(), "--orthogonal-to") for name in text.split(",")]
