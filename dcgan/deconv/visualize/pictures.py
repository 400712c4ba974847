"""What `dcgan visualize` draws: one function a picture."""

import math

import numpy as np
import torch

from dcgan import images
from dcgan.config import VisualizeConfig
from dcgan.config.validation import require_options
from dcgan.data import PackedImages, open_packed
from dcgan.deconv.visualize import figure
from dcgan.deconv.visualize.feature_maps import feature_maps, open_generator_layer
from dcgan.deconv.visualize.fields import Fields, crop
from dcgan.deconv.visualize.filters import first_filters
from dcgan.deconv.visualize.layers import Layer, open_layer
from dcgan.deconv.visualize.loading import Subject, load_subject
from dcgan.deconv.visualize.occlusion import occlusion_map
from dcgan.deconv.visualize.projection import project
from dcgan.deconv.visualize.top_patches import TopPatches, find_top_patches
from dcgan.deconv.visualize.tracing import to_network
from dcgan.errors import UsageError, printable
from dcgan.explore.photos import read_photo
from dcgan.networks import Generator

_PATCH_UNITS, _OCCLUSION_UNITS, _SHOWN = 12, 4, 64  # by default


def draw_patches(subject: Subject, packed: PackedImages, config: VisualizeConfig) -> np.ndarray:
    """For each unit its strongest patches in the data beside their projections: uint8 [H, W, 3]."""
    layer = open_subject_layer(subject, config)
    units = config.unit_list()
    layer.check_units(units or [])
    count = min(config.images or len(packed), len(packed))
    # Rounded down, these are all different.
    indices = np.arange(count) * len(packed) // count
    top = find_top_patches(layer, packed.images, config.top, indices.tolist())
    units = units or top.standing_out(_PATCH_UNITS)
    fields = Fields(layer)
    pairs = [_patches_of(layer, packed.images, top, unit, fields, config) for unit in units]
    height, width = fields.size
    caption = (
        f"{_title(subject, layer)}, receptive field {height}x{width}: {_words(config)} of the "
        f"{config.top} strongest of {count:,} images, and the patches"
    )
    values = top.values.tolist()
    titles = [f"unit {unit}: {values[unit][0]:.3g} to {values[unit][-1]:.3g}" for unit in units]
    return figure.patches_sheet(caption, titles, pairs)


def draw_occlusion(subject: Subject, photo: np.ndarray, config: VisualizeConfig) -> np.ndarray:
    """A photo, uint8 [H, W, C], and the responses of units while a grey square covers a part."""
    layer = open_subject_layer(subject, config)
    x = to_network(images.to_float(torch.from_numpy(photo.copy())[None]), subject.network)
    units = config.unit_list()
    if units is None:
        totals = layer.maps(x)[0].sum((1, 2))
        units = totals.argsort(descending=True, stable=True)[:_OCCLUSION_UNITS].tolist()
    found = occlusion_map(layer, x[0], units, config.square)
    side = max(photo.shape[:2])
    side *= max(1, round(192 / side))
    row = [("photo", figure.enlarged(photo, side))]
    projected = project(layer, x.repeat(len(units), 1, 1, 1), units, config.method, whole=True)
    for unit, whole, covered, one in zip(units, found.whole, found.covered, projected, strict=True):
        values = covered.cpu().float().numpy()
        picture = figure.enlarged(figure.to_picture(one), side)
        row.append((f"unit {unit}: {_words(config)}", picture))
        # As large as the square's centres reach, amid the border that they do not.
        title = f"{values.min():.3g} to {values.max():.3g}, whole {float(whole):.3g}"
        row.append((title, _heat_on(values, photo, found.side, side)))
    title = _title(subject, layer)
    caption = f"{title}: response while a grey square of {found.side} covers a part"
    rows = [row[:1] + row[1 + i : 3 + i] for i in range(0, len(row) - 1, 2)]
    return figure.row_sheet(caption, rows)


def draw_filters(subject: Subject, config: VisualizeConfig) -> np.ndarray:
    """The kernels of the first convolution, zero as grey: uint8 [H, W, 3]."""
    filters = first_filters(subject.network, subject.image_shape, subject.forward)
    units = config.unit_list() or list(range(min(len(filters), _SHOWN)))
    for unit in units:
        if unit >= len(filters):
            raise UsageError(f"unit {unit}: the first convolution has 0 to {len(filters) - 1}")
    kernels = figure.block([figure.to_picture(filters[unit]) for unit in units])
    height, width = filters.shape[2:]
    name = printable(subject.name)
    caption = f"{name}: {len(units)} of {len(filters)} kernels of {height}x{width}"
    return figure.row_sheet(caption, [[("", kernels)]])


def draw_feature_maps(G: Generator, config: VisualizeConfig) -> np.ndarray:
    """The images of seeds, each beside the maps of a layer of G: uint8 [H, W, 3]."""
    layer = open_generator_layer(G, config.layer)
    units = config.unit_list() or list(range(min(layer.shape[0], _SHOWN)))
    layer.check_units(units)
    seeds = config.seed_list()
    drawn, maps = feature_maps(layer, seeds)
    columns = math.ceil(math.sqrt(len(units)))
    blocks = [figure.block(cells, columns) for cells in figure.grey_maps(maps[:, units])]
    side = max(blocks[0].shape[:2])
    rows = [
        [(f"seed {seed}", figure.enlarged(image, side // 2)), ("", block)]
        for seed, image, block in zip(seeds, drawn, blocks, strict=True)
    ]
    channels, height, width = layer.shape
    caption = (
        f"G of {printable(str(config.checkpoint))}, layer {printable(layer.title)}: "
        f"{len(units)} of {channels} maps of {height}x{width}"
    )
    return figure.row_sheet(caption, rows)


def draw(config: VisualizeConfig) -> tuple[np.ndarray, int]:
    """The picture that the options describe, uint8 [H, W, 3], and the network's training steps.

    Raises UsageError and UserError for layers, units and data that do not fit the network.
    """
    require_options(config, VisualizeConfig, "draw")
    if config.of == "G":
        from dcgan.runs import load_generator
        from dcgan.runs.checkpoint_folder import find_checkpoint
        from dcgan.runtime.device import select_device

        G = load_generator(config.checkpoint, device=select_device(config.device))
        return draw_feature_maps(G, config), find_checkpoint(config.checkpoint).step
    if config.data is not None:
        packed = open_packed(config.data)
        subject = load_subject(config, (packed.channels, packed.size, packed.size))
        return draw_patches(subject, packed, config), subject.step
    subject = load_subject(config)
    if config.filters:
        return draw_filters(subject, config), subject.step
    assert config.occlusion is not None
    channels, size, _ = subject.image_shape
    photo = read_photo(config.occlusion, size, channels)
    return draw_occlusion(subject, photo, config), subject.step


def open_subject_layer(subject: Subject, config: VisualizeConfig) -> Layer:
    """The layer that the options name."""
    return open_layer(subject.network, config.layer, subject.image_shape, subject.forward)


def _patches_of(
    layer: Layer,
    data: np.ndarray,
    top: TopPatches,
    unit: int,
    fields: Fields,
    config: VisualizeConfig,
) -> tuple[np.ndarray, np.ndarray]:
    """The block of a unit's projections, and that of its patches."""
    numbers, positions = top.images[unit], top.positions[unit]
    shown = data[numbers.numpy()]
    x = to_network(images.to_float(torch.from_numpy(shown)), layer.network)
    places = None if config.whole else positions
    projections = project(layer, x, unit, config.method, places, config.whole)
    windows = [fields.window(*position) for position in positions.tolist()]
    whole = (0, 0, *shown.shape[1:3])
    pictures, patches = [], []
    for image, projection, window in zip(shown, projections, windows, strict=True):
        part = type(window)(*whole) if config.whole else window
        pictures.append(crop(figure.to_picture(projection), part, figure.GREY))
        patches.append(crop(image, part, figure.GREY))
    return figure.block(pictures), figure.block(patches)


def _heat_on(values: np.ndarray, photo: np.ndarray, covered: int, side: int) -> np.ndarray:
    """A heat map in the place of the square's centres on the photo, enlarged as that is."""
    height, width = photo.shape[:2]
    factor = max(1, round(side / max(height, width)))
    margin = covered * factor // 2
    sheet = np.full((height * factor, width * factor, 3), 255, np.uint8)
    inner = (height * factor - 2 * margin, width * factor - 2 * margin)
    if min(inner) <= 0:
        return figure.heat(values, sheet.shape[:2])
    sheet[margin : margin + inner[0], margin : margin + inner[1]] = figure.heat(values, inner)
    return sheet


def _title(subject: Subject, layer: Layer) -> str:
    channels, height, width = layer.shape
    name = f"{printable(subject.name)}, layer {printable(layer.title)}"
    return f"{name} ({channels} maps of {height}x{width})"


def _words(config: VisualizeConfig) -> str:
    return "guided backpropagation" if config.method == "guided" else config.method
