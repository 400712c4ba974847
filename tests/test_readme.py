"""README: its length, its two commands, and the numbers that it copies from the code."""

import json
import re

from benchmarks.report import RESULTS
from dcgan.config import PRESETS
from tests.markdown import PAGES, ROOT, blocks, commands, rows, section

README, CHINESE = PAGES["README.md"], PAGES["README.zh-CN.md"]


def test_readme_is_short():
    assert len(README.encode()) <= 10_240


def test_the_two_commands_are_those_of_ci():
    ci = (ROOT / ".ci" / "run").read_text().replace(" -q", "")
    first, second = (block.strip() for block in blocks(section(README, "Two commands")))
    assert f"\n{first} " in ci
    assert f"\n{second}\n" in ci


def test_the_preset_table_is_that_of_the_code():
    table = {row[0].strip("`"): row[1:6] for row in rows(section(README, "Train"), 7)[2:]}
    assert table == {
        name: [
            preset.source,
            f"{preset.size}x{preset.size}x{preset.channels}",
            str(preset.width),
            str(preset.batch_size),
            f"{preset.steps:,}",
        ]
        for name, preset in PRESETS.items()
    }


def test_the_times_are_the_stored_ones():
    times = {
        row["variant"]: f"{1000 * row['median_s']:.1f}"
        for row in json.loads(RESULTS.read_text())["rows"]
        if row["part"] == "end-to-end"
    }
    results = section(README, "Results")
    example, ours = rows(results, 5)[2:]
    assert times["PyTorch's example, 64"] in example[-1]
    assert times["train.py folder, 16"] in ours[-1]
    large = times["PyTorch's example"], times["train.py, the default recipe"]
    assert "{} and {} ms".format(*large) in " ".join(results.split())


def test_the_chinese_page_says_the_same():
    def numbers(page: str) -> list[list[str]]:
        return [re.findall(r"\d+(?:[.,x]\d+)*", " ".join(row)) for row in rows(page, 5)]

    assert numbers(CHINESE) == numbers(README)
    assert blocks(CHINESE)[:2] == blocks(README)[:2]
    assert set(commands(CHINESE)) <= set(commands(README))
    ours, theirs = (re.sub(r"#.*", "#", blocks(p, "python")[0]) for p in (CHINESE, README))
    assert ours == theirs


def test_the_python_example_is_short():
    (example,) = blocks(README, "python")
    assert len([line for line in example.splitlines() if line]) <= 8
