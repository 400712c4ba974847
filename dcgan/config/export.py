"""Options of `dcgan export`."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from dcgan.config.fields import POSITIONAL
from dcgan.config.sampling import DEFAULT_CHECKPOINT
from dcgan.config.validation import format_flag, require_ending, validate_types
from dcgan.errors import UsageError

Format = Literal["html", "onnx", "safetensors", "pytorch-example"]

EXAMPLE: Format = "pytorch-example"
_FORMATS: dict[str, Format] = {f".{name}": name for name in get_args(Format) if name != EXAMPLE}


@dataclass(frozen=True)
class ExportConfig:
    """Generator to export, and the file to write."""

    checkpoint: Path = dataclasses.field(default=DEFAULT_CHECKPOINT, metadata=POSITIONAL)
    """Checkpoint file, run folder, or faces, the generator that comes with dcgan."""
    to: Format | None = None
    """Format. html: a page that generates pictures in the browser; onnx: for ONNX Runtime and
    others (needs pip install "dcgan[onnx]"); safetensors: the generator alone, for all commands of
    dcgan; pytorch-example: files of weights that PyTorch's DCGAN example loads. Default: by the
    ending of --out."""
    out: Path | None = None
    """File to write: .html, .onnx or .safetensors; for pytorch-example a folder. Default: generator
    with the ending of --to, or pytorch-example."""
    directions: Path | None = None
    """File (.safetensors) of directions, as dcgan direction writes it, for the sliders of a page.
    Default: directions of labels for faces, else SeFa directions."""
    half_precision: bool = False
    """Store the weights of --to safetensors in fp16, in half the space. It changes pixel values (0
    to 255) by about 1. A page always stores fp16."""

    def __post_init__(self) -> None:
        validate_types(self)
        kind = self.format()
        if kind != EXAMPLE:
            require_ending(self.out, f".{kind}", "out")
        require_ending(self.directions, ".safetensors", "directions")
        for name, needed in (("directions", "html"), ("half_precision", "safetensors")):
            if getattr(self, name) and kind != needed:
                raise UsageError(f"{format_flag(name)} is for --to {needed}, not for {kind}")

    def format(self) -> Format:
        """The format of the file. Raises UsageError where no option says it."""
        if self.to is not None:
            return self.to
        ending = "" if self.out is None else self.out.suffix.lower()
        if ending not in _FORMATS:
            formats = ", ".join(get_args(Format))
            given = "" if self.out is None else f"--out {self.out}: "
            raise UsageError(f"{given}name a format by --to: {formats}")
        return _FORMATS[ending]

    def file(self) -> Path:
        """The file to write, or the folder."""
        if self.format() == EXAMPLE:
            return self.out or Path(EXAMPLE)
        return self.out or Path(f"generator.{self.format()}")
