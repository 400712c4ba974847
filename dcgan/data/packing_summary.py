"""What has been packed and skipped: in meta.json, and on the terminal."""

import sys
from pathlib import Path

import dcgan
from dcgan.data.packed_files import FORMAT
from dcgan.data.parallel import Skipped
from dcgan.data.sources.base import Source
from dcgan.runtime.terminal import print_lines


def describe(
    source: Source, packed: int, skipped: dict[int, Skipped], notes: list[str]
) -> dict[str, object]:
    """The entries of meta.json that describe the source and its images."""
    kind = None
    if source.labels is not None:
        kind = "class" if source.labels.ndim == 1 else "attributes"
    return {
        "format": FORMAT,
        "toolkit": dcgan.__version__,
        **source.origin,
        "found": len(source),
        "packed": packed,
        "ignored": source.ignored,
        "ignored_kinds": dict(source.left_out),
        "skipped": [image._asdict() for image in skipped.values()],
        "notes": notes,
        "label_kind": kind,
        "label_names": list(source.label_names),
    }


def print_summary(
    source: Source,
    out: Path,
    size: int,
    crop: int | None,
    skipped: dict[int, Skipped],
    notes: list[str],
) -> None:
    """Print on stderr what has been packed and skipped."""
    shape = f"{size} px, of a centre crop of {crop} px" if crop else f"{size} px"
    line = f"packed {len(source) - len(skipped)} of {len(source)} images ({shape}) in {out}"
    if skipped:
        line += f"; skipped {len(skipped)}: {first_reasons(skipped)}"
    print_lines(line, *notes, file=sys.stderr)


def first_reasons(skipped: dict[int, Skipped]) -> str:
    """The first three skipped images with their reasons."""
    first = [f"{image.name} ({image.reason})" for _, image in sorted(skipped.items())[:3]]
    return ", ".join(first) + (", ..." if len(skipped) > 3 else "")
