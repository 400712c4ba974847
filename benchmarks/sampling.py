"""Generating images, writing them as PNG files, and starting up: PyTorch's example and `dcgan`."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.harness import Variant, time_in_processes, time_in_turns

ROOT = Path(__file__).parent.parent
COUNT = 256  # images in a turn of a variant


def make_generator(width: int) -> torch.nn.Module:
    """G with random weights and the batch norm statistics of these weights."""
    from dcgan.networks import Generator

    torch.manual_seed(0)
    G = Generator(width=width)
    with torch.no_grad():
        for _ in range(20):
            G(torch.randn(64, G.latent_dim))
    return G


def start_example(width: int) -> Callable[[], int]:
    """Batches of 64 in evaluation mode, as in PyTorch's example."""
    from benchmarks import pytorch_example

    ours, G = make_generator(width), pytorch_example.make_generator(width)
    G.load_state_dict({k.removeprefix("layers."): v for k, v in ours.state_dict().items()})
    G.eval()

    @torch.inference_mode()
    def generate() -> int:
        for _ in range(COUNT // 64):
            G(torch.randn(64, 100, 1, 1)).add(1).mul(127.5).byte()
        return COUNT

    return generate


def start_dcgan(width: int, precision: str) -> Callable[[], int]:
    """Seeds to images in memory."""
    from dcgan import sampling
    from dcgan.runtime import device

    device.reuse_freed_memory()
    G = make_generator(width)

    def generate() -> int:
        return sum(len(batch) for batch in sampling.sample(G, range(COUNT), precision=precision))

    return generate


def start_writing(writer: str, width: int, folder: Path) -> Callable[[], int]:
    """Images in memory to PNG files, one each, by "pillow" or "dcgan"."""
    from PIL import Image

    from dcgan import sampling

    batches = list(sampling.sample(make_generator(width), range(COUNT)))

    def write_by_pillow() -> int:
        for i, image in enumerate(image for batch in batches for image in batch):
            Image.fromarray(image).save(folder / f"{i}.png")
        return COUNT

    def write_by_dcgan() -> int:
        sampling.save_each(folder, range(COUNT), iter(batches))
        return COUNT

    return {"pillow": write_by_pillow, "dcgan": write_by_dcgan}[writer]


def time_command(*command: str | Path) -> float:
    """Seconds that a new Python process takes for a command."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, *map(str, command)], check=True, capture_output=True)
    return time.perf_counter() - begun


def save_untrained(path: Path, width: int) -> None:
    """Write a checkpoint of step 0, with all tensors of a real one."""
    from dcgan.config import TrainConfig, config_to_dict
    from dcgan.runs import checkpoint
    from dcgan.runtime.host_copy import HostCopy
    from dcgan.training.trainer import Trainer

    trainer = Trainer(TrainConfig(width=width), torch.device("cpu"))
    for optimizer, network in ((trainer.opt_G, trainer.G), (trainer.opt_D, trainer.D)):
        for parameter in network.parameters():
            moments = {slot: torch.zeros_like(parameter) for slot in ("exp_avg", "exp_avg_sq")}
            optimizer.state[parameter] = {"step": torch.zeros(()), **moments}
    header = {"step": 0, "config": config_to_dict(trainer.config)}
    checkpoint.save(path, header, HostCopy(trainer.tensors()).read())


def run(rounds: int, width: int = 64) -> list[dict]:
    """Rows of the table of results."""
    from dcgan.runtime.device import has_native_bf16

    generating = [
        Variant("eager fp32 G, as in PyTorch's example", start_example, (width,)),
        Variant("dcgan fp32", start_dcgan, (width, "fp32")),
    ]
    if has_native_bf16(torch.device("cpu")):
        generating.append(Variant("dcgan bf16", start_dcgan, (width, "bf16")))
    rows = [
        timing.row(f"drawing 64x64, width {width}")
        for timing in time_in_processes(generating, rounds)
    ]
    with TemporaryDirectory() as name:
        folder = Path(name)
        writing = [
            Variant("Pillow, one after another", start_writing, ("pillow", width, folder)),
            Variant("dcgan", start_writing, ("dcgan", width, folder)),
        ]
        rows += [timing.row("PNG files, 64x64") for timing in time_in_processes(writing, rounds)]
        save_untrained(folder / "G.safetensors", width)
        sample = (ROOT / "sample.py", folder / "G.safetensors", "--out", folder / "grid.png")
        starts = {
            "import torch": lambda: time_command("-c", "import torch"),
            "sample.py, 64 images": lambda: time_command(*sample),
        }
        rows += [timing.row("starting") for timing in time_in_turns(starts, rounds)]
    return rows
