"""Drawing images, writing them as PNG, and starting to: as in PyTorch's example, and `dcgan`."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.harness import Variant, alternate, race
from dcgan.runtime.threads import LIMITED_SPINNING

ROOT = Path(__file__).parent.parent
COUNT = 256  # images in a turn


def generator(width: int):
    """G with random weights and the batch norm statistics that go with them."""
    from dcgan.networks import Generator

    torch.manual_seed(0)
    G = Generator(width=width)
    with torch.no_grad():
        for _ in range(20):
            G(torch.randn(64, G.latent_dim))
    return G


def plain(width: int) -> Callable[[], int]:
    """BatchLoader of 64 in evaluation mode."""
    from benchmarks import plain

    ours, G = generator(width), plain.generator(width)
    G.load_state_dict({k.removeprefix("layers."): v for k, v in ours.state_dict().items()})
    G.eval()

    @torch.inference_mode()
    def draw() -> int:
        for _ in range(COUNT // 64):
            G(torch.randn(64, 100, 1, 1)).add(1).mul(127.5).byte()
        return COUNT

    return draw


def ours(width: int, precision: str) -> Callable[[], int]:
    """Seeds to images in memory."""
    from dcgan import sampling
    from dcgan.runtime import device

    device.reuse_freed_memory()
    G = generator(width)

    def draw() -> int:
        return sum(len(chunk) for chunk in sampling.sample(G, range(COUNT), precision=precision))

    return draw


def write(work: str, width: int, folder: Path) -> Callable[[], int]:
    """Images in memory to files of their own."""
    from PIL import Image

    from dcgan import sampling

    chunks = list(sampling.sample(generator(width), range(COUNT)))

    def pillow() -> int:
        for i, image in enumerate(image for chunk in chunks for image in chunk):
            Image.fromarray(image).save(folder / f"{i}.png")
        return COUNT

    def dcgan() -> int:
        sampling.save_each(folder, range(COUNT), iter(chunks))
        return COUNT

    return {"pillow": pillow, "dcgan": dcgan}[work]


def seconds_of(*command: str | Path) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, *map(str, command)], check=True, capture_output=True)
    return time.perf_counter() - begun


def save(path: Path, width: int) -> None:
    """A checkpoint of a run that has not begun, of its full size."""
    from dcgan.config import TrainConfig, config_to_dict
    from dcgan.runs import checkpoint
    from dcgan.runtime.host_copy import HostCopy
    from dcgan.training.trainer import Trainer

    ours = Trainer(TrainConfig(width=width), torch.device("cpu"))
    for optimizer, network in ((ours.opt_G, ours.G), (ours.opt_D, ours.D)):
        for parameter in network.parameters():
            moments = {slot: torch.zeros_like(parameter) for slot in ("exp_avg", "exp_avg_sq")}
            optimizer.state[parameter] = {"step": torch.zeros(()), **moments}
    header = {"step": 0, "config": config_to_dict(ours.config)}
    checkpoint.save(path, header, HostCopy(ours.tensors()).read())


def run(rounds: int, width: int = 64) -> list[dict]:
    from dcgan.runtime.device import has_native_bf16

    drawing = [
        Variant("eager fp32 G, as in PyTorch's example", plain, (width,)),
        Variant("dcgan fp32", ours, (width, "fp32"), LIMITED_SPINNING),
    ]
    if has_native_bf16(torch.device("cpu")):
        drawing.append(Variant("dcgan bf16", ours, (width, "bf16"), LIMITED_SPINNING))
    rows = [timing.row(f"drawing 64x64, width {width}") for timing in race(drawing, rounds)]
    with TemporaryDirectory() as name:
        folder = Path(name)
        writing = [
            Variant("Pillow, one after another", write, ("pillow", width, folder)),
            Variant("dcgan", write, ("dcgan", width, folder)),
        ]
        rows += [timing.row("PNG files, 64x64") for timing in race(writing, rounds)]
        save(folder / "G.safetensors", width)
        sample = (ROOT / "sample.py", folder / "G.safetensors", "--out", folder / "grid.png")
        starts = {
            "import torch": lambda: seconds_of("-c", "import torch"),
            "sample.py, 64 images": lambda: seconds_of(*sample),
        }
        rows += [timing.row("starting") for timing in alternate(starts, rounds)]
    return rows
