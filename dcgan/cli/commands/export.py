"""`dcgan export`."""

from collections.abc import Sequence

from dcgan.cli.parsing import parse_flags
from dcgan.config import ExportConfig
from dcgan.runtime.terminal import print_lines


def export(args: Sequence[str], prog: str) -> None:
    """Export a generator as a page that runs in the browser, as an ONNX model or as a file."""
    config = parse_flags(ExportConfig, args, prog, export.__doc__)

    from dcgan.export import export_model

    print_lines(*export_model(config))
