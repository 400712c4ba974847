"""Metadata of fields, which say how the command line takes them."""

# A word without a flag.
POSITIONAL = {"positional": True}
# A flag that may be given several times, each time with one value.
REPEATED = {"repeated": True}
