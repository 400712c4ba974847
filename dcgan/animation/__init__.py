"""Animations of images: GIF, WebP, animated PNG and MP4 files."""

from dcgan.animation.saving import animation_format, save_animation

__all__ = ["animation_format", "save_animation"]
