"""Trained networks in files for other people."""

from dcgan.export.command import export_model
from dcgan.export.model_folder import push_model
from dcgan.export.networks import export_discriminator, export_generator
from dcgan.export.onnx_model import export_onnx
from dcgan.export.page import export_page
from dcgan.export.page_directions import choose_directions
from dcgan.export.pytorch_example import export_to_pytorch_example

__all__ = [
    "choose_directions",
    "export_discriminator",
    "export_generator",
    "export_model",
    "export_onnx",
    "export_page",
    "export_to_pytorch_example",
    "push_model",
]
