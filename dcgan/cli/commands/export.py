"""`dcgan export`."""

from collections.abc import Sequence

from dcgan.cli.parsing import parse_flags
from dcgan.config import ExportConfig
from dcgan.runtime.terminal import print_lines


def export(args: Sequence[str], prog: str) -> None:
    """Export a generator as an HTML page that runs it, for ONNX Runtime, or as a file of its own."""
    config = parse_flags(ExportConfig, args, prog, export.__doc__)

    from dcgan.export import export_model

    print_lines(*export_model(config), config.file())
