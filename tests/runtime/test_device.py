import platform
import re
import subprocess
import sys
from operator import attrgetter
from pathlib import Path

import pytest
import torch

from dcgan.errors import UsageError, UserError
from dcgan.runtime import device, distributed
from tests.tensor_float32 import TensorFloat32, restored_precision


def available(monkeypatch, cuda: bool, mps: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2 * cuda)
    monkeypatch.setattr(device, "_run_kernel", lambda on: None)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_auto_selects_a_gpu_where_there_is_one(monkeypatch, cuda, mps, expected):
    available(monkeypatch, cuda, mps)
    assert device.select_device("auto") == torch.device(expected)
    assert device.select_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_missing_device_is_a_user_error_of_one_line(monkeypatch, name):
    available(monkeypatch, cuda=False, mps=False)
    with pytest.raises(UserError, match=f"--device {name}: this machine has no {name} device"):
        device.select_device(name)


def test_one_of_several_gpus_is_chosen_by_its_number(monkeypatch):
    available(monkeypatch, cuda=True, mps=False)
    assert device.select_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(UserError, match="--device cuda:2: the last GPU of this machine is cuda:1"):
        device.select_device("cuda:2")


def test_a_gpu_that_cannot_compute_is_passed_over_and_named(monkeypatch, capsys):
    def refuse(on: torch.device) -> None:
        if on.type == "cuda":
            raise RuntimeError("CUDA error: no kernel image is available\nfor execution on it")

    available(monkeypatch, cuda=True, mps=True)
    monkeypatch.setattr(device, "_run_kernel", refuse)
    assert device.select_device("auto") == torch.device("mps")
    said = capsys.readouterr().err
    assert said == "computing without cuda: CUDA error: no kernel image is available\n"
    with pytest.raises(UserError, match="--device cuda:1: CUDA error: no kernel image"):
        device.select_device("cuda:1")


def test_under_torchrun_each_process_tries_its_own_gpu(monkeypatch):
    tried = []
    available(monkeypatch, cuda=True, mps=False)
    monkeypatch.setattr(device, "_run_kernel", tried.append)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert device.select_device("auto") == torch.device("cuda")
    assert tried == [torch.device("cuda", 1)]


def test_names_that_no_device_and_no_precision_has_are_usage_errors():
    with pytest.raises(
        UsageError, match="--device must be auto, cuda, cuda:N, mps or cpu, not gpu"
    ):
        device.select_device("gpu")
    with pytest.raises(UsageError, match="--precision must be one of auto, fp32, bf16, not fp16"):
        device.use_bf16(torch.device("cpu"), "fp16")


def test_bf16_is_used_where_asked_for_or_by_auto_where_the_hardware_has_it(monkeypatch):
    cpu = torch.device("cpu")
    for native in (True, False):
        monkeypatch.setattr(device, "has_native_bf16", lambda _, native=native: native)
        chosen = {name: device.use_bf16(cpu, name) for name in ("fp32", "bf16", "auto")}
        assert chosen == {"fp32": False, "bf16": True, "auto": native}


@pytest.mark.parametrize(
    ("count", "local_rank", "expected"), [(1, 0, 0), (4, 3, 3), (1, 3, 0)], ids=str
)
def test_each_process_gets_its_own_gpu_or_the_only_one_it_sees(
    monkeypatch, count, local_rank, expected
):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    assert distributed._local_gpu(local_rank) == torch.device("cuda", expected)


def test_more_processes_than_gpus_are_a_usage_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UsageError, match="process 2 has no GPU: this machine has 2"):
        distributed._local_gpu(2)


@pytest.mark.parametrize("precision", ["tf32", "ieee"])
@pytest.mark.parametrize("names", ["cuda.matmul", "cudnn.conv", "mkldnn.matmul", "cudnn", ""])
@restored_precision()
def test_settings_of_a_script_by_torchs_newer_switches_are_restored(names, precision):
    """torch does not tell its older switches then."""
    b = torch.backends
    operations = [b.cuda.matmul, b.cudnn.conv, b.cudnn.rnn, b.mkldnn.matmul, b.mkldnn.conv]
    switch = attrgetter(names)(b) if names else b
    switches = [b, *operations]
    before = [one.fp32_precision for one in switches]
    switch.fp32_precision = precision
    try:
        theirs = [one.fp32_precision for one in switches]
        with device.restored_settings():
            device.configure_torch()
            with device.full_float32_precision():
                assert {one.fp32_precision for one in operations} == {"ieee"}
        assert [one.fp32_precision for one in switches] == theirs
    finally:
        for one, value in zip(switches, before, strict=True):
            one.fp32_precision = value


@restored_precision()
def test_full_precision_holds_in_the_block_alone_whatever_was_allowed_before():
    x = torch.randn(8, 64, 3, 3, generator=torch.Generator().manual_seed(0))

    def computed() -> tuple[torch.Tensor, torch.Tensor]:
        with TensorFloat32():
            return x.flatten(1) @ x.flatten(1).T, torch.nn.functional.conv2d(x, x)

    def switches() -> tuple[object, ...]:
        b = torch.backends
        operations = (b.cuda.matmul, b.cudnn.conv, b.cudnn.rnn, b.mkldnn.matmul, b.mkldnn.conv)
        older = (torch.get_float32_matmul_precision(), b.cuda.matmul.allow_tf32)
        return (*older, b.cudnn.allow_tf32, *(op.fp32_precision for op in operations))

    exact = x.flatten(1) @ x.flatten(1).T, torch.nn.functional.conv2d(x, x)
    for allowed in ("highest", "high", "medium"):
        for conv in (True, False):
            torch.set_float32_matmul_precision(allowed)
            torch.backends.cudnn.allow_tf32 = conv
            before = switches()
            with pytest.raises(KeyError), device.full_float32_precision():
                assert all(map(torch.equal, computed(), exact))
                assert switches()[:3] == ("highest", False, False)
                raise KeyError
            assert switches() == before
            changed = [not torch.equal(*pair) for pair in zip(computed(), exact, strict=True)]
            assert changed == [allowed != "highest", conv]


def test_bf16_is_found_without_what_torch_2_10_has_not(monkeypatch):
    """By the names that Linux has for the same instructions."""
    found = device.has_native_bf16(torch.device("cpu"))
    if sys.platform == "linux":
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
        assert device.has_native_bf16(torch.device("cpu")) == found
    for features, native in (({"avx512_bf16"}, True), ({"amx_tile"}, True), ({"avx2"}, False)):
        monkeypatch.setattr(device, "_cpu_features", lambda features=features: features)
        assert device.has_native_bf16(torch.device("cpu")) == native


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs malloc of glibc")
@pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage").exists(), reason="needs huge pages"
)
def test_freed_memory_is_kept_and_may_be_of_huge_pages():
    """The heap, which Linux shows to be advised ("hg"), holds 64 MB after they were freed."""
    script = """
import torch
from dcgan.runtime.device import reuse_freed_memory

reuse_freed_memory()
torch.ones(2**24)
print(open("/proc/self/smaps").read())
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, text=True
    )
    areas = re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", done.stdout)
    advised = [area for area in areas if "[heap]" in area and re.search(r"VmFlags:.* hg\b", area)]
    assert sum(int(re.search(r"Rss: +(\d+)", area)[1]) for area in advised) >= 2**16  # kB
