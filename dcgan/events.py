"""TensorBoard's event files: records of protocol buffers with checksums.

They are written by the thread that asks and at once, so that a full disk is heard of. (The writer
of torch prints the traceback of a thread of its own; and TensorBoard's checksum, a loop in Python
over every byte of a picture, would take the interpreter from training for as long as drawing it.)
"""

import os
import socket
import struct
import time
from pathlib import Path

import numpy as np

POLYNOMIAL = np.uint32(0x82F63B78)  # of CRC-32C, bits reversed
BITS = np.uint32(1) << np.arange(32, dtype=np.uint32)
FILL = b"Td\x1fd"  # takes the register from 0 to all ones, which is where CRC-32C starts


class EventFile:
    """A new event file in a folder. What older ones hold from step `purge_step` on is dropped."""

    def __init__(self, folder: Path, purge_step: int):
        from tensorboard.compat.proto import event_pb2, summary_pb2

        self.Event, self.Summary = event_pb2.Event, summary_pb2.Summary
        # TensorBoard reads the files of a folder in the order of their names.
        name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
        self.path = Path(folder) / name
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self.write(file_version="brain.Event:2")
        self.write(step=purge_step, session_log=start)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """One point of every curve."""
        points = [self.Summary.Value(tag=tag, simple_value=v) for tag, v in values.items()]
        self.write(step=step, summary=self.Summary(value=points))

    def image(self, step: int, tag: str, shape: tuple[int, int, int], png: bytes) -> None:
        """A picture [H, W, C] that is a PNG already."""
        height, width, channels = shape
        image = self.Summary.Image(
            height=height, width=width, colorspace=channels, encoded_image_string=png
        )
        self.write(
            step=step, summary=self.Summary(value=[self.Summary.Value(tag=tag, image=image)])
        )

    def write(self, **fields) -> None:
        data = self.Event(wall_time=time.time(), **fields).SerializeToString()
        length = struct.pack("<Q", len(data))
        with open(self.path, "ab") as file:
            file.write(length + checksum(length) + data + checksum(data))


def checksum(data: bytes) -> bytes:
    """TensorBoard's "masked" checksum: of a checksum within the data it is not the same again."""
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli), of many stretches of the data side by side.

    The register is linear in what it was and in the data. So every stretch starts from 0, and 32
    more, of zeros, start from one bit each: what becomes of these is what a stretch does to a bit
    of the register that it is reached with.
    """
    data = FILL + data
    length = int(len(data) ** 0.5)
    count = -(-len(data) // length)
    data = data.rjust(length * count, b"\0")  # zeros before all else leave the register at 0
    columns = np.zeros((length, count + len(BITS)), np.uint8)
    columns[:, :count] = np.frombuffer(data, np.uint8).reshape(count, length).T
    register = np.concatenate([np.zeros(count, np.uint32), BITS])
    for column in columns:
        register = TABLE[(register & 0xFF) ^ column] ^ (register >> 8)
    crc, passed = np.uint32(0), register[count:]
    for stretch in register[:count]:
        crc = np.bitwise_xor.reduce(passed[(crc & BITS) != 0]) ^ stretch
    return int(~crc)


def table() -> np.ndarray:
    register = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        register = (register >> 1) ^ (register & 1) * POLYNOMIAL
    return register


TABLE = table()
