"""TensorBoard's event files.

Events are written at once by the thread that adds them, so that it gets the error of a full disk:
torch's `SummaryWriter` writes in a thread of its own, which prints a traceback. TensorBoard's
`RecordWriter` is not used because its checksum is a Python loop over every byte: two grids take it
0.2 s, 4 % of 500 training steps and more (docs/recipe.md).
"""

import os
import re
import socket
import struct
import time
from collections.abc import Iterable
from pathlib import Path

import google_crc32c

_PREFIX = "events.out.tfevents."


class EventFileWriter:
    """Writes a new event file in a folder. Events of older files from `purge_step` on are dropped.

    Every method raises OSError if writing fails.
    """

    def __init__(self, folder: Path, purge_step: int):
        from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2

        self._Event, self._Summary = event_pb2.Event, summary_pb2.Summary
        self._Metadata, self._Tensor = summary_pb2.SummaryMetadata, tensor_pb2.TensorProto
        now = _later_than_all(Path(folder).glob(f"{_PREFIX}*"))
        self.path = Path(folder) / f"{_PREFIX}{now:.6f}.{socket.gethostname()}.{os.getpid()}"
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._write(file_version="brain.Event:2")
        self._write(step=purge_step, session_log=start)

    def add_scalars(self, step: int, values: dict[str, float]) -> None:
        """Add a point to each curve."""
        points = [self._Summary.Value(tag=tag, simple_value=v) for tag, v in values.items()]
        self._write(step=step, summary=self._Summary(value=points))

    def add_image(self, step: int, tag: str, shape: tuple[int, ...], png: bytes) -> None:
        """Add an image of shape [H, W, C], encoded as PNG."""
        height, width, channels = shape
        image = self._Summary.Image(
            height=height, width=width, colorspace=channels, encoded_image_string=png
        )
        self._write_value(step, self._Summary.Value(tag=tag, image=image))

    def add_text(self, step: int, tag: str, text: str) -> None:
        """Add a Markdown text."""
        plugin = self._Metadata.PluginData(plugin_name="text")
        tensor = self._Tensor(dtype="DT_STRING", string_val=[text.encode()])
        metadata = self._Metadata(plugin_data=plugin)
        self._write_value(step, self._Summary.Value(tag=tag, metadata=metadata, tensor=tensor))

    def _write_value(self, step: int, value) -> None:
        self._write(step=step, summary=self._Summary(value=[value]))

    def _write(self, **fields) -> None:
        data = self._Event(wall_time=time.time(), **fields).SerializeToString()
        length = struct.pack("<Q", len(data))
        with open(self.path, "ab") as file:
            file.write(length + _masked_crc32c(length) + data + _masked_crc32c(data))


def _later_than_all(paths: Iterable[Path]) -> float:
    """The time in seconds, but later than the times in these names.

    TensorBoard reads the files of a folder in the order of their names. If the clock was set back,
    a new file would come before the older ones and lose events to their purge steps.
    """
    times = [re.match(r"\d{10}(\.\d{6})?(?!\d)", path.name.removeprefix(_PREFIX)) for path in paths]
    return max([time.time(), *(float(found[0]) + 1e-3 for found in times if found)])


def _masked_crc32c(data: bytes) -> bytes:
    """The checksum of TFRecord files: CRC-32C, rotated and shifted by a constant, as 4 bytes."""
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
