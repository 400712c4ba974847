import os
import sys

if sys.path[0] == os.getcwd():
    # Where `python -m` puts it, any file there would replace a module of that name.
    sys.path.append(sys.path.pop(0))

from dcgan.cli import main

sys.exit(main())
