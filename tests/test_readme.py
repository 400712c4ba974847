"""What README says is so."""

import re
import shlex
from pathlib import Path

import pytest

from dcgan import cli
from dcgan.config import PRESETS

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^(?:python (?:train|sample)\.py|dcgan) [^#\n]*", README, re.MULTILINE)


def test_the_table_of_presets_is_that_of_the_code():
    rows = [
        [cell.strip(" `") for cell in line.strip("|").split("|")]
        for line in README.splitlines()
        if re.match(r"\| `[a-z0-9-]+` \|.*\|.*\|.*\|.*\|", line)
    ]
    written = {row[0]: row[1:6] for row in rows if len(row) == 7}
    assert written == {
        name: [
            preset.source,
            f"{preset.size}x{preset.size}x{preset.channels}",
            str(preset.width),
            str(preset.batch_size),
            f"{preset.steps:,}",
        ]
        for name, preset in PRESETS.items()
    }


@pytest.mark.parametrize("command", [c for c in COMMANDS if "train" in c and "--data" not in c])
def test_training_commands_are_understood(command, capsys):
    arguments = shlex.split(command)[2:]
    assert cli.main(["train", *arguments, "--dry-run"]) == 0


@pytest.mark.parametrize("command", [c for c in COMMANDS if "train" not in c])
def test_other_commands_fail_only_for_want_of_files(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name, *arguments = shlex.split(command)
    command = arguments if name == "dcgan" else ["sample", *arguments[1:]]
    assert cli.main(command) == 1
    assert re.search(r"no such|does not exist", capsys.readouterr().err)
