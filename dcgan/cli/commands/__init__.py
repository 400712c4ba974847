"""The commands of `dcgan`: each function parses flags, does the work and prints what it wrote.

torch is imported only while a command runs, so that --help and wrong flags answer at once.
"""

from collections.abc import Callable, Sequence

from dcgan.cli.commands.arithmetic import arithmetic
from dcgan.cli.commands.canvas import canvas
from dcgan.cli.commands.data import prepare
from dcgan.cli.commands.demo import demo
from dcgan.cli.commands.denoise import denoise
from dcgan.cli.commands.direction import direction
from dcgan.cli.commands.evaluation import evaluate, neighbours
from dcgan.cli.commands.export import export
from dcgan.cli.commands.features import features
from dcgan.cli.commands.forget import forget
from dcgan.cli.commands.importing import import_
from dcgan.cli.commands.invert import invert
from dcgan.cli.commands.push import push
from dcgan.cli.commands.reports import compare, timelapse
from dcgan.cli.commands.sampling import sample
from dcgan.cli.commands.segment import segment
from dcgan.cli.commands.sizes import sizes
from dcgan.cli.commands.sparse import sparse
from dcgan.cli.commands.training import doctor, train
from dcgan.cli.commands.visualize import visualize
from dcgan.cli.commands.walk import walk

Command = Callable[[Sequence[str], str], None]

COMMANDS: dict[str, Command] = {
    command.__name__.rstrip("_"): command  # import is a word of Python
    for command in (
        *(train, sample, prepare, walk, arithmetic, direction, invert, canvas),
        *(demo, export, push, import_),
        *(evaluate, neighbours),
        *(doctor, compare, timelapse),
        *(sizes, features, visualize, sparse, denoise, segment, forget),
    )
}
