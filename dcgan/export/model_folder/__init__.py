"""A model as a folder for the Hugging Face Hub: networks, model card and pictures."""

from dcgan.export.model_folder.push import push_model

__all__ = ["push_model"]
