"""Packing JPEGs at 64x64: how long an image takes on one core, and how good it becomes."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.harness import Variant, time_in_processes
from dcgan.data.processes import ONE_THREAD

SIZE = 64
KINDS = {  # width, height, how many, as JPEGs of which quality
    "178x218 JPEG": (178, 218, 256, 75),  # CelebA's size; of 6 KB each, as CelebA's are
    "1200x900 JPEG": (1200, 900, 24, 85),
}
TORCHVISION = "torchvision ImageFolder + Resize + CenterCrop"


def run(rounds: int) -> list[dict]:
    """Time both packers by turns on both kinds of JPEGs, and compare what they make of them."""
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        for kind, (width, height, count, quality_of_jpeg) in KINDS.items():
            root = Path(temporary) / kind
            write(root, width, height, count, quality=quality_of_jpeg)
            variants = [
                Variant(TORCHVISION, torchvision, (root,), ONE_THREAD),
                Variant("dcgan", dcgan, (root,), ONE_THREAD),
            ]
            for timing in time_in_processes(variants, rounds):
                results.append(timing.row(f"packing {kind}"))
            benchmark = f"{kind} against an ideal {', '.join(REFERENCES)}"
            for name, psnr in quality(root).items():
                results.append({"benchmark": benchmark, "variant": name, "psnr_db": psnr})
    return results


def torchvision(root: Path) -> Callable[[], int]:
    import torch
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import CenterCrop, Compose, Resize

    torch.set_num_threads(1)
    images = ImageFolder(root, Compose([Resize(SIZE), CenterCrop(SIZE)]))

    def work() -> int:
        for image, _ in images:
            np.asarray(image)
        return len(images)

    return work


def dcgan(root: Path) -> Callable[[], int]:
    """What a packing process does: decode chunk by chunk into the rows of images.npy."""
    from dcgan.config import DataOptions
    from dcgan.data.parallel import PackingJob
    from dcgan.data.rows import create_array
    from dcgan.data.sources import open_source

    source = open_source(DataOptions(source="folder", root=root))
    array = root.with_suffix(".npy")
    create_array(array, (len(source), SIZE, SIZE, 3))
    job = PackingJob(source, array, SIZE, 3, None)

    def work() -> int:
        return sum(job.write(chunk)[0] for chunk in job.chunks())

    return work


def write(root: Path, width: int, height: int, count: int, **options) -> None:
    """A folder of JPEGs, the same every time."""
    (root / "class").mkdir(parents=True)
    for i in range(count):
        photograph(i, width, height).save(root / "class" / f"{i:05}.jpg", "JPEG", **options)


def photograph(seed: int, width: int, height: int) -> Image.Image:
    """A picture with what photographs consist of: edges, 1/f texture in every octave, and noise."""
    from dcgan.data import faces

    rng = np.random.default_rng(seed)
    face = Image.fromarray(faces.render([seed], min(width, height)).images[0].numpy())
    pixels = np.asarray(face.resize((width, height), Image.Resampling.BICUBIC), float)
    cell = 2
    while cell < max(width, height) // 2:
        coarse = rng.normal(0, cell**0.5, (2 + height // cell, 2 + width // cell, 1))
        tint = rng.normal(1, 0.3, 3)
        texture = Image.fromarray(coarse[..., 0].astype(np.float32))
        texture = texture.resize((width, height), Image.Resampling.BICUBIC)
        pixels = pixels + np.asarray(texture)[..., None] * tint
        cell *= 2
    pixels += rng.normal(0, 2, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def quality(root: Path, count: int = 8) -> dict[str, list[float]]:
    """PSNR in dB of every variant against all REFERENCES, the mean over the first images.

    A reference is the antialiased resize, in double precision, of the centre square of the fully
    decoded picture. Lanczos is the sensible one, being nearest to the ideal low-pass filter.
    "bilinear" is torchvision's filter without the half pixel by which its crop may be off.
    """
    found = {}
    for path in sorted(root.rglob("*.jpg"))[:count]:
        pixels = square(np.asarray(Image.open(path).convert("RGB")))
        references = [ideal(pixels, *kernel) for kernel in REFERENCES.values()]
        for name, image in outputs(path, pixels).items():
            errors = [np.mean((image - reference) ** 2) for reference in references]
            found.setdefault(name, []).append(10 * np.log10(255**2 / np.array(errors)))
    return {name: np.mean(values, 0).tolist() for name, values in found.items()}


def outputs(path: Path, pixels: np.ndarray) -> dict[str, np.ndarray]:
    from torchvision.transforms import CenterCrop, Compose, Resize

    from dcgan.data.decoding.image import decode

    whole = Image.open(path).convert("RGB")
    images = {
        TORCHVISION: Compose([Resize(SIZE), CenterCrop(SIZE)])(whole),
        "bilinear": Image.fromarray(pixels).resize((SIZE, SIZE), Image.Resampling.BILINEAR),
        "dcgan": decode(path.read_bytes(), SIZE, 3, None),
    }
    return {name: np.asarray(image, float) for name, image in images.items()}


def square(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    side = min(width, height)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]


def lanczos(x: np.ndarray) -> np.ndarray:
    return np.sinc(x) * np.sinc(x / 3)


def bicubic(x: np.ndarray) -> np.ndarray:
    x = abs(x)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x < 1, near, far)


REFERENCES = {"lanczos": (3, lanczos), "bicubic": (2, bicubic), "box": (0.5, np.ones_like)}


def ideal(pixels: np.ndarray, support: float, kernel: Callable) -> np.ndarray:
    """A square, resized by a kernel as wide as `support` output pixels to either side."""
    scale = len(pixels) / SIZE
    centres = (np.arange(SIZE) + 0.5) * scale
    # A fine grid inside each input pixel gives the box its partial pixels.
    fine = (np.arange(16 * len(pixels)) + 0.5) / 16 if support < 1 else None
    places = np.arange(len(pixels)) + 0.5 if fine is None else fine
    x = (places - centres[:, None]) / scale
    weights = kernel(x) * (abs(x) < support)
    if fine is not None:
        weights = weights.reshape(SIZE, len(pixels), 16).sum(2)
    weights /= weights.sum(1, keepdims=True)
    return np.einsum("yj,jkc,xk->yxc", weights, pixels, weights, optimize=True).clip(0, 255)
