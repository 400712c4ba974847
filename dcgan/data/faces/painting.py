"""How a face is painted: its features → an image and the mask of its parts, by signed distances."""

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
VIEW = 0.82
HAT_Y, EYE_Y, HEAD_Y, EAR_Y, NOSE_Y, MOUTH_Y = -0.36, 0.03, 0.04, 0.1, 0.19, 0.37


@dataclass(frozen=True)
class Canvas:
    """What has been painted, and where its pixels lie on the head. Windows share its memory."""

    rgb: Tensor  # [N, 3, H, W] in [0, 1]
    parts: Tensor  # [N, H, W] uint8
    x: Tensor  # [N, H, W]
    y: Tensor  # [N, H, W]
    pixel: float

    def window(self, top: float, bottom: float, side: float = 1.0) -> "Canvas":
        """The pixels that can show |x| < side, top < y < bottom in the pose of any face."""
        size = self.rgb.shape[-1]

        def span(low: float, high: float, reach: float) -> slice:
            margin = SHIFT + TILT * reach + 2 * self.pixel
            first, last = (low - margin + VIEW) / self.pixel, (high + margin + VIEW) / self.pixel
            return slice(max(0, int(first)), min(size, int(last) + 1))

        h, w = span(top, bottom, side), span(-side, side, max(-top, bottom))
        cut = {name: getattr(self, name)[..., h, w] for name in ("rgb", "parts", "x", "y")}
        return replace(self, **cut)

    def paint(
        self, d: Tensor, colour: Tensor, part: str, where: Tensor | None = None, alpha: float = 1.0
    ) -> None:
        """Lay a shape over the picture: `d` [N, H, W] is its signed distance, and is used up.

        1/2 - d/pixel, clamped, is the share of a pixel that the shape covers. It colours the image
        and labels the mask, which is why the two agree exactly. Nothing is laid where a face lacks
        it. A shape that is not opaque leaves the mask as it was.
        """
        cover = d.mul_(-1 / self.pixel).add_(0.5).clamp_(0, 1)
        if where is not None:
            cover.mul_(where)
        if alpha == 1:
            self.parts.masked_fill_(cover > 0.5, PARTS.index(part))
        else:
            cover.mul_(alpha)
        self.rgb.lerp_(colour, cover[:, None])


def portrait(f: SimpleNamespace, size: int) -> Canvas:
    """Paint the faces, from the back to the front; `rgb` is in 0..255 then."""
    canvas = blank(f, size)
    for paint in (
        paint_hair_behind,
        paint_bust,
        paint_head,
        paint_beard,
        paint_mouth,
        paint_mustache,
        paint_nose,
        paint_eyes,
        paint_hair,
        paint_brows,
        paint_earrings,
        paint_glasses,
        paint_hat,
    ):
        paint(canvas, f)
    canvas.rgb.mul_(255 * f.brightness[:, None]).add_(0.5).clamp_(0, 255)
    return canvas


def blank(f: SimpleNamespace, size: int) -> Canvas:
    pixel = 2 * VIEW / size
    steps = (torch.arange(size, dtype=torch.float32, device=f.tilt.device) + 0.5) * pixel - VIEW
    column, row = steps[None, None, :], steps[None, :, None]
    right, down = column - f.shift_x, row - f.shift_y
    cos = 1 / (1 + f.tilt * f.tilt).sqrt()
    sin = f.tilt * cos
    glow = circle(column - f.glow_x, row - f.glow_y, 0).mul_(0.6).clamp_(0, 1)
    return Canvas(
        torch.lerp(0.35 * f.backdrop + 0.65, f.backdrop, glow[:, None]),
        torch.full_like(glow, PARTS.index("background"), dtype=torch.uint8),
        cos * right + sin * down,
        cos * down - sin * right,
        pixel,
    )


def head(c: Canvas, f: SimpleNamespace, grow: float | Tensor = 0) -> Tensor:
    return ellipse(c.x, c.y - HEAD_Y, f.head_width + grow, f.head_height + grow)


def hair_outline(c: Canvas, f: SimpleNamespace) -> Tensor:
    """The head with the volume of the hair around it, curls at the rim, and nothing under a hat."""
    d = head(c, f, f.hair_volume).add_(f.curl * ripples(c))
    return torch.maximum(d, (HAT_Y - c.y).sub_(2 * (~f.hat)))


def paint_hair_behind(c: Canvas, f: SimpleNamespace) -> None:
    c = c.window(-0.1, 0.95, 0.85)
    middle = f.hair_end / 2
    fall = box(c.x, c.y - middle, f.head_width + f.hair_volume, middle, 0.2)
    fall.add_(f.curl * ripples(c))
    c.paint(fall, f.strand, "hair", f.long_hair)


def paint_bust(c: Canvas, f: SimpleNamespace) -> None:
    c = c.window(0.4, 1.2)
    c.paint(ellipse(c.x, c.y - 1.2, 0.7, 0.53), f.shirt, "clothes")
    c.paint(box(c.x, c.y - 0.45, 0.16, 0.33, 0.16), f.shade, "skin")


def paint_head(c: Canvas, f: SimpleNamespace) -> None:
    c = c.window(-0.6, 0.65, 0.65)
    side = c.x.abs()
    c.paint(circle(side - f.head_width, c.y - EAR_Y, 0.1), f.shade, "skin")
    c.paint(head(c, f), f.shade, "skin")
    lit = ellipse(c.x - f.light, c.y - HEAD_Y + 0.05, f.head_width, f.head_height)
    c.paint(torch.maximum(lit, head(c, f)), f.skin, "skin")
    cheeks = c.window(0.05, 0.4, 0.45)
    side = cheeks.x.abs()
    cheeks.paint(circle(side - 0.29, cheeks.y - 0.23, 0.09), f.blush, "skin", alpha=0.6)


def paint_beard(c: Canvas, f: SimpleNamespace) -> None:
    c = c.window(0.05, 0.75, 0.65)
    bare = ellipse(c.x, c.y - 0.1, f.head_width * 0.8, 0.4)
    beard = torch.maximum(head(c, f, 0.035), bare.neg_())
    c.paint(torch.maximum(beard, 0.1 - c.y), f.whiskers, "beard", f.beard)


def paint_mouth(c: Canvas, f: SimpleNamespace) -> None:
    c = c.window(0.2, 0.55, 0.26)
    y = c.y - MOUTH_Y + f.mouth_bend * (c.x * c.x - 0.02)
    c.paint(ellipse(c.x, y, f.mouth_width, f.mouth_height), f.lips, "mouth")
    inside = ellipse(c.x, y, f.mouth_width - 0.035, f.mouth_height - 0.03)
    teeth = torch.maximum(inside, y + 0.02)
    c.paint(inside, f.throat, "mouth", f.mouth_open)
    c.paint(teeth, f.white, "mouth", f.mouth_open)


def paint_mustache(c: Canvas, f: SimpleNamespace) -> None:
    c = c.window(0.1, 0.45, 0.3)
    side = c.x.abs()
    half = ellipse(side - 0.09, c.y - 0.28 - 0.35 * (side - 0.09), 0.11, 0.045)
    c.paint(half, f.whiskers, "mustache", f.mustache)


def paint_nose(c: Canvas, f: SimpleNamespace) -> None:
    c = c.window(0.0, 0.36, 0.18)
    c.paint(ellipse(c.x, c.y - NOSE_Y, f.nose_size, f.nose_size * 0.85), f.flesh, "nose")


def paint_eyes(c: Canvas, f: SimpleNamespace) -> None:
    c = c.window(-0.12, 0.18, 0.36)
    side, y = c.x.abs() - f.eye_gap, c.y - EYE_Y
    c.paint(ellipse(side, y + 0.015, 0.125, f.eye_height + 0.018), f.lash, "eyes")
    c.paint(ellipse(side, y, 0.11, f.eye_height), f.white, "eyes")
    right = c.x.sign()
    look, y = side - f.gaze_x * right, y - f.gaze_y
    c.paint(circle(look, y, 0.065), f.iris, "eyes")
    c.paint(circle(look, y, 0.035), f.black, "eyes")
    c.paint(circle(look + 0.022 * right, y + 0.03, 0.02), f.white, "eyes")


def paint_hair(c: Canvas, f: SimpleNamespace) -> None:
    c = c.window(-0.75, 0.95, 0.75)
    below = c.y - f.hairline - 0.5
    gap = ellipse(c.x - f.parting, below.clamp_(max=0), f.head_width * 0.92, 0.5)
    face = torch.maximum(gap, torch.minimum(head(c, f), EAR_Y - c.y))
    fall = torch.maximum(hair_outline(c, f), c.y - f.hair_end)
    hair = torch.maximum(fall, face.neg_())
    curls = torch.maximum(hair, (0.26 - ripples(c)).mul_(0.3))
    c.paint(hair, f.hair, "hair", ~f.bald)
    c.paint(curls, f.strand, "hair", f.curly_hair)


def paint_brows(c: Canvas, f: SimpleNamespace) -> None:
    c = c.window(-0.34, -0.06, 0.36)
    side = c.x.abs() - f.eye_gap
    c.paint(box(side, c.y - f.brow_y - f.brow_slope * side, 0.11, 0.03, 0.02), f.brow, "brows")


def paint_earrings(c: Canvas, f: SimpleNamespace) -> None:
    c = c.window(0.1, 0.4, 0.66)
    ring = circle(c.x.abs() - f.head_width - 0.04, c.y - EAR_Y - 0.15, 0.062)
    c.paint(ring, f.metal, "earrings", f.earrings)


def paint_glasses(c: Canvas, f: SimpleNamespace) -> None:
    c = c.window(-0.16, 0.22, 0.6)
    side, y = c.x.abs(), c.y - EYE_Y
    lens = box(side - 0.21, y, 0.17, 0.125, f.lens_corner)
    c.paint(lens.clone(), f.white, "glasses", f.eyeglasses, alpha=0.25)
    bar = torch.maximum(y.abs() - 0.02, lens.neg()).maximum(side - f.head_width)
    c.paint(torch.minimum(lens.abs_().sub_(0.022), bar), f.frame, "glasses", f.eyeglasses)


def paint_hat(c: Canvas, f: SimpleNamespace) -> None:
    c = c.window(-0.95, -0.25, 0.8)
    y = c.y - HAT_Y
    wool = f.brim < 0
    width = f.head_width + 0.11
    c.paint(circle(c.x, y + f.crown, 0.09), f.ribbon, "hat", f.hat & wool)
    dome = ellipse(c.x, y, width - 0.02, f.crown).maximum(y)
    c.paint(dome, f.felt, "hat", f.hat)
    c.paint(box(c.x, y + 0.06, width - 0.03, 0.05, 0.02), f.ribbon, "hat", f.hat)
    brim = torch.where(wool, width, 0.6 + 0.15 * f.brim)
    c.paint(box(c.x, y, brim, 0.045, 0.04), f.felt, "hat", f.hat)


# Signed distances: negative inside, in head lengths


def circle(x: Tensor, y: Tensor, radius: float | Tensor) -> Tensor:
    return (x * x + y * y).sqrt_().sub_(radius)


def ellipse(x: Tensor, y: Tensor, rx: float | Tensor, ry: float | Tensor) -> Tensor:
    """Exact at the rim, and along the shorter axis."""
    shorter = torch.minimum(torch.as_tensor(rx), torch.as_tensor(ry))
    return circle(x / rx, y / ry, 1).mul_(shorter)


def box(
    x: Tensor, y: Tensor, width: float | Tensor, height: float | Tensor, corner: float | Tensor
) -> Tensor:
    """A rectangle of half-sides `width` and `height` with round corners."""
    right, below = x.abs() - (width - corner), y.abs() - (height - corner)
    inside = torch.maximum(right, below).clamp_(max=0)
    return circle(right.clamp_(min=0), below.clamp_(min=0), corner).add_(inside)


def ripples(c: Canvas) -> Tensor:
    """A quilt of soft bumps, 0 in their middles and up to 1/2 in the corners between them."""
    x, y = c.x / 0.29, c.y / 0.29
    x, y = x + y, x - y
    return (x - x.round()).square_().add_((y - y.round()).square_())
