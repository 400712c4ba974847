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
    path = Path(path)
    name = str(path)
    if name not in NAMES or path.exists():
        return []
    return [FOLDER / f"{name}.safetensors", *sorted(FOLDER.glob(f"{name}.*.safetensors"))]


def pretrained_part(path: Path, part: str) -> Path | None:
    """The file of another network that comes with those that a path names, for example of the
    classifier of `faces`; None where there is none.
    """
    files = pretrained_files(path)
    return next((file for file in files if file.name == f"{path}.{part}.safetensors"), None)
