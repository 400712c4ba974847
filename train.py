"""Train a DCGAN: `python train.py [PRESET] [flags]`, the same as `dcgan train`."""

import sys

from dcgan import cli

if __name__ == "__main__":
    sys.exit(cli.run(cli.train, None, "train.py"))
