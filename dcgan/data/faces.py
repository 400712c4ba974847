"""The built-in data set, drawn: (seed, index) → cartoon face, binary attributes, part mask.

A face is a row of random traits, hashed from its seed and index alone, so it does not depend on the
batch it is drawn in, on the size or on the device. Signed distances turn traits into shapes: d < 0
inside, and 1/2 - d/pixel, clamped, is the share of a pixel that a shape covers. The same distance
colours the image and labels the mask, which is why the two agree exactly.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import NamedTuple
from zlib import crc32

import torch
from torch import Tensor

from dcgan.errors import UsageError

# Share of the faces that have each attribute. A mirrored face keeps all of its attributes.
FREQUENCIES = {
    "smiling": 0.5,
    "mouth_open": 0.4,
    "eyeglasses": 0.3,
    "hat": 0.25,
    "earrings": 0.3,
    "beard": 0.3,
    "mustache": 0.3,
    "bald": 0.12,
    "long_hair": 0.35,
    "bangs": 0.4,
    "curly_hair": 0.3,
    "blond_hair": 0.25,
    "dark_skin": 0.4,
    "big_nose": 0.4,
    "raised_brows": 0.4,
    "round_face": 0.5,
}
ATTRIBUTES = tuple(FREQUENCIES)

# The attribute on the left never occurs with one on the right. Every other pair is independent.
EXCLUDES = {"bald": ("long_hair", "bangs", "curly_hair", "blond_hair")}

# Classes of the part mask, in index order.
PARTS = (
    *("background", "clothes", "skin", "hair", "eyes", "brows", "nose", "mouth", "beard"),
    *("mustache", "glasses", "hat", "earrings"),
)

# Lengths are in head coordinates: x to the right, y down, an upright image is [-VIEW, VIEW]².
VIEW, TILT, SHIFT = 0.82, 0.12, 0.05
HAT_Y, EYE_Y, HEAD_Y, EAR_Y, NOSE_Y, MOUTH_Y = -0.36, 0.03, 0.04, 0.1, 0.19, 0.37
TRAITS = {
    "tilt": (-TILT, TILT),
    "shift_x": (-SHIFT, SHIFT),
    "shift_y": (-SHIFT, SHIFT),
    "light": (-0.1, 0.1),
    "brightness": (0.92, 1.03),
    "gaze_x": (-0.04, 0.04),
    "gaze_y": (-0.02, 0.02),
    "eye_gap": (0.19, 0.22),
    "eye_height": (0.075, 0.1),
    "brow_slope": (-0.25, 0.25),
    "mouth_width": (0.18, 0.23),
    "parting": (-0.1, 0.1),
    "crown": (0.27, 0.33),
    "brim": (-1, 1),
    "lens_corner": (0.03, 0.12),
    "glow_x": (-1, 1),
    "glow_y": (-1, 1),
    "skin_tone": (0, 1),
    "hair_tone": (0, 1),
}
# Traits that show an attribute: their range with it, and their range without.
SHOWN = {
    "mouth_bend": ("smiling", (1.5, 2.4), (-1.2, 0.0)),
    "mouth_height": ("mouth_open", (0.09, 0.12), (0.032, 0.038)),
    "nose_size": ("big_nose", (0.115, 0.14), (0.06, 0.072)),
    "brow_y": ("raised_brows", (-0.26, -0.24), (-0.17, -0.15)),
    "head_width": ("round_face", (0.5, 0.54), (0.39, 0.43)),
    "head_height": ("round_face", (0.5, 0.53), (0.57, 0.6)),
    "hairline": ("bangs", (-0.27, -0.25), (-0.46, -0.42)),
    "hair_end": ("long_hair", (0.48, 0.75), (-0.05, 0.08)),
    "hair_volume": ("curly_hair", (0.16, 0.2), (0.05, 0.08)),
    "curl": ("curly_hair", (0.18, 0.22), (0, 0)),
}

SKIN_LIGHT, SKIN_DARK, BLOND = ("ffe2c9", "e8b084"), ("ad754d", "7d4d31"), ("fbe07f", "e6b548")
HAIR_COLOURS = ("1f1b24", "3b2417", "5a2f17", "a3431f", "8d8d96", "2f2a4f")
CLOTH = ("d64550", "2f6db5", "3a9d6a", "f2b632", "6d4c9f", "e9e4dc", "30384a", "ee7f3b")
PALETTES = {
    "backdrop": ("7cc4e8", "8fd3b0", "f2a7b5", "b9a5e6", "f5c48a", "6f9bd8", "c9d68a", "8a93a8"),
    "shirt": CLOTH,
    "felt": CLOTH,
    "ribbon": CLOTH,
    "iris": ("3d6fb5", "3f8f5b", "5a3a22", "2c2c34"),
    "frame": ("191923", "b3202e", "1f4fa3", "5b2d8f"),
    "metal": ("ffd24a", "e8eef5", "ff5a7a", "41d6c3"),
    "lips": ("c8434d", "d9667a", "a83246"),
}

CHUNK_PIXELS = 2**17  # Few enough for the planes being painted to stay in a processor's cache.
WORD = 2**32 - 1


class Faces(NamedTuple):
    """N faces of S x S pixels."""

    images: Tensor  # [N, S, S, 3] uint8 in 0..255
    attributes: Tensor  # [N, len(ATTRIBUTES)] bool
    parts: Tensor  # [N, S, S] uint8, index into PARTS


def attributes(indices: Tensor | Sequence[int], seed: int = 0, **forced: bool) -> Tensor:
    """Attributes of the faces `indices` of `seed`, without drawing them: [N, len(ATTRIBUTES)] bool.

    Forced attributes, e.g. `eyeglasses=True`, replace the drawn ones, and switch off what they
    exclude. Raises UsageError for an unknown name and for a pair that excludes itself.
    """
    for name in forced:
        if name not in FREQUENCIES:
            raise UsageError(f"unknown attribute {name!r}; known: {', '.join(ATTRIBUTES)}")
    has = dict(zip(ATTRIBUTES, uniform(indices, seed, ATTRIBUTES).unbind(1), strict=True))
    for name, u in has.items():
        # An excluding attribute is tried only where it may occur: its share there is larger.
        free = 1.0
        for other in EXCLUDES.get(name, ()):
            free *= 1 - FREQUENCIES[other]
        has[name] = u < FREQUENCIES[name] / free
    has |= {name: torch.full_like(has[name], value) for name, value in forced.items()}
    for name, others in EXCLUDES.items():
        for other in others:
            if forced.get(name) and forced.get(other):
                raise UsageError(f"{name} excludes {other}: a face cannot have both")
            loser, winner = (other, name) if forced.get(name) else (name, other)
            has[loser] = has[loser] & ~has[winner]
    return torch.stack([has[name] for name in ATTRIBUTES], 1)


def draw(
    indices: Tensor | Sequence[int],
    size: int,
    seed: int = 0,
    device: str | torch.device = "cpu",
    **forced: bool,
) -> Faces:
    """Draw the faces `indices` of `seed` at `size` x `size` pixels, on `device`.

    A face is a pure function of (seed, index): the others drawn with it do not matter, and `size`
    changes its resolution only. Forced attributes (see `attributes`) change what shows them and
    nothing else, so that two calls give pairs that differ in one attribute. Uses as many threads
    as torch may; other work that torch does in this process meanwhile runs on one.
    """
    indices = torch.as_tensor(indices, dtype=torch.int64).cpu()
    has = attributes(indices, seed, **forced)
    images = torch.empty(len(indices), size, size, 3, dtype=torch.uint8, device=device)
    parts = torch.empty(len(indices), size, size, dtype=torch.uint8, device=device)
    chunk = max(1, CHUNK_PIXELS // size**2)

    def fill(start: int) -> None:
        rows = slice(start, start + chunk)
        canvas = portrait(features(indices[rows], seed, has[rows], device), size)
        images[rows] = canvas.rgb.permute(0, 2, 3, 1)
        parts[rows] = canvas.parts

    with one_thread_per_operation() as threads, ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(fill, range(0, len(indices), chunk)):
            pass
    return Faces(images, has.to(device), parts)


@contextmanager
def one_thread_per_operation() -> Iterator[int]:
    """Yield the number of threads that torch may use, and leave sharing the work to the caller.

    Painting is hundreds of short operations. Threads that share each of them wait for one another
    at its end, for most of the time on a busy machine; threads with a chunk each never wait.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


# Random numbers


def uniform(indices: Tensor | Sequence[int], seed: int, names: Sequence[str]) -> Tensor:
    """One number in [0, 1) per index and name, from (seed, index, name) alone: [N, K]."""
    indices = torch.as_tensor(indices, dtype=torch.int64).cpu()
    key = scramble(scramble(torch.tensor(seed & WORD)) ^ (seed >> 32 & WORD))
    face = scramble(scramble(indices & WORD ^ key) ^ (indices >> 32 & WORD))
    streams = torch.tensor([crc32(name.encode()) for name in names])
    return (scramble(face[:, None] ^ scramble(key ^ streams)) >> 8) / 2**24


def scramble(word: Tensor) -> Tensor:
    """A bijection of 32-bit words in which every input bit moves every output bit.

    The multiplier has 27 bits, so that no product leaves int64.
    """
    for _ in range(2):
        word = ((word >> 16) ^ word) * 0x45D9F3B & WORD
    return (word >> 16) ^ word


def features(
    indices: Tensor, seed: int, has: Tensor, device: str | torch.device
) -> SimpleNamespace:
    """Everything the painters read: traits and attributes [N, 1, 1], colours [N, 3, 1, 1]."""
    names = [*TRAITS, *SHOWN, *PALETTES]
    u = dict(zip(names, uniform(indices, seed, names).unbind(1), strict=True))
    has = dict(zip(ATTRIBUTES, has.unbind(1), strict=True))
    traits = {name: low + (high - low) * u[name] for name, (low, high) in TRAITS.items()}
    for name, (attribute, *ranges) in SHOWN.items():
        with_it, without = (low + (high - low) * u[name] for low, high in ranges)
        traits[name] = torch.where(has[attribute], with_it, without)

    colours = {name: pick(codes, u[name]) for name, codes in PALETTES.items()}
    skin, hair = blend(*SKIN_LIGHT, u["skin_tone"]), pick(HAIR_COLOURS, u["hair_tone"])
    skin = torch.where(has["dark_skin"][:, None], blend(*SKIN_DARK, u["skin_tone"]), skin)
    hair = torch.where(has["blond_hair"][:, None], blend(*BLOND, u["hair_tone"]), hair)
    colours |= {"skin": skin, "shade": skin * rgb("dcc8c4"), "flesh": skin * rgb("d9a79a")}
    colours |= {"blush": skin * rgb("f7a79c"), "lash": skin * 0.3}
    colours |= {"hair": hair, "strand": hair * 0.75, "whiskers": hair * 0.88, "brow": hair * 0.6}
    colours |= {"white": rgb("ffffff"), "black": rgb("101014"), "throat": rgb("5a1620")}

    row = {name: value[:, None, None] for name, value in (traits | has).items()}
    row |= {name: value[..., None, None] for name, value in colours.items()}
    return SimpleNamespace(**{name: value.to(device) for name, value in row.items()})


def rgb(code: str) -> Tensor:
    """A colour such as "ff8000" as [1, 3] in [0, 1]."""
    return torch.tensor([list(bytes.fromhex(code))]) / 255


def pick(codes: Sequence[str], u: Tensor) -> Tensor:
    return torch.cat([rgb(code) for code in codes])[(u * len(codes)).long()]


def blend(first: str, last: str, u: Tensor) -> Tensor:
    return torch.lerp(rgb(first), rgb(last), u[:, None])


# Painting


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

        Nothing is laid where a face lacks it. A shape that is not opaque leaves the mask as it was.
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
