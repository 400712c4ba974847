"""What a file is that is no checkpoint, for error messages."""

from pathlib import Path

from dcgan.runtime.downloads import HEAD_BYTES, wrong_download

# The number that torch.save pickled first, before torch 1.6.
_TORCH_MAGIC = 0x1950A86A20F9469CFC6C.to_bytes(10, "little")
# How pictures begin: PNG, JPEG, GIF, WEBP.
_PICTURES = (b"\x89PNG", b"\xff\xd8", b"GIF8", b"RIFF")


def describe_foreign_file(path: Path) -> str | None:
    """One line on a file of another program that is taken for a checkpoint; None for a damaged
    safetensors file.

    Nothing in the file is unpickled or executed.
    """
    with open(path, "rb") as file:
        start = file.read(HEAD_BYTES)
    if not start:
        return "it is empty"
    by_torch = _is_torch_zip(start) or _TORCH_MAGIC in start[:32]
    if by_torch or _is_pickle(start):
        return (
            f"it is a pickle{' of torch.save' if by_torch else ''}, which can run code and is not "
            "read; docs/moving.md has the line that turns weights of PyTorch's DCGAN example into "
            "safetensors, for `dcgan import`"
        )
    if wrong := wrong_download(start):
        return f"it is {wrong[0]}, {wrong[1]}"
    if start.startswith(_PICTURES):
        return "it is a picture"
    # The length of the header, and the header, which is JSON; 8 zeros come from a crash.
    return None if start[8:9] == b"{" or not any(start[:8]) else "it is no safetensors file"


def _is_torch_zip(start: bytes) -> bool:
    """Whether a file has been written by torch.save since torch 1.6: a zip that begins with
    data.pkl. The list of its files is not read, which may be as long as the file.
    """
    return start.startswith(b"PK\x03\x04") and b"/data.pkl" in start


def _is_pickle(start: bytes) -> bool:
    """Whether a file starts as a pickle of protocol 2 or later."""
    return start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
