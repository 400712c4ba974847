"""Looking into convolutional networks: what their units respond to.

Zeiler and Fergus 2013, "Visualizing and Understanding Convolutional Networks" (arXiv:1311.2901);
Springenberg et al. 2014, "Striving for Simplicity: The All Convolutional Net" (arXiv:1412.6806).
"""

from dcgan.deconv.visualize.feature_maps import feature_maps, open_generator_layer
from dcgan.deconv.visualize.fields import Fields, Window, crop
from dcgan.deconv.visualize.filters import first_filters
from dcgan.deconv.visualize.layers import Layer, open_layer
from dcgan.deconv.visualize.loading import Subject, discriminator_forward, load_subject
from dcgan.deconv.visualize.occlusion import OcclusionMap, occlusion_map
from dcgan.deconv.visualize.pictures import (
    draw,
    draw_feature_maps,
    draw_filters,
    draw_occlusion,
    draw_patches,
)
from dcgan.deconv.visualize.projection import project
from dcgan.deconv.visualize.rules import BackwardRules, Method, check_rules
from dcgan.deconv.visualize.top_patches import TopPatches, find_top_patches

__all__ = [
    "BackwardRules",
    "Fields",
    "Layer",
    "Method",
    "OcclusionMap",
    "Subject",
    "TopPatches",
    "Window",
    "check_rules",
    "crop",
    "discriminator_forward",
    "draw",
    "draw_feature_maps",
    "draw_filters",
    "draw_occlusion",
    "draw_patches",
    "feature_maps",
    "find_top_patches",
    "first_filters",
    "load_subject",
    "occlusion_map",
    "open_generator_layer",
    "open_layer",
    "project",
]
