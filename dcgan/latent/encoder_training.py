"""Training of an encoder on the images that a generator makes."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dcgan.errors import UsageError
from dcgan.latent.noise import sample_noise
from dcgan.latent.posterior import from_gaussian
from dcgan.networks import Encoder, Generator, encoder_options, fold_batch_norm

ENCODER_STEPS = 120
_BATCH_SIZE = 32
_LEARNING_RATE = 1e-3
_FIRST_SEED = 2**40  # of the images: no seed that a user is likely to invert


def train_encoder(
    G: Generator, steps: int = ENCODER_STEPS, on_step: Callable[[], object] = lambda: None
) -> Encoder:
    """An encoder of G's images, trained on new ones in each step, in evaluation mode.

    It minimises the squared error of the latents and the cross-entropy of the labels. The result
    depends on G and `steps` alone. `on_step` is called after each step. Raises UsageError for
    fewer than one step.
    """
    if steps < 1:
        raise UsageError(f"an encoder needs a training step or more, not {steps}")
    folded, device = fold_batch_norm(G), next(G.parameters()).device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = Encoder(**encoder_options(G)).to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(encoder.parameters(), _LEARNING_RATE, betas=(0.9, 0.99))
    for step in range(steps):
        for group in optimizer.param_groups:  # constant, and to 0 in the second half
            group["lr"] = _LEARNING_RATE * min(1.0, 2 * (1 - step / steps))
        u, labels = _draw(G, step, device)
        with torch.no_grad():
            images = folded(torch.cat([from_gaussian(u, G.latent), labels], 1))
        guess, logits = encoder(images)
        optimizer.zero_grad()
        (F.mse_loss(guess, u) + _label_loss(G, logits, labels)).backward()
        optimizer.step()
        on_step()
    return encoder.requires_grad_(False).eval()


def _draw(G: Generator, step: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The latents u [n, latent_dim] and labels [n, num_labels] of the images of a step."""
    rng = np.random.default_rng([_FIRST_SEED, step])
    u = torch.from_numpy(sample_noise(rng, (_BATCH_SIZE, G.latent_dim), "normal"))
    if G.labels is None:
        return u.to(device), u.new_zeros(len(u), 0).to(device)
    first = _FIRST_SEED + step * _BATCH_SIZE
    return u.to(device), G.labels.from_seeds(range(first, first + _BATCH_SIZE)).to(device)


def _label_loss(G: Generator, logits: Tensor, labels: Tensor) -> Tensor | float:
    """The cross-entropy of the classes, or its mean over the attributes."""
    if G.labels is None:
        return 0.0
    if G.labels.kind == "class":
        return F.cross_entropy(logits, labels)
    return F.binary_cross_entropy_with_logits(logits, labels)
