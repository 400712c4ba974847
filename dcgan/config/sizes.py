"""Options of `dcgan sizes`."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from dcgan.config.fields import POSITIONAL
from dcgan.config.validation import require, validate_types
from dcgan.errors import UsageError

_ENDINGS = (".png", ".gif", ".webp", ".mp4")


@dataclass(frozen=True)
class SizesConfig:
    """Layers and the size of their input, or two sizes that a layer is looked for between."""

    layers: str = dataclasses.field(default="", metadata=POSITIONAL)
    """Layers, separated by commas: "KIND [CHANNELS] KERNEL [STRIDE] [PADDING] [NAME=NUMBER]". KIND
    is conv or deconv (transposed convolution), with CHANNELS, or maxpool or avgpool, without (add
    ceil for ceil_mode). NAME is dilation or output_padding. 3x1 is height and width."""
    input: str = "64"
    """Side of the input in pixels, or height and width: 48x64."""
    channels: int | None = None
    """Channels of the input, for the first line of the table. Default: not shown."""
    to: int | None = None
    """List the convolutions and transposed convolutions that take --input to this size. Default:
    compute the sizes of the layers given."""
    out: Path | None = None
    """Picture to write: .png shows which positions are read and reached how often; .gif, .webp or
    .mp4 shows a single layer at work. Default: none."""

    def __post_init__(self) -> None:
        validate_types(self)
        require(self.channels is None or self.channels > 0, "channels", self.channels, "positive")
        require(self.to is None or self.to > 0, "to", self.to, "positive")
        if self.out is not None and self.out.suffix.lower() not in _ENDINGS:
            raise UsageError(f"--out {self.out}: the file name must end in {', '.join(_ENDINGS)}")
        if self.to is not None and (self.layers or self.out):
            raise UsageError("--to looks for single layers: leave out the layers and --out")
        if self.to is None and not self.layers.strip():
            raise UsageError('name layers, such as "conv 64 4 2 1, conv 128 4 2 1", or give --to')
