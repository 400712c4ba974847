"""How long torch's OpenMP threads spin while they wait for work, before they sleep.

By default they spin so long that, beside other processes, they keep cores from threads that have
work, and training is up to ten times slower. Without any spinning a training step takes a sixth
longer on an idle machine (docs/speed.md).
"""

import os
import sys
import threading

LIMITED_SPINNING = {"GOMP_SPINCOUNT": "1000"}  # turns; libgomp reads it when torch loads it
_CHOICES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")  # by which the user may have chosen
_PARALLEL_SIZE = 2**18  # elements, so many that torch divides them among its threads

_lock = threading.Lock()
_sleepers: list[threading.Thread] = []


def limit_spinning() -> None:
    """Limit it for processes that have not imported torch yet, unless the user has chosen."""
    if "torch" not in sys.modules and not _is_chosen():
        os.environ.update(LIMITED_SPINNING)


def limit_spinning_of_loaded_torch() -> None:
    """Limit it where torch was imported before dcgan, unless the user has chosen.

    libgomp spins a hundred turns, not hundreds of thousands, while it has more threads than there
    are CPUs. Therefore this adds threads that sleep for ever.
    """
    import torch

    from dcgan.runtime.threads import available_cpus

    threads = torch.get_num_threads()
    if _is_chosen() or threads == 1 or sys.platform != "linux":
        return
    with _lock:  # each sleeper adds its own team of `threads`, itself included
        while len(_sleepers) < available_cpus() // (threads - 1):
            begun = threading.Event()
            sleeper = threading.Thread(target=_start_team_and_sleep, args=(begun,), daemon=True)
            sleeper.start()
            begun.wait()
            _sleepers.append(sleeper)


def _is_chosen() -> bool:
    return any(name in os.environ for name in _CHOICES)


def _start_team_and_sleep(begun: threading.Event) -> None:
    import torch

    torch.ones(_PARALLEL_SIZE, dtype=torch.uint8).add_(1)
    begun.set()
    threading.Event().wait()
