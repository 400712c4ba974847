"""Networks of other programs as runs of this one."""

from dcgan.importing.pytorch_example import Imported, import_networks

__all__ = ["Imported", "import_networks"]
