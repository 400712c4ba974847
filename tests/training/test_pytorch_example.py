"""A step of the preset pytorch-example is a step of PyTorch's DCGAN example."""

import dataclasses

import pytest
import torch

from dcgan.config import PRESETS, ImportConfig
from dcgan.importing import import_networks
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.training.batches import Batch
from dcgan.training.trainer import Trainer
from dcgan.training.transfer import load_networks
from tests import pytorch_example


@pytest.fixture
def example() -> pytorch_example.Example:
    """The example after ten steps, in float64 and with new optimizers."""
    trained = pytorch_example.trained()
    return pytorch_example.Example(trained.netG.double(), trained.netD.double())


@pytest.fixture
def trainer(example, tmp_path) -> Trainer:
    """The preset, from the same networks by way of `dcgan import` and --from."""
    files = [
        pytorch_example.save(tmp_path / f"{name}.safetensors", getattr(example, name))
        for name in ("netG", "netD")
    ]
    run = import_networks(ImportConfig(weights=tuple(files), out=tmp_path / "run")).run
    preset = PRESETS["pytorch-example"]
    config = dataclasses.replace(preset, width=8, latent_dim=10, batch_size=8, device="cpu")
    trainer = Trainer(config, torch.device("cpu"))
    load_networks(trainer, find_checkpoint(run))
    for network in (trainer.G, trainer.D, trainer.G_ema):
        network.double()
    return trainer


def random_batch() -> Batch:
    real, z = torch.rand(8, 3, 64, 64).double() * 2 - 1, torch.randn(8, 10).double()
    return Batch(real, torch.empty(8, 0), z, torch.empty(8, 3, 0), torch.rand(8))


def test_steps_from_imported_weights_are_those_of_the_example(example, trainer):
    """Losses, weights and statistics of batch norm of both networks, and Adam's moments.

    The example passes real and fake images through D one after the other, each with statistics of
    its own, and the same fake images again through the new D. Logits are rounded to float32 here.
    """
    torch.manual_seed(1)
    start = example.netD.main[0].weight.clone()
    for _ in range(3):
        batch = random_batch()
        losses = example.step(batch.real, batch.z[:, :, None, None])
        scalars = trainer.update(batch)
        ours = float(scalars["loss_D"]), float(scalars["loss_G"])
        assert ours == pytest.approx(losses, rel=1e-6)
    assert (example.netD.main[0].weight - start).abs().mean() > 1e-4
    for ours, theirs in ((trainer.G, example.netG), (trainer.D, example.netD)):
        values = zip(ours.state_dict().values(), theirs.state_dict().items(), strict=True)
        for our_value, (name, their_value) in values:
            errors = (our_value - their_value).abs().double()
            # A step changes each weight by about 2e-4, also where its gradient is all rounding.
            assert errors.max() < 5e-6, name
            assert errors.mean() < 1e-8, name
    optimizers = ((trainer.opt_G, example.optimizerG), (trainer.opt_D, example.optimizerD))
    for ours, theirs in optimizers:
        for our_state, their_state in zip(ours.state.values(), theirs.state.values(), strict=True):
            for key in ("exp_avg", "exp_avg_sq"):
                their_value = their_state[key]
                torch.testing.assert_close(
                    our_state[key], their_value, rtol=1e-4, atol=1e-4 * float(their_value.std())
                )


def test_the_average_follows_the_generator_at_once(trainer):
    """The example has none: its pictures are those of the last step."""
    trainer.update(random_batch())
    for average, weights in zip(trainer.G_ema.parameters(), trainer.G.parameters(), strict=True):
        assert torch.equal(average, weights)
