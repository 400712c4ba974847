"""Starting a run from the networks of a checkpoint (--from), to train them on other images."""

import torch
from torch import Tensor

from dcgan.config import NETWORK_OPTIONS, TrainConfig, format_option
from dcgan.errors import UsageError, UserError
from dcgan.runs.checkpoint import Checkpoint, damaged
from dcgan.training.trainer import Trainer


def check_same_networks(config: TrainConfig, found: Checkpoint) -> None:
    """Raise UsageError unless the networks of a checkpoint have the options of `config`."""
    for name in NETWORK_OPTIONS:
        ours, theirs = getattr(config, name), found.config[name]
        if ours != theirs:
            raise UsageError(
                f"{format_option(name, ours)}: the networks of --from {found.path} have "
                f"{format_option(name, theirs)}"
            )


@torch.no_grad()
def load_networks(trainer: Trainer, found: Checkpoint) -> None:
    """Copy G, D and the averaged G of a checkpoint into a new trainer.

    A checkpoint of the averaged G alone stands for both. What the networks learnt about labels is
    copied where the labels are the same; otherwise the weights of the labels keep their initial
    values. Raises UserError for tensors that do not fit.
    """
    same_labels = _label_names(found.labels) == _label_names(trainer.labels)
    modules = {"G.": trainer.G, "D.": trainer.D, "ema.": trainer.G_ema}
    for prefix, module in modules.items():
        own = module.state_dict()
        theirs = found.tensors(prefix) or (found.tensors("ema.") if prefix == "G." else {})
        if not theirs:
            raise UserError(f"--from {found.path}: it does not hold all networks of a training")
        if not same_labels:
            theirs = _with_labels_of(own, theirs, trainer.config.latent_dim)
        if not all(tensor.isfinite().all() for tensor in theirs.values()):
            raise damaged(found.path, f"its {prefix[:-1]} has numbers that are not finite")
        try:
            module.load_state_dict(theirs)
        except RuntimeError as error:
            raise damaged(found.path, str(error).splitlines()[-1].strip()) from error


def _label_names(labels: object) -> tuple[str, ...]:
    return getattr(labels, "names", ())


def _with_labels_of(
    own: dict[str, Tensor], theirs: dict[str, Tensor], latent_dim: int
) -> dict[str, Tensor]:
    """The tensors of another network with the weights of labels of our own."""
    result = {name: value for name, value in theirs.items() if not name.startswith("embed.")}
    result |= {name: value for name, value in own.items() if name.startswith("embed.")}
    projection = "layers.0.weight"  # of G: [latent_dim + num_labels, C, 4, 4]
    if projection in own and projection in theirs:
        rows = theirs[projection][:latent_dim].to(own[projection].device)
        result[projection] = torch.cat([rows, own[projection][latent_dim:]])
    return result
