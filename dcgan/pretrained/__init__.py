"""The networks that come with the package.

`faces` was trained on the built-in cartoon faces. NAME.safetensors is a checkpoint with the
averaged generator alone, and NAME.PART.safetensors has another of its networks, in half precision.
"""

from pathlib import Path

NAMES = ("faces",)
FOLDER = Path(__file__).parent


def pretrained_files(path: Path) -> list[Path]:
    """The files of the pretrained networks that a path names, the generator first; none where it
    names none, or where a file or folder of that name is there.
    """
    name = str(path)
    if name not in NAMES or path.exists():
        return []
    return [FOLDER / f"{name}.safetensors", *sorted(FOLDER.glob(f"{name}.*.safetensors"))]
