"""`python -m benchmarks.labels`: how many images of a conditional G show the class asked for.

A class is a digit in a colour on paper of a colour, at random angles, slants, sizes and places.
A classifier that is trained on the same pictures as G judges what G draws for the seeds 0, 1, ...
and their own labels. Its accuracy on pictures that it has not seen stands beside that.
"""

import colorsys
import itertools
import sys
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import torch
import tyro
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from benchmarks.__main__ import describe_machine
from dcgan import sampling
from dcgan.config import TrainConfig
from dcgan.errors import UserError
from dcgan.training import loop

_FONT = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans-Bold.ttf")
_CLASSIFIER_STEPS = 400


@dataclass(frozen=True)
class Options:
    colours: int = 1
    """Colours of ink, and of paper: there are 10 times their square classes."""
    per_class: int = 100
    """Pictures of each class."""
    size: int = 16
    """Side of the pictures."""
    steps: int = 900
    """Training steps."""
    width: int = 16
    """Channels at half the image's side, of both networks."""
    batch_size: int = 64
    """Images in a batch."""
    seed: int = 0
    """Of training."""
    samples: int = 2000
    """Images of G that are judged."""
    out: Path = Path("runs/labels")
    """Folder of pictures and runs; it is used again where it exists."""


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    try:
        measure(options)
    except UserError as error:
        sys.exit(str(error))


def measure(options: Options) -> None:
    pictures, labels, names = draw_all(options.colours, options.per_class, options.size, seed=0)
    held_out, held_out_labels, _ = draw_all(options.colours, 5, options.size, seed=1)
    classifier = train_classifier(pictures, labels)
    accuracy = agreement(classifier, held_out, held_out_labels)
    print(f"{describe_machine()}; {options}")
    print(f"real pictures that the classifier has not seen: {accuracy:.1%}")
    name = f"{len(names)}x{options.per_class}-{options.size}"
    root = options.out / f"pictures-{name}"
    if not root.exists():
        for i, folder in enumerate(names):
            own = pictures[labels == i]
            sampling.save_each(root / folder, range(len(own)), iter([own]))
    config = TrainConfig(
        source="folder",
        root=root,
        data_cache=options.out / "packed",
        class_folders=True,
        conditional=True,
        flip=False,
        size=options.size,
        width=options.width,
        batch_size=options.batch_size,
        lr_G=1e-3,
        lr_D=1e-3,
        ema_images=100 * options.batch_size,
        steps=options.steps,
        seed=options.seed,
        out=options.out / f"run-{name}-{options.seed}",
    )
    loop.train(config)
    G, seeds = sampling.load(config.out), range(options.samples)
    assert G.labels is not None
    drawn = np.concatenate(list(sampling.sample(G, seeds)))
    asked = G.labels.from_seeds(seeds).argmax(1).numpy()
    print(f"samples that show their class: {agreement(classifier, drawn, asked):.1%}")


def draw_all(
    colours: int, per_class: int, size: int, seed: int
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Pictures, uint8 [N, size, size, 3], their classes, int64 [N], and the names of these."""
    rng = np.random.default_rng(seed)
    classes = list(itertools.product(range(10), range(colours), range(colours)))
    drawn = []
    for digit, ink, paper in classes:
        ink_colour = np.array(colorsys.hsv_to_rgb(ink / colours, 0.5, 1.0))
        paper_colour = np.array(colorsys.hsv_to_rgb(paper / colours, 0.9, 0.5))
        for _ in range(per_class):
            cover = _draw(str(digit), size, rng)[..., None] / 255
            drawn.append(cover * ink_colour + (1 - cover) * paper_colour)
    pictures = np.round(255 * np.stack(drawn)).astype(np.uint8)
    names = [f"{digit}-{ink:02}-{paper:02}" for digit, ink, paper in classes]
    return pictures, np.arange(len(classes)).repeat(per_class), names


def _draw(digit: str, size: int, rng: np.random.Generator) -> np.ndarray:
    """A white digit on black at a random angle, slant, size and place, uint8 [size, size]."""
    font = ImageFont.truetype(_FONT, rng.uniform(56, 68))
    left, top, right, bottom = font.getbbox(digit)
    picture = Image.new("L", (64, 64))
    place = 32 - (left + right) / 2, 32 - (top + bottom) / 2
    ImageDraw.Draw(picture).text(place, digit, font=font, fill=255)
    angle, slant = rng.uniform(-0.2, 0.2), rng.uniform(-0.15, 0.15)
    cosine, sine = np.cos(angle), np.sin(angle)
    matrix = np.array([[cosine, sine + slant], [-sine, cosine]])
    shift = 32 - matrix @ (32 + rng.uniform(-4, 4, 2))
    affine = (*matrix[0], shift[0], *matrix[1], shift[1])
    picture = picture.transform((64, 64), Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC)
    return np.asarray(picture.resize((size, size), Image.Resampling.BOX))


def train_classifier(pictures: np.ndarray, labels: np.ndarray) -> nn.Module:
    """A small CNN that tells the classes of pictures [N, S, S, 3] apart."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for channels, more in ((3, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(channels, more, 3, 2, 1), nn.BatchNorm2d(more), nn.ReLU()]
    network = nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(int(labels.max()) + 1))
    x, y = _to_float(pictures), torch.from_numpy(labels)
    network(x[:2])
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, _CLASSIFIER_STEPS)
    for _ in range(_CLASSIFIER_STEPS):
        chosen = torch.randint(len(x), (64,))
        noisy = x[chosen] + 0.1 * torch.randn_like(x[chosen])
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(noisy), y[chosen]).backward()
        optimizer.step()
        schedule.step()
    return network.eval()


@torch.no_grad()
def agreement(classifier: nn.Module, pictures: np.ndarray, labels: np.ndarray) -> float:
    """The share of the pictures that the classifier takes for their class."""
    found = torch.cat([classifier(part).argmax(1) for part in _to_float(pictures).split(500)])
    return float((found.numpy() == labels).mean())


def _to_float(pictures: np.ndarray) -> Tensor:
    return torch.from_numpy(pictures).permute(0, 3, 1, 2) / 127.5 - 1


if __name__ == "__main__":
    main()
