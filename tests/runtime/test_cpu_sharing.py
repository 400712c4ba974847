"""Which CPUs torch's threads keep to beside busy processes."""

import itertools
import os
import subprocess
import sys
import threading
import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dcgan.runtime import cpu_sharing
from dcgan.runtime.cpu_sharing import (
    CpuSharing,
    _Load,
    _set_affinity,
    _Sleeper,
    choose_cpus,
    free_cpus,
    sharing_cpus,
)
from dcgan.runtime.threads import available_cpus

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="placement is of Linux alone")
with_two_cpus = pytest.mark.skipif(available_cpus() < 2, reason="there is nothing to choose")

WATCHED = """
import os, sys, time, torch
from dcgan.runtime.cpu_sharing import sharing_cpus
torch.set_num_threads(2)
x = torch.ones(600, 600)
with sharing_cpus():
    end = time.monotonic() + 20
    while time.monotonic() < end and len(os.sched_getaffinity(0)) == int(sys.argv[1]):
        x @ x  # in a crowd the threads try fewer CPUs for a second
    inside = len(os.sched_getaffinity(0))
print(inside, len(os.sched_getaffinity(0)), *(
    len(os.sched_getaffinity(int(task))) for task in os.listdir("/proc/self/task")
))
"""


def test_threads_use_all_cpus_while_others_leave_enough():
    idle = {0: 0.0, 1: 0.0, 2: 0.1, 3: 0.0}
    assert choose_cpus(4, set(idle), idle) == {0, 1, 2, 3}
    half = {0: 1.0, 1: 1.0, 2: 0.0, 3: 0.0}
    assert choose_cpus(2, set(half), half) == {0, 1, 2, 3}, "two threads fit beside two others"


def test_threads_leave_the_cpus_of_others_to_them():
    assert choose_cpus(2, {0, 1}, {0: 0.9, 1: 0.1}) == {1}
    assert choose_cpus(4, {0, 1, 2, 3}, {0: 0.0, 1: 1.0, 2: 0.0, 3: 1.0}) == {0, 2}


def test_threads_stay_where_they_are_unless_another_cpu_is_freer():
    assert choose_cpus(2, {1}, {0: 0.5, 1: 0.5}) == {1}
    assert choose_cpus(2, {1}, {0: 0.45, 1: 0.65}) == {1}
    assert choose_cpus(2, {1}, {0: 0.0, 1: 1.0}) == {0}, "pinned beside a process that cannot move"
    assert choose_cpus(2, {0}, {0: 0.5, 1: 0.0}) == {1}, "beside another run, which wants all of 0"


def test_threads_return_to_all_cpus_when_the_others_are_gone():
    assert choose_cpus(2, {1}, {0: 0.02, 1: 0.01}) == {0, 1}


def test_a_process_that_gets_half_a_cpu_beside_the_threads_may_want_a_whole_one():
    """One that gets half of a CPU of its own does not."""
    assert len(choose_cpus(2, {0, 1}, {0: 0.25, 1: 0.25})) == 1
    assert choose_cpus(2, {1}, {0: 0.5, 1: 0.0}) == {0, 1}


@given(st.integers(1, 64), st.lists(st.floats(0, 1), min_size=1, max_size=32))
def test_some_cpu_is_always_left_to_the_threads(threads, loads):
    load = dict(enumerate(loads))
    chosen = choose_cpus(threads, set(load), load)
    assert chosen and chosen <= set(load)
    if len(chosen) < len(load):
        assert len(chosen) < threads
        assert abs(len(chosen) - max(1, len(load) - sum(loads))) <= 0.6
        assert max(load[cpu] for cpu in chosen) <= min(load[cpu] for cpu in load.keys() - chosen), (
            "the least loaded ones"
        )


def loads_beside(busy: int, cpus: int, threads: int, placed: set[int]) -> dict[int, float]:
    """The load of `busy` processes that a fair scheduler spreads over the CPUs, beside threads."""
    on = {cpu: threads / len(placed) if cpu in placed else 0.0 for cpu in range(cpus)}
    others = dict.fromkeys(range(cpus), 0)
    for _ in range(busy):
        cpu = min(on, key=lambda cpu: on[cpu] + others[cpu])
        others[cpu] += 1
    return {cpu: others[cpu] / max(1, on[cpu] + others[cpu]) for cpu in range(cpus)}


@pytest.mark.parametrize(
    ("busy", "cpus", "expected"),
    [
        (0, 2, {"all": 1.0}),
        (1, 2, {"fewer": 0.9}),
        (4, 2, {"all": 0.9, "early": 0.9}),  # a CPU that is given up would be taken at once
        (1, 8, {"fewer": 0.9}),
        (16, 8, {"early": 0.9}),
    ],
)
def test_threads_share_what_is_left_but_give_up_nothing_in_a_crowd(busy, cpus, expected):
    sharing = CpuSharing(cpus, set(range(cpus)))
    seen = {"all": 0, "fewer": 0, "early": 0}
    looks = 300
    for _ in range(looks):
        load = loads_beside(busy, cpus, cpus, sharing.placement.cpus)
        placement = sharing.follow(load)
        seen["all" if len(placement.cpus) == cpus else "fewer"] += 1 / looks
        seen["early"] += placement.sleep_early / looks
    for what, share in expected.items():
        assert seen[what] >= share - 1e-9, seen
    assert seen["early"] > 0.9 or not busy


@pytest.mark.parametrize("cpus", [2, 8])
@pytest.mark.parametrize("demand", [0.45, 0.5, 0.55, 0.6])
def test_threads_do_not_go_to_and_fro_beside_a_process_that_wants_half_a_cpu(cpus, demand):
    """It gets as much beside them as alone."""
    sharing = CpuSharing(cpus, set(range(cpus)))
    load = {cpu: demand * (cpu == 0) for cpu in range(cpus)}
    seen = [len(sharing.follow(load).cpus) for _ in range(300)]
    assert sum(before != after for before, after in itertools.pairwise(seen)) <= 10
    assert seen.count(cpus) > 270


@on_linux
def test_the_load_of_others_leaves_out_this_process():
    """This process keeps one CPU busy, which must not be counted; a child does, which must be."""
    child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.2)
        load, started = _Load(), time.process_time()
        begun = time.monotonic()
        while time.monotonic() < begun + 1:
            pass
        own = time.process_time() - started
        cpus = os.sched_getaffinity(0)
        others = sum(load.of_others(cpus).values())
    finally:
        child.kill()
        child.wait()
    assert own > 0.2
    total = len(cpus)
    # The machine may be full of other processes; but never of more than it has.
    assert 0.3 < others < total - own + 0.3


@on_linux
@with_two_cpus
@pytest.mark.slow
def test_threads_move_beside_busy_processes_and_back_at_the_end():
    """As many busy processes as CPUs: the threads try one CPU at least."""
    count = available_cpus()
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        command = [sys.executable, "-c", WATCHED, str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    inside, *after = map(int, done.stdout.split())
    assert 1 <= inside < count
    assert set(after) == {count}, "threads stay on fewer CPUs afterwards"


@on_linux
@with_two_cpus
def test_waiting_threads_spin_until_there_are_sleepers():
    """Threads that wait for the next product use CPU time only where they spin."""

    def waiting_seconds() -> float:
        x = torch.ones(300, 300)
        x @ x
        started = time.process_time()
        for _ in range(60):
            x @ x
            time.sleep(0.003)
        return time.process_time() - started

    def measure() -> tuple[float, float, float]:
        torch.set_num_threads(available_cpus())
        try:
            before = waiting_seconds()
            sleeper = _Sleeper()
            between = waiting_seconds()
            sleeper.end()
            return before, between, waiting_seconds()
        finally:
            torch.set_num_threads(1)

    if any(name in os.environ for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")):
        pytest.skip("the environment decides how threads wait")
    before, between, after = measure()
    assert between < 0.5 * before
    assert after > 2 * between


@on_linux
def test_free_cpus_are_those_that_others_leave():
    assert 1 <= free_cpus(0.05) <= available_cpus()
    busy = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(available_cpus())
    ]
    try:
        time.sleep(0.3)
        assert free_cpus(0.3) == 1
    finally:
        for process in busy:
            process.kill()
            process.wait()


def test_a_quota_leaves_free_cpus_to_others_and_not_to_the_quota(monkeypatch):
    """Other containers use 4 of 8 CPUs: all 3 of the quota are free."""

    class Load:
        cpus = range(8)

        def of_others(self, current):
            return dict.fromkeys(current, 0.5)

    monkeypatch.setattr(cpu_sharing, "_Load", Load)
    monkeypatch.setattr(cpu_sharing, "available_cpus", lambda: 3)
    assert free_cpus(0) == 3


@pytest.fixture
def two_threads():
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def test_one_thread_is_left_alone():
    before = threading.active_count()
    with sharing_cpus():
        assert threading.active_count() == before


@pytest.mark.parametrize("name", ["OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY"])
def test_threads_that_openmp_binds_to_cpus_are_left_alone(name, two_threads, monkeypatch):
    monkeypatch.setenv(name, "0")
    test_one_thread_is_left_alone()


def test_threads_are_left_alone_where_no_process_can_choose_cpus(two_threads, monkeypatch):
    for name in ("sched_getaffinity", "sched_setaffinity"):
        monkeypatch.delattr(os, name, raising=False)
    test_one_thread_is_left_alone()
    assert free_cpus(0) == os.cpu_count()


@on_linux
@with_two_cpus
def test_cpus_that_somebody_else_chooses_meanwhile_stay(two_threads):
    all_cpus = os.sched_getaffinity(0)
    try:
        with sharing_cpus():
            os.sched_setaffinity(0, {max(all_cpus)})
        assert os.sched_getaffinity(0) == {max(all_cpus)}
    finally:
        os.sched_setaffinity(0, all_cpus)


@on_linux
@with_two_cpus
def test_threads_that_start_while_others_are_moved_are_moved_too(monkeypatch):
    all_cpus, end, list_tasks = os.sched_getaffinity(0), threading.Event(), os.listdir
    thread = threading.Thread(target=end.wait)

    def list_before_start(folder):
        tasks = list_tasks(folder)
        if not thread.ident:
            thread.start()
        return tasks

    monkeypatch.setattr(os, "listdir", list_before_start)
    try:
        _set_affinity({max(all_cpus)})
        assert os.sched_getaffinity(thread.native_id) == {max(all_cpus)}
    finally:
        _set_affinity(all_cpus)
        end.set()
        thread.join()
