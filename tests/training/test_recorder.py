import threading

import torch

from dcgan.training.recorder import Recorder
from tests.conftest import TINY


def test_the_thread_that_writes_uses_the_gpu_of_its_process(tmp_path, monkeypatch):
    """It waits for copies, and frees pinned memory; in a new thread CUDA's device is GPU 0."""
    chosen = []
    monkeypatch.setattr(
        torch.cuda, "set_device", lambda device: chosen.append((threading.get_ident(), device))
    )
    with Recorder(TINY, tmp_path / "run", torch.device("cuda", 3)) as recorder:
        writes_in = []
        recorder.writer.submit(lambda: writes_in.append(threading.get_ident()))
        recorder.flush()
    assert chosen == [(writes_in[0], 3)]
