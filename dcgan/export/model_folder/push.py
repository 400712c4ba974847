"""`dcgan push`: the files of a model, and their upload."""

import json
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import dcgan
from dcgan import images, sampling
from dcgan.config import PushConfig
from dcgan.config.validation import require_options
from dcgan.errors import UserError
from dcgan.export.model_folder.card import PICTURE, PICTURE_SEEDS, write_card
from dcgan.export.model_folder.facts import count_images, last_evaluation, training_command
from dcgan.export.networks import export_discriminator, export_generator
from dcgan.hub import DISCRIMINATOR, GENERATOR, check_can_upload, upload_files
from dcgan.runs import checkpoint
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.runtime.atomic_files import replace_atomically
from dcgan.runtime.disk import disk_errors
from dcgan.runtime.terminal import print_lines

CARD, CONFIG = "README.md", "config.json"


def push_model(config: PushConfig) -> str:
    """Upload the averaged generator with a model card, a picture and its options as JSON, after
    printing what is uploaded; or write them to a folder (`dry_run`). -> the page, or the folder.

    Raises UserError for checkpoints that cannot be used, a folder that is not empty, a missing
    token, and all that the Hub refuses.
    """
    require_options(config, PushConfig, "push_model")
    found = find_checkpoint(config.checkpoint)
    with ExitStack() as stack:
        if config.dry_run:
            with disk_errors(config.folder()):
                if config.folder().exists() and any(config.folder().iterdir()):
                    raise UserError(f"{config.folder()} is not empty: name another --out")
            folder = stack.enter_context(replace_atomically(config.folder(), durable=False))
        else:
            check_can_upload(config.repository)
            folder = Path(stack.enter_context(TemporaryDirectory()))
        files = write_model_folder(config, found, folder)
        visible = "private" if config.private else "public unless set otherwise on the Hub"
        doing = "files to upload" if config.dry_run else "uploading"
        print_lines(
            f"{doing} to {config.repository} ({visible}):",
            *(f"  {file.name:<26} {file.stat().st_size:>12,} bytes" for file in files),
        )
        if config.dry_run:
            return str(config.folder())
        message = f"Upload the generator of step {found.step:,} with dcgan {dcgan.__version__}"
        stale = [] if config.discriminator else [DISCRIMINATOR]
        return upload_files(config.repository, files, message, private=config.private, stale=stale)


def write_model_folder(
    config: PushConfig, found: checkpoint.Checkpoint, folder: Path
) -> list[Path]:
    """Write the files of a checkpoint for the Hub. -> their paths."""
    folder.mkdir(exist_ok=True)
    networks = [folder / GENERATOR]
    export_generator(found.path, networks[0])
    if config.discriminator:
        networks.append(folder / DISCRIMINATOR)
        export_discriminator(config.checkpoint if found.shared else found.path, networks[1])
    G = sampling.load(networks[0])
    images.save_png(folder / PICTURE, sampling.sample_grid(G, PICTURE_SEEDS))
    header = checkpoint.read(networks[0]).header
    options = {"model_type": "dcgan", **{k: header.get(k) for k in ("step", "labels", "config")}}
    text = json.dumps(options, indent=2)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")
    card = write_card(
        config,
        found,
        G,
        training_command(found),
        count_images(found),
        last_evaluation(found),
    )
    (folder / CARD).write_text(card, encoding="utf-8")
    return [folder / CARD, folder / PICTURE, *networks, folder / CONFIG]
