import subprocess
import sys
import threading

import pytest

from dcgan.runs.background_writer import BackgroundWriter

SOON, LATE = 0.1, 30  # seconds: for what must not happen, and for what must


class Boom(Exception):
    pass


def boom():
    raise Boom("here")


def test_jobs_run_in_order_and_finish_before_the_context_ends():
    done = []
    with BackgroundWriter(2) as writer:
        for number in range(20):
            writer.submit(done.append, number)
        writer.flush()
        assert done == list(range(20))
        writer.submit(done.append, 20)
    assert done[-1] == 20


def test_submit_blocks_while_the_queue_is_full():
    gate, handed, done = threading.Event(), threading.Event(), []

    def one_too_many():
        writer.submit(done.append, 3)
        handed.set()

    with BackgroundWriter(2) as writer:
        writer.submit(gate.wait)
        writer.submit(done.append, 1)
        writer.submit(done.append, 2)
        threading.Thread(target=one_too_many).start()
        early = handed.wait(SOON)
        gate.set()
        assert not early and handed.wait(LATE)
    assert done == [1, 2, 3]


@pytest.mark.parametrize("next_call", ["submit", "flush", "end"])
def test_the_first_error_is_raised_unchanged_and_later_jobs_are_dropped(next_call):
    done, gate = [], threading.Event()
    with pytest.raises(Boom, match="here"), BackgroundWriter(5) as writer:
        writer.submit(gate.wait)
        failing = writer.submit(boom)
        writer.submit(done.append, "after")
        writer.submit(lambda: 1 / 0)
        gate.set()
        if next_call == "submit":
            failing.result()
            writer.submit(done.append, "after")
        if next_call == "flush":
            writer.flush()
    assert done == []


def test_an_error_releases_a_submit_that_waits_at_a_full_queue():
    gate, handed = threading.Event(), threading.Event()

    def fail():
        gate.wait()
        boom()

    def one_too_many():
        writer.submit(print)
        handed.set()

    with pytest.raises(Boom), BackgroundWriter(0) as writer:
        writer.submit(fail)
        threading.Thread(target=one_too_many).start()
        early = handed.wait(SOON)
        gate.set()
        assert not early and handed.wait(LATE)


def test_a_block_that_raises_runs_its_jobs_and_raises_its_own_error():
    done = []
    with pytest.raises(KeyError), BackgroundWriter(5) as writer:
        writer.submit(done.append, 1)
        writer.submit(boom)
        raise KeyError
    assert done == [1]


def test_the_process_does_not_exit_before_its_jobs_are_done(tmp_path):
    """Not even if the wait for them is interrupted, as by a second Ctrl-C."""
    script = (
        "import signal, sys, time; from pathlib import Path\n"
        "from dcgan.runs.background_writer import BackgroundWriter\n"
        "signal.signal(signal.SIGALRM, signal.default_int_handler)\n"
        "with BackgroundWriter(1) as writer:\n"
        "    writer.submit(time.sleep, 1)\n"
        "    writer.submit(Path(sys.argv[1]).touch)\n"
        "    signal.setitimer(signal.ITIMER_REAL, 0.3)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "written"], capture_output=True, timeout=LATE
    )
    assert b"KeyboardInterrupt" in done.stderr
    assert (tmp_path / "written").exists()
