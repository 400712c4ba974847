"""The attributes, traits and colours of a face, hashed from its (seed, index) alone."""

from collections.abc import Sequence
from types import SimpleNamespace
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

# The first attribute never occurs with the others. All other pairs are independent.
EXCLUDES = {"bald": ("long_hair", "bangs", "curly_hair", "blond_hair")}

# Lengths are in head coordinates: x to the right, y down.
TILT, SHIFT = 0.12, 0.05
_TRAITS = {
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
# Traits that depend on an attribute: the range of their values with it, and without it.
_ATTRIBUTE_TRAITS = {
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

_SKIN_LIGHT, _SKIN_DARK, _BLOND = ("ffe2c9", "e8b084"), ("ad754d", "7d4d31"), ("fbe07f", "e6b548")
_HAIR_COLOURS = ("1f1b24", "3b2417", "5a2f17", "a3431f", "8d8d96", "2f2a4f")
_CLOTH = ("d64550", "2f6db5", "3a9d6a", "f2b632", "6d4c9f", "e9e4dc", "30384a", "ee7f3b")
_PALETTES = {
    "backdrop": ("7cc4e8", "8fd3b0", "f2a7b5", "b9a5e6", "f5c48a", "6f9bd8", "c9d68a", "8a93a8"),
    "shirt": _CLOTH,
    "felt": _CLOTH,
    "ribbon": _CLOTH,
    "iris": ("3d6fb5", "3f8f5b", "5a3a22", "2c2c34"),
    "frame": ("191923", "b3202e", "1f4fa3", "5b2d8f"),
    "metal": ("ffd24a", "e8eef5", "ff5a7a", "41d6c3"),
    "lips": ("c8434d", "d9667a", "a83246"),
}

_WORD = 2**32 - 1


def sample_attributes(indices: Tensor | Sequence[int], seed: int = 0, **forced: bool) -> Tensor:
    """Attributes of the faces `indices` of `seed`, without rendering: bool [N, len(ATTRIBUTES)].

    Forced attributes, e.g. `eyeglasses=True`, replace the sampled ones, and switch off those that
    they exclude. Raises UsageError for an unknown name, and for two that exclude each other.
    """
    for name in forced:
        if name not in FREQUENCIES:
            raise UsageError(f"unknown attribute {name!r}; known: {', '.join(ATTRIBUTES)}")
    has = dict(zip(ATTRIBUTES, _uniform(indices, seed, ATTRIBUTES).unbind(1), strict=True))
    for name, u in has.items():
        # It occurs only without those it excludes, so its share among these faces is larger.
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


def sample_traits(
    indices: Tensor | Sequence[int], seed: int = 0, names: Sequence[str] = tuple(_TRAITS)
) -> Tensor:
    """Traits of the faces `indices` of `seed` that no attribute changes: float32 [N, len(names)],
    each scaled from its range to [-1, 1]. "tilt" and "gaze_x" change their sign in a mirror.
    """
    return 2 * _uniform(indices, seed, names) - 1


def features(
    indices: Tensor, seed: int, attributes: Tensor, device: str | torch.device
) -> SimpleNamespace:
    """The inputs of painting: traits and attributes [N, 1, 1], colours [N, 3, 1, 1]."""
    names = [*_TRAITS, *_ATTRIBUTE_TRAITS, *_PALETTES]
    u = dict(zip(names, _uniform(indices, seed, names).unbind(1), strict=True))
    has = dict(zip(ATTRIBUTES, attributes.unbind(1), strict=True))
    traits = {name: low + (high - low) * u[name] for name, (low, high) in _TRAITS.items()}
    for name, (attribute, *ranges) in _ATTRIBUTE_TRAITS.items():
        with_it, without = (low + (high - low) * u[name] for low, high in ranges)
        traits[name] = torch.where(has[attribute], with_it, without)

    colours = {name: _pick(codes, u[name]) for name, codes in _PALETTES.items()}
    skin, hair = _blend(*_SKIN_LIGHT, u["skin_tone"]), _pick(_HAIR_COLOURS, u["hair_tone"])
    skin = torch.where(has["dark_skin"][:, None], _blend(*_SKIN_DARK, u["skin_tone"]), skin)
    hair = torch.where(has["blond_hair"][:, None], _blend(*_BLOND, u["hair_tone"]), hair)
    colours |= {"skin": skin, "shade": skin * _rgb("dcc8c4"), "flesh": skin * _rgb("d9a79a")}
    colours |= {"blush": skin * _rgb("f7a79c"), "lash": skin * 0.3}
    colours |= {"hair": hair, "strand": hair * 0.75, "whiskers": hair * 0.88, "brow": hair * 0.6}
    colours |= {"white": _rgb("ffffff"), "black": _rgb("101014"), "throat": _rgb("5a1620")}

    row = {name: value[:, None, None] for name, value in (traits | has).items()}
    row |= {name: value[..., None, None] for name, value in colours.items()}
    return SimpleNamespace(**{name: value.to(device) for name, value in row.items()})


def _rgb(code: str) -> Tensor:
    """A colour such as "ff8000" as [1, 3] in [0, 1]."""
    return torch.tensor([list(bytes.fromhex(code))]) / 255


def _pick(codes: Sequence[str], u: Tensor) -> Tensor:
    return torch.cat([_rgb(code) for code in codes])[(u * len(codes)).long()]


def _blend(first: str, last: str, u: Tensor) -> Tensor:
    return torch.lerp(_rgb(first), _rgb(last), u[:, None])


# Random numbers


def _uniform(indices: Tensor | Sequence[int], seed: int, names: Sequence[str]) -> Tensor:
    """Uniform numbers in [0, 1), a pure function of (seed, index, name): float32 [N, K]."""
    indices = torch.as_tensor(indices, dtype=torch.int64).cpu()
    key = _scramble(_scramble(torch.tensor(seed & _WORD)) ^ (seed >> 32 & _WORD))
    face = _scramble(_scramble(indices & _WORD ^ key) ^ (indices >> 32 & _WORD))
    streams = torch.tensor([crc32(name.encode()) for name in names])
    return (_scramble(face[:, None] ^ _scramble(key ^ streams)) >> 8) / 2**24


def _scramble(word: Tensor) -> Tensor:
    """A bijective hash of 32-bit words: every input bit affects every output bit.

    The multiplier has 27 bits, so that all products fit in int64.
    """
    for _ in range(2):
        word = ((word >> 16) ^ word) * 0x45D9F3B & _WORD
    return (word >> 16) ^ word
