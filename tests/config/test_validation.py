"""Invalid values are refused with the rule, for Python callers as on the command line."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from dcgan.config import (
    NETWORK_OPTIONS,
    PRESETS,
    CompareConfig,
    DirectionConfig,
    EvaluateConfig,
    NeighboursConfig,
    PrepareConfig,
    SampleConfig,
    TimelapseConfig,
    TrainConfig,
    WalkConfig,
    config_from_dict,
    config_to_dict,
    format_flag,
    format_option,
    validate_network,
)
from dcgan.errors import UsageError

HOME = Path.home()


class DirEntry:
    """A path that is neither text nor a Path, as `os.scandir` yields them."""

    def __init__(self, path: str):
        self.path = path

    def __repr__(self) -> str:  # part of a test's name, which all workers must agree on
        return f"DirEntry({self.path!r})"

    def __fspath__(self) -> str:
        return self.path


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (dict(clip=1.0), "--clip must be above 1, or 0 for no clipping, not 1.0"),
        (dict(clip=-3.0), "--clip must be above 1"),
        (dict(clip=float("inf")), "--clip must be above 1"),
        (dict(d_steps=0), "--d-steps must be at least 1, not 0"),
        (dict(accumulate=0), "--accumulate must be at least 1, not 0"),
        (dict(accumulate=3), "--accumulate must be a divisor of --batch-size 64"),
        (dict(accumulate=64), "2 images or more per micro-batch, not 64"),
        (dict(accumulate=128), "--accumulate must be a divisor"),
        (dict(penalty_every=0), "--penalty-every must be at least 1"),
        (dict(r1=-1), "--r1 must be at least 0, and finite, not -1"),
        (dict(r2=float("nan")), "--r2 must be at least 0"),
        (dict(r1=float("inf")), "--r1 must be at least 0, and finite, not inf"),
        (dict(seed=2**63), "--seed must be below 2^63"),
        (dict(seed=-1), "--seed must be at least 0"),
        (
            dict(augment=("cutout", "cutout")),
            "--augment cutout cutout: name each",
        ),
        (dict(gradient_penalty=-1), "--gradient-penalty must be at least 0"),
        (dict(label_smoothing=1.0), "--label-smoothing must be at least 0, below 1"),
        (dict(label_smoothing=0.1), "--label-smoothing needs --loss non-saturating"),
        (dict(augment_p=1.5), "--augment-p must be from 0 to 1, adaptive or auto, not 1.5"),
        (dict(loss="wasserstein", r1=0, r2=0), "--loss wasserstein needs a smooth D: give"),
        (dict(r1=0, r2=0), "--loss relativistic needs a smooth D: give"),
        (
            dict(loss="hinge", r1=0, r2=0, penalty_every=4),
            "--penalty-every 4: there is no penalty; give",
        ),
        (dict(augment_p=0.5, augment=()), "--augment-p 0.5 needs --augment with one"),
        (dict(augment_p="adaptive", augment=()), "--augment-p adaptive needs --augment with"),
        (dict(beta1=1.0), "--beta1 must be at least 0, below 1"),
        (dict(spectral_norm=True, batch_norm_D=True), "--batch-norm-D and --spectral-norm exclude"),
        (dict(patience=3), "--patience counts evaluations: give --eval-every too"),
        (dict(eval_images=9), "--eval-images must be at least 10, not 9"),
        (dict(crop=0), "--crop must be at least 1"),
        (dict(threads=0), "--threads must be at least 1"),
        (dict(lr_D=0.0), "--lr-D must be between 0 and 1"),
        (dict(keep=-1), "--keep must be at least 0"),
        (dict(width=1025), "--width must be from 1 to 1024"),
        (dict(latent_dim=0), "--latent-dim must be from 1 to 4096"),
    ],
)
def test_invalid_values_are_refused_with_the_rule(options, complaint):
    with pytest.raises(UsageError, match=re.escape(complaint)):
        TrainConfig(**options)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (dict(loss="gan"), "--loss must be one of non-saturating, hinge, least-squares, wass"),
        (dict(channels=2), "--channels must be one of 1, 3, not 2"),
        (dict(channels=True), "--channels must be one of 1, 3, not True"),
        (dict(augment=("rotation",)), "--augment must be a tuple, each item one of colour, trans"),
        (dict(augment="cutout"), "--augment must be a tuple"),
        (dict(augment_p="often"), "--augment-p must be of type float or one of adaptive, auto"),
        (dict(steps="10"), "--steps must be of type int, not '10'"),
        (dict(steps=1.5), "--steps must be of type int, not 1.5"),
        (dict(steps=True), "--steps must be of type int, not True"),
        (dict(clip=None), "--clip must be of type float, not None"),
        (dict(flip=1), "--flip must be of type bool, not 1"),
        (dict(out=3), "--out must be of type Path, not 3"),
        (dict(root=""), "--root must be of type Path or None, not ''"),
        (dict(out=None), "--out must be of type Path, not None"),
        (dict(data=b"packed"), "--data must be of type Path or None, not b'packed'"),
        (dict(root="~no-such-user/a"), "'~no-such-user/a' is no path: Could not determine home"),
        (dict(steps=np.float32(10)), "--steps must be of type int, not 10.0"),
        (dict(steps=np.array([10])), "--steps must be of type int, not array([10])"),
        (dict(flip=np.int64(1)), "--flip must be of type bool, not 1"),
        (
            dict(classes="bedroom"),
            "--classes must be a tuple, each item of type str, not 'bedroom'",
        ),
        (dict(classes=("a", 1)), "--classes must be a tuple, each item of type str"),
    ],
)
def test_python_callers_get_the_checks_of_types_and_choices_too(options, complaint):
    with pytest.raises(UsageError, match=re.escape(complaint)):
        TrainConfig(**options)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: PrepareConfig(out=Path("a"), size=48), "--size must be a power of two"),
        (lambda: PrepareConfig(out=Path("a"), source="imagenet"), "--source must be one of faces"),
        (lambda: SampleConfig(checkpoint=Path("a"), rows="2"), "--rows must be of type int"),
        (lambda: SampleConfig(checkpoint=Path("a"), precision="fp8"), "--precision must be one of"),
        (lambda: SampleConfig(checkpoint=Path("a"), out=Path("a.jpg")), "must end in .png"),
        (lambda: WalkConfig(checkpoint=Path("a"), frames=0), "--frames must be from 1 to 100,000"),
        (lambda: WalkConfig(checkpoint=Path("a"), seconds=1.0), "--seconds must be from 2.4 to"),
        (lambda: EvaluateConfig(checkpoint=Path("a"), data=None), "--data must be of type Path"),
        (
            lambda: EvaluateConfig(checkpoint=Path("a"), data=Path("b"), weights=Path("c")),
            "--weights needs --fidelity",
        ),
        (
            lambda: EvaluateConfig(checkpoint=Path("a"), data=Path("b"), extractor="module"),
            "--extractor module: write it as efficientnet or module:Class",
        ),
        (
            lambda: NeighboursConfig(checkpoint=Path("a"), data=Path("b"), count=9),
            "--count must be at least 10, not 9",
        ),
        (lambda: CompareConfig(out=Path("a.gif")), "--out a.gif: the file name must end in .png"),
        (lambda: TimelapseConfig(run=Path("a"), seconds=0.01), "--seconds must be from 0.02"),
    ],
)
def test_every_command_checks_its_options(make, complaint):
    with pytest.raises(UsageError, match=re.escape(complaint)):
        make()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (dict(root="pics"), dict(root=Path("pics"))),
        (dict(root="~/pics", out=Path("~/a")), dict(root=HOME / "pics", out=HOME / "a")),
        (dict(data=DirEntry("a/b")), dict(data=Path("a/b"))),
        (dict(steps=np.int32(9), lr_G=np.float64(0.25)), dict(steps=9, lr_G=0.25)),
        (dict(flip=np.False_, seed=np.uint64(2**63 - 1)), dict(flip=False, seed=2**63 - 1)),
        (dict(threads=np.int8(2), augment_p=np.float16(0.5)), dict(threads=2, augment_p=0.5)),
        (dict(channels=np.int64(1), loss=np.str_("hinge")), dict(channels=1, loss="hinge")),
        (dict(augment=["cutout"], classes=[]), dict(augment=("cutout",), classes=())),
    ],
    ids=str,
)
def test_python_callers_may_give_values_of_similar_types(given, kept):
    config = TrainConfig(**given)
    for name, value in kept.items():
        found = getattr(config, name)
        assert (found, type(found)) == (value, type(value))
    json.dumps(config_to_dict(config))


def test_paths_in_tuples_are_converted_too():
    assert CompareConfig(runs=["a", Path("~/b")]).runs == (Path("a"), HOME / "b")


@pytest.mark.parametrize(
    "options",
    [
        dict(loss="non-saturating", label_smoothing=0.1),
        dict(loss="wasserstein", r1=0, r2=0, spectral_norm=True),
        dict(r1=0, r2=0, spectral_norm=True),
        dict(loss="hinge", r1=0, r2=0),
        dict(loss="hinge", r1=0, r2=0, gradient_penalty=1, penalty_every=4),
        dict(augment_p=0, augment=()),
        dict(augment_p=1, r1=0, clip=0),  # whole numbers where floats are declared
        dict(accumulate=32, batch_size=64),
        dict(patience=1, eval_every=1),
        dict(seed=2**63 - 1, beta2=0.0),
        dict(classes=("a", "b"), crop=1, workers=1, threads=1),
    ],
    ids=str,
)
def test_values_at_the_limits_are_accepted(options):
    config = TrainConfig(**options)
    assert {name: getattr(config, name) for name in options} == options


@pytest.mark.parametrize(
    ("options", "weights"),
    [
        ({}, (1, 1)),
        (dict(gradient_penalty=10), (0, 0)),
        (dict(gradient_penalty=10, r1=1.0), (1, 0)),
        (dict(gradient_penalty=10, r1=0.5, r2=1), (0.5, 1)),
        (dict(gradient_penalty=0), (1, 1)),
        (dict(spectral_norm=True), (1, 1)),
    ],
)
@pytest.mark.parametrize("loss", ["wasserstein", "relativistic", "hinge"])
def test_the_wgan_gp_penalty_replaces_r1_and_r2_unless_they_are_given(loss, options, weights):
    """They pull the norm of D's gradient to 0, and it pulls it to 1."""
    folder = PRESETS["folder"]
    for config in (TrainConfig(loss=loss, **options), dataclasses.replace(folder, loss=loss)):
        config = dataclasses.replace(config, **options)
        assert (config.r1, config.r2) == weights
        stored = json.loads(json.dumps(config_to_dict(config)))
        assert (stored["r1"], stored["r2"]) == weights
        again = dataclasses.replace(config, gradient_penalty=0.0)
        given = options.get("r1", 1), options.get("r2", 1)
        assert (again.r1, again.r2) == given, "they come back"


def test_implied_weights_stay_such_in_the_json_of_a_run():
    """A run that is resumed with --gradient-penalty 10 trains without R1 and R2 from then on."""
    for options in ({}, dict(gradient_penalty=10), dict(gradient_penalty=10, r1=0.5)):
        config = TrainConfig(loss="wasserstein", **options)
        again = config_from_dict(json.loads(json.dumps(config_to_dict(config))))
        assert again == config
        for penalty in (0, 3):
            changed = dataclasses.replace(again, gradient_penalty=penalty)
            assert changed == dataclasses.replace(config, gradient_penalty=penalty)
            assert changed.r2 == (0 if penalty else 1)


def test_the_networks_of_a_checkpoint_are_validated_by_the_rules_of_train():
    options = {name: getattr(TrainConfig, name) for name in NETWORK_OPTIONS}
    validate_network(**options)
    wrong = dict(size=48, channels=2, width=0, latent_dim=0, latent="cauchy", kernel_size=3)
    for name, value in wrong.items():
        with pytest.raises(UsageError, match=f"{format_flag(name)} must be"):
            validate_network(**options | {name: value})
        with pytest.raises(UsageError, match=f"{format_flag(name)} must be"):
            TrainConfig(**{name: value})
    assert set(NETWORK_OPTIONS) - set(wrong) == {
        *("batch_norm_D", "bias_D", "spectral_norm", "minibatch_std")  # booleans
    }


def test_options_are_written_as_the_flags_that_give_them():
    assert format_flag("batch_norm_D") == "--batch-norm-D"
    assert format_option("width", 8) == "--width 8"
    assert (format_option("flip", True), format_option("flip", False)) == ("--flip", "--no-flip")


def test_a_config_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PRESETS["faces"].steps = 1


def test_raw_and_packed_images_are_not_given_together():
    with pytest.raises(UsageError, match="--data and --root exclude each other"):
        TrainConfig(data=Path("packed"), root=Path("raw"))


@pytest.mark.parametrize("flag", ["with_", "without", "seeds"])
@pytest.mark.parametrize(
    ("text", "words"), [("a", "write numbers"), ("0-100000", "100,001 images")]
)
def test_wrong_seeds_of_directions_are_named_by_their_flag(flag, text, words):
    options = dict(with_="1", without="2") | {flag: text}
    with pytest.raises(UsageError, match=f"--{flag.rstrip('_')} {text}.*{words}"):
        DirectionConfig(**options)


def test_a_classifier_is_not_written_to_the_file_of_the_directions():
    with pytest.raises(UsageError, match="is the file for the directions: name another"):
        DirectionConfig(classifier="d.safetensors", out="d.png")
