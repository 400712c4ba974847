"""Sizes along one axis of convolutions, transposed convolutions and poolings.

Dumoulin and Visin 2016, "A guide to convolution arithmetic for deep learning" (arXiv:1603.07285).
Axes do not influence one another, so that each is computed for itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from dcgan.errors import UsageError

MISSED = np.iinfo(np.int64).min  # the input of a tap that meets none
LIMIT = 2**20  # of every number of a layer, and of the positions of its maps


@dataclass(frozen=True)
class Layer:
    """What all layers along one axis have: a kernel whose taps are `dilation` positions apart.

    Raises UsageError for numbers that PyTorch's layers do not take.
    """

    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1

    def __post_init__(self) -> None:
        for name, least in (("kernel", 1), ("stride", 1), ("padding", 0), ("dilation", 1)):
            value = getattr(self, name)
            if not least <= value <= LIMIT:
                raise UsageError(f"a {name} must be from {least} to {LIMIT:,}, not {value}")

    @property
    def extent(self) -> int:
        """Positions from the first to the last tap of the kernel, both included."""
        return self.dilation * (self.kernel - 1) + 1

    def coverage(self) -> tuple[int, ...]:
        """How many taps meet each position of the larger map, for each remainder by the stride.

        Of a convolution: outputs that read an input; of a transposed convolution: inputs that reach
        an output; both far from the borders. For example 1, 1, 1 (even) or 2, 1 (a checkerboard).
        """
        counts = [0] * self.stride
        for tap in range(self.kernel):
            counts[tap * self.dilation % self.stride] += 1
        return tuple(counts)

    def is_even(self) -> bool:
        """Whether every position is met by equally many taps: no checkerboard.

        Without dilation: whether the stride divides the kernel (Odena et al. 2016, "Deconvolution
        and checkerboard artifacts").
        """
        return len(set(self.coverage())) == 1

    def output_size(self, size: int) -> int:
        """Positions of the output for `size` positions. Raises UsageError if there are none."""
        raise NotImplementedError

    def reads(self, outputs: np.ndarray) -> np.ndarray:
        """The input that each tap brings to each output: int64 [N] -> [N, kernel].

        Also those in the padding, which are negative or beyond the map; MISSED where a tap of a
        transposed convolution falls between two inputs.
        """
        raise NotImplementedError

    def inputs_of(self, output: int) -> list[int]:
        """The inputs that reach one output, in rising order, also those in the padding."""
        read = self.reads(np.array([output]))
        return sorted(read[read != MISSED].tolist())

    def centre_of(self, output: Fraction) -> Fraction:
        """Where the middle of an output lies on the input."""
        raise NotImplementedError

    def _offsets(self) -> np.ndarray:
        return np.arange(self.kernel) * self.dilation

    def _require_output(self, output: int, size: int) -> int:
        if not 1 <= output <= LIMIT:
            problem = "leaves no output" if output < 1 else f"gives more than {LIMIT:,} outputs"
            raise UsageError(f"{self} {problem} of {size} input{'s' * (size != 1)}")
        return output


@dataclass(frozen=True)
class Conv(Layer):
    """A convolution: output o reads the inputs o * stride - padding + t * dilation."""

    def output_size(self, size: int) -> int:
        """Relationships 1 to 6 and 15 of the guide."""
        room = size + 2 * self.padding - self.extent
        return self._require_output(room // self.stride + 1 if room >= 0 else 0, size)

    def reads(self, outputs: np.ndarray) -> np.ndarray:
        return outputs[:, None] * self.stride - self.padding + self._offsets()

    def centre_of(self, output: Fraction) -> Fraction:
        return output * self.stride - self.padding + Fraction(self.extent - 1, 2)

    def transpose(self, size: int) -> ConvTranspose:
        """The transposed convolution that takes this one's output for `size` inputs back to `size`.

        Relationship 14 of the guide: the inputs that the last step does not reach become
        `output_padding`.
        """
        unread = (size + 2 * self.padding - self.extent) % self.stride
        self.output_size(size)
        return ConvTranspose(self.kernel, self.stride, self.padding, self.dilation, unread)

    def __str__(self) -> str:
        return f"a convolution with {_numbers(self)}"


@dataclass(frozen=True)
class Pool(Conv):
    """A pooling, which reads its inputs like a convolution (relationship 7).

    `ceil`: the last window may pass the border if it begins inside, as by PyTorch's `ceil_mode`.
    """

    ceil: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.padding > self.kernel // 2:
            raise UsageError(
                f"the padding of a pooling must be at most half its kernel, {self.kernel // 2}, "
                f"not {self.padding}"
            )

    def output_size(self, size: int) -> int:
        if not self.ceil:
            return super().output_size(size)
        room = size + 2 * self.padding - self.extent
        output = -(-room // self.stride) + 1
        begins_in_padding = (output - 1) * self.stride >= size + self.padding
        return self._require_output(output - begins_in_padding, size)

    def __str__(self) -> str:
        return f"a pooling with {_numbers(self)}"


@dataclass(frozen=True)
class ConvTranspose(Layer):
    """A transposed convolution: input i reaches the outputs i * stride - padding + t * dilation."""

    output_padding: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.output_padding < max(self.stride, self.dilation):
            raise UsageError(
                "output_padding must be less than the stride or the dilation, "
                f"{max(self.stride, self.dilation)}, not {self.output_padding}"
            )

    def output_size(self, size: int) -> int:
        """Relationships 8 to 14 of the guide."""
        whole = (size - 1) * self.stride + self.extent
        return self._require_output(whole - 2 * self.padding + self.output_padding, size)

    def reads(self, outputs: np.ndarray) -> np.ndarray:
        places = outputs[:, None] + self.padding - self._offsets()
        return np.where(places % self.stride == 0, places // self.stride, MISSED)

    def centre_of(self, output: Fraction) -> Fraction:
        return (output + self.padding - Fraction(self.extent - 1, 2)) / self.stride

    def __str__(self) -> str:
        return f"a transposed convolution with {_numbers(self)}"


def _numbers(layer: Layer) -> str:
    """The numbers of a layer as words, without those that have no effect."""
    shown = [f"kernel {layer.kernel}", f"stride {layer.stride}", f"padding {layer.padding}"]
    if layer.dilation > 1:
        shown.append(f"dilation {layer.dilation}")
    if isinstance(layer, ConvTranspose) and layer.output_padding:
        shown.append(f"output_padding {layer.output_padding}")
    return ", ".join(shown)
