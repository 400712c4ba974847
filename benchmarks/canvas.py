"""Large images from a grid of latents: one pass over the whole grid, and the tiles of a canvas."""

from collections.abc import Callable

import torch

from benchmarks.harness import Variant, time_in_processes
from benchmarks.sampling import make_generator
from dcgan.config import CanvasConfig
from dcgan.networks.channels_last import to_channels_last

CANVAS = CanvasConfig(width=2048, height=512, precision="fp32")


def start_one_pass(width: int) -> Callable[[], int]:
    """All of the grid through each layer at once, which takes memory in proportion to the image."""
    from dcgan import images
    from dcgan.explore.canvas import latent_grid

    G = make_generator(width).eval()

    @torch.inference_mode()
    def draw() -> int:
        image = images.to_uint8(G.layers(to_channels_last(latent_grid(G, CANVAS))))
        return image.shape[1] * image.shape[2]

    return draw


def start_canvas(width: int) -> Callable[[], int]:
    """Tile by tile."""
    from dcgan.explore.canvas import draw_canvas

    G = make_generator(width).eval()

    def draw() -> int:
        canvas = draw_canvas(G, CANVAS)
        return canvas.shape[0] * canvas.shape[1]

    return draw


def run(rounds: int, width: int = 64) -> list[dict]:
    """Rows of the table of results; times are per pixel."""
    variants = [
        Variant("one pass through the layers", start_one_pass, (width,)),
        Variant("dcgan canvas", start_canvas, (width,)),
    ]
    benchmark = f"a canvas of {CANVAS.width}x{CANVAS.height}, width {width}"
    return [timing.row(benchmark) for timing in time_in_processes(variants, rounds)]
