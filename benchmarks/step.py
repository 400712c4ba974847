"""The training step alone, on images in memory: what each measure against waste of time brings."""

from collections.abc import Callable, Sequence

import torch

WIDTH = 64


def plain(batch_size: int, threads: int) -> Callable[[], int]:
    """Steps in the order of PyTorch's example."""
    from benchmarks.plain import Plain

    torch.set_num_threads(threads)
    trainer, real = Plain(WIDTH), torch.rand(batch_size, 3, 64, 64) * 2 - 1

    def step() -> int:
        trainer.update(real)
        return batch_size

    return step


def ours(
    batch_size: int, threads: int, precision: str, without: Sequence[str] = ()
) -> Callable[[], int]:
    """Steps of dcgan.trainer, with some of its measures taken away."""
    from dcgan import convolution, device
    from dcgan.config import TrainConfig
    from dcgan.data.batches import Batch
    from dcgan.trainer import Trainer

    torch.set_num_threads(threads)
    if "winograd" in without:
        convolution.WIDE = float("inf")
    for word in without:
        if word.startswith("wide="):
            convolution.WIDE = int(word[5:])
    if "malloc" not in without:
        device.keep_freed_memory()
    trainer = Trainer(TrainConfig(batch_size=batch_size, precision=precision), torch.device("cpu"))
    real = (torch.rand(batch_size, 3, 64, 64) * 2 - 1).contiguous(memory_format=torch.channels_last)
    batch = Batch(real, torch.randn(batch_size, 100))

    def step() -> int:
        trainer.update(batch)
        return batch_size

    return step
