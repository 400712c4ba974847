"""The Hugging Face Hub: networks fetched from it, and files uploaded to it."""

from dcgan.hub.client import check_can_upload
from dcgan.hub.fetching import DISCRIMINATOR, GENERATOR, fetch_networks
from dcgan.hub.uploading import upload_files

__all__ = ["DISCRIMINATOR", "GENERATOR", "check_can_upload", "fetch_networks", "upload_files"]
