"""Functions in several processes that talk to one another, as torchrun starts them."""

import multiprocessing
import socket

import torch.multiprocessing as mp

# A server that has imported torch forks the processes: else each takes seconds to import it.
METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
if METHOD == "forkserver":
    multiprocessing.get_context(METHOD).set_forkserver_preload(["tests.conftest"])


def in_processes(function, *args, count: int = 2, join: bool = True, method: str = METHOD):
    """Call `function(rank, *args, environment)` in each; `environment` lets them find each other.

    Raises what one of them raises, or returns their handles at once if they are not joined.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    return mp.start_processes(
        function, (*args, environment), nprocs=count, join=join, start_method=method
    )
