"""`dcgan export`: a generator in the file format that the options name."""

from pathlib import Path

from safetensors import SafetensorError, safe_open

from dcgan import sampling
from dcgan.config import ExportConfig
from dcgan.config.export import EXAMPLE
from dcgan.config.hub_names import parse_hub_name
from dcgan.config.validation import require_options
from dcgan.errors import UserError, printable
from dcgan.explore.outputs import check_outputs
from dcgan.export.networks import GENERATOR_PREFIXES, export_generator
from dcgan.export.onnx_model import export_onnx
from dcgan.export.page import export_page
from dcgan.export.page_directions import choose_directions
from dcgan.export.pytorch_example import export_to_pytorch_example
from dcgan.networks import weights_hash
from dcgan.runs.checkpoint_folder import find_checkpoint, run_folder
from dcgan.runs.layout import CHECKPOINTS


def export_model(config: ExportConfig) -> list[str]:
    """Write the file, replacing one of that name; -> lines for the user, and the file.

    Into the folder of `pytorch-example` files are written that are not there yet.

    Raises UserError where the checkpoint or the directions cannot be used, where `out` is a file
    that is read or a checkpoint of a run, and as the functions of each format do.
    """
    require_options(config, ExportConfig, "export_model")
    found, out, kind = find_checkpoint(config.checkpoint), config.file(), config.format()
    if kind == EXAMPLE:
        return [str(path) for path in export_to_pytorch_example(config.checkpoint, out)]
    check_outputs([out], [found.path, config.directions])
    if kind == "safetensors":
        _check_not_replacing_a_run(out)
        export_generator(config.checkpoint, out, half_precision=config.half_precision)
        return [str(out)]
    G = sampling.load(config.checkpoint)
    name = model_name(config.checkpoint)
    if kind == "onnx":
        export_onnx(G, out, name)
        return [str(out)]
    directions = choose_directions(G, config.checkpoint, config.directions)
    export_page(G, out, name, directions)
    if directions.generator != weights_hash(G):
        note = "note: these directions were found with other weights of the generator"
        return [note, str(out)]
    return [str(out)]


def model_name(checkpoint: Path) -> str:
    """What people call a model: the name of its run, or of its file."""
    if on_hub := parse_hub_name(checkpoint):
        return on_hub.repository.partition("/")[2]
    is_folder, folder = checkpoint.is_dir(), checkpoint.resolve().parent
    if is_folder or folder.name == CHECKPOINTS:
        name = run_folder(checkpoint if is_folder else folder).resolve().name
    else:
        name = checkpoint.stem
    return printable(name) or "generator"


def _check_not_replacing_a_run(out: Path) -> None:
    """Raise UserError where a file is there already that is no generator alone: a checkpoint that
    training can resume from, or a file of another program.
    """
    if not out.exists():
        return
    try:
        with safe_open(out, "pt") as file:
            alone = all(name.startswith(GENERATOR_PREFIXES) for name in file.keys())  # noqa: SIM118
            ours = "dcgan" in (file.metadata() or {})
    except (OSError, SafetensorError):
        alone = ours = False
    if not (alone and ours):
        raise UserError(
            f"{out} would be replaced, and is no exported generator: name another --out"
        )
