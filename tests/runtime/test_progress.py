"""Progress in terminals and in files."""

import io
import sys

import pytest

from dcgan.runtime import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(monkeypatch, stream, seconds: float) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "_LINE_SECONDS", seconds)
    with progress.progress_bar(1000, "training", "step", miniters=1) as bar:
        for _ in range(1000):
            bar.update()
        bar.set_postfix_str("loss 0.5", refresh=False)
    return stream.getvalue()


def test_a_file_gets_few_whole_lines_and_no_control_characters(monkeypatch):
    text = shown(monkeypatch, io.StringIO(), 60)
    first, last = text.splitlines()
    assert first.startswith("training: 0/1000 step in 00:00")
    assert last.startswith("training: 1000/1000 step in 00:0")
    assert last.endswith("loss 0.5")
    assert text.endswith("\n") and text.replace("\n", "").isprintable()


def test_a_file_gets_a_line_after_each_interval(monkeypatch):
    lines = shown(monkeypatch, io.StringIO(), 0).splitlines()
    assert len(lines) > 500
    assert lines[10] != lines[11]


@pytest.mark.parametrize("kind", ["terminal", "notebook"])
def test_terminals_and_notebooks_redraw_one_bar(monkeypatch, kind):
    stream = Terminal()
    if kind == "notebook":
        stream = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})()
    assert "\r" in shown(monkeypatch, stream, 60)
