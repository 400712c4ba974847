"""Features compared by what a linear classifier learns from them: the work of `dcgan features`."""

from collections.abc import Callable, Mapping
from functools import partial

import torch

from dcgan.config import FeaturesConfig
from dcgan.config.hub_names import format_checkpoint
from dcgan.config.validation import require_options
from dcgan.data import PackedImages, open_packed
from dcgan.deconv.autoencoder import load_autoencoder
from dcgan.deconv.linear_probe.baselines import fit_principal_components
from dcgan.deconv.linear_probe.features import (
    FeatureFunction,
    check_fits,
    discriminator_features,
    extract,
    pixel_features,
    pool_maps,
    scale,
)
from dcgan.deconv.linear_probe.protocol import (
    VALIDATION_DRAWS,
    FeatureArrays,
    ProbeScores,
    probe,
)
from dcgan.deconv.linear_probe.supervised import probe_supervised, trainings
from dcgan.deconv.linear_probe.svm import check_scikit_learn
from dcgan.deconv.linear_probe.table import ProbeTable
from dcgan.deconv.linear_probe.tasks import Split, label_tasks, split_images
from dcgan.deconv.untrained import build_discriminator
from dcgan.errors import UsageError
from dcgan.networks import Discriminator
from dcgan.runs import Checkpoint
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.runs.loading import discriminator_in
from dcgan.runtime.cpu_sharing import sharing_cpus
from dcgan.runtime.device import reuse_freed_memory, select_device
from dcgan.runtime.disk import format_size
from dcgan.runtime.progress import progress_bar

_MAX_BYTES = 8 * 2**30  # of the features of one row
_SHUFFLED_DRAWS = 20  # enough to see that they are at chance: SVMs of such labels take long
# The rows of the table.
LEARNT = "D"
UNTRAINED = "D, untrained"
PIXELS = "pixels"
COMPONENTS = "PCA of pixels"
SUPERVISED = "CNN, these labels only"
SHUFFLED = "D, shuffled labels"
AUTOENCODER = "denoising autoencoder"


@sharing_cpus()
def compare_features(
    config: FeaturesConfig, others: Mapping[str, FeatureFunction] | None = None
) -> ProbeTable:
    """Classify the images of `config.data` by the features of D, and by those of the baselines.

    The rows: D; `others` by their names; the encoder of `config.autoencoder`; D untrained; pixels;
    principal components; a network trained with the labels alone; D with shuffled labels, which
    must be at chance. See `probe` for the protocol. Raises UserError for missing or damaged files,
    images without labels and a missing scikit-learn, UsageError for images that D is not for, or
    too few of them.
    """
    require_options(config, FeaturesConfig, "compare_features")
    check_scikit_learn()
    reuse_freed_memory()
    device = select_device(config.device)
    found = find_checkpoint(config.checkpoint)
    D = discriminator_in(found, device)
    packed = open_packed(config.data)
    check_fits(D, packed)
    others = {**(others or {}), **_autoencoder_features(config, packed, device)}
    tasks = label_tasks(packed)
    split = split_images(packed, tasks, config.per_class, config.test, config.seed)
    functions = _feature_functions(found, D, packed, split, config.seed, others)
    rows: dict[str, ProbeScores] = {}
    shuffled: dict[str, ProbeScores] = {}
    for name, make in functions.items():
        arrays = feature_arrays(name, make(), packed, split, device)
        with progress_bar(VALIDATION_DRAWS + config.draws, name, "draw") as bar:
            rows[name] = probe(
                arrays,
                tasks,
                split,
                config.per_class,
                config.draws,
                config.seed,
                on_draw=bar.update,
            )
        if name == LEARNT:
            draws = min(_SHUFFLED_DRAWS, config.draws)
            with progress_bar(draws, SHUFFLED, "draw") as bar:
                shuffled[SHUFFLED] = probe(
                    arrays,
                    tasks,
                    split,
                    config.per_class,
                    draws,
                    config.seed,
                    C=rows[name].C,
                    shuffle_labels=True,
                    on_draw=bar.update,
                )
        del arrays  # before the next ones are made
    if config.cnn_draws:
        with progress_bar(trainings(config.cnn_draws), SUPERVISED, "network") as bar:
            rows[SUPERVISED] = probe_supervised(
                partial(build_discriminator, found),
                packed,
                tasks,
                split,
                config.per_class,
                config.cnn_draws,
                config.seed,
                device,
                on_training=bar.update,
            )
    names = tuple(task.name for task in tasks)
    return ProbeTable(rows | shuffled, names, _protocol(config, split, packed))


def _feature_functions(
    found: Checkpoint,
    D: Discriminator,
    packed: PackedImages,
    split: Split,
    seed: int,
    others: Mapping[str, FeatureFunction],
) -> dict[str, Callable[[], FeatureFunction]]:
    """What makes the features of each row, by its name."""
    device = next(D.parameters()).device

    def untrained() -> FeatureFunction:
        network = build_discriminator(found, seed).to(device)
        return discriminator_features(network, packed, split.pool)

    def components() -> FeatureFunction:
        return fit_principal_components(packed, split.pool, seed).to(device)

    made: dict[str, Callable[[], FeatureFunction]] = {
        UNTRAINED: untrained,
        PIXELS: lambda: pixel_features,
        COMPONENTS: components,
    }
    if taken := sorted({LEARNT, SUPERVISED, SHUFFLED, *made} & set(others)):
        raise UsageError(f"the table has a row {taken[0]!r} already: choose another name")
    given = {name: partial(_itself, function) for name, function in others.items()}
    return {LEARNT: partial(discriminator_features, D, packed, split.pool), **given, **made}


def _autoencoder_features(
    config: FeaturesConfig, packed: PackedImages, device: torch.device
) -> dict[str, FeatureFunction]:
    """The row of the encoder of `config.autoencoder`, if it is given.

    Raises UserError for no such run, UsageError for one of other images.
    """
    if config.autoencoder is None:
        return {}
    network = load_autoencoder(config.autoencoder, device)
    ours, theirs = (packed.size, packed.channels), (network.size, network.channels)
    if ours != theirs:
        raise UsageError(
            f"--autoencoder {config.autoencoder} is for images of size and channels {theirs}, and "
            f"{packed.folder} has {ours}"
        )
    return {AUTOENCODER: lambda x: pool_maps(network.features(x))}


def _itself(function: FeatureFunction) -> FeatureFunction:
    return function


def feature_arrays(
    name: str,
    function: FeatureFunction,
    packed: PackedImages,
    split: Split,
    device: torch.device | str = "cpu",
) -> FeatureArrays:
    """Scaled features of the images of a split. Raises as `extract`, and UsageError where they
    would take more than 8 GB of memory.
    """
    count = sum(map(len, split.parts))
    one = extract(function, packed, split.test[:1], device, name=name)
    if (needed := count * one.nbytes) > _MAX_BYTES:
        raise UsageError(
            f"{name}: the features of {count:,} images take {format_size(needed)} of memory: lower "
            f"--test or --per-class"
        )
    with progress_bar(count, f"{name}: features", "image") as bar:
        arrays = [
            extract(function, packed, part, device, name=name, on_images=bar.update)
            for part in split.parts
        ]
    scale(arrays[0], arrays[1:])
    return FeatureArrays(*arrays)


def _protocol(config: FeaturesConfig, split: Split, packed: PackedImages) -> dict[str, object]:
    names = ("pool", "validation", "test")
    return {
        "checkpoint": format_checkpoint(config.checkpoint),
        "data_fingerprint": packed.fingerprint,
        "per_class": config.per_class,
        "draws": config.draws,
        "seed": config.seed,
        **{f"{name}_images": len(part) for name, part in zip(names, split.parts, strict=True)},
    }
