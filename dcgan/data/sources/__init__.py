"""Where raw images come from: one file a kind of source."""

from dcgan.data.sources.base import EncodedSource, Source
from dcgan.data.sources.opening import open_source
from dcgan.data.sources.subset import Subset

__all__ = ["EncodedSource", "Source", "Subset", "open_source"]
