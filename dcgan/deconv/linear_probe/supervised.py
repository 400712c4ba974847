"""A convolutional network of the shape of D, trained with the few labels alone."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dcgan import images
from dcgan.data import PackedImages, row_reader
from dcgan.deconv.linear_probe.features import extract
from dcgan.deconv.linear_probe.protocol import VALIDATION_DRAWS, ProbeScores, rate_predictions
from dcgan.deconv.linear_probe.svm import predict
from dcgan.deconv.linear_probe.tasks import Draws, Split, Task
from dcgan.networks import Discriminator
from dcgan.networks.layers import BASE_SIZE
from dcgan.runtime.device import full_float32_precision

_BATCH_SIZE = 64
_SEEN_IMAGES = 20_000  # in training, each many times
_LEARNING_RATES = (5e-4, 2e-3)
_WEIGHT_DECAY = 0.05


class SupervisedCnn(nn.Module):
    """The convolutional layers of a D, which is not copied, and a linear layer on the last.

    x: [N, C, S, S] in [-1, 1] -> [N, outputs].
    """

    def __init__(self, D: Discriminator, outputs: int):
        super().__init__()
        self.D = D
        widest = D.score.weight.shape[1] - (D.minibatch_std is not None)
        self.head = nn.Linear(widest * BASE_SIZE**2, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.D.features(x)[-1].flatten(1))


def probe_supervised(
    build: Callable[[int], Discriminator],
    packed: PackedImages,
    tasks: Sequence[Task],
    split: Split,
    per_class: int,
    draws: int,
    seed: int = 0,
    device: torch.device | str = "cpu",
    *,
    on_training: Callable[[], None] = lambda: None,
) -> ProbeScores:
    """Train networks on the labels of the first `draws` draws of `probe`, and test them.

    `build(seed)`: an untrained D. One network learns all attributes, each from the images that were
    drawn for it. Adam with weight decay, a learning rate that falls to 0 along a cosine, and no
    augmentation, for 20,000 images. The learning rate is the better one of two on the validation
    images, with the first draw. `on_training()` is called after each of the `draws + 1` trainings.
    """
    all_draws = [Draws(task, split.pool, per_class, seed) for task in tasks]

    def rate(number: int, learning_rate: float, part: np.ndarray) -> np.ndarray:
        network = _train(build, packed, all_draws, number, learning_rate, device)
        scores = extract(network, packed, part, device, name="CNN")
        ends = np.cumsum([_outputs(task) for task in tasks])[:-1]
        rated = [
            rate_predictions(predict(each), task.labels[part])
            for each, task in zip(np.split(scores, ends, 1), tasks, strict=True)
        ]
        on_training()
        return np.array(rated)  # [tasks, 2]

    kind = int(tasks[0].is_attribute)
    validated = [rate(VALIDATION_DRAWS, lr, split.validation)[:, kind] for lr in _LEARNING_RATES]
    best = _LEARNING_RATES[int(np.mean(validated, 1).argmax())]
    scores = np.array([rate(VALIDATION_DRAWS + i, best, split.test) for i in range(draws)])
    return ProbeScores(scores[..., 0], scores[..., 1])


def trainings(draws: int) -> int:
    """The number of networks that `probe_supervised` trains."""
    return draws + len(_LEARNING_RATES)


def _outputs(task: Task) -> int:
    return len(task.classes) if len(task.classes) > 2 else 1


def _train(
    build: Callable[[int], Discriminator],
    packed: PackedImages,
    all_draws: Sequence[Draws],
    number: int,
    learning_rate: float,
    device: torch.device | str,
) -> SupervisedCnn:
    """A network in evaluation mode, trained on one draw of every task."""
    seed, outputs = all_draws[0].seed, sum(_outputs(each.task) for each in all_draws)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = SupervisedCnn(build(number), outputs).to(device).train().requires_grad_(True)
    # The drawn images, and for each task the labels of those that were drawn for it, else -1.
    drawn = [each.positions(number) for each in all_draws]
    positions = np.unique(np.concatenate(drawn))
    truths = torch.full((len(positions), len(all_draws)), -1)
    for i, (each, chosen) in enumerate(zip(all_draws, drawn, strict=True)):
        rows = np.searchsorted(positions, chosen)
        truths[rows, i] = torch.from_numpy(each.labels[chosen])
    pixels = torch.from_numpy(row_reader(packed.images)(all_draws[0].pool[positions]))
    optimizer = torch.optim.AdamW(network.parameters(), learning_rate, weight_decay=_WEIGHT_DECAY)
    rng = np.random.default_rng([seed, number, 2])
    count = min(_BATCH_SIZE, len(positions))
    steps, waiting = math.ceil(_SEEN_IMAGES / count), np.empty(0, np.int64)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        if len(waiting) < count:
            waiting = rng.permutation(len(positions))
        rows, waiting = waiting[:count], waiting[count:]
        x = images.to_float(pixels[rows].to(device))
        with full_float32_precision():
            loss = _loss(network(x), truths[rows].to(device), all_draws)
            optimizer.zero_grad()
            loss.backward()
        optimizer.step()
    return network.requires_grad_(False).eval()


def _loss(outputs: Tensor, truths: Tensor, all_draws: Sequence[Draws]) -> Tensor:
    """Cross-entropy of the labels that are known (not -1): outputs [N, k], truths [N, tasks]."""
    if len(all_draws) == 1 and _outputs(all_draws[0].task) > 1:
        return F.cross_entropy(outputs, truths[:, 0])
    known = truths >= 0
    return F.binary_cross_entropy_with_logits(outputs[known], truths[known].float())
