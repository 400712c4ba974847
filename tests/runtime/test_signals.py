"""Signals during training, as a process, a notebook and a thread get them."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
import torch
from jupyter_client.manager import start_new_kernel

from dcgan.runs import checkpoint
from dcgan.runs.layout import list_checkpoints
from dcgan.runtime.signals import Stopped, collect_stop_signals, raise_on_stop_signals
from tests.conftest import TINY, fit

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def not_ignored() -> Iterator[None]:
    """Handlers of all signals, also where the tests are run by nohup or in the background."""
    before = handlers()
    for signum in SIGNALS:
        signal.signal(signum, signal.default_int_handler)
    yield
    for signum, handler in zip(SIGNALS, before, strict=True):
        signal.signal(signum, handler)


def handlers() -> list:
    return [signal.getsignal(signum) for signum in SIGNALS]


@pytest.mark.parametrize("second", SIGNALS)
def test_a_second_signal_is_a_keyboard_interrupt_and_all_handlers_are_restored(second, not_ignored):
    before = handlers()
    with pytest.raises(KeyboardInterrupt), collect_stop_signals() as received:
        signal.raise_signal(signal.SIGTERM)
        assert received == [signal.SIGTERM]
        signal.raise_signal(second)
    assert received == [signal.SIGTERM]
    assert handlers() == before


def swallow_exception(signum: int) -> None:
    """As libraries do that try an import."""
    with contextlib.suppress(Exception):
        signal.raise_signal(signum)


def swallow_all(signum: int) -> None:
    with contextlib.suppress(BaseException):
        signal.raise_signal(signum)


def swallow_in_destructor(signum: int) -> None:
    """Python prints such an exception and goes on."""

    class Raising:
        def __del__(self) -> None:
            signal.raise_signal(signum)

    Raising()


def replace(signum: int) -> None:
    try:
        signal.raise_signal(signum)
    except BaseException as error:
        raise ImportError("cannot be imported") from error


@pytest.mark.parametrize("signum", SIGNALS[:2])
@pytest.mark.parametrize("work", [swallow_exception, swallow_all, swallow_in_destructor, replace])
def test_no_code_that_swallows_exceptions_keeps_a_process_alive(
    work, signum, not_ignored, monkeypatch
):
    """The clean-up has the time that it needs, and nothing is sent after the block."""
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)  # pytest's keeps the exceptions
    expected = KeyboardInterrupt if signum == signal.SIGINT else Stopped
    before, closed = handlers(), []
    with pytest.raises(expected) as raised, raise_on_stop_signals():
        try:
            work(signum)
            time.sleep(30)
        finally:
            time.sleep(0.3)
            closed.append("longer than a signal waits to be repeated")
    assert closed and getattr(raised.value, "exit_code", 130) == 128 + signum
    assert handlers() == before
    signal.signal(signum, lambda *_: closed.append("sent again"))
    del raised
    time.sleep(0.3)
    assert len(closed) == 1


def test_signals_are_handled_in_the_main_thread_alone():
    before, seen = handlers(), []

    def work():
        with collect_stop_signals() as received, raise_on_stop_signals():
            seen.append((received, handlers()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [([], before)]


def test_a_run_in_a_thread_is_that_of_the_main_thread(packed, run, tmp_path):
    thread = threading.Thread(
        target=fit, args=(TINY, packed, tmp_path / "run", torch.device("cpu")), daemon=True
    )
    thread.start()
    thread.join(120)
    trained, expected = (
        checkpoint.read(list_checkpoints(folder)[-1]).tensors("")
        for folder in (tmp_path / "run", run)
    )
    assert trained.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in trained.items())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such shell")
@pytest.mark.parametrize("handling", ["collect_stop_signals", "raise_on_stop_signals"])
def test_a_background_job_of_a_script_ignores_ctrl_c_and_heeds_sigterm(handling):
    code = (
        "import signal, sys, time\n"
        "from dcgan.runtime.signals import *\n"
        f"with {handling}() as received:\n"
        "    print('ready', flush=True)\n"
        "    while not received:\n"
        "        time.sleep(0.01)\n"
        "sys.exit(128 + received[0])\n"
    )
    script = '"$1" -c "$2" & read go; kill -INT $!; sleep 0.3; kill $!; wait $!; echo "code $?"'
    command = ["sh", "-c", script, "sh", sys.executable, code]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as shell:
        assert shell.stdout.readline() == "ready\n"
        out, err = shell.communicate("go\n", timeout=60)
    assert "KeyboardInterrupt" not in err
    if handling == "raise_on_stop_signals":
        assert out == "code 1\n" and "Stopped: terminated" in err
    else:
        assert out == "code 143\n" and not err


class Kernel:
    """A Jupyter kernel that runs one cell after another."""

    def __init__(self):
        self.manager, self.client = start_new_kernel(kernel_name="python3")

    def run(self, code: str, interrupt_at: str = "", times: int = 0) -> list[str]:
        """What a cell prints, returns and raises. `times` interrupts, 50 ms apart, follow the first
        message with `interrupt_at` in it, which may be of a progress bar.
        """
        cell, outputs = self.client.execute(code), []
        for kind, content in self._messages(cell):
            text = content.get("text") or content.get("data", {}).get("text/plain", "")
            outputs.append(content["ename"] if kind == "error" else text)
            if times and interrupt_at in str(content):
                for _ in range(times):
                    self.manager.interrupt_kernel()
                    time.sleep(0.05)
                times = 0
        return outputs

    def _messages(self, cell: str) -> Iterator[tuple[str, dict]]:
        while True:
            message = self.client.get_iopub_msg(timeout=60)
            if message["parent_header"].get("msg_id") == cell:
                yield message["msg_type"], message["content"]
                if message["content"].get("execution_state") == "idle":
                    return


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    kernel = Kernel()
    yield kernel
    kernel.client.stop_channels()
    kernel.manager.shutdown_kernel(now=True)


@pytest.mark.slow
def test_interrupts_of_a_notebook_stop_training_and_keep_its_variables(kernel, packed, tmp_path):
    kernel.run("import os; os.environ['OMP_NUM_THREADS'] = '1'; kept = 41; import dcgan")
    options = f"data={str(packed.folder)!r}, out={str(tmp_path / 'run')!r}, size=16, width=32"
    # A step outlasts 50 ms, or the run could have ended between two interrupts.
    options += ", batch_size=512, steps=10**6, log_every=1, device='cpu'"
    kernel.run(f"config = dcgan.TrainConfig({options})")
    training = "dcgan.train(config)", "loss"
    assert kernel.run(*training, times=1)[-2] == "Stopped"
    assert len(list_checkpoints(tmp_path / "run")) == 1
    assert kernel.run(*training, times=2)[-2] == "KeyboardInterrupt"
    assert kernel.run(*training, times=1)[-2] == "Stopped"  # nothing is locked or lost
    assert kernel.run("kept")[-2] == "41"
