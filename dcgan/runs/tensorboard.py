"""TensorBoard's event files: records of protocol buffers with checksums.

They are written by the thread that asks and at once, so that a full disk is heard of. (The writer
of torch has a thread of its own, which prints a traceback then; and TensorBoard's checksum, a loop
in Python over every byte of a picture, would keep training from the interpreter for 60 ms.)
"""

import os
import re
import socket
import struct
import time
from collections.abc import Iterable
from pathlib import Path

import google_crc32c

PREFIX = "events.out.tfevents."


class EventFileWriter:
    """A new event file in a folder. What older ones hold from step `purge_step` on is dropped."""

    def __init__(self, folder: Path, purge_step: int):
        from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2

        self.Event, self.Summary = event_pb2.Event, summary_pb2.Summary
        self.Metadata, self.Tensor = summary_pb2.SummaryMetadata, tensor_pb2.TensorProto
        now = after_all(Path(folder).glob(f"{PREFIX}*"))
        self.path = Path(folder) / f"{PREFIX}{now:.6f}.{socket.gethostname()}.{os.getpid()}"
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self.write(file_version="brain.Event:2")
        self.write(step=purge_step, session_log=start)

    def add_scalars(self, step: int, values: dict[str, float]) -> None:
        """One point of every curve."""
        points = [self.Summary.Value(tag=tag, simple_value=v) for tag, v in values.items()]
        self.write(step=step, summary=self.Summary(value=points))

    def add_image(self, step: int, tag: str, shape: tuple[int, int, int], png: bytes) -> None:
        """A picture [H, W, C] that is a PNG already."""
        height, width, channels = shape
        image = self.Summary.Image(
            height=height, width=width, colorspace=channels, encoded_image_string=png
        )
        self.write(
            step=step, summary=self.Summary(value=[self.Summary.Value(tag=tag, image=image)])
        )

    def add_text(self, step: int, tag: str, text: str) -> None:
        """Some words, which TensorBoard shows as Markdown."""
        plugin = self.Metadata.PluginData(plugin_name="text")
        tensor = self.Tensor(dtype="DT_STRING", string_val=[text.encode()])
        value = self.Summary.Value(
            tag=tag, metadata=self.Metadata(plugin_data=plugin), tensor=tensor
        )
        self.write(step=step, summary=self.Summary(value=[value]))

    def write(self, **fields) -> None:
        data = self.Event(wall_time=time.time(), **fields).SerializeToString()
        length = struct.pack("<Q", len(data))
        with open(self.path, "ab") as file:
            file.write(length + checksum(length) + data + checksum(data))


def after_all(paths: Iterable[Path]) -> float:
    """The time; later than that in all names, though the clock may have been set back.

    TensorBoard reads the files of a folder in the order of their names, and a new one that came
    before the others would lose what they hold already.
    """
    times = [re.match(r"\d{10}(\.\d{6})?(?!\d)", path.name.removeprefix(PREFIX)) for path in paths]
    return max([time.time(), *(float(found[0]) + 1e-3 for found in times if found)])


def checksum(data: bytes) -> bytes:
    """TensorBoard's "masked" checksum: of a checksum within the data it is not the same again."""
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
