"""The networks of PyTorch's DCGAN example and of its DCGAN tutorial as a run folder.

G and D of the example are ones that can be built here too: the weights are renamed, and nothing
else changes. The sigmoid at the end of D has none; losses here take logits.
"""

import dataclasses
import json
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from dcgan import images, sampling
from dcgan.config import PRESETS, TrainConfig, config_to_dict, format_flag
from dcgan.config.importing import ImportConfig
from dcgan.config.validation import require_options
from dcgan.errors import UserError
from dcgan.importing.recognition import Recognized, recognize
from dcgan.importing.state_dict import StateDict, open_state_dict
from dcgan.networks import Discriminator, Generator, build_network
from dcgan.runs import checkpoint
from dcgan.runs.layout import CONFIG_FILE, checkpoint_path, sample_grid_path
from dcgan.runs.loading import assign_tensors
from dcgan.runtime.atomic_files import replace_atomically
from dcgan.runtime.disk import disk_errors

_GRID_SEEDS = range(64)


class Imported(NamedTuple):
    """A run folder made of networks of another program."""

    run: Path
    config: TrainConfig
    generator: Path  # the file that held it
    discriminator: Path | None

    @property
    def checkpoint(self) -> Path:
        return checkpoint_path(self.run, 0)

    @property
    def sample_grid(self) -> Path:
        return sample_grid_path(self.run, 0)


def import_networks(config: ImportConfig) -> Imported:
    """Write the run folder `config.out` with the networks of one or two files, as step 0.

    A file is taken for what it holds, whatever its name and place. The checkpoint has G as in the
    file, and as its average the same weights with statistics of batch norm that are measured: the
    example draws its pictures in training mode, by the statistics of each batch, while the running
    ones in its file lag behind the weights and are of few images.

    Raises UserError for files that hold no network of the example, for two that do not go together,
    and where `config.out` holds other files.
    """
    require_options(config, ImportConfig, "import_networks")
    run = config.out
    with disk_errors(run):
        if run.exists() and not (run.is_dir() and not any(run.iterdir())):
            raise UserError(f"{run} holds other files: use another --out, new or empty")
    found = [(file, recognize(file)) for file in map(open_state_dict, config.weights)]
    G = _only(found, Generator)
    D = _only(found, Discriminator)
    if G is None:
        assert D is not None
        raise D[0].unusable("it holds a discriminator; name the file of the generator too")
    if D is not None:
        _check_pair(G, D)
    options = dataclasses.replace(PRESETS["pytorch-example"], **G[1].options, out=run)
    _write(options, G, D)
    return Imported(run, options, G[0].path, D and D[0].path)


def _only(
    found: list[tuple[StateDict, Recognized]], kind: type[Generator | Discriminator]
) -> tuple[StateDict, Recognized] | None:
    """The file of a kind of network; None if there is none. Raises UserError for two."""
    of_kind = [item for item in found if item[1].kind is kind]
    if len(of_kind) > 1:
        paths = " and ".join(str(file.path) for file, _ in of_kind)
        raise UserError(f"{paths} both hold a {kind.__name__.lower()}: leave one out")
    return of_kind[0] if of_kind else None


def _check_pair(G: tuple[StateDict, Recognized], D: tuple[StateDict, Recognized]) -> None:
    """Raise UserError unless one configuration describes both networks."""
    for name, theirs in D[1].options.items():
        if (ours := G[1].options[name]) != theirs:
            raise UserError(
                f"{G[0].path} has {format_flag(name)} {ours} and {D[0].path} {theirs}: they must "
                f"be the same; without the discriminator the generator can be imported"
            )


def _write(
    config: TrainConfig,
    G: tuple[StateDict, Recognized],
    D: tuple[StateDict, Recognized] | None,
) -> None:
    """Write the run folder, which appears when it is complete."""
    weights_G = _load(*G)
    averaged = _measured(config, G[0].path, weights_G)
    if not all(tensor.isfinite().all() for tensor in averaged.state_dict().values()):
        raise G[0].unusable("its weights are so large that its feature maps overflow")
    networks = {"G": weights_G, "D": _load(*D) if D else {}, "ema": averaged.state_dict()}
    tensors = {
        f"{network}.{name}": tensor.contiguous()
        for network, state in networks.items()
        for name, tensor in state.items()
    }
    as_json = config_to_dict(config)
    with replace_atomically(config.out) as partial:
        partial.mkdir()
        checkpoint.save(checkpoint_path(partial, 0), {"step": 0, "config": as_json}, tensors)
        (partial / CONFIG_FILE).write_text(json.dumps(as_json, indent=2) + "\n")
        grid = sampling.sample_grid(averaged, _GRID_SEEDS)
        images.save_png(sample_grid_path(partial, 0), grid)


def _load(file: StateDict, network: Recognized) -> dict[str, Tensor]:
    """The tensors of a network by their names here."""
    tensors = file.read()
    return {name: tensors[theirs] for name, theirs in network.names.items()}


def _measured(config: TrainConfig, path: Path, tensors: dict[str, Tensor]) -> Generator:
    """G in evaluation mode, with the statistics of batch norm over latents of its own."""
    with torch.device("meta"):
        G = build_network(Generator, vars(config))
    assign_tensors(G, {name: tensor.clone() for name, tensor in tensors.items()}, path, "Generator")
    G = G.to(memory_format=torch.channels_last).requires_grad_(False).eval()
    sampling.recalibrate_batch_norm(G)
    return G
