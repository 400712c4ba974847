"""The measuring itself, on works whose times are known."""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import __main__ as benchmarks
from benchmarks import convolutions, end_to_end, gpu, inversion, latent, quality, step
from benchmarks.harness import ForeignLoad, Variant, time_in_turns, variant_process
from benchmarks.pytorch_example import ExampleTrainer
from benchmarks.report import PAGE, RESULTS, seconds, table, with_results
from dcgan.cli.train_parsing import parse_train_config
from dcgan.config import has_penalties
from dcgan.explore.classifier import LabelClassifier
from dcgan.explore.effects import Effect
from dcgan.networks import Classifier
from dcgan.networks.strided_convolution import CONVOLUTIONS, TRANSPOSES, choose_way
from tests.conftest import write_packed
from tests.latent.generators import make_generator


def test_works_alternate_and_ratios_are_medians_over_the_rounds():
    calls = []

    def work(name: str, times: list[float]):
        remaining = iter(times)
        return lambda: calls.append(name) or next(remaining)

    # A disturbance that slows one round of both changes no ratio.
    a, b = time_in_turns({"a": work("a", [2, 20, 2]), "b": work("b", [1, 10, 4])}, rounds=3)
    assert calls == ["a", "b"] * 3
    assert (a.median, b.median) == (2, 4)
    assert (a.ratio, b.ratio) == (1, 2)
    assert b.spread == pytest.approx((10 - 1) / 2 / 4)


def sleeper(milliseconds: int, items: int):
    assert os.environ["PACE"] == "slow"
    calls = []

    def sleep() -> int:
        calls.append(1)
        time.sleep(milliseconds / 1000 * (10 if len(calls) == 1 else 1))
        return items

    return sleep


def test_a_runner_is_warm_and_counts_per_item():
    variant = Variant("sleeper", sleeper, (50, 10), {"PACE": "slow"})
    with variant_process(variant) as run:
        assert 0.005 <= run() < 0.05  # neither the first call, ten times as long, nor all ten items
    assert "PACE" not in os.environ


def test_steps_on_a_gpu_are_many_between_two_waits_and_differ_as_they_say(monkeypatch):
    """Here on the CPU, where nothing is recorded; where there is no GPU there are no rows."""
    monkeypatch.setattr(gpu, "STEPS", 2)
    variants = gpu.make_variants(4, 4, "cpu")
    assert [variant.start(*variant.args)() for variant in variants] == [8] * 8
    for variant in variants[2:]:
        *_, precision, _, _, recipe, _ = variant.args
        assert recipe.get("cuda_graphs", True) == ("recorded" in variant.name)
        assert precision in variant.name
    assert gpu.run(1) == []


def test_the_example_in_bf16_learns_as_in_fp32():
    """It is the same work: only roundings differ."""
    real = torch.rand(8, 3, 64, 64) * 2 - 1
    losses = []
    for wrap in (lambda network: network, gpu._InBf16):
        torch.manual_seed(0)
        trainer = ExampleTrainer(8)
        trainer.G, trainer.D = wrap(trainer.G), wrap(trainer.D)
        losses.append([trainer.update(real) for _ in range(2)])
    assert losses[1] == [pytest.approx(of_step, rel=0.05) for of_step in losses[0]]
    assert losses[1] != losses[0]


def test_the_kernels_of_a_step_are_counted_by_kind_and_the_longest_by_name():
    conv = "sm90_xmma_fprop_implicit_gemm_bf16bf16_bf16f32_f32_nhwckrsc_nhwc_tilesize128x64x64"
    adam = "void at::native::(anonymous namespace)::multi_tensor_apply_kernel<FusedAdamMathFunctor>"
    kernels = [
        gpu.Kernel(adam, 2, 1e-4),
        gpu.Kernel(conv, 9, 5e-4),
        gpu.Kernel("cudnn::engines_precompiled::nchwToNhwcKernel", 1, 1e-5),
        gpu.Kernel("void cutlass__5x_cudnn::Kernel<cutlass_tensorop_bf16_s16816dgrad>", 3, 1e-4),
        gpu.Kernel("ncclDevKernel_AllReduce_Sum_f32_RING_LL", 2, 2e-5),
        gpu.Kernel("void at::native::vectorized_elementwise_kernel<4, bfloat16_copy>", 1, 3e-5),
        gpu.Kernel("void at::native::vectorized_elementwise_kernel<4, leaky_relu>", 1, 3e-5),
        gpu.Kernel("Memcpy DtoD (Device -> Device)", 1, 1e-5),
    ]
    rows = gpu.kernel_rows("a step", 1e-3, kernels)
    kinds = {
        row["variant"]: row["share"] for row in rows if row["benchmark"] == "kernels of a step"
    }
    assert kinds == {
        "averages over processes: 2 a step": pytest.approx(0.02),
        "changes of layout: 1 a step": pytest.approx(0.01),
        "optimizers, norms and averages of parameters: 2 a step": pytest.approx(0.1),
        "convolutions: 12 a step": pytest.approx(0.6),
        "copies and casts: 2 a step": pytest.approx(0.04),
        "other elementwise: 1 a step": pytest.approx(0.03),
        "all: 20 a step": pytest.approx(0.8),
    }
    assert rows[len(kinds)]["variant"] == f"`{conv}`: 9 a step"
    assert len(rows) == len(kinds) + len(kernels)


def test_all_ways_of_a_convolution_are_timed_and_a_slow_choice_is_named(monkeypatch, capsys):
    def slow(*tensors, operator=CONVOLUTIONS["torch"]):
        time.sleep(0.05)
        return operator(*tensors)

    monkeypatch.setattr(convolutions, "SHAPES", [(3, 8, 2)])
    monkeypatch.setattr(convolutions, "SECONDS", 1e-9)
    monkeypatch.setattr("dcgan.runtime.device.has_native_bf16", lambda device: False)
    monkeypatch.setitem(CONVOLUTIONS, "torch", slow)
    torchs, transposed = convolutions.run(1, batch_sizes=(2,))
    assert torchs["variant"] == "torch" and torchs["median_s"] > 0.05 / 2  # of one image of two
    maps, weight = torch.empty(2, 8, 2, 2), torch.empty(8, 3, 4, 4)
    assert transposed["variant"] == choose_way(maps, weight, transposed=True)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("  3 -> 8 at 2x2, batch 2, float32: torch ")
    assert all(f"{way} " in first for way in CONVOLUTIONS)
    assert first.endswith(" times as fast as torch, which is chosen")
    assert second.startswith("  8 -> 3 at 2x2, batch 2, float32: torch ")
    assert all(f"{way} " in second for way in TRANSPOSES)


def broken():
    raise RuntimeError("this benchmark is broken")


def test_a_broken_variant_is_an_error(capfd):
    with (
        pytest.raises(RuntimeError, match="broken: its process died"),
        variant_process(Variant("broken", broken)),
    ):
        pass
    assert "this benchmark is broken" in capfd.readouterr().err


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="needs Linux")
def test_own_work_is_not_foreign():
    used, ours, total = ForeignLoad.clocks()
    begun = time.process_time()
    while time.process_time() - begun < 0.5:
        pass
    later = ForeignLoad.clocks()
    assert 0.45 < later[1] - ours < 1
    assert later[0] - used > 0.45 - 0.1  # the kernel counts in ticks of 10 ms
    assert later[2] - total > 0.45
    with ForeignLoad() as foreign:
        time.sleep(0.1)
    assert 0 <= foreign.share <= 1


def test_the_example_is_timed_beside_its_own_recipe(capsys):
    """In the step and on the command line; the default recipe, which does more, is apart."""
    words = [str(word) for word in end_to_end.format_flags(step.EXAMPLE)]
    config = parse_train_config(words, "dcgan", "")
    assert {name: getattr(config, name) for name in step.EXAMPLE} == dict(step.EXAMPLE)
    assert (config.loss, config.lr_G, config.beta1) == ("non-saturating", 2e-4, 0.5)
    assert not has_penalties(config)
    for recipe in (step.EXAMPLE, {}):
        assert step.start_dcgan_step(4, 4, "fp32", malloc=False, recipe=recipe)() == 4
    # A step in many has penalties: what is timed of the default recipe has its share of them.
    several = step.repeat_work(8, step.start_dcgan_step, 4, 4, "fp32", True, False, {})
    assert several() == 8 * 4


def test_units_and_rows():
    assert [seconds(t) for t in (12.345, 0.0123456, 1.5e-6, 2e-10)] == [
        "12.3 s",
        "12.3 ms",
        "1.5 µs",
        "0.2 ns",
    ]


def test_the_table_shows_every_kind_of_row_and_doubts_a_busy_machine():
    about = {"date": "2026-11-24", "benchmark": "step", "variant": "b"}
    timed = about | {"median_s": 0.02, "spread": 0.1, "ratio": 2.0}
    rows = [
        timed,
        timed | {"of_fp32_matrix_product": 0.9, "date": "2026-11-27"},
        about | {"benchmark": "quality", "variant": "c", "psnr_db": [31.26, 40.0]},
        about | {"benchmark": "memory", "variant": "d", "peak_mb": 380.2, "spread": 0.01},
        about | {"benchmark": "rest", "variant": "e", "share": 0.0161},
    ]
    results = {"machine": "a machine", "rounds": 3, "foreign": 0.2, "rows": rows}
    first, *lines = table(results).splitlines()
    assert first.startswith("a machine; medians of 3 rounds") and first.endswith("suspect.")
    assert lines[-5:] == [
        "| step | b | 20 ms | 10% | 2.00 | 2026-11-24 |",
        "| step | b (90% of matrix-product speed) | 20 ms | 10% | 2.00 | 2026-11-27 |",
        "| quality | c | 31.3, 40.0 dB |  |  | 2026-11-24 |",
        "| memory | d | 380 MB | 1% |  | 2026-11-24 |",
        "| rest | e | 1.6% |  |  | 2026-11-24 |",
    ]
    assert "suspect" not in table(results | {"foreign": 0.01})
    assert "Other processes" not in table(results | {"foreign": None})


def test_the_speed_page_shows_the_results_that_are_stored():
    page, results = PAGE.read_text(encoding="utf-8"), json.loads(RESULTS.read_text())
    assert with_results(page, results) == page
    results["rows"][0]["median_s"] *= 2
    assert with_results(page, results) != page


def test_a_page_without_marks_is_not_written_over():
    with pytest.raises(ValueError, match="results: begin"):
        with_results("no marks\n", {})


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--rounds", "0"], "--rounds must be at least 1, not 0"),
        (["--peer", "/no/main.py"], "/no/main.py: no such file"),
    ],
)
def test_wrong_flags_take_one_line(flags, words, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["benchmarks", "step", *flags])
    with pytest.raises(SystemExit, match=words):
        benchmarks.main()


def quality_of(monkeypatch, tmp_path, data, *flags):
    words = ["--data", str(data), "--runs", str(tmp_path / "runs"), "--seeds", "0", *flags]
    monkeypatch.setattr(sys, "argv", ["quality", "--batch-size", "8", "--width", "2", *words])
    quality.main()


def test_quality_of_few_images_and_a_short_run_is_measured(packed, tmp_path, monkeypatch, capsys):
    """Fewer images than are to be judged, and fewer steps than evaluations along the run."""
    quality_of(monkeypatch, tmp_path, packed.folder, "--images", "16", "--longer", "2")
    assert "After 32 images: frechet" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2015-0 has 2 steps, not 1: use another --runs"):
        quality_of(monkeypatch, tmp_path, packed.folder, "--images", "8")


def test_mistakes_of_quality_take_one_line(tmp_path, monkeypatch):
    few = write_packed(tmp_path / "few", np.zeros((19, 16, 16, 3), np.uint8))
    for data, words in ((few, "19 images are too few"), ("/no/such", "/no/such does not exist")):
        with pytest.raises(SystemExit, match=words):
            quality_of(monkeypatch, tmp_path, data)


def test_stored_results_are_written_over_only_when_that_is_asked_for(tmp_path, monkeypatch, capsys):
    row = {"benchmark": "rest", "variant": "e", "share": 0.0161}
    monkeypatch.setitem(benchmarks.BENCHMARKS, "step", lambda rounds: [row])
    monkeypatch.chdir(tmp_path)
    for flags, written in [([], False), (["--out", "docs/benchmarks"], True)]:
        monkeypatch.setattr(sys, "argv", ["benchmarks", "step", *flags])
        benchmarks.main()
        assert "| rest | e | 1.6% |" in capsys.readouterr().out
        assert (tmp_path / "docs" / "benchmarks" / "results.json").exists() == written


def test_latents_count_as_found_by_their_direction():
    G = make_generator()
    z, targets = inversion.own_samples(G, 4)
    share, psnr = inversion.score(G, z, targets, lambda G, targets: z)
    assert share == 1 and 58 < psnr < 60  # rounding to 8 bits has 58.9 dB
    wrong = torch.cat([z[:3], -z[3:]])
    assert inversion.score(G, z, targets, lambda G, targets: wrong)[0] == 0.75
    for find in inversion.FINDERS.values():
        assert inversion.score(G, z, targets, find)[0] >= 0.5


def test_effects_of_directions_are_means_over_sets_and_leave_out_tied_labels():
    classifier = LabelClassifier(
        Classifier(8, 1, 3, 1), "attributes", ("hat", "bald", "beard"), (), "", {}, ((0, 1),)
    )

    def row(index: int, share: float, flips: tuple[float, ...]) -> latent.Row:
        effect, judged = Effect(index, 10, share, flips), Effect(index, 10, share / 2, flips)
        return latent.Row("edit", index, effect, judged, sure=effect)

    rows = [row(0, 1.0, (1.0, 0.9, 0.0)), row(0, 0.8, (0.8, 0.9, 0.2))]
    rows += [row(i, 0.9, (0.1, 0.1, 0.1)) for i in (1, 2) for _ in range(2)]
    lines = latent.effect_table(rows, classifier).splitlines()
    assert lines[2] == "| edit | hat | 90% | 10% beard | 10.0% | 45% | 10% beard | 10% beard |"
    assert lines[5].startswith("| edit | **all** | 90.0% ± 6.3%, at least 80% | 10.0% ± 6.3%, at")
