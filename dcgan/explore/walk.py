"""`dcgan walk`: animations of paths through latent space, one or a grid of them."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from dcgan import animation, images, latent, sampling
from dcgan.config import Stop, WalkConfig
from dcgan.config.validation import require_options
from dcgan.errors import UsageError
from dcgan.explore.stops import latents_of_stops
from dcgan.networks import Generator
from dcgan.runtime.progress import progress_bar

_MAX_STOPS = 100_000  # of all walks together


def save_walk(G: Generator, stops: Tensor, config: WalkConfig) -> None:
    """Write the animation of `walk_frames` to `config.out`, with a progress bar after two seconds.

    Raises UsageError and UserError as `walk_frames` and `animation.save_animation` do.
    """
    frames = _show_progress(walk_frames(G, stops, config), config.frames)
    animation.save_animation(config.out, frames, config.seconds / config.frames, config.frames)


def _show_progress(frames: Iterator[np.ndarray], total: int) -> Iterator[np.ndarray]:
    with progress_bar(total, "walking", "frame", delay=2) as bar:
        for frame in frames:
            yield frame
            bar.update()


def latents_of_walk(G: Generator, stops: Sequence[Stop], config: WalkConfig) -> Tensor:
    """The inputs of G that a walk visits, [K, D], or those of a grid of walks, as
    `stops_from_seeds` gives them. Photos are inverted, see `invert_photos`. Raises UsageError for
    no stops or too many.
    """
    require_options(config, WalkConfig, "latents_of_walk")
    _check_count(1, len(stops))
    if config.rows * config.cols > 1:
        return stops_from_seeds(G, [stop for stop in stops if isinstance(stop, int)], config)
    return latents_of_stops(G, stops, config)


def stops_from_seeds(G: Generator, seeds: Sequence[int], config: WalkConfig) -> Tensor:
    """The inputs of G that the walks of a grid visit: [rows x cols, K, D] for K seeds.

    Walk k (row by row, from 0) visits the seeds plus k times (largest - smallest + 1), so that no
    two walks share a seed. Raises UsageError for no seeds or too many, and as
    `sampling.latents_from_seeds` does.
    """
    walks = config.rows * config.cols
    _check_count(walks, len(seeds))
    distance = max(seeds) - min(seeds) + 1
    return torch.stack(
        [
            sampling.latents_from_seeds(
                G, [seed + k * distance for seed in seeds], config.truncation, config.label
            )
            for k in range(walks)
        ]
    )


def _check_count(walks: int, stops: int) -> None:
    if not 1 <= stops * walks <= _MAX_STOPS:
        number = "a walk" if walks == 1 else f"{walks:,} walks"
        raise UsageError(f"{number} of {stops:,} images: from 1 to {_MAX_STOPS:,} images in all")


def walk_frames(G: Generator, stops: Tensor, config: WalkConfig) -> Iterator[np.ndarray]:
    """The frames of a walk, uint8 [S, S, C], or of a grid of parallel walks, uint8 [H, W, C].

    stops: inputs of G, [K, D] for one walk, [N, K, D] for N of them in `config.cols` columns. A
    walk has the same images alone and in a grid. See `latent.walk` for `config.closed` and
    `config.easing`, `latent.interpolation_for` for the path, `images.make_grid` for the grid.
    Raises UsageError for stops of another shape, and for a grid of too many pixels.
    """
    require_options(config, WalkConfig, "walk_frames")
    renderer = sampling.make_renderer(G, config.precision)
    stops, width = torch.as_tensor(stops), G.layers[0].in_channels
    if stops.dim() not in (2, 3) or stops.shape[-1] != width or not stops.numel():
        raise UsageError(
            f"stops must have the shape [K, {width}] or [N, K, {width}], not {list(stops.shape)}"
        )
    alone = stops.dim() == 2 or len(stops) == 1
    walks = stops.reshape(-1, *stops.shape[-2:])
    sampling.check_grid_size(G, len(walks))
    paths = [
        latent.walk_in_blocks(
            walk,
            config.frames,
            G.latent_dim,
            closed=config.closed,
            easing=config.easing,
            interpolate=latent.interpolation_for(G.latent),
        )
        for walk in walks
    ]
    together = max(sampling.batch_size(G.size) // len(walks), 1)  # frames

    def frames() -> Iterator[np.ndarray]:
        for blocks in zip(*paths, strict=True):
            for z in torch.stack(blocks, 1).split(together):  # [frames, N, D]
                pictures = renderer(z.flatten(0, 1)).cpu().numpy()
                for cells in pictures.reshape(*z.shape[:2], *pictures.shape[1:]):
                    yield cells[0] if alone else images.make_grid(cells, config.cols)

    return frames()
