"""Sources of raw images: one file for each kind."""

from dcgan.data.sources.base import EncodedSource, Source
from dcgan.data.sources.opening import open_source
from dcgan.data.sources.subset import Subset

__all__ = ["EncodedSource", "Source", "Subset", "open_source"]
