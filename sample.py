"""Sample images: `python sample.py CHECKPOINT_OR_RUN [flags]`, the same as `dcgan sample`."""

import sys

from dcgan import cli

if __name__ == "__main__":
    sys.exit(cli.run(cli.sample, None, "sample.py"))
