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
from dcgan.deconv.visualize.fields import Fields, Window, crop
from dcgan.deconv.visualize.filters import first_filters
from dcgan.deconv.visualize.layers import Layer, open_layer
from dcgan.deconv.visualize.loading import Subject, load_subject
from dcgan.deconv.visualize.occlusion import OcclusionMap, occlusion_map
from dcgan.deconv.visualize.projection import project
from dcgan.deconv.visualize.top_patches import TopPatches, find_top_patches
from dcgan.deconv.visualize.tracing import format_shape, to_network
from dcgan.errors import UsageError
from dcgan.explore.photos import read_photo
from dcgan.networks import Generator
from dcgan.runs import load_generator
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.runtime.device import select_device

_PATCH_UNITS, _OCCLUSION_UNITS, _SHOWN = 12, 4, 64  # by default
_PHOTO_SIDE = 192  # pixels of a photo and its heat maps, about
_METHOD_NAMES = {"guided": "guided backpropagation"}


def draw(config: VisualizeConfig) -> tuple[np.ndarray, int]:
    """The picture that the options describe, uint8 [H, W, 3], and the network's training steps.

    Raises UsageError and UserError for layers, units and data that do not fit the network.
    """
    require_options(config, VisualizeConfig, "draw")
    if config.of == "G":
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


def draw_patches(subject: Subject, packed: PackedImages, config: VisualizeConfig) -> np.ndarray:
    """For each unit its projections beside the patches that it responds to most: uint8 [H, W, 3].

    As in figure 2 of Zeiler and Fergus 2013.
    """
    layer = _open_layer(subject, config)
    units = config.unit_list()
    layer.check_units(units or [])
    count = min(config.images or len(packed), len(packed))
    indices = np.arange(count) * len(packed) // count  # evenly spaced
    top = find_top_patches(layer, packed.images, config.top, indices.tolist())
    units = units or top.standing_out(_PATCH_UNITS)
    fields = Fields(layer)
    values = top.values.tolist()
    pictures = [
        (
            f"unit {unit}: {values[unit][0]:.3g} to {values[unit][-1]:.3g}",
            _patches_of(layer, packed.images, top, unit, fields, config),
        )
        for unit in units
    ]
    seen = "whole images" if config.whole else f"fields of {format_shape(fields.size)}"
    caption = (
        f"{_title(subject, layer)}: {_method(config)}, and the {config.top} strongest of "
        f"{count:,} images, {seen}"
    )
    return figure.sheet(caption, pictures)


def draw_occlusion(subject: Subject, photo: np.ndarray, config: VisualizeConfig) -> np.ndarray:
    """A photo, uint8 [H, W, C], the projection of each unit's map, and its responses while a grey
    square covers a part of the photo: uint8 [H', W', 3].
    """
    layer = _open_layer(subject, config)
    x = to_network(images.to_float(torch.from_numpy(photo.copy())[None]), subject.network)
    units = config.unit_list()
    if units is None:
        totals = layer.maps(x)[0].sum((1, 2))
        units = totals.argsort(descending=True, stable=True)[:_OCCLUSION_UNITS].tolist()
    found = occlusion_map(layer, x[0], units, config.square)
    copies = x.expand(len(units), -1, -1, -1)
    projections = project(layer, copies, units, config.method, whole=True)
    pictures = []
    for number, (unit, projection) in enumerate(zip(units, projections, strict=True)):
        drawn = figure.resized(figure.to_picture(projection), _PHOTO_SIDE, _PHOTO_SIDE)
        shown = figure.resized(photo, _PHOTO_SIDE, _PHOTO_SIDE)
        covered = found.covered[number]
        pictures += [
            (f"unit {unit}: {float(found.whole[number]):.3g}", shown),
            (_method(config), drawn),
            (
                f"covered: {float(covered.min()):.3g} to {float(covered.max()):.3g}",
                _heat_map(found, number, photo, len(shown)),
            ),
        ]
    square = format_shape((found.side, found.side))
    caption = f"{_title(subject, layer)}: while a grey square of {square} covers a part"
    return figure.sheet(caption, pictures, columns=3 if len(units) == 1 else 6)


def draw_filters(subject: Subject, config: VisualizeConfig) -> np.ndarray:
    """The kernels of the first convolution, zero as grey: uint8 [H, W, 3]."""
    filters = first_filters(subject.network, subject.image_shape, subject.forward)
    units = config.unit_list() or list(range(min(len(filters), _SHOWN)))
    for unit in units:
        if unit >= len(filters):
            raise UsageError(f"unit {unit}: the first convolution has 0 to {len(filters) - 1}")
    kernels = figure.block([figure.to_picture(filters[unit], contrast=1) for unit in units])
    counted = f"{len(units)} of {len(filters)} kernels"
    caption = f"{subject.name}: {counted} of {format_shape(filters.shape[2:])}"
    return figure.sheet(caption, [("", kernels)])


def draw_feature_maps(G: Generator, config: VisualizeConfig) -> np.ndarray:
    """The images of seeds, each beside the maps of a layer of G: uint8 [H, W, 3]."""
    layer = open_generator_layer(G, config.layer)
    units = config.unit_list() or list(range(min(layer.shape[0], _SHOWN)))
    layer.check_units(units)
    seeds = config.seed_list()
    drawn, maps = feature_maps(layer, seeds)
    columns = math.ceil(math.sqrt(len(units)))
    pictures = []
    for seed, image, cells in zip(seeds, drawn, figure.grey_maps(maps[:, units]), strict=True):
        shown = figure.resized(image, _PHOTO_SIDE, _PHOTO_SIDE)
        pictures += [(f"seed {seed}", shown), ("", figure.block(cells, columns))]
    counted = f"{len(units)} of {layer.shape[0]} maps of {format_shape(layer.shape[1:])}"
    caption = f"G of {config.checkpoint}, layer {layer.title}: {counted}"
    return figure.sheet(caption, pictures, columns=2)


def _open_layer(subject: Subject, config: VisualizeConfig) -> Layer:
    return open_layer(subject.network, config.layer, subject.image_shape, subject.forward)


def _patches_of(
    layer: Layer,
    data: np.ndarray,
    top: TopPatches,
    unit: int,
    fields: Fields,
    config: VisualizeConfig,
) -> np.ndarray:
    """The block of a unit's projections, beside that of its patches."""
    positions = top.positions[unit]
    shown = data[top.images[unit].numpy()]
    x = to_network(images.to_float(torch.from_numpy(shown)), layer.network)
    places = None if config.whole else positions
    projections = project(layer, x, unit, config.method, places, config.whole)
    drawn, patches = [], []
    for image, projection, position in zip(shown, projections, positions.tolist(), strict=True):
        window = Window(0, 0, *image.shape[:2]) if config.whole else fields.window(*position)
        drawn.append(crop(figure.to_picture(projection), window, figure.GREY))
        patches.append(crop(image, window, figure.GREY))
    return figure.beside(figure.block(drawn), figure.block(patches))


def _heat_map(found: OcclusionMap, number: int, photo: np.ndarray, side: int) -> np.ndarray:
    """The responses of a unit where the centres of the squares are on a photo drawn at `side`."""
    covered = found.side * side // len(photo)
    inner = side - covered
    values = found.covered[number].float().cpu().numpy()
    picture = np.full((side, side, 3), 255, np.uint8)
    start = covered // 2
    if inner > 0:
        picture[start : start + inner, start : start + inner] = figure.heat(values, (inner, inner))
    return picture


def _title(subject: Subject, layer: Layer) -> str:
    maps = "map" if layer.shape[0] == 1 else "maps"
    name = f"{subject.name}, layer {layer.title}"
    return f"{name} ({layer.shape[0]} {maps} of {format_shape(layer.shape[1:])})"


def _method(config: VisualizeConfig) -> str:
    return _METHOD_NAMES.get(config.method, config.method)
