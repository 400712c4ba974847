"""Rendered faces are pure functions of (seed, index), and agree with their labels and masks."""

import math

import pytest
import torch
from torch.nn.functional import max_pool2d

from dcgan.data import faces
from dcgan.data.faces import (
    ATTRIBUTES,
    PARTS,
    painting,
    render,
    rendering,
    sample_attributes,
    traits,
)
from dcgan.data.faces.painting import Canvas
from dcgan.data.faces.traits import EXCLUDES, FREQUENCIES
from dcgan.data.sources.faces import packed_indices
from dcgan.errors import UsageError

COUNT = 400
EXCLUSIVE = {frozenset((name, other)) for name, others in EXCLUDES.items() for other in others}
SHOWN_BY = {
    "eyeglasses": "glasses",
    "hat": "hat",
    "earrings": "earrings",
    "beard": "beard",
    "mustache": "mustache",
}


@pytest.fixture(scope="module")
def rendered() -> faces.Faces:
    return render(range(COUNT), 64)


def has(rendered: faces.Faces, attribute: str) -> torch.Tensor:
    return rendered.attributes[:, ATTRIBUTES.index(attribute)]


def mask(rendered: faces.Faces, *parts: str) -> torch.Tensor:
    return torch.isin(rendered.parts, torch.tensor([PARTS.index(part) for part in parts]))


def assert_same(one: faces.Faces, other: faces.Faces) -> None:
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a, b)


def brightness(rendered: faces.Faces, part: str) -> torch.Tensor:
    """Mean grey level of one part, per face: [N]."""
    inside = mask(rendered, part)
    return (rendered.images.float().mean(-1) * inside).sum((1, 2)) / inside.sum((1, 2))


# Randomness


def test_shapes_and_types(rendered):
    assert rendered.images.shape == (COUNT, 64, 64, 3)
    assert rendered.images.dtype == torch.uint8
    assert rendered.images.is_contiguous()
    assert rendered.attributes.shape == (COUNT, len(ATTRIBUTES))
    assert rendered.attributes.dtype == torch.bool
    assert rendered.parts.shape == (COUNT, 64, 64)
    assert rendered.parts.dtype == torch.uint8
    assert torch.equal(rendered.attributes, sample_attributes(range(COUNT)))
    assert render([], 64).images.shape == (0, 64, 64, 3)


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_a_face_does_not_depend_on_its_batch(rendered, monkeypatch, chunk):
    monkeypatch.setattr(rendering, "_CHUNK_PIXELS", chunk * 64**2)
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(0))[:50]
    expected = faces.Faces(*(field[order] for field in rendered))
    assert_same(render(order, 64), expected)
    assert_same(render(order.tolist(), 64), expected)


def test_the_number_of_threads_does_not_change_faces_and_is_restored(rendered):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert_same(render(range(COUNT), 64), rendered)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_all_bits_of_seed_and_index_matter():
    keys = [
        (seed, index) for seed in (0, 1, -1, 2**32, 2**40 + 1) for index in (0, 1, 2**32, 2**40)
    ]
    images = torch.cat([render([index], 32, seed).images for seed, index in keys])
    again = torch.cat([render([index], 32, seed).images for seed, index in keys])
    assert torch.equal(images, again)
    assert len(images.flatten(1).unique(dim=0)) == len(keys)


def test_scramble_agrees_with_unbounded_integers():
    def reference(word: int) -> int:
        for _ in range(2):
            word = ((word >> 16) ^ word) * 0x45D9F3B % 2**32
        return (word >> 16) ^ word

    words = [0, 1, 2**16, 2**31, 2**32 - 1, 123456789, 0xDEADBEEF]
    assert traits._scramble(torch.tensor(words)).tolist() == [reference(word) for word in words]


def test_uniform_numbers_are_uniform_and_uncorrelated():
    names = ["a", "b", "c"]
    u = torch.cat([traits._uniform(range(20_000), seed, names) for seed in (0, 1)], 1)
    assert u.min() >= 0
    assert u.max() < 1
    share = torch.stack([torch.histc(column, 10, 0, 1) for column in u.T]) / len(u)
    assert (share - 0.1).abs().max() < 5 * math.sqrt(0.09 / len(u))
    neighbours = torch.cat([u[:-1], u[1:]], 1)
    off_diagonal = torch.corrcoef(neighbours.T) - torch.eye(12)
    assert off_diagonal.abs().max() < 5 / math.sqrt(len(u))


# Attributes


def test_attributes_have_their_frequencies_and_are_independent():
    table = sample_attributes(range(20_000)).float()
    for name, frequency in zip(ATTRIBUTES, table.mean(0).tolist(), strict=True):
        expected = FREQUENCIES[name]
        assert abs(frequency - expected) < 4.5 * math.sqrt(
            expected * (1 - expected) / len(table)
        ), name
    correlation = torch.corrcoef(table.T)
    for i, name in enumerate(ATTRIBUTES):
        for j, other in enumerate(ATTRIBUTES[:i]):
            if frozenset((name, other)) not in EXCLUSIVE:
                assert abs(correlation[i, j]) < 4.5 / math.sqrt(len(table)), (name, other)


@pytest.mark.parametrize("forced", [{}, {"bald": True}, {"long_hair": True}, {"bald": False}])
def test_exclusions_hold_whatever_is_forced(forced):
    table = sample_attributes(range(4_000), **forced)
    for name, others in EXCLUDES.items():
        for other in others:
            assert not (table[:, ATTRIBUTES.index(name)] & table[:, ATTRIBUTES.index(other)]).any()
    for name, value in forced.items():
        assert (table[:, ATTRIBUTES.index(name)] == value).all()


def test_impossible_attributes_are_refused():
    with pytest.raises(UsageError, match="monocle"):
        sample_attributes([0], monocle=True)
    with pytest.raises(UsageError, match="bald excludes bangs"):
        render([0], 64, bald=True, bangs=True)


# Labels against pictures


@pytest.mark.parametrize("size", [32, 64, 128])
def test_mask_shows_a_part_iff_its_attribute_is_on(size):
    rendered = render(range(COUNT // 2), size)
    for attribute, part in SHOWN_BY.items():
        assert torch.equal(mask(rendered, part).any(2).any(1), has(rendered, attribute)), part
    assert torch.equal(mask(rendered, "hair").any(2).any(1), ~has(rendered, "bald"))
    for part in ("background", "clothes", "skin", "eyes", "brows", "nose", "mouth"):
        assert mask(rendered, part).any(2).any(1).all(), part


@pytest.mark.parametrize(
    ("attribute", "parts"),
    [
        ("smiling", ["mouth"]),
        ("mouth_open", ["mouth"]),
        ("big_nose", ["nose"]),
        ("raised_brows", ["brows"]),
        ("eyeglasses", ["glasses"]),
        ("hat", ["hat", "hair"]),
        ("earrings", ["earrings"]),
        ("beard", ["beard"]),
        ("mustache", ["mustache"]),
        ("bald", ["hair", "beard", "brows", "mustache"]),  # a blond who goes bald is no blond
        ("long_hair", ["hair"]),
        ("bangs", ["hair"]),
        ("curly_hair", ["hair"]),
        ("blond_hair", ["hair", "beard", "brows", "mustache"]),
        ("dark_skin", ["skin", "nose", "eyes"]),
    ],
)
def test_an_attribute_changes_the_parts_that_show_it_and_nothing_else(attribute, parts):
    # Long hair on a face that was bald would bring its other hair attributes with it.
    fixed = {} if attribute == "bald" else {"bald": False}
    without, with_it = (render(range(40), 64, **fixed | {attribute: on}) for on in (False, True))
    change = (with_it.images.float() - without.images.float()).abs().amax(-1)
    # Outside the mask lie the rims, less than half covered, and the tinted lenses in their frames.
    reach = 5 if attribute == "eyeglasses" else 2
    around = (mask(without, *parts) | mask(with_it, *parts)).float()[:, None]
    around = max_pool2d(around, 2 * reach + 1, 1, reach)[:, 0] > 0
    assert change[~around].sum() < 0.01 * change.sum()
    assert change[around].mean() > 10


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_every_attribute_is_visible_at_32_pixels(attribute):
    without, with_it = (render(range(100), 32, **{attribute: on}) for on in (False, True))
    change = (with_it.images.float() - without.images.float()).abs().amax(-1)
    assert ((change > 12).sum((1, 2)) >= 3).all()


def test_skin_and_hair_colours_follow_their_attributes(rendered):
    skin, dark = brightness(rendered, "skin"), has(rendered, "dark_skin")
    assert skin[dark].max() < skin[~dark].min()
    inside = mask(rendered, "hair")[..., None]
    _, green, blue = ((rendered.images * inside).sum((1, 2)) / inside.sum((1, 2))).unbind(1)
    blond, bald = has(rendered, "blond_hair"), has(rendered, "bald")
    assert (green - blue)[blond].min() > (green - blue)[~blond & ~bald].max() + 20


def test_faces_stand_upright(rendered):
    rows = torch.arange(64.0)[:, None].expand(64, 64)
    columns = rows.T

    def middle(part: str, along: torch.Tensor) -> torch.Tensor:
        inside = mask(rendered, part)
        return (inside * along).sum((1, 2)) / inside.sum((1, 2))

    hat = has(rendered, "hat")
    assert (middle("hat", rows) < middle("brows", rows))[hat].all()
    for upper, lower in zip(
        ("brows", "eyes", "nose", "mouth"), ("eyes", "nose", "mouth", "clothes"), strict=True
    ):
        assert (middle(upper, rows) < middle(lower, rows)).all(), (upper, lower)
    assert abs(middle("nose", columns).mean() - 31.5) < 1
    assert middle("nose", columns).std() > 0.5  # the pose varies


# Rendering


def test_sizes_show_the_same_face():
    """Half a pixel of offset between the sizes would multiply the difference by five."""
    large, small = (render(range(100), size) for size in (128, 64))
    reduced = large.images.float().unflatten(2, (64, 2)).unflatten(1, (64, 2)).mean((2, 4))
    difference = (reduced - small.images.float()).abs().mean()
    assert difference < 1
    shifted = (
        large.images.float().roll(1, 2).unflatten(2, (64, 2)).unflatten(1, (64, 2)).mean((2, 4))
    )
    assert (shifted - small.images.float()).abs().mean() > 3 * difference
    assert torch.equal(large.attributes, small.attributes)


@pytest.mark.parametrize("size", [32, 64])
def test_windows_cut_nothing_off(monkeypatch, size):
    cut = render(range(200), size)
    monkeypatch.setattr(Canvas, "window", lambda canvas, *_: canvas)
    assert_same(render(range(200), size), cut)


def test_paint_covers_the_area_of_the_shape_with_soft_edges():
    size, radius = 64, 0.4
    steps = (torch.arange(size) + 0.5) * 2 / size - 1
    y, x = (grid[None] for grid in torch.meshgrid(steps, steps, indexing="ij"))
    canvas = Canvas(
        torch.zeros(1, 3, size, size), torch.zeros(1, size, size, dtype=torch.uint8), x, y, 2 / size
    )
    canvas.paint(painting._circle(x, y, radius), torch.ones(1, 3, 1, 1), "hat")
    area, pixels_around = math.pi * radius**2, 2 * math.pi * radius * size / 2
    assert canvas.rgb.mean() * 4 == pytest.approx(area, rel=2e-3)
    assert mask(faces.Faces(canvas.rgb, canvas.rgb, canvas.parts), "hat").float().mean() * 4 == (
        pytest.approx(area, rel=2e-2)
    )
    soft = ((canvas.rgb[0, 0] > 0) & (canvas.rgb[0, 0] < 1)).sum()
    assert pixels_around < soft < 2 * pixels_around


def test_distances_at_known_points():
    x, y = torch.tensor([[0.0, 1.0, 0.0, 4.0, 1.0]]), torch.tensor([[0.0, 0.0, 0.5, 4.5, 0.5]])
    root = math.sqrt(0.5)
    torch.testing.assert_close(
        painting._circle(x, y, 0.5),
        torch.tensor([[-0.5, 0.5, 0.0, math.hypot(4, 4.5) - 0.5, math.hypot(1, 0.5) - 0.5]]),
    )
    torch.testing.assert_close(painting._ellipse(x, y, 1, 0.5)[0, :3], torch.tensor([-0.5, 0, 0]))
    torch.testing.assert_close(painting._box(x, y, 1, 0.5, 0), torch.tensor([[-0.5, 0, 0, 5, 0]]))
    rounded = painting._box(x, y, 1, 0.5, 0.2)[0]
    torch.testing.assert_close(rounded[:3], torch.tensor([-0.5, 0, 0]))
    assert rounded[4] == pytest.approx(0.4 * root - 0.2, abs=1e-6)


def test_traits_are_those_that_are_painted():
    """Scaled to [-1, 1]; a mirrored face has the opposite tilt, so that no index may be off."""
    indices = torch.arange(2**30, 2**30 + 6)
    scaled = faces.sample_traits(indices, names=("tilt", "gaze_x"))
    painted = traits.features(indices, 0, faces.sample_attributes(indices), "cpu")
    assert torch.allclose(scaled[:, 0] * 0.12, painted.tilt.flatten(), atol=1e-6)
    assert torch.allclose(scaled[:, 1] * 0.04, painted.gaze_x.flatten(), atol=1e-6)


def test_the_indices_of_packed_faces_follow_from_their_meta():
    meta = {"source": "faces", "split": "valid", "found": 5, "packed": 5}
    assert packed_indices(meta) == range(2**30, 2**30 + 5)
    assert packed_indices(meta | {"split": "train"}) == range(5)
    for other in ({"source": "folder"}, {"split": "all"}, {"packed": 4}):
        assert packed_indices(meta | other) is None
    assert packed_indices({"source": "arrays", "found": 5, "packed": 5}) is None
