"""Painting of faces: features to an image and a part mask, by signed distance functions."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import torch
from torch import Tensor

from dcgan.data.faces.traits import SHIFT, TILT

# Classes of the part mask, in index order.
PARTS = (
    *("background", "clothes", "skin", "hair", "eyes", "brows", "nose", "mouth", "beard"),
    *("mustache", "glasses", "hat", "earrings"),
)

# Lengths are in head coordinates: x to the right, y down, an upright image is [-VIEW, VIEW]².
_VIEW = 0.82
_HAT_Y, _EYE_Y, _HEAD_Y, _EAR_Y, _NOSE_Y, _MOUTH_Y = -0.36, 0.03, 0.04, 0.1, 0.19, 0.37


@dataclass(frozen=True)
class Canvas:
    """Images being painted, with the head coordinates of their pixels. Windows share the memory."""

    rgb: Tensor  # [N, 3, H, W] in [0, 1]
    parts: Tensor  # [N, H, W] uint8
    x: Tensor  # [N, H, W]
    y: Tensor  # [N, H, W]
    pixel: float  # its side in head coordinates

    def window(self, top: float, bottom: float, side: float = 1.0) -> "Canvas":
        """The pixels that show |x| < side, top < y < bottom in any of the poses."""
        size = self.rgb.shape[-1]

        def span(low: float, high: float, reach: float) -> slice:
            margin = SHIFT + TILT * reach + 2 * self.pixel
            first, last = (low - margin + _VIEW) / self.pixel, (high + margin + _VIEW) / self.pixel
            return slice(max(0, int(first)), min(size, int(last) + 1))

        h, w = span(top, bottom, side), span(-side, side, max(-top, bottom))
        cut = {name: getattr(self, name)[..., h, w] for name in ("rgb", "parts", "x", "y")}
        return replace(self, **cut)

    def paint(
        self, d: Tensor, colour: Tensor, part: str, where: Tensor | None = None, alpha: float = 1.0
    ) -> None:
        """Paint a shape by its signed distance `d` [N, H, W], which is overwritten.

        A shape covers the share 1/2 - d/pixel of a pixel, clamped to [0, 1]. Image and mask use the
        same share, so that they agree exactly. `where` [N, 1, 1] is 0 for faces to be left as they
        are, and a shape with `alpha` < 1 does not change the mask.
        """
        cover = d.mul_(-1 / self.pixel).add_(0.5).clamp_(0, 1)
        if where is not None:
            cover.mul_(where)
        if alpha == 1:
            self.parts.masked_fill_(cover > 0.5, PARTS.index(part))
        else:
            cover.mul_(alpha)
        self.rgb.lerp_(colour, cover[:, None])


def paint_faces(f: SimpleNamespace, size: int) -> Canvas:
    """Paint faces from back to front; `rgb` of the result is in [0, 256)."""
    canvas = _blank(f, size)
    for paint in (
        _paint_hair_behind,
        _paint_bust,
        _paint_head,
        _paint_beard,
        _paint_mouth,
        _paint_mustache,
        _paint_nose,
        _paint_eyes,
        _paint_hair,
        _paint_brows,
        _paint_earrings,
        _paint_glasses,
        _paint_hat,
    ):
        paint(canvas, f)
    canvas.rgb.mul_(255 * f.brightness[:, None]).add_(0.5).clamp_(0, 255)
    return canvas


def _blank(f: SimpleNamespace, size: int) -> Canvas:
    pixel = 2 * _VIEW / size
    steps = (torch.arange(size, dtype=torch.float32, device=f.tilt.device) + 0.5) * pixel - _VIEW
    column, row = steps[None, None, :], steps[None, :, None]
    right, down = column - f.shift_x, row - f.shift_y
    cos = 1 / (1 + f.tilt * f.tilt).sqrt()
    sin = f.tilt * cos
    glow = _circle(column - f.glow_x, row - f.glow_y, 0).mul_(0.6).clamp_(0, 1)
    return Canvas(
        torch.lerp(0.35 * f.backdrop + 0.65, f.backdrop, glow[:, None]),
        torch.full_like(glow, PARTS.index("background"), dtype=torch.uint8),
        cos * right + sin * down,
        cos * down - sin * right,
        pixel,
    )


def _head(c: Canvas, f: SimpleNamespace, grow: float | Tensor = 0) -> Tensor:
    return _ellipse(c.x, c.y - _HEAD_Y, f.head_width + grow, f.head_height + grow)


def _hair_outline(c: Canvas, f: SimpleNamespace) -> Tensor:
    """Signed distance of the head with its hair and curls, and nothing under a hat."""
    d = _head(c, f, f.hair_volume).add_(f.curl * _ripples(c))
    return torch.maximum(d, (_HAT_Y - c.y).sub_(2 * (~f.hat)))


def _paint_hair_behind(c: Canvas, f: SimpleNamespace) -> None:
    c = c.window(-0.1, 0.95, 0.85)
    middle = f.hair_end / 2
    fall = _box(c.x, c.y - middle, f.head_width + f.hair_volume, middle, 0.2)
    fall.add_(f.curl * _ripples(c))
    c.paint(fall, f.strand, "hair", f.long_hair)


def _paint_bust(c: Canvas, f: SimpleNamespace) -> None:
    c = c.window(0.4, 1.2)
    c.paint(_ellipse(c.x, c.y - 1.2, 0.7, 0.53), f.shirt, "clothes")
    c.paint(_box(c.x, c.y - 0.45, 0.16, 0.33, 0.16), f.shade, "skin")


def _paint_head(c: Canvas, f: SimpleNamespace) -> None:
    c = c.window(-0.6, 0.65, 0.65)
    side = c.x.abs()
    c.paint(_circle(side - f.head_width, c.y - _EAR_Y, 0.1), f.shade, "skin")
    c.paint(_head(c, f), f.shade, "skin")
    lit = _ellipse(c.x - f.light, c.y - _HEAD_Y + 0.05, f.head_width, f.head_height)
    c.paint(torch.maximum(lit, _head(c, f)), f.skin, "skin")
    cheeks = c.window(0.05, 0.4, 0.45)
    side = cheeks.x.abs()
    cheeks.paint(_circle(side - 0.29, cheeks.y - 0.23, 0.09), f.blush, "skin", alpha=0.6)


def _paint_beard(c: Canvas, f: SimpleNamespace) -> None:
    c = c.window(0.05, 0.75, 0.65)
    bare = _ellipse(c.x, c.y - 0.1, f.head_width * 0.8, 0.4)
    beard = torch.maximum(_head(c, f, 0.035), bare.neg_())
    c.paint(torch.maximum(beard, 0.1 - c.y), f.whiskers, "beard", f.beard)


def _paint_mouth(c: Canvas, f: SimpleNamespace) -> None:
    c = c.window(0.2, 0.55, 0.26)
    y = c.y - _MOUTH_Y + f.mouth_bend * (c.x * c.x - 0.02)
    c.paint(_ellipse(c.x, y, f.mouth_width, f.mouth_height), f.lips, "mouth")
    inside = _ellipse(c.x, y, f.mouth_width - 0.035, f.mouth_height - 0.03)
    teeth = torch.maximum(inside, y + 0.02)
    c.paint(inside, f.throat, "mouth", f.mouth_open)
    c.paint(teeth, f.white, "mouth", f.mouth_open)


def _paint_mustache(c: Canvas, f: SimpleNamespace) -> None:
    c = c.window(0.1, 0.45, 0.3)
    side = c.x.abs()
    half = _ellipse(side - 0.09, c.y - 0.28 - 0.35 * (side - 0.09), 0.11, 0.045)
    c.paint(half, f.whiskers, "mustache", f.mustache)


def _paint_nose(c: Canvas, f: SimpleNamespace) -> None:
    c = c.window(0.0, 0.36, 0.18)
    c.paint(_ellipse(c.x, c.y - _NOSE_Y, f.nose_size, f.nose_size * 0.85), f.flesh, "nose")


def _paint_eyes(c: Canvas, f: SimpleNamespace) -> None:
    c = c.window(-0.12, 0.18, 0.36)
    side, y = c.x.abs() - f.eye_gap, c.y - _EYE_Y
    c.paint(_ellipse(side, y + 0.015, 0.125, f.eye_height + 0.018), f.lash, "eyes")
    c.paint(_ellipse(side, y, 0.11, f.eye_height), f.white, "eyes")
    right = c.x.sign()
    look, y = side - f.gaze_x * right, y - f.gaze_y
    c.paint(_circle(look, y, 0.065), f.iris, "eyes")
    c.paint(_circle(look, y, 0.035), f.black, "eyes")
    c.paint(_circle(look + 0.022 * right, y + 0.03, 0.02), f.white, "eyes")


def _paint_hair(c: Canvas, f: SimpleNamespace) -> None:
    c = c.window(-0.75, 0.95, 0.75)
    below = c.y - f.hairline - 0.5
    gap = _ellipse(c.x - f.parting, below.clamp_(max=0), f.head_width * 0.92, 0.5)
    face = torch.maximum(gap, torch.minimum(_head(c, f), _EAR_Y - c.y))
    fall = torch.maximum(_hair_outline(c, f), c.y - f.hair_end)
    hair = torch.maximum(fall, face.neg_())
    curls = torch.maximum(hair, (0.26 - _ripples(c)).mul_(0.3))
    c.paint(hair, f.hair, "hair", ~f.bald)
    c.paint(curls, f.strand, "hair", f.curly_hair)


def _paint_brows(c: Canvas, f: SimpleNamespace) -> None:
    c = c.window(-0.34, -0.06, 0.36)
    side = c.x.abs() - f.eye_gap
    c.paint(_box(side, c.y - f.brow_y - f.brow_slope * side, 0.11, 0.03, 0.02), f.brow, "brows")


def _paint_earrings(c: Canvas, f: SimpleNamespace) -> None:
    c = c.window(0.1, 0.4, 0.66)
    ring = _circle(c.x.abs() - f.head_width - 0.04, c.y - _EAR_Y - 0.15, 0.062)
    c.paint(ring, f.metal, "earrings", f.earrings)


def _paint_glasses(c: Canvas, f: SimpleNamespace) -> None:
    c = c.window(-0.16, 0.22, 0.6)
    side, y = c.x.abs(), c.y - _EYE_Y
    lens = _box(side - 0.21, y, 0.17, 0.125, f.lens_corner)
    c.paint(lens.clone(), f.white, "glasses", f.eyeglasses, alpha=0.25)
    bar = torch.maximum(y.abs() - 0.02, lens.neg()).maximum(side - f.head_width)
    c.paint(torch.minimum(lens.abs_().sub_(0.022), bar), f.frame, "glasses", f.eyeglasses)


def _paint_hat(c: Canvas, f: SimpleNamespace) -> None:
    c = c.window(-0.95, -0.25, 0.8)
    y = c.y - _HAT_Y
    wool = f.brim < 0
    width = f.head_width + 0.11
    c.paint(_circle(c.x, y + f.crown, 0.09), f.ribbon, "hat", f.hat & wool)
    dome = _ellipse(c.x, y, width - 0.02, f.crown).maximum(y)
    c.paint(dome, f.felt, "hat", f.hat)
    c.paint(_box(c.x, y + 0.06, width - 0.03, 0.05, 0.02), f.ribbon, "hat", f.hat)
    brim = torch.where(wool, width, 0.6 + 0.15 * f.brim)
    c.paint(_box(c.x, y, brim, 0.045, 0.04), f.felt, "hat", f.hat)


# Signed distances: negative inside, in head lengths


def _circle(x: Tensor, y: Tensor, radius: float | Tensor) -> Tensor:
    return (x * x + y * y).sqrt_().sub_(radius)


def _ellipse(x: Tensor, y: Tensor, rx: float | Tensor, ry: float | Tensor) -> Tensor:
    """Approximate signed distance: exact at the rim, and along the shorter axis."""
    shorter = torch.minimum(torch.as_tensor(rx), torch.as_tensor(ry))
    return _circle(x / rx, y / ry, 1).mul_(shorter)


def _box(
    x: Tensor, y: Tensor, width: float | Tensor, height: float | Tensor, corner: float | Tensor
) -> Tensor:
    """A rectangle of half-sides `width` and `height` with round corners."""
    right, below = x.abs() - (width - corner), y.abs() - (height - corner)
    inside = torch.maximum(right, below).clamp_(max=0)
    return _circle(right.clamp_(min=0), below.clamp_(min=0), corner).add_(inside)


def _ripples(c: Canvas) -> Tensor:
    """A grid of soft bumps: 0 at their centres, up to 1/2 at the corners between them."""
    x, y = c.x / 0.29, c.y / 0.29
    x, y = x + y, x - y
    return (x - x.round()).square_().add_((y - y.round()).square_())
