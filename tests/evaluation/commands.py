"""Running `dcgan evaluate` in tests, and reading what it stores."""

import json
from pathlib import Path

from dcgan.data import PackedImages


def evaluate_command(run: Path, packed: PackedImages, *flags: object) -> list[str]:
    """The words of `dcgan evaluate` on the CPU."""
    words = ["evaluate", run, "--data", packed.folder, "--device", "cpu", *flags]
    return [str(word) for word in words]


def stored_evaluations(folder: Path) -> list[dict]:
    """The evaluations stored in a run folder or beside a checkpoint."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("evaluations/*.json"))]
