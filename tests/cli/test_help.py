"""`--help`: its content, its words, and that it is fast."""

import os
import re
from typing import get_args

import pytest

from dcgan import cli, config
from dcgan.cli import commands, parsing
from dcgan.config import PRESETS, SourceName
from tests.cli.running import run_python

TASKS = {
    "denoise train": config.DenoiseTrainConfig,
    "denoise apply": config.DenoiseApplyConfig,
    "denoise evaluate": config.DenoiseEvaluateConfig,
    "segment train": config.SegmentTrainConfig,
    "segment predict": config.SegmentPredictConfig,
    "segment evaluate": config.SegmentEvaluateConfig,
}
CONFIGS = (
    *(config.TrainConfig, config.PrepareConfig, config.SampleConfig, config.WalkConfig),
    *(config.ArithmeticConfig, config.DirectionConfig, config.InvertConfig, config.CanvasConfig),
    *(config.EvaluateConfig, config.NeighboursConfig, config.CompareConfig, config.TimelapseConfig),
    config.SizesConfig,
    config.FeaturesConfig,
    config.VisualizeConfig,
    *TASKS.values(),
    config.ForgetConfig,
    config.SparseConfig,
    config.DemoConfig,
    config.ExportConfig,
    config.ImportConfig,
    config.PushConfig,
)
OPTIONS = [(kind, name) for kind in CONFIGS for name in kind.__dataclass_fields__]

# Words that this project once used for things which have a name of their own.
DIALECT = re.compile(
    r"\b(law|laws|draw[ns]?|judge[ds]?|judging|rehearse[sd]?|shall|lately|anew|by heart|"
    r"of which|what is|what has|as they are|as it is|means? what|is so|numbers in)\b",
    re.IGNORECASE,
)


@pytest.fixture
def help_of(capsys, monkeypatch):
    """A function that returns what a command prints for --help, in one column."""
    monkeypatch.setenv("COLUMNS", "100")

    def show(*words: str) -> str:
        assert cli.main([*words, "--help"]) == 0
        return capsys.readouterr().out

    return show


def squeezed(text: str) -> str:
    """Text without the spaces, line breaks and frames that --help has by its width."""
    return re.sub(r"[\s│]", "", text)


def test_help_stays_readable_in_a_narrow_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    assert cli.main(["train", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines[5:])) == parsing._MIN_COLUMNS
    assert "Steps between two sample grids." in " ".join(lines)
    assert os.environ["COLUMNS"] == "20"


@pytest.mark.parametrize(("kind", "name"), OPTIONS)
def test_every_flag_is_explained_in_plain_words(kind, name):
    text = parsing._field_docstrings(kind)[name]
    assert text[:1].isupper() and text.endswith("."), text
    assert 10 <= len(text) <= 300, text
    assert not DIALECT.search(text), text
    if kind.__dataclass_fields__[name].default is None:
        assert "Default" in text, "an option without a value says what happens then"


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_group_of_flags_has_a_heading_in_plain_words(kind):
    for group in parsing.groups_of(kind):
        assert group.__doc__.endswith(".")
        assert not DIALECT.search(group.__doc__), group.__doc__


@pytest.mark.parametrize(
    "command",
    [name for name in commands.COMMANDS if name not in ("denoise", "segment")] + list(TASKS),
)
def test_help_of_a_command_shows_its_flags_and_their_texts(command, help_of):
    shown = help_of(*command.split())
    kinds = {kind.__name__.removesuffix("Config").lower(): kind for kind in CONFIGS}
    kind = kinds["train" if command == "doctor" else command.replace(" ", "")]
    for name, text in parsing._field_docstrings(kind).items():
        assert squeezed(text) in squeezed(shown), name
        if "positional" not in kind.__dataclass_fields__[name].metadata:
            assert re.search(rf"^[│ ]+{config.format_flag(name)}\b", shown, re.MULTILINE), name
    assert "None" not in shown


def test_the_list_of_commands_has_a_line_for_each(help_of):
    shown = help_of()
    listed = dict(re.findall(r"^  (\w+) +(.+)$", shown, re.MULTILINE))
    assert listed == {name: command.__doc__ for name, command in commands.COMMANDS.items()}
    for name, text in listed.items():
        own_name = name if hasattr(cli, name) else f"{name}_"
        assert getattr(cli, own_name) is commands.COMMANDS[name]
        assert text.endswith((".", "...")) and not DIALECT.search(text), text


@pytest.mark.parametrize("preset", PRESETS)
def test_help_of_train_shows_the_defaults_of_the_preset(preset, help_of):
    shown = help_of("train", preset)
    about = f"PRESET is one of {', '.join(PRESETS)}; the defaults below are those of {preset}."
    assert squeezed(about) in squeezed(shown)
    for name in ("width", "batch_size", "steps", "lr_G", "size", "latent", "out"):
        flag = rf"^[│ ]+{config.format_flag(name)} .*?\(default: (.*?)\)"
        line = re.search(flag, shown, re.DOTALL | re.MULTILINE)
        assert squeezed(line[1]) == str(getattr(PRESETS[preset], name)), name


def test_help_of_prepare_lists_every_source(help_of):
    about = f"SOURCE is one of {', '.join(get_args(SourceName))}."
    assert squeezed(about) in squeezed(help_of("prepare"))


def test_help_answers_without_torch():
    """Importing heavy packages makes --help slow; imports are easier to test than times."""
    probe = (
        "import sys; from dcgan import cli\n"
        "assert cli.main(['train', '--help']) == 0\n"
        "assert cli.main(['--help']) == 0\n"
        "heavy = {'torch', 'numpy', 'matplotlib', 'tensorboard', 'PIL', 'torchvision'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = run_python("-c", probe)
    assert done.returncode == 0, done.stderr
    headings = ("image", "network", "data", "loss", "optimization", "compute", "run", "evaluation")
    for heading in headings:
        assert f" {heading} options " in done.stdout
    assert f"(default: {PRESETS['faces'].steps})" in done.stdout
