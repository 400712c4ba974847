"""What the commands that explore the latent space do with a generator: figures and files."""

from dcgan.explore.walk import save_walk, stops_from_seeds, walk_frames

__all__ = ["save_walk", "stops_from_seeds", "walk_frames"]
