import json

import pytest

from dcgan.errors import UserError
from dcgan.runs.layout import METRICS_FILE
from dcgan.runs.metrics_file import append_metrics, read_metrics, truncate_metrics

pytestmark = pytest.mark.usefixtures("windows_files")


@pytest.fixture
def path(tmp_path):
    """A log with lines of steps 10, 20 and 30."""
    for step in (10, 20, 30):
        append_metrics(tmp_path / METRICS_FILE, step, {"images": 8 * step, "loss_D": 0.5})
    return tmp_path / METRICS_FILE


def steps(path):
    return [line["step"] for line in read_metrics(path.parent)]


def test_lines_are_read_as_they_were_written(path):
    assert read_metrics(path.parent)[1] == {"step": 20, "images": 160, "loss_D": 0.5}
    assert steps(path) == [10, 20, 30]


@pytest.mark.parametrize(
    "line",
    [
        '{"step": 40, "ima',  # a write that was cut short
        "[" * 100_000,
        "[40]",
        '{"images": 1}',
        '{"step": 4.5}',
        '{"step": true}',
        '{"step": -1}',
        '{"step": 9223372036854775808}',
        '{"step": 40, "images": "many"}',
        '{"step": 40, "seconds": NaN}',
        "\udcff",
    ],
)
def test_a_damaged_line_is_left_out_and_those_around_it_are_read(path, line):
    with open(path, "ab") as file:
        file.write(line.encode(errors="surrogateescape") + b"\n")
    append_metrics(path, 50, {})
    assert steps(path) == [10, 20, 30, 50]


def test_a_folder_without_a_log_is_no_run(tmp_path):
    with pytest.raises(UserError, match=r"is no run folder: it has no metrics\.jsonl"):
        read_metrics(tmp_path)


def test_truncation_drops_later_and_damaged_lines(path):
    with open(path, "a") as file:
        file.write('{"step": 5, "ima')
    truncate_metrics(path, 20)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [10, 20]


def test_a_run_that_restarts_at_step_0_renames_its_old_logs(path):
    old = path.read_text()
    truncate_metrics(path, 0)
    append_metrics(path, 10, {})
    truncate_metrics(path, 0)
    assert not path.exists()
    assert path.with_name("metrics-1.jsonl").read_text() == old
    assert path.with_name("metrics-2.jsonl").read_text() == '{"step": 10}\n'


def test_a_log_that_is_not_a_file_is_a_user_error(tmp_path):
    truncate_metrics(tmp_path / METRICS_FILE, 0)  # there need not be one
    (tmp_path / METRICS_FILE).mkdir()
    with pytest.raises(UserError, match="is not a file: move it away"):
        truncate_metrics(tmp_path / METRICS_FILE, 0)
