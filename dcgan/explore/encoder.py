"""The encoder of a generator: read from a file, or trained and written there."""

from pathlib import Path

import torch

from dcgan import pretrained
from dcgan.config.validation import to_path
from dcgan.errors import UserError
from dcgan.latent.encoder_training import ENCODER_STEPS, train_encoder
from dcgan.networks import Encoder, Generator, encoder_options, weights_hash
from dcgan.runs.tensor_file import read_tensors, save_tensors
from dcgan.runtime.progress import progress_bar

_KIND = "an encoder"


def obtain_encoder(G: Generator, path: Path | None = None) -> Encoder:
    """The encoder of G in a file; where there is none, a new one, which is then written there.

    None: a new one. Shows a progress bar while it trains. Raises UserError for an encoder of
    another generator, for a damaged file, and if writing fails.
    """
    path = None if path is None else to_path(path)
    if path is not None and path.exists():
        return load_encoder(path, G)
    with progress_bar(ENCODER_STEPS, "training an encoder", "step", delay=2) as bar:
        encoder = train_encoder(G, ENCODER_STEPS, bar.update)
    if path is None:
        return encoder
    save_encoder(path, encoder, G)
    return load_encoder(path, G)  # in half precision, as it will be read from now on


def pretrained_encoder(G: Generator) -> Encoder | None:
    """The encoder that comes with the package for this generator; None for another one."""
    for path in pretrained.FOLDER.glob("*.encoder.safetensors"):
        if read_tensors(path, _KIND).header.get("generator") == weights_hash(G):
            return load_encoder(path, G)
    return None


def save_encoder(path: Path, encoder: Encoder, G: Generator) -> None:
    """Write an encoder of G in half precision. Raises UserError if writing fails."""
    tensors = {name: tensor.half() for name, tensor in encoder.state_dict().items()}
    save_tensors(path, _KIND, {"generator": weights_hash(G)}, tensors)


def load_encoder(path: Path, G: Generator) -> Encoder:
    """The encoder of a file, on G's device. Raises UserError unless it is a complete one of G."""
    found = read_tensors(path, _KIND)
    if found.header.get("generator") != weights_hash(G):
        raise UserError(f"{path}: an encoder of another generator: name a new file to train one")
    with torch.device("meta"):
        encoder = Encoder(**encoder_options(G))
    expected = encoder.state_dict()
    if {k: (v.shape, v.dtype) for k, v in found.tensors.items()} != {
        k: (v.shape, v.dtype) for k, v in expected.items()
    }:
        raise found.unusable("its tensors are not those of an encoder of this generator")
    encoder.load_state_dict(found.tensors, assign=True)
    encoder = encoder.to(next(G.parameters()).device).to(memory_format=torch.channels_last)
    return encoder.requires_grad_(False).eval()
